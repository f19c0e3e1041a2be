//! The target player across training steps: what a bundle's answers have been, as far as the target's dynamics remember.
//!
//! Objectives price the answers at the target q: the reward is m ∇U(q). With `best-response` q is the marginal that the
//! step's samples show, and nothing is remembered. With the other two q moves a part of the way to it whenever the
//! bundle is seen again, and objectives are given q as the exact distribution that it is. Averages of play converge to
//! the equilibrium where best responses can circle it. Source: Mohri, Schneider, Wu, arXiv 2604.27166; the exact games'
//! [`player`](crate::exact::player) has the same steps.

use std::collections::{BTreeMap, BTreeSet};

use alft_sdk::bundle::{Bundle, Prompt};
use alft_sdk::math;
use serde::{Deserialize, Serialize};

use crate::Reading;
use crate::measure::{divergence, shares};

/// How the target moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TargetDynamics {
    /// q = ν̂, the step's own estimate.
    #[default]
    BestResponse,
    /// q ← (1 − η) q + η ν̂.
    Average,
    /// q ← q^{1−η} ν̂^η, normalised: a step of online mirror descent under the entropy.
    Mirror,
}

/// The target's settings.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TargetConfig {
    /// How it moves.
    pub dynamics: TargetDynamics,
    /// η, above 0 and at most 1: how far it moves when its bundle is seen. 1 is the best response.
    pub rate: f64,
}

impl Default for TargetConfig {
    fn default() -> Self {
        Self { dynamics: TargetDynamics::default(), rate: 0.3 }
    }
}

/// A probability below this is forgotten: it no longer matters to any reward that K samples could tell.
const FORGOTTEN: f64 = 1e-6;

/// What an answer of another prompt of the bundle counts.
const UNSEEN: f64 = 1e-4;

/// The target of one bundle: for each prompt the probability of every answer; what is missing to 1 is ⊥'s. `None` for a
/// prompt of which no sample was kept yet.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Target {
    prompts: Vec<Option<BTreeMap<String, f64>>>,
}

impl Target {
    /// Moves towards what a step's samples show: readings for each prompt. The first time it goes all the way.
    pub fn step(&mut self, readings: &[Vec<Reading>], config: TargetConfig) {
        self.prompts.resize(readings.len(), None);
        for (q, readings) in self.prompts.iter_mut().zip(readings) {
            let seen = shares(readings);
            if seen.is_empty() {
                continue;
            }
            let kept = readings.iter().filter(|reading| **reading != Reading::Dropped).count();
            let nu: BTreeMap<String, f64> =
                seen.into_iter().filter_map(|(key, p)| Some((key?.to_owned(), p))).collect();
            *q = Some(match (q.take(), config.dynamics) {
                (None, _) | (_, TargetDynamics::BestResponse) => nu,
                (Some(q), TargetDynamics::Average) => average(&q, &nu, config.rate),
                (Some(q), TargetDynamics::Mirror) => mirror(&q, &nu, config.rate, kept),
            });
        }
    }

    /// The bundle of exact probabilities q that objectives see. Prompts without a target are left out. An answer that
    /// one prompt gave and another was never seen to give has a probability of 1e-4 or less there, for nobody knows that it
    /// is 0. Scores are left empty.
    pub fn bundle(&self, id: &str, prompts: &[Prompt]) -> Bundle {
        let all: BTreeSet<&str> = self.answers().collect();
        let spread = |q: &BTreeMap<String, f64>| -> BTreeMap<&str, f64> {
            let unseen = all.iter().filter(|key| !q.contains_key(**key)).count() as f64;
            let each = UNSEEN.min(0.5 / unseen.max(1.0));
            all.iter().map(|key| (*key, q.get(*key).map_or(each, |p| p * (1.0 - each * unseen)))).collect()
        };
        let borrowed: Vec<(&Prompt, BTreeMap<&str, f64>)> =
            prompts.iter().zip(&self.prompts).filter_map(|(prompt, q)| Some((prompt, spread(q.as_ref()?)))).collect();
        let groups: Vec<_> = borrowed.iter().map(|(prompt, q)| (*prompt, q)).collect();
        Bundle::exact(id, &groups)
    }

    /// The answers it remembers, prompt by prompt.
    pub fn answers(&self) -> impl Iterator<Item = &str> {
        self.prompts.iter().flatten().flat_map(BTreeMap::keys).map(String::as_str)
    }

    /// Forgets the answers, by prompt and key, that `keep` does not want; their probability becomes ⊥'s.
    pub fn retain(&mut self, keep: impl Fn(usize, &str) -> bool) {
        for (at, q) in self.prompts.iter_mut().enumerate() {
            q.iter_mut().for_each(|q| q.retain(|key, _| keep(at, key)));
        }
    }

    /// Mean entropy of the prompts' targets, in nats; `None` before anything was seen.
    pub fn entropy(&self) -> Option<f64> {
        let prompts: Vec<&BTreeMap<String, f64>> = self.prompts.iter().flatten().collect();
        let of = |q: &&BTreeMap<String, f64>| {
            let unreadable = (1.0 - q.values().sum::<f64>()).max(0.0);
            q.values().copied().chain([unreadable]).map(math::entropy_term).sum::<f64>()
        };
        (!prompts.is_empty()).then(|| prompts.iter().map(of).sum::<f64>() / prompts.len() as f64)
    }

