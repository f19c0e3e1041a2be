//! The models that a run exports while it goes on: the best one by its evaluations, and which of the others are kept.

use std::path::PathBuf;

use alft_policy::{Error as ModelError, Export, Policy};

use crate::best::BestCheckpoint;
use crate::config::Train;
use crate::error::{Error, Result};
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
            state.best = next;
        }
    }
    Ok(averages)
}

/// Removes the exported models that are not to be kept: all but the best one and the newest `train.keep` of those that are
/// made every `train.checkpoint_every` steps. Those of steps after `done` belong to steps that will be made again, and wait
/// for them. The caller's saved state counts `done` steps and knows the best one.
pub(crate) fn prune(dir: &RunDir, train: &Train, best: Option<BestCheckpoint>, done: u64) -> Result<()> {
    if train.keep.is_none() && train.best.is_none() {
        return Ok(());
    }
    let regular = |step: u64| train.checkpoint_every > 0 && step.is_multiple_of(train.checkpoint_every);
    let mut exported = dir.exported()?;
    exported.retain(|(step, _)| *step <= done);
    let newest = exported.iter().rev().map(|(step, _)| *step).filter(|step| regular(*step));
    let newest: Vec<u64> = newest.take(train.keep.unwrap_or(usize::MAX)).collect();
    let mut superseded =
        exported.into_iter().filter(|(step, _)| !newest.contains(step) && best.is_none_or(|best| best.step != *step));
    superseded.try_for_each(|(_, path)| remove(path))
}

fn remove(path: PathBuf) -> Result<()> {
    std::fs::remove_dir_all(&path).map_err(Error::io("remove", &path))
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
        let all = [2, 3, 4, 6, 8, 10];
        let best = "best = { metric = \"accuracy\" }";
        for (text, best, kept) in [
            ("checkpoint_every = 2", None, &all[..]),
            ("checkpoint_every = 2\nkeep = 2", None, &[6, 8, 10]),
            (&format!("checkpoint_every = 2\nkeep = 1\n{best}"), Some(at(3)), &[3, 8, 10]),
            (&format!("checkpoint_every = 2\nkeep = 1\n{best}"), Some(at(8)), &[8, 10]),
            (&format!("checkpoint_every = 2\n{best}"), Some(at(4)), &[2, 4, 6, 8, 10]),
            (best, Some(at(8)), &[8, 10]),
        ] {
            let home = tempfile::tempdir().unwrap();
            let dir = RunDir { path: home.path().to_path_buf() };
            all.iter().for_each(|step| std::fs::create_dir_all(dir.checkpoint(*step)).unwrap());
            let other = dir.path.join("checkpoints/mine");
            std::fs::create_dir(&other).unwrap();
            prune(&dir, &train(text), best, 8).unwrap();
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
