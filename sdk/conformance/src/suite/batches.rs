//! The independence of a result from the rest of its batch.
//!
//! A run's batches have any size: the host splits them by their bytes, and bisects a batch that fails. So the same items
//! get the same results, to the last bit, in one batch and in many, in any order and in any company.

use std::collections::BTreeMap;

use alft_sdk::bundle::Bundle;
use alft_sdk::call::PromptTexts;
use alft_sdk::roles::{Batch, Role};

use crate::calls::difference;
use crate::case::{Case, texts_batch};
use crate::inputs::{self, Random};
use crate::outcome::Outcome;

/// Texts of the entries of a batch. Entries of a single text follow, so a plugin that counts entries is found as well as one
/// that counts texts: a run has a few of one and dozens of the other.
const TEXTS: [usize; 14] = [4, 5, 1, 16, 2, 8, 3, 40, 6, 12, 7, 24, 9, 32];
const SINGLE_TEXTS: usize = 50;
/// Phrasings whose texts are in the entries.
const PHRASINGS: usize = 3;
/// Samples of a group of the bundles of a batch: as many as elsewhere in the kit, and more, since some objectives need several,
/// as pass@k does.
const SAMPLES: [usize; 10] = [17, 16, 24, 64, 20, 33, 18, 40, 32, 21];
/// Bundles with groups of each of these sizes.
const BUNDLES: usize = 4;
/// Orders of the same items.
const ORDERS: usize = 3;

/// The result of an item depends on that item alone.
pub(crate) fn independent(case: &Case<'_>) -> Result<(), Outcome> {
    let random = &mut case.random("batches");
    for role in case.subject.roles().iter() {
        match role {
            Role::Objective => of_bundles(case, random)?,
            role => of_texts(case, role, random)?,
        }
    }
    Ok(())
}

fn of_texts(case: &Case<'_>, role: Role, random: &mut Random) -> Result<(), Outcome> {
    // A verifier is asked about the distinct answers of a group.
    let mut texts: Vec<String> = Vec::new();
    while texts.len() < TEXTS.into_iter().max().unwrap_or(0) {
        let more = inputs::texts(case.settings, role, random);
        more.into_iter().for_each(|text| {
            if !texts.contains(&text) {
                texts.push(text)
            }
        });
    }
    let mut alone = Alone { case, results: BTreeMap::new() };
    for _ in 0..ORDERS {
        let mut sizes: Vec<usize> = TEXTS.into_iter().chain([1; SINGLE_TEXTS]).collect();
        shuffle(&mut sizes, random);
        let entries: Vec<PromptTexts> = sizes
            .into_iter()
            .map(|size| {
                let prompt = case.settings.prompt(&format!("p{}", random.below(PHRASINGS)));
                let order = random.order(texts.len());
                PromptTexts { prompt, texts: order[..size].iter().map(|at| texts[*at].clone()).collect() }
            })
            .collect();
        let mut expected = Vec::new();
        for entry in &entries {
            for text in &entry.texts {
                let single = PromptTexts { prompt: entry.prompt.clone(), texts: vec![text.clone()] };
                expected
                    .push(alone.result((single.prompt.id.clone(), text.clone()), &texts_batch(role, vec![single]))?);
            }
        }
        // The cut goes through the largest entry.
        let largest = (0..entries.len()).max_by_key(|at| entries[*at].texts.len()).unwrap_or(0);
        let (mut first, mut second) = (entries[..=largest].to_vec(), entries[largest..].to_vec());
        let middle = entries[largest].texts.len() / 2;
        first[largest].texts.truncate(middle);
        second[0].texts.drain(..middle);
        let batch = |entries: Vec<PromptTexts>| texts_batch(role, entries);
        compare(case, &expected, batch(entries), [batch(first), batch(second)])?;
    }
    Ok(())
}

fn of_bundles(case: &Case<'_>, random: &mut Random) -> Result<(), Outcome> {
    let sizes = SAMPLES.into_iter().cycle().take(BUNDLES * SAMPLES.len());
    let bundles: Vec<Bundle> = sizes.map(|size| inputs::sampled(case.settings, size, random)).collect();
    let batch = |bundles: &[Bundle]| Batch::Objective(bundles.to_vec().into());
    let mut alone = Alone { case, results: BTreeMap::new() };
    for _ in 0..ORDERS {
        // Twice each, in a batch with the others.
        let mut order: Vec<usize> = (0..bundles.len()).chain(0..bundles.len()).collect();
        shuffle(&mut order, random);
        let mut expected = Vec::new();
        for at in &order {
            expected.push(alone.result(*at, &batch(&bundles[*at..=*at]))?);
        }
        let all: Vec<Bundle> = order.iter().map(|at| bundles[*at].clone()).collect();
        let (first, second) = all.split_at(all.len() / 2 - 1);
        compare(case, &expected, batch(&all), [batch(first), batch(second)])?;
    }
    Ok(())
}

/// The results of items that are alone in their batches.
struct Alone<'a, 'c, K> {
    case: &'a Case<'c>,
    results: BTreeMap<K, String>,
}

impl<K: Ord> Alone<'_, '_, K> {
    /// Returns the result of the item `key` by a call with `single`, unless it is known.
    fn result(&mut self, key: K, single: &Batch<'_>) -> Result<String, Outcome> {
        if let Some(known) = self.results.get(&key) {
            return Ok(known.clone());
        }
        let result = self.case.lines(single)?.remove(0);
        self.results.insert(key, result.clone());
        Ok(result)
    }
}

/// Fails unless the items have the expected results in one batch and in two parts of it.
fn compare(case: &Case<'_>, alone: &[String], whole: Batch<'_>, parts: [Batch<'_>; 2]) -> Result<(), Outcome> {
    let (items, entries) = (whole.item_count(), whole.len());
    let together = case.lines(&whole)?;
    if let Some(difference) = difference(alone, &together) {
        return Err(Outcome::Failed(format!(
            "an item has one result alone, and another in a batch of {items} items in {entries} entries: {difference}"
        )));
    }
    let mut halves = Vec::new();
    for part in &parts {
        halves.extend(case.lines(part)?);
    }
    match difference(alone, &halves) {
        Some(difference) => Err(Outcome::Failed(format!(
            "an item has one result alone, and another in half a batch of {items} items: {difference}"
        ))),
        None => Ok(()),
    }
}

fn shuffle<T: Copy>(all: &mut [T], random: &mut Random) {
    let before = all.to_vec();
    all.iter_mut().zip(random.order(before.len())).for_each(|(place, at)| *place = before[at]);
}
