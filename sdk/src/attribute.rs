//! An attribute of each answer, from a table in the configuration, and the probability of each attribute.

use std::collections::BTreeMap;

use crate::{Answer, Group, Result, math};

/// The attributes of answers.
#[derive(Debug, Clone, Copy)]
pub struct Attributes<'a> {
    /// Answer key to attribute.
    pub table: &'a BTreeMap<String, String>,
    /// Attribute of an answer that is not in the table.
    pub other: &'a str,
}

/// The logarithm of the probability of each attribute that the answers of a group have.
pub type LogShares<'a> = BTreeMap<&'a str, f64>;

impl<'a> Attributes<'a> {
    /// Checks that the table is not empty: an empty table gives every answer the same attribute.
    ///
    /// # Errors
    /// The check fails. The error names the key and the remedy.
    pub fn check(&self) -> Result<()> {
        if self.table.is_empty() {
            return Err("attribute is empty; set an attribute for each answer that matters".into());
        }
        Ok(())
    }

    /// Returns the attribute of an answer.
    pub fn of(&self, answer: &Answer) -> &'a str {
        self.table.get(&answer.key).map_or(self.other, String::as_str)
    }

    /// Returns the log-probabilities of the attributes of a group's answers. From samples, an attribute's probability is
    /// estimated by its share of the completions.
    pub fn log_shares(&self, group: &Group) -> LogShares<'a> {
        let mut members = BTreeMap::<&str, Vec<&Answer>>::new();
        for answer in &group.answers {
            members.entry(self.of(answer)).or_default().push(answer);
        }
        let log_share = |answers: Vec<&Answer>| match group.size {
            // Not from the probabilities: they may underflow where their logarithms do not.
            0 => log_sum_exp(&answers.iter().map(|answer| -answer.surprisal).collect::<Vec<_>>()),
            size => math::ln(f64::from(answers.iter().map(|answer| answer.count).sum::<u32>()) / f64::from(size)),
        };
        members.into_iter().map(|(attribute, answers)| (attribute, log_share(answers))).collect()
    }
}

/// Returns the logarithm of each attribute's mean probability over groups.
pub fn log_mean<'a>(groups: &[LogShares<'a>]) -> LogShares<'a> {
    let mut logs = BTreeMap::<&str, Vec<f64>>::new();
    for (attribute, log_share) in groups.iter().flatten() {
        logs.entry(attribute).or_default().push(*log_share);
    }
    let log_m = math::ln(groups.len() as f64);
    logs.into_iter().map(|(attribute, logs)| (attribute, log_sum_exp(&logs) - log_m)).collect()
}

/// Returns log Σ exp of at least one finite number.
fn log_sum_exp(logs: &[f64]) -> f64 {
    let largest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    largest + math::ln(logs.iter().map(|log| math::exp(log - largest)).sum())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::{Bundle, Prompt};
    use crate::estimate::PlugIn;
    use crate::samples::Samples;

    fn table() -> BTreeMap<String, String> {
        [("a", "vowel"), ("e", "vowel"), ("x", "rest")].map(|(key, name)| (key.into(), name.into())).into()
    }

    #[test]
    fn shares_are_of_all_completions_and_other_answers_have_the_default_attribute() {
        let table = table();
        let attributes = Attributes { table: &table, other: "rest" };
        let keys = ["a", "e", "z", ""].map(|key| (!key.is_empty()).then(|| key.to_owned()));
        let bundle = Bundle::sampled("b", &[Samples { prompt: &Prompt::default(), keys: &keys }], &PlugIn);
        let shares = attributes.log_shares(&bundle.groups[0]);
        assert_eq!(shares, BTreeMap::from([("rest", math::ln(0.25)), ("vowel", math::ln(0.5))]));
        let other = BTreeMap::from([("vowel", math::ln(0.25))]);
        let mean = log_mean(&[shares, other]);
        assert!((mean["rest"] - 0.125f64.ln()).abs() < 1e-15 && (mean["vowel"] - 0.375f64.ln()).abs() < 1e-15);
    }

    #[test]
    fn exact_shares_that_underflow_have_logarithms() {
        let table = table();
        let attributes = Attributes { table: &table, other: "rest" };
        let marginal = BTreeMap::from([("a", 0.5), ("e", 0.5)]);
        let mut group = Bundle::exact("b", &[(&Prompt::default(), &marginal)]).groups.remove(0);
        for answer in &mut group.answers {
            (answer.frequency, answer.surprisal) = (0.0, 1000.0);
        }
        assert!((attributes.log_shares(&group)["vowel"] - (2f64.ln() - 1000.0)).abs() < 1e-12);
    }
}
