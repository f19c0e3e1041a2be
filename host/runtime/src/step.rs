//! One step of training.

use std::time::Instant;

use alft_policy::{KlPenalty, Seed, Sequence};

use crate::data::{Order, WARM_START_ORDER};
use crate::draws::Draws;
use crate::error::Result;
use crate::event::RunEvent;
use crate::record::{GameLine, SampleLine, TimeLine, WarmStartLine};
use crate::reference;
use crate::reward::{self, RewardConfig};
use crate::rollout::{log_ratios, sample_rollouts, training_batch};
use crate::session::Session;

/// Makes one step of the game: sampling, rewards, update, record. A step whose update fails leaves the policy, the optimiser
/// and the targets as they were.
pub(crate) fn game_step(session: &mut Session) -> Result<GameLine> {
    let Session { config, plugins, trainer, state, logs, questions: log, data, observer, .. } = session;
    let (done, begun) = (state.step, Instant::now());
    let (template, group, loss) = (&data.template, config.game.group, config.loss());

    // One round of questions, or with dynamic sampling several, until enough of them teach.
    let mut draws = Draws::new(config, &data.train, &state.sampler, plugins);
    while let Some(questions) = draws.next_round(&state.sampler) {
        // Sampling: a group of completions for each phrasing of the round's questions.
        let sampling = Instant::now();
        let first = Seed { run: config.seed, step: done, sample: draws.samples() };
        let mut rollouts = sample_rollouts(trainer.policy(), &questions, template, group, &config.sampling, first)?;
        let stats = reference::sample_marginals(trainer, plugins, &questions, template, config, &mut state.targets)?;
        logs.plugin_calls(done + 1, plugins, &stats, &mut state.totals, observer)?;
        draws.sampling += sampling.elapsed();

        // Rewards: the plugins read and price the answers, and every sample gets an advantage.
        if loss.kl == KlPenalty::Reward {
            log_ratios(&mut rollouts, trainer, loss.temperature)?;
        }
        let rewards = RewardConfig::new(config, done);
        let (stats, targets) = reward::evaluate(&mut rollouts, plugins, &state.targets, &rewards);
        logs.plugin_calls(done + 1, plugins, &stats, &mut state.totals, observer)?;
        draws.add(rollouts, stats, targets);
    }

    // Update: a GRPO step on the samples that have an advantage. The target player and the sampler move after it.
    let updating = Instant::now();
    let (batch, advantages) = training_batch(draws.of_update(), loss.mask_truncated);
    trainer.set_scheduled_step(done);
    let update = trainer.grpo_step(&batch, &advantages, &loss)?;
    let update_time = updating.elapsed();
    state.targets.commit(std::mem::take(&mut draws.targets), plugins, &draws.stats);
    state.sampler.learn(draws.place, &draws.rollouts);

    // Record: a line for each sample, one for each question, and one for the step.
    SampleLine::append_all(&mut logs.samples, done + 1, &draws.rollouts, plugins)?;
    log.append(draws.rollouts.iter().map(|rollout| rollout.question.id.as_str()), &state.targets, &state.sampler)?;
    let time = TimeLine {
        step: begun.elapsed().as_secs_f64(),
        sampling: draws.sampling.as_secs_f64(),
        plugins: draws.stats.plugin_time().as_secs_f64(),
        update: update_time.as_secs_f64(),
    };
    let mut warnings = state.watch.game_step(done + 1, config, &draws.rollouts, &state.sampler, &update);
    warnings.extend(state.watch.forgotten(done + 1, std::mem::take(&mut state.targets.forgotten)));
    let changes = std::mem::take(&mut state.unreported_changes);
    let line = GameLine::new(done, (changes, &warnings), &draws, (plugins, &state.targets), &update, time);
    logs.metrics.append(&line)?;
    logs.flush()?;
    warnings.iter().for_each(|warning| observer(&RunEvent::Warning(warning)));
    state.step += 1;
    Ok(line)
}

/// Makes the supervised step that comes after `done` steps.
pub(crate) fn warm_start_step(session: &mut Session, batch: usize, done: u64) -> Result<WarmStartLine> {
    let Session { config, trainer, state, logs, data, observer, .. } = session;
    let mut order = Order::new(config.seed, WARM_START_ORDER, data.examples.len());
    let places = done * batch as u64..(done + 1) * batch as u64;
    let batch: Vec<Sequence> = places.map(|place| data.examples[order.at(place)].clone()).collect();
    let stats = trainer.supervised_step(&batch)?;
    let max_grad_norm = config.warm_start.as_ref().map_or(0.0, |warm_start| warm_start.adamw.max_grad_norm);
    let warnings = state.watch.warm_start_step(done + 1, &stats, max_grad_norm);
    let line = WarmStartLine::new(done + 1, &stats, &warnings);
    logs.metrics.append(&line)?;
    warnings.iter().for_each(|warning| observer(&RunEvent::Warning(warning)));
    Ok(line)
}
