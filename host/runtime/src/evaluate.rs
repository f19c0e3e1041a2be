//! The evaluation on questions kept out of training.

use alft_game::TargetConfig;
use alft_policy::Seed;

use crate::data::Question;
use crate::error::Result;
use crate::event::{Phase, RunEvent};
use crate::reference;
use crate::reward::{self, RewardConfig, TargetState};
use crate::rollout::sample_rollouts;
use crate::session::Session;
use crate::stats::Averages;

/// Questions that are sampled together: few enough to bound the memory and to show progress.
pub(crate) const CHUNK: usize = 16;

/// Evaluates the policy on the first `eval.bundles` questions kept out of training, if there are any. The seeds are the
/// same each time, so that before and after differ by the policy alone.
pub(crate) fn evaluate(session: &mut Session, phase: Phase) -> Result<Option<Averages>> {
    let Session { config, plugins, trainer, state, logs, data, observer, .. } = session;
    if data.eval.is_empty() {
        return Ok(None);
    }
    let questions: Vec<&Question> = data.eval.iter().take(config.eval.bundles).collect();
    observer(&RunEvent::PhaseStarted { phase, done: 0, total: questions.len() as u64 });
    // Other questions than those of training, though they may have the same ids: constraints keep their prices, and
    // nothing else of the training's targets has a part here.
    let mut targets = TargetState { multipliers: state.targets.multipliers.clone(), ..TargetState::default() };
    let step = state.step + 1;
    let stats = reference::sample_marginals(trainer, plugins, &questions, &data.template, config, &mut targets)?;
    logs.plugin_calls(step, plugins, &stats, &mut state.totals, observer)?;
    let rewards =
        RewardConfig { target: TargetConfig::default(), kl_penalty: None, ..RewardConfig::new(config, state.step) };
    let mut all = Vec::new();
    for chunk in questions.chunks(CHUNK) {
        // Training counts its draws up from 0, so the evaluation counts its own down from the top.
        let seed = Seed { run: config.seed, step: u64::MAX - all.len() as u64, sample: 0 };
        let group = config.eval.group;
        let mut rollouts = sample_rollouts(trainer.policy(), chunk, &data.template, group, &config.sampling, seed)?;
        let stats = reward::assign(&mut rollouts, plugins, &mut targets.clone(), &rewards);
        logs.plugin_calls(step, plugins, &stats, &mut state.totals, observer)?;
        all.extend(rollouts);
        observer(&RunEvent::Evaluated { done: all.len() as u64, averages: &Averages::over(&all) });
    }
    observer(&RunEvent::PhaseFinished);
    Ok(Some(Averages::over(&all)))
}
