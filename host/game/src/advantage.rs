//! Advantages of a group's samples, A_k = (z_k − baseline) / scale, from their rewards z.
//!
//! | setting | value | source |
//! | --- | --- | --- |
//! | baseline `mean` | mean of the group's rewards | GRPO: Shao et al., *DeepSeekMath*, arXiv 2402.03300 |
//! | baseline `leave-one-out` | mean of the rewards of the group's others: n / (n − 1) times the centred reward | RLOO: Ahmadian et al., arXiv 2402.14740 |
//! | scale `group` | standard deviation of the group's rewards | GRPO |
//! | scale `batch` | standard deviation of the rewards of all groups of the step | REINFORCE++: arXiv 2501.03262; *Lite PPO*, arXiv 2508.08221 |
//! | scale `none` | 1 | Dr. GRPO: arXiv 2503.20783 |
//!
//! Normalising each plugin's rewards before they are summed: GDPO, arXiv 2601.05242.

use std::collections::BTreeMap;

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

/// The number that is subtracted from a reward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Baseline {
    /// The mean of the group, as in GRPO.
    #[default]
    Mean,
    /// The mean of the group's other samples, as in RLOO: it does not depend on the sample.
    LeaveOneOut,
}

/// The divisor of a reward less its baseline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// The group's standard deviation (with n − 1), as in GRPO.
    #[default]
    Group,
    /// The standard deviation over all groups of the step.
    Batch,
    /// No divisor, as in Dr. GRPO: the advantage is in the units of the reward.
    None,
}

/// The settings of advantages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdvantageConfig {
    /// The order of summing and normalising.
    pub combine: Combine,
    /// The number that is subtracted from a reward.
    pub baseline: Baseline,
    /// The divisor of a reward less its baseline.
    pub scale: Scale,
}

/// The samples of a group: their answers, and their rewards by each plugin.
#[derive(Debug, Clone)]
pub struct GroupRewards {
    /// The answer of each sample.
    pub answers: Vec<Answer>,
    /// The rewards by each plugin.
    pub rewards: Vec<Weighted>,
}

/// The rewards of a group's samples by one plugin, and the plugin's weight.
#[derive(Debug, Clone)]
pub struct Weighted {
    /// The plugin and its role, as a number that is the same in every group.
    pub source: usize,
    /// The factor of the rewards.
    pub weight: f64,
    /// The reward of each sample; `None` for a dropped one.
    pub rewards: Vec<Option<f64>>,
}

/// Returns the advantage of each sample of each group of a step. A dropped sample has none, and no sample of a group has one
/// if fewer than two are kept, for then there is nothing to compare.
pub fn advantages(groups: &[GroupRewards], config: AdvantageConfig) -> Vec<Vec<Option<f64>>> {
    let groups: Vec<Kept> = groups.iter().map(|group| Kept::new(group, config.combine)).collect();
    let deviations = match config.scale {
        Scale::Batch => batch_deviations(&groups),
        Scale::Group | Scale::None => BTreeMap::new(),
    };
    let of_group = |group: &Kept| {
        let mut out = vec![None; group.size];
        if group.samples.len() < 2 {
            return out;
        }
        let mut totals = vec![0.0; group.samples.len()];
        for Column { source, weight, rewards } in &group.columns {
            let own = normalized(rewards, config, deviations.get(source).copied());
            totals.iter_mut().zip(own).for_each(|(total, own)| *total += weight * own);
        }
        for (sample, total) in group.samples.iter().zip(totals) {
            out[*sample] = Some(total);
        }
        out
    };
    groups.iter().map(of_group).collect()
}

/// The kept samples of a group.
struct Kept {
    /// Number of samples, the dropped ones included.
    size: usize,
    /// Indices of the kept samples.
    samples: Vec<usize>,
    columns: Vec<Column>,
}

/// Rewards that are normalised together, one for each kept sample.
struct Column {
    source: usize,
    weight: f64,
    rewards: Vec<f64>,
}

