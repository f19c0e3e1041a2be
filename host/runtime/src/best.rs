//! The best evaluation of a run.

use serde::{Deserialize, Serialize};

use crate::config::{Best, EvalMetric};
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

#[cfg(test)]
mod tests {
    use super::*;

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
