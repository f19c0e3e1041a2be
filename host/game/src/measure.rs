//! What is reported of answer distributions. ⊥ is a class of its own here: two phrasings of which one gives no answer
//! do not agree.

use std::collections::BTreeMap;

use alft_sdk::math::entropy_term;

use crate::Reading;

/// Share of each class among a group's kept samples; the key `None` is ⊥.
pub fn shares(readings: &[Reading]) -> BTreeMap<Option<&str>, f64> {
    let mut shares = BTreeMap::new();
    let kept: Vec<&Reading> = readings.iter().filter(|reading| **reading != Reading::Dropped).collect();
    for reading in &kept {
        *shares.entry(reading.key()).or_insert(0.0) += 1.0 / kept.len() as f64;
    }
    shares
}

/// Plug-in entropy of the answer marginal, in nats; `None` if no sample was kept.
pub fn entropy(readings: &[Reading]) -> Option<f64> {
    let shares = shares(readings);
    (!shares.is_empty()).then(|| shares.values().map(|p| entropy_term(*p)).sum())
}

/// Jensen–Shannon divergence between the answer marginals of a bundle's groups, in nats: H(ν̄) − (1/m) Σ H(ν_i), from 0
/// (equal) to log m (disjoint). Groups without a kept sample have no marginal; `None` if fewer than two have one.
pub fn jensen_shannon(groups: &[&[Reading]]) -> Option<f64> {
    let marginals: Vec<_> = groups.iter().map(|readings| shares(readings)).filter(|nu| !nu.is_empty()).collect();
    divergence(&marginals)
}

/// The Jensen–Shannon divergence of distributions; `None` of fewer than two.
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
    // Rounding must not make a distance negative.
    Some((entropy(&mean) - marginals.iter().map(entropy).sum::<f64>() / m).max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readings(keys: &str) -> Vec<Reading> {
        let reading = |c: char| match c {
            '_' => Reading::Unreadable,
            '!' => Reading::Dropped,
            c => Reading::Answer(c.into()),
        };
        keys.chars().map(reading).collect()
    }

    #[test]
    fn entropy_of_classes() {
        assert_eq!(entropy(&readings("aaaa")), Some(0.0));
        assert!((entropy(&readings("ab_c")).unwrap() - 4f64.ln()).abs() < 1e-15);
        assert!((entropy(&readings("ab!!")).unwrap() - 2f64.ln()).abs() < 1e-15);
        assert_eq!(entropy(&[]), None);
    }

    #[test]
    fn jsd_runs_from_equal_to_disjoint() {
        let jsd = |groups: &[&str]| {
            let groups: Vec<_> = groups.iter().map(|keys| readings(keys)).collect();
            jensen_shannon(&groups.iter().map(Vec::as_slice).collect::<Vec<_>>())
        };
        assert_eq!(jsd(&["aab", "aba", "baa"]), Some(0.0));
        assert!((jsd(&["aa", "bb", "__"]).unwrap() - 3f64.ln()).abs() < 1e-15);
        assert_eq!(jsd(&["aab", "aba", "!!!"]), Some(0.0));
        assert_eq!(jsd(&["ab", "!"]), None);
    }
}