impl Kept {
    fn new(group: &GroupRewards, combine: Combine) -> Self {
        let samples: Vec<usize> = (0..group.answers.len()).filter(|k| group.answers[*k] != Answer::Dropped).collect();
        let of = |plugin: &Weighted| Column {
            source: plugin.source,
            weight: plugin.weight,
            rewards: samples.iter().map(|k| plugin.rewards[*k].expect("a kept sample has a reward")).collect(),
        };
        let columns = match combine {
            Combine::NormalizeThenSum => group.rewards.iter().map(of).collect(),
            Combine::SumThenNormalize => {
                let mut totals = vec![0.0; samples.len()];
                for Column { weight, rewards, .. } in group.rewards.iter().map(of) {
                    totals.iter_mut().zip(rewards).for_each(|(total, reward)| *total += weight * reward);
                }
                vec![Column { source: 0, weight: 1.0, rewards: totals }]
            }
        };
        Self { size: group.answers.len(), samples, columns }
    }
}

/// Returns the standard deviation of each source's rewards over all groups in which samples are compared.
fn batch_deviations(groups: &[Kept]) -> BTreeMap<usize, f64> {
    let mut all: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
    for Column { source, rewards, .. } in
        groups.iter().filter(|group| group.samples.len() >= 2).flat_map(|group| &group.columns)
    {
        all.entry(*source).or_default().extend(rewards);
    }
    all.into_iter().map(|(source, rewards)| (source, mean_and_deviation(&rewards).1)).collect()
}

fn mean_and_deviation(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    (mean, (values.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>() / (n - 1.0)).sqrt())
}

