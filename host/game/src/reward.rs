//! From a value for each answer to a reward for each sample.

use alft_sdk::bundle::Group;

use crate::Reading;

/// The reward of each sample of a group: its answer's value, in the order of `group.answers`. `None` for a dropped
/// sample.
///
/// ⊥ gets the lowest value that any readable answer of the group got, and never more than 0: whatever the objective
/// pays for being rare, agreeing or right, a completion without an answer must not be the better choice.
pub fn of_samples(group: &Group, values: &[f64], readings: &[Reading]) -> Vec<Option<f64>> {
    let unreadable = values.iter().copied().fold(0.0, f64::min);
    let value = |key: &str| group.answers.binary_search_by(|a| a.key.as_str().cmp(key)).ok().map(|at| values[at]);
    readings
        .iter()
        .map(|reading| match reading {
            Reading::Answer(key) => value(key),
            Reading::Unreadable => Some(unreadable),
            Reading::Dropped => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reading;
    use alft_sdk::bundle::Prompt;
    use alft_sdk::estimate::PlugIn;
    use proptest::prelude::*;

    #[test]
    fn samples_take_their_answers_value() {
        let readings =
            [Reading::Answer("b".into()), Reading::Unreadable, Reading::Answer("a".into()), Reading::Dropped];
        let group = reading::Group { prompt: &Prompt::default(), readings: &readings };
        let bundle = reading::bundle("x", &[group], &PlugIn);
        assert_eq!(bundle.groups[0].size, 3, "the dropped sample does not count");
        assert_eq!(of_samples(&bundle.groups[0], &[-1.0, 2.0], &readings), [Some(2.0), Some(-1.0), Some(-1.0), None]);
    }

    proptest! {
        #[test]
        fn unreadable_is_never_the_better_choice(
            keys in proptest::collection::vec(proptest::option::of(0..4u8), 2..12),
            values in proptest::collection::vec(-5.0..5.0f64, 4),
        ) {
            let readings: Vec<Reading> = keys
                .iter()
                .map(|key| key.map_or(Reading::Unreadable, |key| Reading::Answer(key.to_string())))
                .collect();
            let group = reading::Group { prompt: &Prompt::default(), readings: &readings };
            let bundle = reading::bundle("x", &[group], &PlugIn);
            let values = &values[..bundle.groups[0].answers.len()];
            let rewards = of_samples(&bundle.groups[0], values, &readings);
            for (reading, reward) in readings.iter().zip(&rewards) {
                if *reading == Reading::Unreadable {
                    prop_assert!(rewards.iter().all(|other| other >= reward) && reward.unwrap() <= 0.0);
                }
            }
        }
    }
}
