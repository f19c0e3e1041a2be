//! How far a run is: what a resumed run goes on from, beside the weights.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::averages::Averages;
use crate::change::{Change, Lineup};
use crate::folder::Lengths;
use crate::identity::Identity;
use crate::play::Memory;
use crate::tally::Tally;

/// Saved with the weights.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Position {
    /// What was done last.
    pub(crate) phase: Phase,
    /// Steps of the game that are done.
    pub(crate) step: u64,
    /// What the target player keeps.
    pub(crate) memory: Memory,
    /// The measurement before the game.
    pub(crate) before: Option<Averages>,
    /// What each plugin has done so far.
    pub(crate) tallies: BTreeMap<String, Tally>,
    /// The plugins in force.
    pub(crate) lineup: Lineup,
    /// Changes that led to them: lines of `changes.jsonl`.
    pub(crate) changes: usize,
    /// Changes, in words, for the line of the next step.
    pub(crate) news: Vec<String>,
    /// The records that this state counts on.
    pub(crate) lengths: Lengths,
    /// What the run was, to refuse another.
    pub(crate) identity: Identity,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Phase {
    /// Steps of supervised training that are done.
    WarmStart(u64),
    Game,
}

impl Position {
    pub(crate) fn start(identity: Identity, lineup: Lineup) -> Self {
        Self {
            phase: Phase::WarmStart(0),
            step: 0,
            memory: Memory::default(),
            before: None,
            tallies: BTreeMap::new(),
            lineup,
            changes: 0,
            news: Vec::new(),
            lengths: Lengths::default(),
            identity,
        }
    }

    /// Goes on with other plugins. What is remembered of those that stay is kept.
    pub(crate) fn adopt(&mut self, change: Change) {
        let Change { what, lineup, .. } = change;
        self.memory.multipliers.retain(|name, _| lineup.hashes.contains_key(name));
        if !self.lineup.reads_as(&lineup) {
            // They know answers by their keys, and another reader may have other keys.
            self.memory.targets.clear();
            self.memory.references.clear();
        }
        for (name, tally) in &mut self.tallies {
            if !self.lineup.keeps(name, &lineup) {
                tally.begin_anew();
            }
        }
        self.lineup = lineup;
        self.changes += 1;
        self.news.extend(what);
    }
}
