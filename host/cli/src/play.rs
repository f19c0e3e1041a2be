//! One step of the game: completions in, advantages out. Here plugins and mathematics meet; neither knows the other.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use alft_game::advantage::{self, AdvantageConfig, Weighted};
use alft_game::group::GroupObjective;
use alft_game::{Reading, Target, TargetConfig, TargetDynamics, measure, multiplier, reading, reward};
use alft_plugin_host::Failure;
use alft_plugin_host::ledger::Input;
use alft_sdk::batch::PromptTexts;
use alft_sdk::bundle::{Bundle, Prompt, Valuation};
use alft_sdk::estimate::Estimator;
use serde::{Deserialize, Serialize};

use crate::deeds::{Deeds, Stands};
use crate::entry::OnError;
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

/// The rules of a step.
#[derive(Clone, Copy)]
pub(crate) struct Rules<'a> {
    /// Steps of the run that are done: weights may depend on it.
    pub(crate) step: u64,
    pub(crate) estimator: &'a dyn Estimator,
    pub(crate) target: TargetConfig,
    pub(crate) advantage: AdvantageConfig,
}

/// The price of leaving the reference, where it is taken off the reward.
#[derive(Clone, Copy)]
pub(crate) struct Penalty<'a> {
    pub(crate) beta: f64,
    /// log(π/π_ref) of each sample's whole completion: bundles, prompts, samples.
    pub(crate) log_ratios: &'a [f64],
}

/// What the target player keeps from step to step.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Memory {
    /// The prices of constraints by the plugins' names, moved by dual ascent from 0.
    pub(crate) multipliers: BTreeMap<String, f64>,
    /// By bundle; empty where targets are best responses, which remember nothing.
    pub(crate) targets: BTreeMap<String, Target>,
    /// By bundle, for each prompt: the reference policy's answer marginal, for plugins that ask for it.
    pub(crate) references: BTreeMap<String, Vec<BTreeMap<String, f64>>>,
}

impl Memory {
    /// The price of the plugin's constraint.
    pub(crate) fn multiplier(&self, plugin: &str) -> f64 {
        self.multipliers.get(plugin).copied().unwrap_or_default()
    }
}

