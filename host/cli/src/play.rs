//! One step of the game: completions in, advantages out. Here plugins and mathematics meet; neither knows the other.

use std::collections::BTreeMap;
use std::time::Duration;

use alft_game::advantage::{self, AdvantageConfig, Weighted};
use alft_game::{Reading, measure, multiplier, reading, reward};
use alft_plugin_host::{Called, Failure};
use alft_sdk::bundle::{Bundle, Valuation};
use alft_sdk::estimate::Estimator;
use alft_sdk::linked::Question;

use crate::panel::Panel;
use crate::questions::Asked;

/// A bundle with the completions that the policy gave: one list for each of its prompts.
#[derive(Debug, Clone)]
pub(crate) struct Answered<'a> {
    pub(crate) asked: &'a Asked,
    pub(crate) completions: Vec<Vec<String>>,
}

/// What was made of one bundle. Lists run over prompts, then samples.
#[derive(Debug, Clone)]
pub(crate) struct Played {
    pub(crate) readings: Vec<Vec<Reading>>,
    /// The first verifier's score of each sample, 0 for ⊥; `None` if dropped.
    pub(crate) accuracy: Vec<Vec<Option<f64>>>,
    /// Weighted rewards, summed.
    pub(crate) rewards: Vec<Vec<Option<f64>>>,
    pub(crate) advantages: Vec<Vec<Option<f64>>>,
}

/// What a plugin did in a step.
#[derive(Debug, Clone, Default)]
pub(crate) struct Deeds {
    pub(crate) calls: u64,
    pub(crate) fuel: u64,
    pub(crate) time: Duration,
    /// Failures by kind: how many, and the first one with where it came.
    pub(crate) failures: BTreeMap<&'static str, (u64, String)>,
    /// Lines of diagnostics.
    pub(crate) log: Vec<String>,
    /// Sum and number of the samples' unweighted rewards.
    reward: (f64, u64),
    /// Sum and number of the bundles' utilities.
    utility: (f64, u64),
    /// Sum and number of the bundles' violations.
    violation: (f64, u64),
}

impl Deeds {
    /// Books a call over items that `of` tells apart for people.
    fn take<T>(&mut self, called: Called<T>, of: impl Fn(usize) -> String) -> Vec<Result<T, Failure>> {
        self.calls += called.bill.calls;
        self.fuel += called.bill.fuel;
        self.time += called.bill.time;
        self.log.extend(called.log);
        for (at, item) in called.items.iter().enumerate() {
            if let Err(failure) = item {
                let kind = self.failures.entry(failure.kind.name());
                kind.or_insert_with(|| (0, format!("{}: {failure}", of(at)))).0 += 1;
            }
        }
        called.items
    }

    pub(crate) fn mean_reward(&self) -> Option<f64> {
        mean(self.reward)
    }

    pub(crate) fn mean_utility(&self) -> Option<f64> {
        mean(self.utility)
    }

    pub(crate) fn is_constraint(&self) -> bool {
        self.violation.1 > 0
    }
}

fn mean((sum, count): (f64, u64)) -> Option<f64> {
    (count > 0).then(|| sum / count as f64)
}

fn add(to: &mut (f64, u64), value: f64) {
    *to = (to.0 + value, to.1 + 1);
}

