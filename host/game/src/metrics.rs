//! Metrics of answer distributions. ⊥ counts as one more answer here, so that two phrasings disagree if only one of them
//! gets an answer.

use std::collections::BTreeMap;

use alft_sdk::math::entropy_term;

use crate::answer::Answer;

/// Returns the share of each answer among a group's kept samples. The key `None` is ⊥.
pub fn shares(answers: &[Answer]) -> BTreeMap<Option<&str>, f64> {
    let mut shares = BTreeMap::new();
    let kept: Vec<&Answer> = answers.iter().filter(|answer| **answer != Answer::Dropped).collect();
    for answer in &kept {
        *shares.entry(answer.key()).or_insert(0.0) += 1.0 / kept.len() as f64;
    }
    shares
}

/// Returns the plug-in entropy of the answer marginal, in nats; `None` if no sample was kept.
pub fn entropy(answers: &[Answer]) -> Option<f64> {
    let shares = shares(answers);
    (!shares.is_empty()).then(|| shares.values().map(|p| entropy_term(*p)).sum())
}

/// Returns the Jensen–Shannon divergence between the answer marginals of a bundle's groups, in nats: H(ν̄) − (1/m) Σ H(ν_i),
/// from 0 (equal) to log m (disjoint). Groups without a kept sample have no marginal; returns `None` if fewer than two
/// groups have one.
pub fn jensen_shannon(groups: &[&[Answer]]) -> Option<f64> {
    let marginals: Vec<_> = groups.iter().map(|answers| shares(answers)).filter(|nu| !nu.is_empty()).collect();
    divergence(&marginals)
}

/// Returns the Jensen–Shannon divergence between distributions, in nats; `None` for fewer than two.
pub fn divergence(marginals: &[BTreeMap<Option<&str>, f64>]) -> Option<f64> {
    if marginals.len() < 2 {
        return None;
    }
    let m = marginals.len() as f64;
    let mut mean = BTreeMap::new();
    for (key, p) in marginals.iter().flatten() {
        *mean.entry(*key).or_insert(0.0) += p / m;
    }
    let entropy = |nu: &BTreeMap<Option<&str>, f64>| nu.values().map(|p| entropy_term(*p)).sum::<f64>();
    // A divergence is not negative, but its rounding error can be.
    Some((entropy(&mean) - marginals.iter().map(entropy).sum::<f64>() / m).max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(keys: &str) -> Vec<Answer> {
        let answer = |c: char| match c {
            '_' => Answer::Unreadable,
            '!' => Answer::Dropped,
            c => Answer::Key(c.into()),
        };
        keys.chars().map(answer).collect()
    }

    #[test]
    fn entropy_counts_unreadable_samples_and_no_dropped_ones() {
        assert_eq!(entropy(&answers("aaaa")), Some(0.0));
        assert!((entropy(&answers("ab_c")).unwrap() - 4f64.ln()).abs() < 1e-15);
        assert!((entropy(&answers("ab!!")).unwrap() - 2f64.ln()).abs() < 1e-15);
        assert_eq!(entropy(&[]), None);
    }

    #[test]
    fn jensen_shannon_divergence_runs_from_0_if_equal_to_log_m_if_disjoint() {
        let jsd = |groups: &[&str]| {
            let groups: Vec<_> = groups.iter().map(|keys| answers(keys)).collect();
            jensen_shannon(&groups.iter().map(Vec::as_slice).collect::<Vec<_>>())
        };
        assert_eq!(jsd(&["aab", "aba", "baa"]), Some(0.0));
        assert!((jsd(&["aa", "bb", "__"]).unwrap() - 3f64.ln()).abs() < 1e-15);
        assert_eq!(jsd(&["aab", "aba", "!!!"]), Some(0.0));
        assert_eq!(jsd(&["ab", "!"]), None);
    }
}
