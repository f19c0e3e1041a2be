//! The reference policy's answers, for objectives that compare with it.

use alft_policy::{Seed, Trainer};

use crate::config::RunFile;
use crate::data::Question;
use crate::error::Result;
use crate::plugins::PluginSet;
use crate::reward::{TargetState, answer_marginals};
use crate::rollout::sample_rollouts;
use crate::stats::StepStats;
use crate::template::PromptTemplate;

/// Samples the reference policy for the questions that it was not asked yet, where a plugin compares with it. The
/// reference never changes, so its answers are drawn once and kept. Returns the reader's statistics.
pub(crate) fn sample_marginals(
    trainer: &Trainer,
    plugins: &PluginSet,
    questions: &[&Question],
    template: &PromptTemplate,
    config: &RunFile,
    targets: &mut TargetState,
) -> Result<StepStats> {
    let mut stats = StepStats::new(plugins);
    let Some(reference) = trainer.reference_policy().filter(|_| plugins.need_reference()) else { return Ok(stats) };
    for question in questions {
        if targets.references.contains_key(&question.id) {
            continue;
        }
        let samples = config.game.reference_samples;
        let seed = Seed { run: config.seed, step: seed_of(&question.id), sample: 0 };
        let rollouts = sample_rollouts(&reference, &[question], template, samples, &config.sampling, seed)?;
        for mut rollout in rollouts {
            let marginals = answer_marginals(&mut rollout, plugins, &mut stats);
            targets.insert_reference(question.id.clone(), marginals);
        }
    }
    Ok(stats)
}

/// A number for a question's name in the place of a step's: the reference's answers must not depend on the step at which
/// the question first comes.
fn seed_of(id: &str) -> u64 {
    let hash = blake3::hash(format!("reference {id}").as_bytes());
    u64::from_le_bytes(hash.as_bytes()[..8].try_into().expect("a hash has 32 bytes"))
}
