//! The detection of spikes against the median of the steps before.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// Values that a spike is measured against.
const WINDOW: usize = 50;
/// Fewer values than this are no measure.
const ENOUGH: usize = 20;
/// A spike is so many standard deviations above the median: gradients of reinforcement learning have heavy tails.
const DEVIATIONS: f64 = 30.0;
/// The median absolute deviation of a normal distribution times this is its standard deviation.
const MAD_TO_STD: f64 = 1.4826;

/// The latest values of a number that is watched.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct SpikeDetector {
    latest: VecDeque<f64>,
    /// Values to come before another spike is told.
    quiet: usize,
}

impl SpikeDetector {
    /// Adds a value. Returns the median of the values before if the value is a spike: above it by 30 deviations, which are
    /// taken to be at least `least`, and by nine times itself. After a spike none is told for 50 values.
    pub(crate) fn add(&mut self, value: f64, least: f64) -> Option<f64> {
        let spike = (self.latest.len() >= ENOUGH && self.quiet == 0).then(|| {
            let middle = median(self.latest.iter().copied());
            let deviation = MAD_TO_STD * median(self.latest.iter().map(|value| (value - middle).abs()));
            (value - middle > DEVIATIONS * deviation.max(least) && value - middle > 9.0 * middle).then_some(middle)
        });
        self.latest.push_back(value);
        if self.latest.len() > WINDOW {
            self.latest.pop_front();
        }
        self.quiet = if spike.flatten().is_some() { WINDOW } else { self.quiet.saturating_sub(1) };
        spike.flatten()
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f64::total_cmp).1
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The places of the values that are told as spikes.
    fn spikes(values: &[f64], least: f64) -> Vec<usize> {
        let mut detector = SpikeDetector::default();
        (0..values.len()).filter(|place| detector.add(values[*place], least).is_some()).collect()
    }

    #[test]
    fn a_spike_is_told_and_those_right_after_it_are_not() {
        let mut values: Vec<f64> = (0..200).map(|step| 1.0 + 0.1 * f64::from(step % 7)).collect();
        assert_eq!(spikes(&values, 0.0), [0; 0]);
        for place in [5, 60, 61, 80, 150] {
            values[place] = 40.0;
        }
        assert_eq!(spikes(&values, 0.0), [60, 150], "the first ones have nothing to be measured against");
        assert_eq!(spikes(&values, 10.0), [0; 0], "below the least deviation");
    }

    #[test]
    fn heavy_tails_and_a_rise_are_no_spikes() {
        let tails: Vec<f64> =
            (0..200).map(|step| if step % 11 == 0 { 4.0 } else { 1.0 + 0.1 * f64::from(step % 5) }).collect();
        assert_eq!(spikes(&tails, 0.0), [0; 0]);
        let rise: Vec<f64> = (0..200).map(|step| 1.05f64.powi(step)).collect();
        assert_eq!(spikes(&rise, 0.0), [0; 0]);
        assert_eq!(spikes(&[0.0; 100], 0.0), [0; 0]);
    }
}
