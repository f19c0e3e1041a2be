//! GRPO advantages: A_k = g(z_k) − mean over the group, optionally divided by the group's standard deviation. Source: Shao
//! et al., *DeepSeekMath*, arXiv 2402.03300; normalising each plugin's rewards before they are summed: GDPO, arXiv
//! 2601.05242.

use serde::{Deserialize, Serialize};

use crate::answer::Answer;

/// The way to make one advantage of the rewards of several plugins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Combine {
    /// Sum the weighted rewards, then subtract the baseline and scale.
    #[default]
    SumThenNormalize,
    /// Subtract the baseline of each plugin's rewards and scale them, then sum them by weight.
    NormalizeThenSum,
}

/// The divisor of centred rewards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// The group's standard deviation (with n − 1), as in GRPO.
    #[default]
    Std,
    /// No divisor, as in Dr. GRPO: the advantage is in the units of the reward.
    None,
}

/// The settings of advantages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdvantageConfig {
    /// The order of summing and normalising.
    pub combine: Combine,
    /// The divisor of centred rewards.
    pub scale: Scale,
}

/// The rewards of a group's samples by one plugin, and the plugin's weight.
#[derive(Debug, Clone)]
pub struct Weighted {
    /// The factor of the rewards.
    pub weight: f64,
    /// The reward of each sample; `None` for a dropped one.
    pub rewards: Vec<Option<f64>>,
}

/// Returns the advantage of each sample of a group. A dropped sample has none, and no sample has one if fewer than two are
/// kept, for then there is nothing to compare.
pub fn advantages(answers: &[Answer], rewards: &[Weighted], config: AdvantageConfig) -> Vec<Option<f64>> {
    let kept: Vec<usize> = (0..answers.len()).filter(|&k| answers[k] != Answer::Dropped).collect();
    let mut out = vec![None; answers.len()];
    if kept.len() < 2 {
        return out;
    }
    let of = |plugin: &Weighted| -> Vec<f64> {
        kept.iter().map(|&k| plugin.rewards[k].expect("a kept sample has a reward")).collect()
    };
    let mut totals = vec![0.0; kept.len()];
    for plugin in rewards {
        let own = match config.combine {
            Combine::SumThenNormalize => of(plugin),
            Combine::NormalizeThenSum => normalized(&of(plugin), config.scale),
        };
        totals.iter_mut().zip(own).for_each(|(total, own)| *total += plugin.weight * own);
    }
    if config.combine == Combine::SumThenNormalize {
        totals = normalized(&totals, config.scale);
    }
    for (k, total) in kept.into_iter().zip(totals) {
        out[k] = Some(total);
    }
    out
}

/// Returns the rewards centred, and scaled if asked for. Returns exact zeros for rewards without spread, which teach nothing.
fn normalized(rewards: &[f64], scale: Scale) -> Vec<f64> {
    let n = rewards.len() as f64;
    let mean = rewards.iter().sum::<f64>() / n;
    let std = (rewards.iter().map(|r| (r - mean) * (r - mean)).sum::<f64>() / (n - 1.0)).sqrt();
    // Rounding gives equal rewards a spread of some last bits. Division by it would give advantages of the usual size.
    let magnitude = rewards.iter().fold(0.0f64, |most, r| most.max(r.abs()));
    if std <= 1e-9 * magnitude.max(1e-9) {
        return vec![0.0; rewards.len()];
    }
    let divisor = match scale {
        Scale::Std => std,
        Scale::None => 1.0,
    };
    rewards.iter().map(|r| (r - mean) / divisor).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kept(size: usize) -> Vec<Answer> {
        vec![Answer::Unreadable; size]
    }

    fn some(rewards: &[f64]) -> Vec<Option<f64>> {
        rewards.iter().copied().map(Some).collect()
    }

    #[test]
    fn advantages_are_centred_and_of_unit_spread() {
        let one = [Weighted { weight: 1.0, rewards: some(&[1.0, 0.0, 0.0, 1.0]) }];
        let std = (1.0f64 / 3.0).sqrt();
        assert_eq!(
            advantages(&kept(4), &one, AdvantageConfig::default()),
            some(&[0.5 / std, -0.5 / std, -0.5 / std, 0.5 / std])
        );
        let plain = AdvantageConfig { scale: Scale::None, ..AdvantageConfig::default() };
        assert_eq!(advantages(&kept(4), &one, plain), some(&[0.5, -0.5, -0.5, 0.5]));
    }

    #[test]
    fn equal_rewards_give_no_advantage() {
        let equal = [Weighted { weight: 3.0, rewards: some(&[0.1, 0.1, 0.1]) }];
        assert_eq!(advantages(&kept(3), &equal, AdvantageConfig::default()), some(&[0.0; 3]));
        assert_eq!(advantages(&kept(3), &[], AdvantageConfig::default()), some(&[0.0; 3]));
    }

    #[test]
    fn dropped_samples_have_no_part_in_the_baseline() {
        let mut answers = kept(3);
        answers[1] = Answer::Dropped;
        let rewards = [Weighted { weight: 1.0, rewards: vec![Some(1.0), None, Some(0.0)] }];
        let plain = AdvantageConfig { scale: Scale::None, ..AdvantageConfig::default() };
        assert_eq!(advantages(&answers, &rewards, plain), [Some(0.5), None, Some(-0.5)]);
        assert_eq!(advantages(&answers, &[], plain), [Some(0.0), None, Some(0.0)], "without any plugin");
        let alone = [Weighted { weight: 1.0, rewards: vec![Some(1.0), None] }];
        assert_eq!(advantages(&answers[..2], &alone, plain), [None, None]);
    }

    #[test]
    fn normalising_first_makes_the_scale_of_a_plugins_rewards_irrelevant() {
        let rewards = [
            Weighted { weight: 1.0, rewards: some(&[100.0, 0.0]) },
            Weighted { weight: 1.0, rewards: some(&[0.0, 1.0]) },
        ];
        let own = AdvantageConfig { combine: Combine::NormalizeThenSum, ..AdvantageConfig::default() };
        assert_eq!(advantages(&kept(2), &rewards, own), some(&[0.0, 0.0]));
        assert!(advantages(&kept(2), &rewards, AdvantageConfig::default())[0] > Some(0.0));
    }

    proptest! {
        #[test]
        fn advantages_sum_to_zero_and_ignore_a_constant(
            rewards in proptest::collection::vec(-10.0..10.0f64, 2..16),
            constant in -100.0..100.0f64,
        ) {
            for combine in [Combine::SumThenNormalize, Combine::NormalizeThenSum] {
                for scale in [Scale::Std, Scale::None] {
                    let config = AdvantageConfig { combine, scale };
                    let of = |shift: f64| {
                        let shifted: Vec<f64> = rewards.iter().map(|r| r + shift).collect();
                        let out = advantages(&kept(rewards.len()), &[Weighted { weight: 2.0, rewards: some(&shifted) }], config);
                        out.into_iter().flatten().collect::<Vec<f64>>()
                    };
                    let (plain, shifted) = (of(0.0), of(constant));
                    prop_assert!(plain.iter().sum::<f64>().abs() < 1e-9);
                    prop_assert!(plain.iter().zip(&shifted).all(|(a, b)| (a - b).abs() < 1e-6));
                }
            }
        }
    }
}
