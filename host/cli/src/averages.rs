//! What metrics tell of a step or a measurement: averages over its bundles.

use alft_game::{Reading, measure};

use crate::mean::Mean;
use crate::play::Played;

/// Averages over bundles, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Averages {
    /// Mean of the first verifier's score over kept samples; `None` without a verifier.
    pub(crate) accuracy: Option<f64>,
    /// Mean entropy of a group's answers, in nats.
    pub(crate) entropy: f64,
    /// Mean Jensen–Shannon divergence between a bundle's groups, in nats; `None` where no bundle has two.
    pub(crate) jsd: Option<f64>,
    /// Share of kept samples without a readable answer.
    pub(crate) unreadable: f64,
    /// Mean summed reward.
    pub(crate) reward: f64,
    /// Share of groups whose rewards have no spread.
    pub(crate) groups_without_spread: f64,
    /// Samples that a plugin failed on.
    pub(crate) dropped: u64,
}

impl Averages {
    pub(crate) fn over(played: &[Played]) -> Self {
        fn average(values: impl Iterator<Item = f64>) -> Option<f64> {
            values.collect::<Mean>().get()
        }
        let groups = || played.iter().flat_map(|p| &p.readings);
        let readings = || groups().flatten();
        let kept = || readings().filter(|reading| **reading != Reading::Dropped);
        let flat = |none: &Vec<Option<f64>>| none.iter().flatten().all(|advantage| *advantage == 0.0);
        let bundle_jsd =
            |p: &Played| measure::jensen_shannon(&p.readings.iter().map(Vec::as_slice).collect::<Vec<_>>());
        Self {
            accuracy: average(played.iter().flat_map(|p| p.accuracy.iter().flatten().flatten().copied())),
            entropy: average(groups().filter_map(|g| measure::entropy(g))).unwrap_or(0.0),
            jsd: average(played.iter().filter_map(bundle_jsd)),
            unreadable: average(kept().map(|r| f64::from(u8::from(*r == Reading::Unreadable)))).unwrap_or(0.0),
            reward: average(played.iter().flat_map(|p| p.rewards.iter().flatten().flatten().copied())).unwrap_or(0.0),
            groups_without_spread: average(
                &mut played.iter().flat_map(|p| &p.advantages).map(|a| f64::from(u8::from(flat(a)))),
            )
            .unwrap_or(0.0),
            dropped: readings().filter(|reading| **reading == Reading::Dropped).count() as u64,
        }
    }
}
