//! The target player across training steps: the distribution of a bundle's answers at which objectives are evaluated.
//!
//! The reward at the target q is m ∇U(q). With the dynamics `best-response`, q is the step's own estimate of the answer
//! marginals, and nothing is remembered. With `average` and `mirror`, q moves part of the way to that estimate whenever the
//! bundle is sampled again, and objectives see q as an exact distribution. Averages of play converge to the equilibrium
//! where best responses can circle it. Source: Mohri, Schneider, Wu, arXiv 2604.27166; the exact games'
//! [`player`](crate::exact::player) has the same steps.

use std::collections::{BTreeMap, BTreeSet};

use alft_sdk::bundle::{Bundle, Prompt};
use alft_sdk::math;
use serde::{Deserialize, Serialize};

use crate::answer::Answer;
use crate::metrics::{divergence, shares};

/// The rule by which the target moves.
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
    /// The rule by which the target moves.
    pub dynamics: TargetDynamics,
    /// η, above 0 and at most 1: the part of the way that the target moves in a step. 1 is the best response.
    pub rate: f64,
}

impl Default for TargetConfig {
    fn default() -> Self {
        Self { dynamics: TargetDynamics::default(), rate: 0.3 }
    }
}

/// Bytes of answer keys that the target of a question remembers, and the reference policy's marginals of a question: short
/// answers by the thousand, and no more of long ones than a run with many questions can hold.
const REMEMBERED: usize = 64 << 10;

/// The probability below which an answer is forgotten. Its effect on rewards is below the noise of K samples.
const FORGOTTEN: f64 = 1e-6;

/// The probability of an answer that only another prompt of the bundle gave, unless there are many of these answers.
const UNSEEN: f64 = 1e-4;

/// The target of one bundle: the probability of every answer for each prompt. The remainder to 1 is the probability of ⊥.
/// A prompt is `None` until one of its samples is kept.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Target {
    prompts: Vec<Option<BTreeMap<String, f64>>>,
}

impl Target {
    /// Returns the target after a step, given the answers of the step's samples for each prompt. A prompt's first step goes
    /// all the way to the samples' shares. The target itself does not change, so that a step can still be abandoned.
    #[must_use]
    pub fn next(&self, answers: &[Vec<Answer>], config: TargetConfig) -> Self {
        let before = self.prompts.iter().map(Option::as_ref).chain(std::iter::repeat(None));
        Self { prompts: before.zip(answers).map(|(q, answers)| next_of_prompt(q, answers, config)).collect() }
    }

    /// Returns the bundle of exact probabilities q that objectives see. Prompts without a target are left out. An answer
    /// that one prompt gave and another did not has a probability of 1e-4 or less for the other, because samples do not
    /// show that it is 0. Scores are left empty.
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

    /// Iterates over the answers that the target remembers, prompt by prompt.
    pub fn answers(&self) -> impl Iterator<Item = &str> {
        self.prompts.iter().flatten().flat_map(BTreeMap::keys).map(String::as_str)
    }

    /// Keeps only the answers for which `keep(prompt, key)` is true. The probability of the others passes to ⊥.
    pub fn retain(&mut self, keep: impl Fn(usize, &str) -> bool) {
        for (prompt, q) in self.prompts.iter_mut().enumerate() {
            q.iter_mut().for_each(|q| q.retain(|key, _| keep(prompt, key)));
        }
    }

    /// Forgets the least likely answers of a target whose keys have more than 64 KiB. Returns their number. Their probability
    /// passes to ⊥. A step's own answers are forgotten after the step, if at all, because its samples need a reward.
    pub fn forget_unlikely(&mut self) -> usize {
        keep_likely(self.prompts.iter_mut().flatten())
    }

    /// Returns the mean entropy of the prompts' targets, in nats; `None` if no prompt has one.
    pub fn entropy(&self) -> Option<f64> {
        let prompts: Vec<&BTreeMap<String, f64>> = self.prompts.iter().flatten().collect();
        let of = |q: &&BTreeMap<String, f64>| {
            let unreadable = (1.0 - q.values().sum::<f64>()).max(0.0);
            q.values().copied().chain([unreadable]).map(math::entropy_term).sum::<f64>()
        };
        (!prompts.is_empty()).then(|| prompts.iter().map(of).sum::<f64>() / prompts.len() as f64)
    }

    /// Returns the distance between the players in nats: the mean over prompts of the Jensen–Shannon divergence between the
    /// target and the shares of a step's answers. Returns `None` if no prompt has both.
    pub fn distance(&self, answers: &[Vec<Answer>]) -> Option<f64> {
        let divergences: Vec<f64> = self
            .prompts
            .iter()
            .zip(answers)
            .filter_map(|(q, answers)| {
                let mut q: BTreeMap<Option<&str>, f64> =
                    q.as_ref()?.iter().map(|(key, p)| (Some(key.as_str()), *p)).collect();
                let unreadable = 1.0 - q.values().sum::<f64>();
                if unreadable > FORGOTTEN {
                    q.insert(None, unreadable);
                }
                divergence(&[q, shares(answers)])
            })
            .collect();
        (!divergences.is_empty()).then(|| divergences.iter().sum::<f64>() / divergences.len() as f64)
    }
}

