//! What plugins did and what was made of it, put on record.

use std::collections::BTreeMap;

use crate::deeds::Deeds;
use crate::entry::OnError;
use crate::error::{Error, Result};
use crate::folder::{Journal, Records};
use crate::metrics::{DiagnosticsLine, SampleLine};
use crate::panel::Panel;
use crate::play::{Answered, Played};
use crate::position::Position;
use crate::tally::kinds;

/// Books what the plugins did: keeps their diagnostics, counts their failures, and tells of each kind when it first
/// comes. Ends the run where the run file wants that.
pub(crate) fn account(
    panel: &Panel,
    deeds: &[Deeds],
    position: &mut Position,
    journal: &mut Journal,
    say: &dyn Fn(&str),
) -> Result<()> {
    for (seat, deeds) in panel.seats.iter().zip(deeds) {
        for (input, calls) in &deeds.plays {
            let plugin = seat.plugin.loaded().expect("what is linked in makes no calls");
            journal.ledger.record(position.step + 1, &seat.name, plugin, input, calls)?;
        }
        for line in &deeds.log {
            journal.diagnostics.append(&DiagnosticsLine { step: position.step + 1, plugin: &seat.name, line })?;
        }
        let tally = position.tallies.entry(seat.name.clone()).or_default();
        let manifest = seat.plugin.manifest();
        let who = format!("plugin {} ({} {}) failed", seat.name, manifest.name, manifest.version);
        let step = position.step + 1;
        for (kind, (_, first)) in &deeds.failures {
            let told = format!("{who} at step {step}: {first}");
            if seat.on_error == OnError::Abort {
                let why = format!("plugin.{}.on_error is \"abort\"", seat.name);
                return Err(Error::Failing { message: told, why });
            }
            if !tally.failures.contains_key(*kind) {
                say(&told);
            }
        }
        tally.book(deeds);
        if let Some(rate) = tally.rate().filter(|rate| *rate > seat.max_failure_rate) {
            let kinds = kinds(&tally.failures);
            let message = format!("{who} on {:.0}% of its latest items by step {step}; in all {kinds}", 100.0 * rate);
            let why = format!("plugin.{}.max_failure_rate is {}", seat.name, seat.max_failure_rate);
            return Err(Error::Failing { message, why });
        }
    }
    Ok(())
}

pub(crate) fn record_samples(
    step: u64,
    panel: &Panel,
    answered: &[Answered<'_>],
    played: &[Played],
    deeds: &[Deeds],
    samples: &mut Records,
) -> Result<()> {
    let mut flat = 0;
    let mut fuel = || -> BTreeMap<&str, u64> {
        let at = flat;
        flat += 1;
        let plugins = panel.seats.iter().zip(deeds);
        let own = plugins.filter_map(|(seat, deeds)| Some((seat.name.as_str(), deeds.shares.get(at)?.round() as u64)));
        own.filter(|(_, share)| *share > 0).collect()
    };
    for (answered, played) in answered.iter().zip(played) {
        for (i, (prompt, completions)) in answered.asked.prompts.iter().zip(&answered.completions).enumerate() {
            for (k, completion) in completions.iter().enumerate() {
                samples.append(&SampleLine {
                    step,
                    prompt: &prompt.id,
                    sample: k,
                    completion,
                    answer: played.readings[i][k].key(),
                    reward: played.rewards[i][k],
                    advantage: played.advantages[i][k],
                    fuel: fuel(),
                })?;
            }
        }
    }
    Ok(())
}