/// Plays a step and moves `memory`. Returns what was made of each bundle, and what each plugin did, in the panel's
/// order.
pub(crate) fn play(
    panel: &Panel,
    answered: &[Answered<'_>],
    rules: Rules<'_>,
    penalty: Option<Penalty<'_>>,
    memory: &mut Memory,
) -> (Vec<Played>, Vec<Deeds>) {
    let mut deeds = vec![Deeds::default(); panel.seats.len()];
    let mut readings = read(panel, answered, &mut deeds);
    let scores = verify(panel, answered, &mut readings, rules, memory, &mut deeds);
    let targets = remembered(answered, memory);
    let bundles = count(panel, answered, &readings, &scores, rules, memory);
    let priced = price(panel, &bundles, &readings, memory, &mut deeds);
    let (mut played, mut sample) = (Vec::new(), 0);
    for (at, (counted, mut readings)) in bundles.iter().zip(readings).enumerate() {
        if priced.dropped.contains(&at) {
            readings.iter_mut().flatten().for_each(|reading| *reading = Reading::Dropped);
            let id = &answered[at].asked.id;
            match &targets[at] {
                Some(target) => memory.targets.insert(id.clone(), target.clone()),
                None => memory.targets.remove(id),
            };
        }
        let valuations: Vec<Option<&Valuation>> = priced.valuations.iter().map(|of| of[at].as_ref()).collect();
        let paid = penalty.map(|penalty| {
            let count = readings.iter().map(Vec::len).sum::<usize>();
            sample += count;
            Penalty { log_ratios: &penalty.log_ratios[sample - count..sample], ..penalty }
        });
        played.push(settle(panel, counted, readings, &valuations, paid, rules, &mut deeds));
    }
    for (seat, deeds) in panel.seats.iter().zip(&deeds) {
        if let Some(violation) = deeds.violation.get() {
            let mu = multiplier::ascend(memory.multiplier(&seat.name), seat.multiplier_rate, violation);
            memory.multipliers.insert(seat.name.clone(), mu);
        }
    }
    (played, deeds)
}

/// The targets as they are before a step: a bundle that is dropped as a whole moves none.
fn remembered(answered: &[Answered<'_>], memory: &Memory) -> Vec<Option<Target>> {
    answered.iter().map(|answered| memory.targets.get(&answered.asked.id).cloned()).collect()
}

/// Bundles, prompts, samples.
type Readings = Vec<Vec<Vec<Reading>>>;

fn read(panel: &Panel, answered: &[Answered<'_>], deeds: &mut [Deeds]) -> Readings {
    let at = panel.seats.iter().position(|seat| std::ptr::eq(seat, panel.reader())).expect("the reader has a seat");
    let groups = || answered.iter().flat_map(|a| a.asked.prompts.iter().zip(&a.completions));
    let question =
        |(prompt, texts): (&Prompt, &Vec<String>)| PromptTexts { prompt: prompt.clone(), texts: texts.clone() };
    let batch: Vec<PromptTexts> = groups().map(question).map(PromptTexts::without_gold).collect();
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
    let texts = batch.iter().flat_map(|question| question.texts.iter().map(|text| (&question.prompt, text)));
    let stand: Vec<Stands> = texts.enumerate().map(|(at, (prompt, text))| Stands::of(prompt, text, vec![at])).collect();
    let mut items = deeds[at]
        .take(panel.reader().plugin.read(&batch), || Input::Read(Cow::Owned(batch.clone())), &stand, sample)
        .into_iter();
    let reading = |item: Result<Option<String>, Failure>| match item {
        Ok(Some(key)) => Reading::Answer(key),
        Ok(None) => Reading::Unreadable,
        Err(_) => Reading::Dropped,
    };
    let all_or_none = panel.reader().on_error == OnError::DropGroup;
    let mut group = |texts: &Vec<String>| {
        let mut group: Vec<Reading> = items.by_ref().take(texts.len()).map(reading).collect();
        if all_or_none && group.contains(&Reading::Dropped) {
            group.fill(Reading::Dropped);
        }
        group
    };
    answered.iter().map(|a| a.completions.iter().map(&mut group).collect()).collect()
}

/// Bundles, prompts: the verifiers' scores of each answer by its key.
type Scores = Vec<Vec<BTreeMap<String, Vec<f64>>>>;

/// The verifiers' scores of each group's answers, and of those that its target remembers. What a verifier fails on is
/// no answer to anyone, and drops the samples that gave it, or all of their group, unless the run file has a score for
/// it.
fn verify(
    panel: &Panel,
    answered: &[Answered<'_>],
    readings: &mut Readings,
    rules: Rules<'_>,
    memory: &Memory,
    deeds: &mut [Deeds],
) -> Scores {
    let mut scores: Scores = Vec::new();
    for (answered, groups) in answered.iter().zip(&*readings) {
        let keys = |group: &mut dyn Iterator<Item = &Reading>| -> BTreeMap<String, Vec<f64>> {
            group.filter_map(Reading::key).map(|key| (key.to_owned(), Vec::new())).collect()
        };
        scores.push(if rules.target.dynamics == TargetDynamics::BestResponse {
            groups.iter().map(|group| keys(&mut group.iter())).collect()
        } else {
            // A target knows every answer of its bundle for each of its prompts.
            let mut all = keys(&mut groups.iter().flatten());
            let remembered = memory.targets.get(&answered.asked.id).into_iter().flat_map(Target::answers);
            all.extend(remembered.map(|key| (key.to_owned(), Vec::new())));
            vec![all; groups.len()]
        });
    }
    for (at, seat) in panel.verifiers() {
        let groups = answered.iter().zip(&scores).flat_map(|(a, scores)| a.asked.prompts.iter().zip(scores));
        let batch: Vec<PromptTexts> = groups
            .map(|(prompt, scores)| PromptTexts { prompt: prompt.clone(), texts: scores.keys().cloned().collect() })
            .collect();
        let answers: Vec<(&Prompt, &str)> =
            batch.iter().flat_map(|q| q.texts.iter().map(|text| (&q.prompt, text.as_str()))).collect();
        let answer = |at: usize| format!("score, prompt {}, answer {:?}", answers[at].0.id, answers[at].1);
        let stand = standing(&batch, readings);
        let mut items = deeds[at]
            .take(seat.plugin.score(&batch), || Input::Score(Cow::Owned(batch.clone())), &stand, answer)
            .into_iter();
        for (scores, readings) in scores.iter_mut().flatten().zip(readings.iter_mut().flatten()) {
            scores.retain(|key, scores| {
                match (items.next().expect("an item for each answer"), seat.on_error) {
                    (Ok(score), _) | (Err(_), OnError::Score(score)) => {
                        scores.push(score);
                        return true;
                    }
                    (Err(_), OnError::DropGroup) if readings.iter().any(|reading| reading.key() == Some(key)) => {
                        readings.fill(Reading::Dropped);
                    }
                    (Err(_), _) => {
                        let failed = |reading: &&mut Reading| reading.key() == Some(key);
                        readings.iter_mut().filter(failed).for_each(|reading| *reading = Reading::Dropped);
                    }
                }
                false
            });
        }
    }
    scores
}

/// For each answer asked about the samples that gave it. `batch` has a question for each group.
fn standing(batch: &[PromptTexts], readings: &Readings) -> Vec<Stands> {
    let (mut stand, mut first) = (Vec::new(), 0);
    for (question, group) in batch.iter().zip(readings.iter().flatten()) {
        for text in &question.texts {
            let gave = group.iter().enumerate().filter(|(_, reading)| reading.key() == Some(text));
            let samples = gave.map(|(at, _)| first + at).collect();
            stand.push(Stands::of(&question.prompt, text, samples));
        }
        first += group.len();
    }
    stand
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
    scores: &Scores,
    rules: Rules<'_>,
    memory: &mut Memory,
) -> Vec<Counted> {
    let verifiers: Vec<String> = panel.verifiers().map(|(_, seat)| seat.name.clone()).collect();
    let mut counted = Vec::new();
    for ((answered, readings), scores) in answered.iter().zip(readings).zip(scores) {
        let Asked { id, prompts } = answered.asked;
        let mut bundle = if rules.target.dynamics == TargetDynamics::BestResponse {
            let groups: Vec<_> = prompts
                .iter()
                .zip(readings)
                .filter(|(_, readings)| readings.iter().any(|reading| *reading != Reading::Dropped))
                .map(|(prompt, readings)| reading::Group { prompt, readings })
                .collect();
            reading::bundle(id, &groups, rules.estimator)
        } else {
            let target = memory.targets.entry(id.clone()).or_default();
            target.step(readings, rules.target);
            // What a verifier fails on is no answer to anyone.
            target.retain(|at, key| scores[at].contains_key(key));
            target.bundle(id, prompts)
        };
        let mut place = 0;
        let places = prompts.iter().map(|prompt| {
            let here = bundle.groups.get(place).is_some_and(|group| group.prompt.id == prompt.id);
            here.then(|| {
                place += 1;
                place - 1
            })
        });
        let places: Vec<Option<usize>> = places.collect();
        bundle.verifiers.clone_from(&verifiers);
        for (scores, at) in scores.iter().zip(&places).filter_map(|(scores, place)| Some((scores, (*place)?))) {
            bundle.groups[at].answers.retain_mut(|answer| match scores.get(&answer.key) {
                Some(scores) => {
                    answer.scores.clone_from(scores);
                    true
                }
                None => false,
            });
        }
        let reference = memory.references.get(id);
        reading::set_reference(&mut bundle, |prompt| {
            let at = prompts.iter().position(|asked| asked.id == prompt)?;
            reference?.get(at)
        });
        counted.push(Counted { bundle, places });
    }
    counted
}

/// What the objectives say.
struct Priced {
    /// Plugins, then bundles. `None` where it failed, and for other roles.
    valuations: Vec<Vec<Option<Valuation>>>,
    /// Bundles that are left out as a whole, for an objective failed on them.
    dropped: BTreeSet<usize>,
}

fn price(panel: &Panel, counted: &[Counted], readings: &Readings, memory: &Memory, deeds: &mut [Deeds]) -> Priced {
    // Where nobody gave an answer there is nothing to price.
    let answers = |counted: &Counted| counted.bundle.groups.iter().any(|group| !group.answers.is_empty());
    let full: Vec<usize> = (0..counted.len()).filter(|&at| answers(&counted[at])).collect();
    let mut batch: Vec<Bundle> = full.iter().map(|&at| counted[at].bundle.clone()).collect();
    let stand = standing_bundles(&full, counted, readings);
    let mut priced =
        Priced { valuations: vec![vec![None; counted.len()]; panel.seats.len()], dropped: BTreeSet::new() };
    let seats = panel.seats.iter().zip(&mut *deeds);
    for ((seat, deeds), own) in seats.zip(&mut priced.valuations) {
        if !seat.prices {
            continue;
        }
        let multiplier = memory.multiplier(&seat.name);
        batch.iter_mut().for_each(|bundle| bundle.multiplier = multiplier);
        let items = deeds.take(
            seat.plugin.evaluate(&batch),
            || Input::Evaluate(Cow::Owned(batch.clone())),
            &stand,
            |at| format!("evaluate, bundle {}", batch[at].id),
        );
        for (at, item) in full.iter().zip(items) {
            if item.is_err() && seat.on_error == OnError::DropGroup {
                priced.dropped.insert(*at);
            }
            own[*at] = item.ok();
        }
    }
    for (own, deeds) in priced.valuations.iter_mut().zip(deeds) {
        priced.dropped.iter().for_each(|at| own[*at] = None);
        for valuation in own.iter().flatten() {
            deeds.utility.add(valuation.utility);
            if let Some(violation) = valuation.violation {
                deeds.violation.add(violation);
            }
        }
    }
    priced
}

/// For each bundle of the batch its samples that were kept. `full` has the bundles' places.
fn standing_bundles(full: &[usize], counted: &[Counted], readings: &Readings) -> Vec<Stands> {
    let sizes: Vec<usize> = readings.iter().map(|bundle| bundle.iter().map(Vec::len).sum()).collect();
    let of = |&at: &usize| {
        let first: usize = sizes[..at].iter().sum();
        let kept = readings[at].iter().flatten().enumerate().filter(|(_, reading)| **reading != Reading::Dropped);
        let groups = counted[at].bundle.groups.iter();
        let bytes = groups.map(|group| {
            let keys: usize = group.answers.iter().map(|answer| answer.key.len()).sum();
            Stands::of(&group.prompt, "", Vec::new()).bytes + keys
        });
        Stands { bytes: bytes.sum(), samples: kept.map(|(sample, _)| first + sample).collect() }
    };
    full.iter().map(of).collect()
}

/// From values to advantages, for one bundle. `valuations` has one for each plugin. An objective that failed on the
/// bundle and does not drop it has no part: the same for every answer of every group, which the baseline would remove anyway.
fn settle(
    panel: &Panel,
    counted: &Counted,
    mut readings: Vec<Vec<Reading>>,
    valuations: &[Option<&Valuation>],
    penalty: Option<Penalty<'_>>,
    rules: Rules<'_>,
    deeds: &mut [Deeds],
) -> Played {
    let (mut accuracies, mut totals, mut advantages) = (Vec::new(), Vec::new(), Vec::new());
    let mut sample = 0;
    for (readings, place) in readings.iter_mut().zip(&counted.places) {
        let first = sample;
        sample += readings.len();
        let nothing = vec![None; readings.len()];
        let mut leave_out =
            || [&mut accuracies, &mut totals, &mut advantages].into_iter().for_each(|all| all.push(nothing.clone()));
        let Some(i) = *place else {
            leave_out();
            continue;
        };
        let group = &counted.bundle.groups[i];
        let (mut weighted, mut dropped) = (Vec::new(), false);
        let mut accuracy: Option<Vec<Option<f64>>> = None;
        let mut column = 0;
        for ((seat, valuation), deeds) in panel.seats.iter().zip(valuations).zip(&mut *deeds) {
            if seat.verifies {
                let scores: Vec<f64> = group.answers.iter().map(|answer| answer.scores[column]).collect();
                let scores = reward::of_samples(group, &scores, readings);
                accuracy.get_or_insert_with(|| scores.clone());
                let rewards = match seat.group_objective {
                    None => scores,
                    Some(objective) => of_group(objective, &scores).unwrap_or_else(|error| {
                        let place = format!("prompt {}", group.prompt.id);
                        deeds.fail("group-objective", || format!("{place}: {error}"));
                        // For the failure rate: it is the scores of all these answers that will not do.
                        deeds.failed += group.answers.len() as u64;
                        dropped |= seat.on_error == OnError::DropGroup;
                        scores.iter().map(|score| score.map(|_| 0.0)).collect()
                    }),
                };
                deeds.reward(&rewards);
                weighted.push(Weighted { weight: seat.weight.at(rules.step), rewards });
                column += 1;
            }
            if let Some(valuation) = valuation {
                let rewards = reward::of_samples(group, &valuation.rewards[i], readings);
                deeds.reward(&rewards);
                // A constraint's price is its multiplier: a weight besides would only make it another one.
                let weight = if valuation.violation.is_some() { 1.0 } else { seat.weight.at(rules.step) };
                weighted.push(Weighted { weight, rewards });
            }
        }
        if dropped {
            readings.fill(Reading::Dropped);
            leave_out();
            continue;
        }
        let total = |k: usize| -> Option<f64> {
            let own = |plugin: &Weighted| plugin.rewards[k].map(|reward| plugin.weight * reward);
            (readings[k] != Reading::Dropped).then(|| weighted.iter().filter_map(own).sum())
        };
        totals.push((0..readings.len()).map(total).collect());
        if let Some(penalty) = penalty {
            let own = &penalty.log_ratios[first..sample];
            let taken = |(reading, ratio): (&Reading, &f64)| (*reading != Reading::Dropped).then_some(-ratio);
            weighted.push(Weighted { weight: penalty.beta, rewards: readings.iter().zip(own).map(taken).collect() });
        }
        advantages.push(advantage::advantages(readings, &weighted, rules.advantage));
        accuracies.push(accuracy.unwrap_or(nothing));
    }
    Played { readings, accuracy: accuracies, rewards: totals, advantages }
}

/// The answer marginal of each prompt, ⊥ left out.
pub(crate) fn marginals(panel: &Panel, answered: &Answered<'_>, deeds: &mut [Deeds]) -> Vec<BTreeMap<String, f64>> {
    let readings = read(panel, std::slice::from_ref(answered), deeds);
    let known = |readings: &Vec<Reading>| {
        let shares = measure::shares(readings).into_iter();
        shares.filter_map(|(key, p)| Some((key?.to_owned(), p))).collect()
    };
    readings[0].iter().map(known).collect()
}

/// What a group objective makes of the scores of the samples that were kept.
fn of_group(objective: GroupObjective, scores: &[Option<f64>]) -> Result<Vec<Option<f64>>, alft_game::group::Error> {
    let kept: Vec<f64> = scores.iter().copied().flatten().collect();
    let mut rewards = objective.rewards(&kept)?.into_iter();
    Ok(scores.iter().map(|score| score.and_then(|_| rewards.next())).collect())
}