    /// Mean Jensen–Shannon divergence between each prompt's target and what a step's samples show, in nats: how far the
    /// players are apart. `None` without a prompt that has both.
    pub fn distance(&self, readings: &[Vec<Reading>]) -> Option<f64> {
        let apart: Vec<f64> = self
            .prompts
            .iter()
            .zip(readings)
            .filter_map(|(q, readings)| {
                let mut q: BTreeMap<Option<&str>, f64> =
                    q.as_ref()?.iter().map(|(key, p)| (Some(key.as_str()), *p)).collect();
                let unreadable = 1.0 - q.values().sum::<f64>();
                if unreadable > FORGOTTEN {
                    q.insert(None, unreadable);
                }
                divergence(&[q, shares(readings)])
            })
            .collect();
        (!apart.is_empty()).then(|| apart.iter().sum::<f64>() / apart.len() as f64)
    }
}

fn average(q: &BTreeMap<String, f64>, nu: &BTreeMap<String, f64>, rate: f64) -> BTreeMap<String, f64> {
    let of = |marginal: &BTreeMap<String, f64>, key: &str| marginal.get(key).copied().unwrap_or(0.0);
    union(q, nu)
        .into_iter()
        .map(|key| (key.to_owned(), (1.0 - rate) * of(q, key) + rate * of(nu, key)))
        // What was just seen is never forgotten: its samples wait for their reward.
        .filter(|(key, p)| *p >= FORGOTTEN || nu.contains_key(key))
        .collect()
}

/// An answer that K samples did not show counts as half a sample: a single 0 would end it for ever.
fn mirror(q: &BTreeMap<String, f64>, nu: &BTreeMap<String, f64>, rate: f64, kept: usize) -> BTreeMap<String, f64> {
    let least = 0.5 / kept as f64;
    let log = |marginal: &BTreeMap<String, f64>, key: &str| math::ln(marginal.get(key).map_or(least, |p| p.max(least)));
    let unreadable = |marginal: &BTreeMap<String, f64>| 1.0 - marginal.values().sum::<f64>();
    let step = |from: f64, to: f64| math::exp((1.0 - rate) * from + rate * to);
    let mut next: BTreeMap<String, f64> =
        union(q, nu).into_iter().map(|key| (key.to_owned(), step(log(q, key), log(nu, key)))).collect();
    // ⊥ takes part like an answer, where either side has it.
    let (before, now) = (unreadable(q), unreadable(nu));
    let bottom =
        if before.max(now) > FORGOTTEN { step(math::ln(before.max(least)), math::ln(now.max(least))) } else { 0.0 };
    let total = next.values().sum::<f64>() + bottom;
    next.values_mut().for_each(|p| *p /= total);
    next.retain(|key, p| *p >= FORGOTTEN || nu.contains_key(key));
    next
}

fn union<'a>(a: &'a BTreeMap<String, f64>, b: &'a BTreeMap<String, f64>) -> BTreeSet<&'a str> {
    a.keys().chain(b.keys()).map(String::as_str).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readings(keys: &str) -> Vec<Vec<Reading>> {
        let reading = |c: char| match c {
            '_' => Reading::Unreadable,
            '!' => Reading::Dropped,
            c => Reading::Answer(c.into()),
        };
        vec![keys.chars().map(reading).collect()]
    }

    fn after(dynamics: TargetDynamics, rate: f64, steps: &[&str]) -> BTreeMap<String, f64> {
        let mut target = Target::default();
        for keys in steps {
            target.step(&readings(keys), TargetConfig { dynamics, rate });
        }
        target.prompts[0].clone().unwrap_or_default()
    }

    #[test]
    fn best_responses_forget_and_averages_remember() {
        assert_eq!(
            after(TargetDynamics::BestResponse, 0.5, &["aaaa", "ab"]),
            after(TargetDynamics::Average, 1.0, &["ab"])
        );
        let q = after(TargetDynamics::Average, 0.25, &["aaaa", "bb__"]);
        assert!((q["a"] - 0.75).abs() < 1e-15 && (q["b"] - 0.125).abs() < 1e-15, "⊥ has the rest: {q:?}");
    }

    #[test]
    fn mirror_steps_are_geometric_means() {
        let q = after(TargetDynamics::Mirror, 0.5, &["aaab", "abbb"]);
        assert!((q["a"] - 0.5).abs() < 1e-12 && (q["b"] - 0.5).abs() < 1e-12, "{q:?}");
        let q = after(TargetDynamics::Mirror, 0.5, &["aaaa", "bbbb"]);
        assert!(q["a"] > 0.3 && q["b"] > 0.3, "an answer that was not seen is not gone: {q:?}");
        let q = after(TargetDynamics::Mirror, 0.5, &["a___", "a___"]);
        assert!((q["a"] - 0.25).abs() < 1e-12, "⊥ keeps its part: {q:?}");
    }

    #[test]
    fn what_was_dropped_moves_nothing() {
        let config = TargetConfig { dynamics: TargetDynamics::Average, rate: 0.5 };
        let mut target = Target::default();
        target.step(&readings("ab"), config);
        let before = target.clone();
        target.step(&readings("!!"), config);
        assert_eq!(target, before);
    }

    #[test]
    fn the_distance_is_zero_where_the_players_agree() {
        let mut target = Target::default();
        assert_eq!(target.distance(&readings("ab")), None);
        target.step(&readings("ab__"), TargetConfig::default());
        assert!(target.distance(&readings("ab__")).unwrap() < 1e-15);
        assert!((target.distance(&readings("cc")).unwrap() - 2f64.ln()).abs() < 1e-12);
    }

    #[test]
    fn objectives_see_the_target_as_a_distribution() {
        let mut target = Target::default();
        target.step(&readings("aab_"), TargetConfig::default());
        let bundle = target.bundle("x", &[Prompt::default()]);
        let a = bundle.groups[0].answer("a").unwrap();
        assert!(bundle.exact && bundle.groups[0].size == 0);
        assert_eq!((a.count, a.frequency, a.leave_one_out), (0, 0.5, 0.5));
    }
}