/// Returns a group's rewards less their baseline, and scaled if asked for. Returns exact zeros for rewards without spread,
/// which teach nothing.
fn normalized(rewards: &[f64], config: AdvantageConfig, batch_deviation: Option<f64>) -> Vec<f64> {
    let (mean, deviation) = mean_and_deviation(rewards);
    // Rounding gives equal rewards a spread of some last bits. Division by it would give advantages of the usual size.
    let magnitude = rewards.iter().fold(0.0f64, |most, r| most.max(r.abs()));
    if deviation <= 1e-9 * magnitude.max(1e-9) {
        return vec![0.0; rewards.len()];
    }
    let n = rewards.len() as f64;
    let factor = match config.baseline {
        Baseline::Mean => 1.0,
        Baseline::LeaveOneOut => n / (n - 1.0),
    };
    let divisor = match config.scale {
        Scale::Group => deviation,
        Scale::Batch => batch_deviation.unwrap_or(deviation),
        Scale::None => 1.0,
    };
    rewards.iter().map(|r| factor * (r - mean) / divisor).collect()
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

    fn weighted(source: usize, weight: f64, rewards: &[f64]) -> Weighted {
        Weighted { source, weight, rewards: some(rewards) }
    }

    /// Returns the advantages of one group.
    fn of_group(answers: &[Answer], rewards: &[Weighted], config: AdvantageConfig) -> Vec<Option<f64>> {
        advantages(&[GroupRewards { answers: answers.to_vec(), rewards: rewards.to_vec() }], config).remove(0)
    }

    #[test]
    fn advantages_are_centred_and_of_unit_spread() {
        let one = [weighted(0, 1.0, &[1.0, 0.0, 0.0, 1.0])];
        let std = (1.0f64 / 3.0).sqrt();
        assert_eq!(
            of_group(&kept(4), &one, AdvantageConfig::default()),
            some(&[0.5 / std, -0.5 / std, -0.5 / std, 0.5 / std])
        );
        let plain = AdvantageConfig { scale: Scale::None, ..AdvantageConfig::default() };
        assert_eq!(of_group(&kept(4), &one, plain), some(&[0.5, -0.5, -0.5, 0.5]));
    }

    #[test]
    fn equal_rewards_give_no_advantage() {
        let equal = [weighted(0, 3.0, &[0.1, 0.1, 0.1])];
        assert_eq!(of_group(&kept(3), &equal, AdvantageConfig::default()), some(&[0.0; 3]));
        assert_eq!(of_group(&kept(3), &[], AdvantageConfig::default()), some(&[0.0; 3]));
    }

    #[test]
    fn dropped_samples_have_no_part_in_the_baseline() {
        let mut answers = kept(3);
        answers[1] = Answer::Dropped;
        let rewards = [Weighted { source: 0, weight: 1.0, rewards: vec![Some(1.0), None, Some(0.0)] }];
        let plain = AdvantageConfig { scale: Scale::None, ..AdvantageConfig::default() };
        assert_eq!(of_group(&answers, &rewards, plain), [Some(0.5), None, Some(-0.5)]);
        assert_eq!(of_group(&answers, &[], plain), [Some(0.0), None, Some(0.0)], "without any plugin");
        let alone = [Weighted { source: 0, weight: 1.0, rewards: vec![Some(1.0), None] }];
        assert_eq!(of_group(&answers[..2], &alone, plain), [None, None]);
    }

    #[test]
    fn normalising_first_makes_the_scale_of_a_plugins_rewards_irrelevant() {
        let rewards = [weighted(0, 1.0, &[100.0, 0.0]), weighted(1, 1.0, &[0.0, 1.0])];
        let own = AdvantageConfig { combine: Combine::NormalizeThenSum, ..AdvantageConfig::default() };
        assert_eq!(of_group(&kept(2), &rewards, own), some(&[0.0, 0.0]));
        assert!(of_group(&kept(2), &rewards, AdvantageConfig::default())[0] > Some(0.0));
    }

    #[test]
    fn a_baseline_of_the_others_is_their_mean() {
        let one = [weighted(0, 1.0, &[4.0, 1.0, 1.0])];
        let others = AdvantageConfig { baseline: Baseline::LeaveOneOut, scale: Scale::None, ..Default::default() };
        assert_eq!(of_group(&kept(3), &one, others), some(&[3.0, -1.5, -1.5]));
    }

    #[test]
    fn the_scale_of_a_batch_is_the_deviation_of_all_its_rewards() {
        let group = |rewards: &[f64]| GroupRewards { answers: kept(2), rewards: vec![weighted(7, 2.0, rewards)] };
        let mut alone = group(&[50.0, 60.0]);
        alone.answers[1] = Answer::Dropped;
        let groups = [group(&[1.0, 3.0]), group(&[5.0, 5.0]), group(&[0.0, 10.0]), alone];
        // The rewards 1, 3, 5, 5, 0 and 10 have the mean 4, and squares 9, 1, 1, 1, 16 and 36 about it.
        let deviation = (64.0f64 / 5.0).sqrt();
        for (combine, weight) in [(Combine::SumThenNormalize, 1.0), (Combine::NormalizeThenSum, 2.0)] {
            let got = advantages(&groups, AdvantageConfig { combine, scale: Scale::Batch, ..Default::default() });
            let near = |got: &[Option<f64>], want: &[f64]| {
                assert!(
                    got.iter().zip(want).all(|(g, w)| (g.unwrap() - weight * w / deviation).abs() < 1e-12),
                    "{got:?}"
                );
            };
            near(&got[0], &[-1.0, 1.0]);
            near(&got[1], &[0.0, 0.0]);
            near(&got[2], &[-5.0, 5.0]);
            assert_eq!(got[3], [None, None]);
        }
    }

    proptest! {
        #[test]
        fn advantages_sum_to_zero_and_ignore_a_constant(
            rewards in proptest::collection::vec(-10.0..10.0f64, 2..16),
            constant in -100.0..100.0f64,
        ) {
            for combine in [Combine::SumThenNormalize, Combine::NormalizeThenSum] {
                for (baseline, scale) in [
                    (Baseline::Mean, Scale::Group),
                    (Baseline::LeaveOneOut, Scale::Batch),
                    (Baseline::LeaveOneOut, Scale::None),
                ] {
                    let config = AdvantageConfig { combine, baseline, scale };
                    let of = |shift: f64| {
                        let shifted: Vec<f64> = rewards.iter().map(|r| r + shift).collect();
                        let out = of_group(&kept(rewards.len()), &[weighted(0, 2.0, &shifted)], config);
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
