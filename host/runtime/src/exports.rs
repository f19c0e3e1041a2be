//! The models that a run exports while it goes on, and which of them are kept.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::config::{Best, EvalMetric, Train};
use crate::error::{Error, Result};
use crate::record::RunDir;
use crate::stats::Averages;

/// The best evaluation while training, whose model is kept.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BestCheckpoint {
    /// Steps of the game that were done.
    pub step: u64,
    /// The metric that was compared.
    pub metric: EvalMetric,
    /// Its value.
    pub value: f64,
}

impl BestCheckpoint {
    /// The evaluation after `step` steps, if it is better than `before`, the best one so far. A best one by another metric
    /// is no measure.
    pub(crate) fn next(best: Best, before: Option<Self>, step: u64, averages: &Averages) -> Option<Self> {
        let value = match best.metric {
            EvalMetric::Accuracy => averages.accuracy?,
            EvalMetric::Reward => averages.reward,
            EvalMetric::Entropy => averages.entropy,
            EvalMetric::Jsd => averages.jsd?,
            EvalMetric::Unreadable => averages.unreadable,
        };
        let before = before.filter(|before| before.metric == best.metric);
        let better = before.is_none_or(|before| best.prefers(value, before.value));
        better.then_some(Self { step, metric: best.metric, value })
    }
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
    let superseded =
        exported.into_iter().filter(|(step, _)| !newest.contains(step) && best.is_none_or(|best| best.step != *step));
    superseded.map(|(_, path)| remove(path)).collect()
}

fn remove(path: PathBuf) -> Result<()> {
    std::fs::remove_dir_all(&path).map_err(Error::io("remove", &path))
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn the_better_end_is_that_of_the_metric_unless_it_is_set() {
        let averages = |jsd| Averages { jsd: Some(jsd), ..Averages::default() };
        let next = |text: &str, before: f64, value: f64| {
            let best: Best = toml::from_str(text).unwrap();
            let before = BestCheckpoint::next(best, None, 1, &averages(before));
            BestCheckpoint::next(best, before, 2, &averages(value)).is_some()
        };
        let jsd = "metric = \"jsd\"";
        assert!(next(jsd, 0.5, 0.4) && !next(jsd, 0.5, 0.5) && !next(jsd, 0.5, 0.6));
        assert!(next("metric = \"jsd\"\nmode = \"max\"", 0.5, 0.6));
        let accuracy: Best = toml::from_str("metric = \"accuracy\"").unwrap();
        assert_eq!(BestCheckpoint::next(accuracy, None, 1, &averages(0.5)), None, "without a verifier there is none");
    }
}
