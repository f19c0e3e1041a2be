//! One step of training.

use std::time::Instant;

use alft_policy::{KlPenalty, Sequence};

use crate::config::RunFile;
use crate::data::{GAME_ORDER, Question, WARM_START_ORDER, batch_indices};
use crate::error::Result;
use crate::record::{GameLine, SampleLine, TimeLine, WarmStartLine};
use crate::reference;
use crate::reward::{self, RewardConfig};
use crate::rollout::{sample_rollouts, sequences, training_batch};
use crate::session::Session;

/// Makes one step of the game: sampling, rewards, update, record.
pub(crate) fn game_step(session: &mut Session) -> Result<GameLine> {
    let Session { config, plugins, trainer, state, logs, data, observer, .. } = session;
    let (done, begun) = (state.step, Instant::now());

    // Sampling: a group of completions for each phrasing of the step's questions.
    let questions = game_questions(config, &data.train, done);
    let (template, group) = (&data.template, config.game.group);
    let seed = (config.seed, done);
    let mut rollouts = sample_rollouts(trainer.policy(), &questions, template, group, &config.sampling, seed)?;
    let stats = reference::sample_marginals(trainer, plugins, &questions, template, config, &mut state.targets)?;
    logs.plugin_calls(done + 1, plugins, &stats, &mut state.totals, observer)?;
    let sampling = begun.elapsed();

    // Rewards: the plugins read and price the answers, and every sample gets an advantage.
    let loss = config.loss();
    if loss.kl == KlPenalty::Reward {
        let ratios = trainer.log_ratios(&sequences(&rollouts), loss.temperature)?;
        let samples = rollouts.iter_mut().flat_map(|rollout| &mut rollout.groups).flat_map(|group| &mut group.samples);
        samples.zip(ratios).for_each(|(sample, ratio)| sample.log_ratio = Some(ratio));
    }
    let stats = reward::assign(&mut rollouts, plugins, &mut state.targets, &RewardConfig::new(config, done));
    logs.plugin_calls(done + 1, plugins, &stats, &mut state.totals, observer)?;

    // Update: a GRPO step on the samples that have an advantage.
    let updating = Instant::now();
    let (batch, advantages) = training_batch(&rollouts, loss.mask_truncated);
    let update = trainer.grpo_step(&batch, &advantages, &loss)?;
    let update_time = updating.elapsed();

    // Record: a line for each sample, and one for the step.
    SampleLine::append_all(&mut logs.samples, done + 1, &rollouts, plugins)?;
    let time = TimeLine {
        step: begun.elapsed().as_secs_f64(),
        sampling: sampling.as_secs_f64(),
        plugins: stats.plugin_time().as_secs_f64(),
        update: update_time.as_secs_f64(),
    };
    let changes = std::mem::take(&mut state.unreported_changes);
    let line = GameLine::new(done, changes, &rollouts, (plugins, &state.targets), &stats, &update, time);
    logs.metrics.append(&line)?;
    logs.flush()?;
    state.step += 1;
    Ok(line)
}

/// The questions of the step that comes after `done` steps.
fn game_questions<'a>(config: &RunFile, train: &'a [Question], done: u64) -> Vec<&'a Question> {
    let indices = batch_indices(config.seed, GAME_ORDER, done, config.game.bundles_per_step, train.len());
    indices.map(|index| &train[index]).collect()
}

/// Makes the supervised step that comes after `done` steps.
pub(crate) fn warm_start_step(session: &mut Session, batch: usize, done: u64) -> Result<WarmStartLine> {
    let Session { config, trainer, logs, data, .. } = session;
    let indices = batch_indices(config.seed, WARM_START_ORDER, done, batch, data.examples.len());
    let batch: Vec<Sequence> = indices.map(|index| data.examples[index].clone()).collect();
    let line = WarmStartLine::new(done + 1, &trainer.supervised_step(&batch)?);
    logs.metrics.append(&line)?;
    Ok(line)
}