/// Plays a step. `multipliers` has one price for each plugin and is moved by dual ascent. Returns what was made of
/// each bundle, and what each plugin did, in the panel's order.
pub(crate) fn play(
    panel: &Panel,
    answered: &[Answered<'_>],
    estimator: Estimator,
    advantage: AdvantageConfig,
    multipliers: &mut [f64],
) -> (Vec<Played>, Vec<Deeds>) {
    let mut deeds = vec![Deeds::default(); panel.seats.len()];
    let mut readings = read(panel, answered, &mut deeds);
    let scores = verify(panel, answered, &mut readings, &mut deeds);
    let bundles = count(panel, answered, &readings, &scores, estimator);
    let valuations = price(panel, &bundles, multipliers, &mut deeds);
    let mut played = Vec::new();
    for (at, (counted, readings)) in bundles.iter().zip(readings).enumerate() {
        let valuations: Vec<Option<&Valuation>> = valuations.iter().map(|of| of[at].as_ref()).collect();
        played.push(settle(panel, counted, readings, &valuations, advantage, &mut deeds));
    }
    for ((seat, mu), deeds) in panel.seats.iter().zip(multipliers).zip(&deeds) {
        if let Some(violation) = mean(deeds.violation) {
            *mu = multiplier::ascend(*mu, seat.multiplier_rate, violation);
        }
    }
    (played, deeds)
}

/// Bundles, prompts, samples.
type Readings = Vec<Vec<Vec<Reading>>>;

fn read(panel: &Panel, answered: &[Answered<'_>], deeds: &mut [Deeds]) -> Readings {
    let at = panel.seats.iter().position(|seat| std::ptr::eq(seat, panel.reader())).expect("the reader has a seat");
    let groups = || answered.iter().flat_map(|a| a.asked.prompts.iter().zip(&a.completions));
    let batch: Vec<Question> =
        groups().map(|(prompt, texts)| Question { prompt: prompt.clone(), texts: texts.clone() }).collect();
    let sample = |at: usize| {
        let mut from = at;
        let question = batch.iter().find(|question| match from.checked_sub(question.texts.len()) {
            Some(rest) => {
                from = rest;
                false
            }
            None => true,
        });
        format!("read, prompt {}, sample {from}", question.map_or("?", |question| &question.prompt.id))
    };
    let mut items = deeds[at].take(panel.reader().plugin.read(&batch), sample).into_iter();
    let reading = |item: Result<Option<String>, Failure>| match item {
        Ok(Some(key)) => Reading::Answer(key),
        Ok(None) => Reading::Unreadable,
        Err(_) => Reading::Dropped,
    };
    let mut group = |texts: &Vec<String>| items.by_ref().take(texts.len()).map(reading).collect();
    answered.iter().map(|a| a.completions.iter().map(&mut group).collect()).collect()
}

/// The verifiers' scores of each group's answers, by key. A sample whose answer a verifier fails on is dropped.
fn verify(
    panel: &Panel,
    answered: &[Answered<'_>],
    readings: &mut Readings,
    deeds: &mut [Deeds],
) -> Vec<Vec<BTreeMap<String, Vec<f64>>>> {
    let keys = |group: &Vec<Reading>| {
        let keys = group.iter().filter_map(Reading::key);
        keys.map(|key| (key.to_owned(), Vec::new())).collect::<BTreeMap<String, Vec<f64>>>()
    };
    let mut scores: Vec<Vec<_>> = readings.iter().map(|groups| groups.iter().map(keys).collect()).collect();
    for (at, seat) in panel.verifiers() {
        let groups = answered.iter().zip(&scores).flat_map(|(a, scores)| a.asked.prompts.iter().zip(scores));
        let batch: Vec<Question> = groups
            .map(|(prompt, scores)| Question { prompt: prompt.clone(), texts: scores.keys().cloned().collect() })
            .collect();
        let answers: Vec<(&str, &str)> =
            batch.iter().flat_map(|q| q.texts.iter().map(|text| (q.prompt.id.as_str(), text.as_str()))).collect();
        let answer = |at: usize| format!("score, prompt {}, answer {:?}", answers[at].0, answers[at].1);
        let mut items = deeds[at].take(seat.plugin.score(&batch), answer).into_iter();
        for (scores, readings) in scores.iter_mut().flatten().zip(readings.iter_mut().flatten()) {
            scores.retain(|key, scores| match items.next().expect("an item for each answer") {
                Ok(score) => {
                    scores.push(score);
                    true
                }
                Err(_) => {
                    let failed = |reading: &&mut Reading| reading.key() == Some(key);
                    readings.iter_mut().filter(failed).for_each(|reading| *reading = Reading::Dropped);
                    false
                }
            });
        }
    }
    scores
}

/// A bundle as objectives see it. A group of which every sample was dropped is not in it.
struct Counted {
    bundle: Bundle,
    /// For each prompt the place of its group.
    places: Vec<Option<usize>>,
}

fn count(
    panel: &Panel,
    answered: &[Answered<'_>],
    readings: &Readings,
    scores: &[Vec<BTreeMap<String, Vec<f64>>>],
    estimator: Estimator,
) -> Vec<Counted> {
    let verifiers: Vec<String> = panel.verifiers().map(|(_, seat)| seat.name.clone()).collect();
    let mut counted = Vec::new();
    for ((answered, readings), scores) in answered.iter().zip(readings).zip(scores) {
        let mut groups = Vec::new();
        let mut kept_scores = Vec::new();
        let mut places = Vec::new();
        for ((prompt, readings), scores) in answered.asked.prompts.iter().zip(readings).zip(scores) {
            let kept = readings.iter().any(|reading| *reading != Reading::Dropped);
            places.push(kept.then_some(groups.len()));
            if kept {
                groups.push(reading::Group { prompt, readings });
                kept_scores.push(scores);
            }
        }
        let mut bundle = reading::bundle(&answered.asked.id, &groups, estimator);
        bundle.verifiers.clone_from(&verifiers);
        for (group, scores) in bundle.groups.iter_mut().zip(kept_scores) {
            for answer in &mut group.answers {
                answer.scores.clone_from(&scores[&answer.key]);
            }
        }
        counted.push(Counted { bundle, places });
    }
    counted
}

/// Each objective's valuation of each bundle: plugins, then bundles. `None` where it failed, and for other roles.
fn price(panel: &Panel, counted: &[Counted], multipliers: &[f64], deeds: &mut [Deeds]) -> Vec<Vec<Option<Valuation>>> {
    let full: Vec<usize> = (0..counted.len()).filter(|&at| !counted[at].bundle.groups.is_empty()).collect();
    let mut batch: Vec<Bundle> = full.iter().map(|&at| counted[at].bundle.clone()).collect();
    let mut valuations = vec![vec![None; counted.len()]; panel.seats.len()];
    for (((seat, multiplier), deeds), own) in panel.seats.iter().zip(multipliers).zip(deeds).zip(&mut valuations) {
        if !seat.prices {
            continue;
        }
        batch.iter_mut().for_each(|bundle| bundle.multiplier = *multiplier);
        let items = deeds.take(seat.plugin.evaluate(&batch), |at| format!("evaluate, bundle {}", batch[at].id));
        for (at, valuation) in full.iter().zip(items).filter_map(|(at, item)| Some((*at, item.ok()?))) {
            add(&mut deeds.utility, valuation.utility);
            if let Some(violation) = valuation.violation {
                add(&mut deeds.violation, violation);
            }
            own[at] = Some(valuation);
        }
    }
    valuations
}

/// From values to advantages, for one bundle. `valuations` has one for each plugin. An objective that failed on the
/// bundle has no part: the same for every answer of every group, which the baseline would remove anyway.
fn settle(
    panel: &Panel,
    counted: &Counted,
    readings: Vec<Vec<Reading>>,
    valuations: &[Option<&Valuation>],
    config: AdvantageConfig,
    deeds: &mut [Deeds],
) -> Played {
    let (mut accuracies, mut totals, mut advantages) = (Vec::new(), Vec::new(), Vec::new());
    for (readings, place) in readings.iter().zip(&counted.places) {
        let nothing = vec![None; readings.len()];
        let Some(i) = *place else {
            accuracies.push(nothing.clone());
            totals.push(nothing.clone());
            advantages.push(nothing);
            continue;
        };
        let group = &counted.bundle.groups[i];
        let mut weighted = Vec::new();
        let mut accuracy: Option<Vec<Option<f64>>> = None;
        let mut column = 0;
        for ((seat, valuation), deeds) in panel.seats.iter().zip(valuations).zip(&mut *deeds) {
            let mut reward = |values: &[f64]| {
                let rewards = reward::of_samples(group, values, readings);
                rewards.iter().flatten().for_each(|reward| add(&mut deeds.reward, *reward));
                weighted.push(Weighted { weight: seat.weight, rewards: rewards.clone() });
                rewards
            };
            if seat.verifies {
                let scores: Vec<f64> = group.answers.iter().map(|answer| answer.scores[column]).collect();
                let rewards = reward(&scores);
                accuracy.get_or_insert(rewards);
                column += 1;
            }
            if let Some(valuation) = valuation {
                reward(&valuation.rewards[i]);
            }
        }
        let total = |k: usize| -> Option<f64> {
            let own = |plugin: &Weighted| plugin.rewards[k].map(|reward| plugin.weight * reward);
            (readings[k] != Reading::Dropped).then(|| weighted.iter().filter_map(own).sum())
        };
        totals.push((0..readings.len()).map(total).collect());
        advantages.push(advantage::advantages(readings, &weighted, config));
        accuracies.push(accuracy.unwrap_or(nothing));
    }
    Played { readings, accuracy: accuracies, rewards: totals, advantages }
}

/// Averages over bundles, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Averages {
    /// Mean of the first verifier's score over kept samples; `None` without a verifier.
    pub(crate) accuracy: Option<f64>,
    /// Mean entropy of a group's answers, in nats.
    pub(crate) entropy: f64,
    /// Mean Jensen–Shannon divergence between a bundle's groups, in nats; `None` where no bundle has two.
    pub(crate) jsd: Option<f64>,
    /// Share of kept samples without a readable answer.
    pub(crate) unreadable: f64,
    /// Mean summed reward.
    pub(crate) reward: f64,
    /// Share of groups whose rewards have no spread.
    pub(crate) groups_without_spread: f64,
    /// Samples that a plugin failed on.
    pub(crate) dropped: u64,
}

impl Averages {
    pub(crate) fn over(played: &[Played]) -> Self {
        let average = |values: &mut dyn Iterator<Item = f64>| {
            let mut sum = (0.0, 0);
            values.for_each(|value| add(&mut sum, value));
            mean(sum)
        };
        let groups = || played.iter().flat_map(|p| &p.readings);
        let readings = || groups().flatten();
        let kept = || readings().filter(|reading| **reading != Reading::Dropped);
        let flat = |none: &Vec<Option<f64>>| none.iter().flatten().all(|advantage| *advantage == 0.0);
        let bundle_jsd =
            |p: &Played| measure::jensen_shannon(&p.readings.iter().map(Vec::as_slice).collect::<Vec<_>>());
        Self {
            accuracy: average(&mut played.iter().flat_map(|p| p.accuracy.iter().flatten().flatten().copied())),
            entropy: average(&mut groups().filter_map(|g| measure::entropy(g))).unwrap_or(0.0),
            jsd: average(&mut played.iter().filter_map(bundle_jsd)),
            unreadable: average(&mut kept().map(|r| f64::from(u8::from(*r == Reading::Unreadable)))).unwrap_or(0.0),
            reward: average(&mut played.iter().flat_map(|p| p.rewards.iter().flatten().flatten().copied()))
                .unwrap_or(0.0),
            groups_without_spread: average(
                &mut played.iter().flat_map(|p| &p.advantages).map(|a| f64::from(u8::from(flat(a)))),
            )
            .unwrap_or(0.0),
            dropped: readings().filter(|reading| **reading == Reading::Dropped).count() as u64,
        }
    }
}