/// Returns a prompt's target after a step, given the target before it, if there is one.
fn next_of_prompt(
    q: Option<&BTreeMap<String, f64>>,
    answers: &[Answer],
    config: TargetConfig,
) -> Option<BTreeMap<String, f64>> {
    let shares = shares(answers);
    if shares.is_empty() {
        return q.cloned();
    }
    let kept = answers.iter().filter(|answer| **answer != Answer::Dropped).count();
    let nu: BTreeMap<String, f64> = shares.into_iter().filter_map(|(key, p)| Some((key?.to_owned(), p))).collect();
    Some(match (q, config.dynamics) {
        (None, _) | (_, TargetDynamics::BestResponse) => nu,
        (Some(q), TargetDynamics::Average) => average(q, &nu, config.rate),
        (Some(q), TargetDynamics::Mirror) => mirror(q, &nu, config.rate, kept),
    })
}

/// Returns (1 − η) q + η ν̂.
fn average(q: &BTreeMap<String, f64>, nu: &BTreeMap<String, f64>, rate: f64) -> BTreeMap<String, f64> {
    let of = |marginal: &BTreeMap<String, f64>, key: &str| marginal.get(key).copied().unwrap_or(0.0);
    union(q, nu)
        .into_iter()
        .map(|key| (key.to_owned(), (1.0 - rate) * of(q, key) + rate * of(nu, key)))
        // The answers of this step are kept, however rare, because their samples need a reward.
        .filter(|(key, p)| *p >= FORGOTTEN || nu.contains_key(key))
        .collect()
}

/// Returns q^{1−η} ν̂^η, normalised. An answer that none of the kept samples gave counts as half a sample: a product with 0
/// would end it for ever.
fn mirror(q: &BTreeMap<String, f64>, nu: &BTreeMap<String, f64>, rate: f64, kept: usize) -> BTreeMap<String, f64> {
    let least = 0.5 / kept as f64;
    let log = |marginal: &BTreeMap<String, f64>, key: &str| math::ln(marginal.get(key).map_or(least, |p| p.max(least)));
    let unreadable = |marginal: &BTreeMap<String, f64>| 1.0 - marginal.values().sum::<f64>();
    let step = |from: f64, to: f64| math::exp((1.0 - rate) * from + rate * to);
    let mut next: BTreeMap<String, f64> =
        union(q, nu).into_iter().map(|key| (key.to_owned(), step(log(q, key), log(nu, key)))).collect();
    // ⊥ is treated like an answer, if either distribution has it.
    let (before, now) = (unreadable(q), unreadable(nu));
    let bottom =
        if before.max(now) > FORGOTTEN { step(math::ln(before.max(least)), math::ln(now.max(least))) } else { 0.0 };
    let total = next.values().sum::<f64>() + bottom;
    next.values_mut().for_each(|p| *p /= total);
    next.retain(|key, p| *p >= FORGOTTEN || nu.contains_key(key));
    next
}

/// Keeps the likeliest answers of a question's marginals, as many as have 64 KiB of keys together, and returns the number of
/// the others: an answer is kept if its key fits beside those of the likelier ones that are kept. Of equally likely ones, the
/// first prompt's and the first key comes first, so that equal marginals keep equal answers.
pub fn keep_likely<'a>(marginals: impl IntoIterator<Item = &'a mut BTreeMap<String, f64>>) -> usize {
    let mut marginals: Vec<_> = marginals.into_iter().collect();
    let mut free = REMEMBERED;
    if marginals.iter().flat_map(|marginal| marginal.keys()).map(String::len).sum::<usize>() <= free {
        return 0;
    }
    let answers = marginals.iter().enumerate();
    let mut likeliest: Vec<(f64, usize, &str)> = answers
        .flat_map(|(prompt, marginal)| marginal.iter().map(move |(key, p)| (*p, prompt, key.as_str())))
        .collect();
    likeliest.sort_by(|(p, ..), (q, ..)| q.total_cmp(p));
    likeliest.retain(|(_, _, key)| match free.checked_sub(key.len()) {
        Some(rest) => {
            free = rest;
            false
        }
        None => true,
    });
    let unlikely: Vec<(usize, String)> =
        likeliest.into_iter().map(|(_, prompt, key)| (prompt, key.to_owned())).collect();
    for (prompt, key) in &unlikely {
        marginals[*prompt].remove(key);
    }
    unlikely.len()
}

