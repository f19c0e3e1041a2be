//! The rewards of samples, from the values of their answers.

use alft_sdk::bundle::Group;

use crate::answer::Answer;

/// Returns the reward of each sample of a group: the value of its answer. `values` is in the order of `group.answers`. A
/// dropped sample has no reward.
///
/// The reward of ⊥ is the lowest value of the group's answers, or 0 if that is lower: whether the objective rewards rare,
/// common or right answers, a completion without an answer must not be the better choice.
pub fn of_samples(group: &Group, values: &[f64], answers: &[Answer]) -> Vec<Option<f64>> {
    let unreadable = values.iter().copied().fold(0.0, f64::min);
    let value = |key: &str| group.answers.binary_search_by(|a| a.key.as_str().cmp(key)).ok().map(|at| values[at]);
    answers
        .iter()
        .map(|answer| match answer {
            Answer::Key(key) => value(key),
            Answer::Unreadable => Some(unreadable),
            Answer::Dropped => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle;
    use alft_sdk::bundle::Prompt;
    use alft_sdk::estimate::PlugIn;
    use proptest::prelude::*;

    #[test]
    fn the_reward_of_a_sample_is_the_value_of_its_answer() {
        let answers = [Answer::Key("b".into()), Answer::Unreadable, Answer::Key("a".into()), Answer::Dropped];
        let group = bundle::Group { prompt: &Prompt::default(), answers: &answers };
        let bundle = bundle::build("x", &[group], &PlugIn);
        assert_eq!(bundle.groups[0].size, 3, "the dropped sample does not count");
        assert_eq!(of_samples(&bundle.groups[0], &[-1.0, 2.0], &answers), [Some(2.0), Some(-1.0), Some(-1.0), None]);
    }

    proptest! {
        #[test]
        fn unreadable_is_never_the_better_choice(
            keys in proptest::collection::vec(proptest::option::of(0..4u8), 2..12),
            values in proptest::collection::vec(-5.0..5.0f64, 4),
        ) {
            let answers: Vec<Answer> =
                keys.iter().map(|key| key.map_or(Answer::Unreadable, |key| Answer::Key(key.to_string()))).collect();
            let group = bundle::Group { prompt: &Prompt::default(), answers: &answers };
            let bundle = bundle::build("x", &[group], &PlugIn);
            let values = &values[..bundle.groups[0].answers.len()];
            let rewards = of_samples(&bundle.groups[0], values, &answers);
            for (answer, reward) in answers.iter().zip(&rewards) {
                if *answer == Answer::Unreadable {
                    prop_assert!(rewards.iter().all(|other| other >= reward) && reward.unwrap() <= 0.0);
                }
            }
        }
    }
}
