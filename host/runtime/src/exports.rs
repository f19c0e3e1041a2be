//! The models that a run exports while it goes on: the best one by its evaluations, and which of the others are kept.

use std::collections::BTreeSet;

use alft_policy::{Error as ModelError, Export, Policy};

use crate::best::BestCheckpoint;
use crate::config::Train;
use crate::error::Result;
use crate::evaluate;
use crate::event::Phase;
use crate::record::{EvaluationLine, RunDir};
use crate::session::Session;
use crate::stats::Averages;

/// Finds a format that the policy cannot be exported in now, rather than at the end of the run.
pub(crate) fn check(policy: &Policy, export: Export) -> Result<()> {
    policy.check_export(export).map_err(|error| match error {
        ModelError::Setting { reason, .. } => ModelError::Setting { name: "export.gguf", reason }.into(),
        other => other.into(),
    })
}

/// Evaluates the policy. A run that evaluates while training has each evaluation in its metrics, and exports the model if it
/// is the best so far.
pub(crate) fn evaluate(session: &mut Session, dir: &RunDir, phase: Phase) -> Result<Option<Averages>> {
    let averages = evaluate::evaluate(session, phase)?;
    let Session { config, state, logs, trainer, .. } = session;
    if let Some(averages) = averages.filter(|_| config.eval.every > 0) {
        logs.metrics.append(&EvaluationLine { phase: "evaluation", step: state.step, averages })?;
        state.evaluation = Some((state.step, averages));
        let next = config.train.best.and_then(|best| BestCheckpoint::next(best, state.best, state.step, &averages));
        if next.is_some() {
            trainer.policy().export(&dir.checkpoint(state.step), config.export)?;
            let before = state.best.filter(|before| !is_regular(&config.train, before.step));
            state.superseded.extend(before.map(|before| before.step));
            state.best = next;
        }
    }
    Ok(averages)
}

/// Returns true if a model is exported after `step` steps, whether it is the best one or not.
fn is_regular(train: &Train, step: u64) -> bool {
    step > 0 && train.checkpoint_every > 0 && step.is_multiple_of(train.checkpoint_every)
}

/// Removes the exported models that are not to be kept: those that were the best one, `superseded`, and of the others, but
/// for the best one, all except the newest `train.keep`. Those of steps after `done` belong to steps that will be made again,
/// and wait for them. The caller's saved state counts `done` steps and knows the best ones.
pub(crate) fn prune(
    dir: &RunDir,
    train: &Train,
    best: Option<BestCheckpoint>,
    superseded: &BTreeSet<u64>,
    done: u64,
) -> Result<()> {
    let is_best = |step: u64| best.is_some_and(|best| best.step == step);
    let exported = dir.exported()?.into_iter().rev().filter(|(step, _)| *step <= done);
    let (bests, mut others): (Vec<_>, Vec<_>) = exported.partition(|(step, _)| superseded.contains(step));
    // A best one that is exported in any case takes one of the places.
    others.retain(|(step, _)| !is_best(*step) || is_regular(train, *step));
    let old = others.into_iter().skip(train.keep.unwrap_or(usize::MAX)).chain(bests);
    let mut removed = old.filter(|(step, _)| !is_best(*step));
    removed.try_for_each(|(_, path)| Ok(alft_fs::remove_folder(&path)?))
}

#[cfg(test)]
mod tests {
    use alft_policy::{Device, GgufType};

    use super::*;
    use crate::config::EvalMetric;

    fn train(text: &str) -> Train {
        toml::from_str(&format!("steps = 9\n{text}")).unwrap()
    }

    #[test]
    fn the_newest_and_the_best_are_kept() {
        let at = |step| BestCheckpoint { step, metric: EvalMetric::Accuracy, value: 1.0 };
        let all = [0, 2, 3, 4, 6, 8, 10];
        let every = "checkpoint_every = 2";
        for (text, best, superseded, kept) in [
            (every, None, &[][..], &all[..]),
            ("checkpoint_every = 2\nkeep = 2", None, &[0, 3], &[6, 8, 10]),
            ("checkpoint_every = 2\nkeep = 1", Some(at(3)), &[0], &[3, 8, 10]),
            ("checkpoint_every = 2\nkeep = 1", Some(at(8)), &[0, 3], &[8, 10]),
            (every, Some(at(4)), &[0, 3], &[2, 4, 6, 8, 10]),
            ("", Some(at(8)), &[0, 2, 3, 4, 6], &[8, 10]),
            // Exports of a run that had other settings once are no bests.
            ("checkpoint_every = 5", Some(at(4)), &[], &all),
        ] {
            let superseded: BTreeSet<u64> = superseded.iter().copied().collect();
            let home = tempfile::tempdir().unwrap();
            let dir = RunDir { path: home.path().to_path_buf() };
            all.iter().for_each(|step| std::fs::create_dir_all(dir.checkpoint(*step)).unwrap());
            let other = dir.path.join("checkpoints/mine");
            std::fs::create_dir(&other).unwrap();
            prune(&dir, &train(text), best, &superseded, 8).unwrap();
            let left: Vec<u64> = dir.exported().unwrap().into_iter().map(|(step, _)| step).collect();
            assert_eq!(left, kept, "{text}");
            assert!(other.exists(), "no folder of the user's is removed");
        }
    }

    #[test]
    fn a_model_that_cannot_be_exported_is_refused_by_the_key() {
        let policy = Policy::tiny(1, &Device::Cpu).unwrap();
        check(&policy, Export::default()).unwrap();
        let error = check(&policy, Export { gguf: Some(GgufType::Q8_0), ..Export::default() }).unwrap_err();
        assert!(error.to_string().starts_with("`export.gguf` asks for a GGUF file"), "{error}");
    }
}