fn union<'a>(a: &'a BTreeMap<String, f64>, b: &'a BTreeMap<String, f64>) -> BTreeSet<&'a str> {
    a.keys().chain(b.keys()).map(String::as_str).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(keys: &str) -> Vec<Vec<Answer>> {
        let answer = |c: char| match c {
            '_' => Answer::Unreadable,
            '!' => Answer::Dropped,
            c => Answer::Key(c.into()),
        };
        vec![keys.chars().map(answer).collect()]
    }

    fn after(dynamics: TargetDynamics, rate: f64, steps: &[&str]) -> BTreeMap<String, f64> {
        let mut target = Target::default();
        for keys in steps {
            target = target.next(&answers(keys), TargetConfig { dynamics, rate });
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
    fn mirror_steps_are_geometric_means_of_answers_and_unreadable_alike() {
        let q = after(TargetDynamics::Mirror, 0.5, &["aaab", "abbb"]);
        assert!((q["a"] - 0.5).abs() < 1e-12 && (q["b"] - 0.5).abs() < 1e-12, "{q:?}");
        let q = after(TargetDynamics::Mirror, 0.5, &["aaaa", "bbbb"]);
        assert!(q["a"] > 0.3 && q["b"] > 0.3, "answers that one step did not show remain: {q:?}");
        let q = after(TargetDynamics::Mirror, 0.5, &["a___", "a___"]);
        assert!((q["a"] - 0.25).abs() < 1e-12, "⊥ keeps its probability: {q:?}");
    }

    #[test]
    fn dropped_samples_do_not_move_the_target() {
        let config = TargetConfig { dynamics: TargetDynamics::Average, rate: 0.5 };
        let target = Target::default().next(&answers("ab"), config);
        assert_eq!(target.next(&answers("!!"), config), target);
    }

    #[test]
    fn a_step_that_is_abandoned_leaves_the_target_as_it_was() {
        let config = TargetConfig { dynamics: TargetDynamics::Mirror, rate: 0.5 };
        let target = Target::default().next(&answers("ab"), config);
        let before = target.clone();
        assert_ne!(target.next(&answers("bb"), config), target);
        assert_eq!(target, before);
    }

    #[test]
    fn a_target_remembers_the_likeliest_answers_that_fit() {
        let key = |c: &str, bytes: usize| Answer::Key(c.repeat(bytes));
        let (long, short) = (REMEMBERED / 2, 1000);
        // Two likely long answers, and more short ones than fit beside them; ⊥ has the rest.
        let mut answers = vec![key("a", long); 4];
        answers.extend(vec![key("b", long - 10 * short); 3]);
        answers.extend((0..20).map(|at| Answer::Key(format!("{at:02}{}", "x".repeat(short - 2)))));
        let mut target = Target::default().next(&[answers.clone()], TargetConfig::default());
        assert_eq!(target.forget_unlikely(), 10);
        let kept = target.prompts[0].clone().unwrap();
        let bytes: usize = kept.keys().map(String::len).sum();
        assert!(bytes <= REMEMBERED && kept.len() == 12, "{bytes}");
        let shorts: Vec<&str> = kept.keys().filter(|key| key.len() == short).map(|key| &key[..2]).collect();
        assert_eq!(shorts, ["00", "01", "02", "03", "04", "05", "06", "07", "08", "09"], "equally likely ones by key");
        assert_eq!(target.forget_unlikely(), 0);
        // The next step's target has what was kept and the step's own answers.
        let next = target.next(&[answers], TargetConfig { dynamics: TargetDynamics::Average, rate: 0.5 });
        assert_eq!(next.prompts[0].as_ref().unwrap().len(), 22);

        let mut huge = Target::default().next(&[vec![key("h", REMEMBERED + 1), key("s", 1)]], TargetConfig::default());
        assert_eq!((huge.forget_unlikely(), huge.answers().collect::<Vec<_>>()), (1, vec!["s"]));
    }

    #[test]
    fn the_distance_is_zero_where_the_players_agree() {
        assert_eq!(Target::default().distance(&answers("ab")), None);
        let target = Target::default().next(&answers("ab__"), TargetConfig::default());
        assert!(target.distance(&answers("ab__")).unwrap() < 1e-15);
        assert!((target.distance(&answers("cc")).unwrap() - 2f64.ln()).abs() < 1e-12);
    }

    #[test]
    fn objectives_see_the_target_as_an_exact_distribution() {
        let target = Target::default().next(&answers("aab_"), TargetConfig::default());
        let bundle = target.bundle("x", &[Prompt::default()]);
        let a = bundle.groups[0].answer("a").unwrap();
        assert!(bundle.exact && bundle.groups[0].size == 0);
        assert_eq!((a.count, a.frequency, a.leave_one_out), (0, 0.5, 0.5));
    }
}
