//! The memory that a run's sampling and its updates need, before the run starts.

use alft_policy::{Error as PolicyError, LoraConfig, Policy, SampleLoad, SampleMemory, Trainer, UpdateMemory};

use crate::config::RunFile;
use crate::data::Question;
use crate::error::Result;
use crate::evaluate::CHUNK;
use crate::plugins::PluginSet;

/// The memory of the run's largest draw of completions: for a step, for the evaluation, or of the reference policy if a
/// plugin needs its answers. `None` for a run without questions.
///
/// # Errors
/// A completion may not fit `sampling.cache_mib`.
pub(crate) fn sample_memory(
    policy: &Policy,
    config: &RunFile,
    plugins: &PluginSet,
    (train, eval): (&[Question], &[Question]),
    longest_prompt: usize,
    lora: Option<&LoraConfig>,
) -> Result<Option<SampleMemory>> {
    let game = &config.game;
    let phrasings = |questions: &[Question]| questions.iter().map(|question| question.prompts.len()).max().unwrap_or(0);
    let evaluated = config.eval.bundles.min(eval.len()).min(CHUNK);
    let mut draws = vec![
        (
            phrasings(train) * game.bundles_per_step.min(train.len()),
            game.group * repetitions(game.bundles_per_step, train.len()),
        ),
        (phrasings(eval) * evaluated, config.eval.group),
    ];
    if plugins.need_reference() {
        draws.push((phrasings(train).max(phrasings(eval)), game.reference_samples));
    }
    let memories = draws.into_iter().filter(|(prompts, _)| *prompts > 0).map(|(prompts, group)| {
        let load = SampleLoad { prompts, longest_prompt, group };
        SampleMemory::new(policy, lora, &config.sampling, load).map_err(qualified)
    });
    let memories = memories.collect::<Result<Vec<_>, _>>()?;
    Ok(memories.into_iter().max_by_key(SampleMemory::total))
}

/// The memory of the run's largest update, of a step's batch. `None` for a run without questions.
pub(crate) fn update_memory(
    trainer: &Trainer,
    config: &RunFile,
    train: &[Question],
    longest_prompt: usize,
) -> Option<UpdateMemory> {
    let phrasings = train.iter().map(|question| question.prompts.len()).max()?;
    let prompts = phrasings * config.game.bundles_per_step.min(train.len());
    let new = config.sampling.max_new_tokens;
    // The completions of a prompt are computed with one copy of it.
    let batch =
        prompts * (longest_prompt + config.game.group * repetitions(config.game.bundles_per_step, train.len()) * new);
    Some(trainer.update_memory(batch, longest_prompt + new, config.train.loss.updates_per_batch))
}

/// The largest number of times that a step of `bundles` questions asks the same one.
fn repetitions(bundles: usize, questions: usize) -> usize {
    bundles.div_ceil(questions.max(1))
}

/// The error with the key as it stands in the run file.
fn qualified(error: PolicyError) -> PolicyError {
    match error {
        PolicyError::Setting { name: "cache_mib", reason } => {
            PolicyError::Setting { name: "sampling.cache_mib", reason }
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_of_more_questions_than_there_are_asks_them_again() {
        assert_eq!(
            [(4, 8), (8, 8), (9, 8), (17, 8)].map(|(bundles, questions)| repetitions(bundles, questions)),
            [1, 1, 2, 3]
        );
    }
}
