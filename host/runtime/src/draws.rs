//! The draws of a step: rounds of questions, until enough of them teach.
//!
//! With `game.dynamic_sampling` a question whose groups all have equal rewards is replaced by another one, as in DAPO (Yu et
//! al., arXiv 2503.14476): further questions are drawn until `game.bundles_per_step` of them teach, or until the bound on
//! rounds is reached. Only the update leaves the others out. They count in every average, they move targets and
//! multipliers, and they are on record, for they were sampled from the same policy.

use std::collections::BTreeSet;
use std::time::Duration;

use alft_game::Target;

use crate::config::RunFile;
use crate::data::Question;
use crate::plugins::PluginSet;
use crate::rollout::Rollout;
use crate::sampler::QuestionSampler;
use crate::stats::{Averages, StepStats};

/// The draws of a step, and everything that the plugins said of them.
pub(crate) struct Draws<'a> {
    config: &'a RunFile,
    questions: &'a [Question],
    /// Rounds that were begun.
    rounds: usize,
    /// The indices of the questions that were drawn.
    drawn: BTreeSet<usize>,
    /// The place of the order from which the next step goes on.
    pub(crate) place: u64,
    /// The samples of all rounds.
    pub(crate) rollouts: Vec<Rollout<'a>>,
    /// The statistics of all rounds.
    pub(crate) stats: StepStats,
    /// The questions' new targets.
    pub(crate) targets: Vec<(String, Target)>,
    /// Time of sampling.
    pub(crate) sampling: Duration,
}

impl<'a> Draws<'a> {
    /// No draws yet, at the sampler's place of the order.
    pub(crate) fn new(
        config: &'a RunFile,
        questions: &'a [Question],
        sampler: &QuestionSampler,
        plugins: &PluginSet,
    ) -> Self {
        Self {
            config,
            questions,
            rounds: 0,
            drawn: BTreeSet::new(),
            place: sampler.place,
            rollouts: Vec::new(),
            stats: StepStats::new(plugins),
            targets: Vec::new(),
            sampling: Duration::ZERO,
        }
    }

    /// The questions of the next round: those of the step, and then as many others as do not teach. `None` once enough
    /// teach, no other question is left, or the bound on rounds is reached.
    pub(crate) fn next_round(&mut self, sampler: &QuestionSampler) -> Option<Vec<&'a Question>> {
        let wanted = self.config.game.bundles_per_step;
        let further = self.config.game.dynamic_sampling.map_or(0, |dynamic| dynamic.max_rounds);
        let count = if self.rounds == 0 {
            wanted
        } else if self.rounds <= further {
            let teaching = self.rollouts.iter().filter(|rollout| rollout.teaches()).count();
            (wanted - teaching).min(self.questions.len() - self.drawn.len())
        } else {
            0
        };
        if count == 0 {
            return None;
        }
        self.rounds += 1;
        let chosen = sampler.choose(&mut self.place, count, self.config, self.questions, &self.drawn);
        self.drawn.extend(&chosen);
        Some(chosen.into_iter().map(|index| &self.questions[index]).collect())
    }

    /// Adds a round's samples, which have their advantages.
    pub(crate) fn add(&mut self, rollouts: Vec<Rollout<'a>>, stats: StepStats, targets: Vec<(String, Target)>) {
        self.rollouts.extend(rollouts);
        self.targets.extend(targets);
        self.stats.add(stats);
        self.stats.averages = Averages::over(&self.rollouts);
    }

    /// The number of samples so far.
    pub(crate) fn samples(&self) -> u64 {
        self.rollouts.iter().flat_map(Rollout::samples).count() as u64
    }

    /// The questions of the update: all, or with dynamic sampling those that teach.
    pub(crate) fn of_update(&self) -> impl Iterator<Item = &Rollout<'a>> {
        let all = self.config.game.dynamic_sampling.is_none();
        self.rollouts.iter().filter(move |rollout| all || rollout.teaches())
    }

    /// The number of questions that were drawn in place of others.
    pub(crate) fn resampled(&self) -> usize {
        self.rollouts.len() - self.config.game.bundles_per_step
    }
}
