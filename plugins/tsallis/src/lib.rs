//! Tsallis entropy of order k ≥ 2, for diversity: U(ν) = w/m Σ_i (1 − Σ_z ν_i(z)^k)/(k − 1). An answer earns
//! −w k ν_i(z)^{k−1}/(k − 1). Order 2 is gini. A higher order penalises the most common answers only.
//!
//! From samples both are unbiased: powers become U-statistics, and those of the reward are over the other samples. Source:
//! Mohri, Schneider, Zhong, arXiv 2605.02435.

use alft_sdk::estimate::Share;
use alft_sdk::serde::Deserialize;
use alft_sdk::{Answer, Bundle, Error, Group, Manifest, Objective, Plugin, Result, Valuation, export, manifest};

/// The plugin's table in the run file.
#[derive(Deserialize)]
#[serde(crate = "alft_sdk::serde", deny_unknown_fields)]
pub struct Tsallis {
    /// k ≥ 2. A group needs at least k completions.
    pub order: u32,
}

impl Plugin for Tsallis {
    fn manifest(&self) -> Manifest {
        let summary = "Penalises an answer by a power of its probability.";
        Manifest { concave: true, gradient: true, ..manifest!(summary) }
    }

    fn check(&self) -> Result<()> {
        match self.order {
            2.. => Ok(()),
            order => Err(format!("order is {order}; it must be at least 2 (the limit at 1 is entropy)").into()),
        }
    }
}

impl Objective for Tsallis {
    fn evaluate(&self, bundle: &Bundle) -> Result<Valuation> {
        let too_small = |group: &Group| {
            Error::new(format!(
                "order is {}, but prompt {} has {} completions; lower the order, or raise the number of samples",
                self.order, group.prompt.id, group.size
            ))
        };
        let valued = bundle.groups.iter().map(|group| self.value(group).ok_or_else(|| too_small(group)));
        let (utilities, rewards) = valued.collect::<Result<(Vec<f64>, Vec<_>)>>()?;
        let utility = utilities.iter().sum::<f64>() / bundle.groups.len() as f64;
        Ok(Valuation { utility, rewards, violation: None })
    }
}

impl Tsallis {
    /// Returns a group's utility and rewards, or `None` if it has too few completions.
    fn value(&self, group: &Group) -> Option<(f64, Vec<f64>)> {
        let k = f64::from(self.order);
        let share = |a: &Answer| Share { count: a.count, size: group.size, frequency: a.frequency };
        let power = group.answers.iter().map(|a| share(a).power(self.order)).sum::<Option<f64>>()?;
        let reward = |a: &Answer| Some(-k * share(a).power_among_others(true, self.order - 1)? / (k - 1.0));
        Some(((1.0 - power) / (k - 1.0), group.answers.iter().map(reward).collect::<Option<_>>()?))
    }
}

export!(Tsallis: Objective);

#[cfg(test)]
alft_conformance::conformance!(Tsallis: Objective);

#[cfg(test)]
mod tests {
    use super::*;
    use alft_sdk::bundle::Prompt;
    use alft_sdk::estimate::PlugIn;
    use alft_sdk::samples::Samples;

    fn bundle() -> Bundle {
        let keys = ["a", "a", "a", "b"].map(|key| Some(key.to_owned()));
        let prompt = Prompt { id: "q".into(), ..Prompt::default() };
        Bundle::sampled("x", &[Samples { prompt: &prompt, keys: &keys }], &PlugIn)
    }

    #[test]
    fn order_2_is_gini() {
        let valuation = Tsallis { order: 2 }.evaluate(&bundle()).unwrap();
        assert_eq!(valuation.rewards, [[-4.0 / 3.0, 0.0]]);
        assert!((valuation.utility - 0.5).abs() < 1e-15, "3 of 6 pairs of samples agree");
    }

    #[test]
    fn order_3_counts_triples_and_order_5_needs_5_samples() {
        let valuation = Tsallis { order: 3 }.evaluate(&bundle()).unwrap();
        assert!((valuation.utility - 0.375).abs() < 1e-15, "1 of 4 triples of samples agrees");
        assert!(
            (valuation.rewards[0][0] + 0.5).abs() < 1e-15,
            "1 of the 3 pairs of other samples agrees with the sample"
        );
        let error = Tsallis { order: 5 }.evaluate(&bundle()).unwrap_err().to_string();
        assert!(error.contains("order is 5, but prompt q has 4"), "{error}");
    }
}
