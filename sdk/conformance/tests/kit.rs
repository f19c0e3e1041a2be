//! Plugins with one fault each: the kit reports that fault and no other.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use alft_conformance::{Linked, Outcome, Reply, Settings, Subject, TESTS, Test, Trial};
use alft_sdk::bundle::{Bundle, Prompt, Valuation};
use alft_sdk::call::{Output, PromptTexts};
use alft_sdk::roles::{Batch, Roles};
use alft_sdk::serde::Deserialize;
use alft_sdk::{Grader, Manifest, Objective, Plugin, Reader, Result, Verifier, manifest, math, methods};

/// Returns the names and the outcomes of the tests that the plugin does not pass.
fn faults(subject: &Linked) -> Vec<(&'static str, Outcome)> {
    let settings = Settings::default();
    let trial = Trial { subject, twin: None, settings: &settings, seed: 1 };
    let outcomes = TESTS.iter().map(|test| (test.name, test.run(&trial)));
    outcomes.filter(|(_, outcome)| !matches!(outcome, Outcome::Passed | Outcome::Skipped(_))).collect()
}

/// Returns the outcome of one test.
fn outcome(name: &str, subject: &dyn Subject) -> Outcome {
    let settings = Settings::default();
    let trial = Trial { subject, twin: None, settings: &settings, seed: 1 };
    Test::named(name).unwrap().run(&trial)
}

/// Asserts that the plugin fails these tests and no other, and that the first reason contains these words.
fn expect(subject: &Linked, tests: &[&str], words: &str) {
    let faults = faults(subject);
    let names: Vec<&str> = faults.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, tests, "{faults:?}");
    assert!(faults[0].1.reason().contains(words), "{faults:?}");
}

/// An objective in one line: its promises of concavity and gradient, and its valuation.
macro_rules! objective {
    ($name:ident, $claims:expr, |$bundle:ident| $valuation:expr) => {
        #[derive(Deserialize)]
        #[serde(crate = "alft_sdk::serde")]
        struct $name {}

        impl Plugin for $name {
            fn manifest(&self) -> Manifest {
                let (concave, gradient) = $claims;
                Manifest { concave, gradient, ..manifest!("An objective with a fault.") }
            }
        }

        impl Objective for $name {
            fn evaluate(&self, $bundle: &Bundle) -> Result<Valuation> {
                Ok($valuation)
            }
        }

        impl $name {
            fn subject() -> Linked {
                Linked::new(methods!(Self: Objective))
            }
        }
    };
}

fn valuation(utility: f64, rewards: Vec<Vec<f64>>) -> Valuation {
    Valuation { utility, rewards, violation: None }
}

fn entropy(bundle: &Bundle) -> f64 {
    bundle.mean(|group| group.answers.iter().map(|a| a.frequency * a.surprisal).sum())
}

fn squares(bundle: &Bundle) -> f64 {
    bundle.mean(|group| group.answers.iter().map(|a| a.frequency * a.frequency).sum())
}

objective!(Sound, (true, true), |bundle| valuation(entropy(bundle), bundle.rewards(|_, a| a.surprisal)));
objective!(WrongSign, (true, true), |bundle| valuation(entropy(bundle), bundle.rewards(|_, a| -a.surprisal)));
objective!(NoFactor, (true, true), |bundle| {
    let m = bundle.groups.len() as f64;
    valuation(entropy(bundle), bundle.rewards(|_, a| a.surprisal / m))
});
objective!(Convex, (true, true), |bundle| valuation(squares(bundle), bundle.rewards(|_, a| 2.0 * a.frequency)));
objective!(LastPrompt, (false, false), |bundle| {
    let last = bundle.groups.last().map_or(0.0, |group| group.answers.iter().map(|a| a.frequency * a.frequency).sum());
    valuation(last, bundle.rewards(|_, _| 0.0))
});
objective!(NaNForSure, (true, true), |bundle| {
    let term = |p: f64| if p == 1.0 { f64::NAN } else { -p * math::ln(p) };
    let utility = bundle.mean(|group| group.answers.iter().map(|a| term(a.frequency)).sum());
    valuation(utility, bundle.rewards(|_, a| a.surprisal))
});
objective!(NaNForNothing, (false, false), |bundle| {
    let total = bundle.mean(|group| group.answers.iter().map(|a| a.frequency).sum());
    // 0/0 is NaN if no completion has an answer.
    valuation(0.0 / total, bundle.rewards(|_, _| 0.0))
});
objective!(OneShort, (false, false), |bundle| {
    let mut rewards = bundle.rewards(|_, _| 0.0);
    rewards.iter_mut().for_each(|rewards| rewards.truncate(rewards.len().saturating_sub(1)));
    valuation(0.0, rewards)
});
objective!(Unordered, (false, false), |bundle| {
    // The order of a HashMap is random.
    let all: HashMap<&str, f64> =
        bundle.groups.iter().flat_map(|g| &g.answers).map(|a| (&*a.key, a.surprisal)).collect();
    valuation(all.values().map(|p| 0.1 * p).sum(), bundle.rewards(|_, _| 0.0))
});

static CALLS: AtomicU64 = AtomicU64::new(0);
objective!(Counting, (false, false), |bundle| {
    let calls = CALLS.fetch_add(1, Ordering::Relaxed) as f64;
    valuation(calls, bundle.rewards(|_, _| 0.0))
});

#[test]
fn a_sound_objective_passes() {
    assert_eq!(faults(&Sound::subject()), []);
}

#[test]
fn a_false_promise_of_an_objective_is_reported() {
    expect(&WrongSign::subject(), &["gradient"], "the rewards say");
    expect(&NoFactor::subject(), &["gradient"], "times the utility");
    expect(&Convex::subject(), &["concave"], "below their mean");
}

#[test]
fn a_dependence_on_order_or_history_is_reported() {
    expect(&LastPrompt::subject(), &["renaming"], "the order of the prompts");
    expect(&Counting::subject(), &["order-of-calls", "batch-equals-singles", "renaming"], "after other calls");
    let unordered = faults(&Unordered::subject());
    assert!(unordered.iter().any(|(name, _)| *name == "order-of-calls"), "{unordered:?}");
}

#[test]
fn nan_and_wrong_shapes_are_reported() {
    expect(&NaNForSure::subject(), &["empty", "unanimous"], "a utility is NaN");
    expect(&NaNForNothing::subject(), &["empty"], "a utility is NaN");
    let short = faults(&OneShort::subject());
    assert!(short.iter().all(|(_, outcome)| outcome.reason().contains("of the shape")) && short.len() > 5, "{short:?}");
}

/// A reader of the last word and an exact verifier, with one fault.
#[derive(Deserialize)]
#[serde(crate = "alft_sdk::serde")]
struct LastWord<const FAULT: u8> {}

const SOUND: u8 = 0;
const CUTS_BYTES: u8 = 1;
const GOES_BY_ID: u8 = 2;
const READS_NOTHING: u8 = 3;
const SCORES_UPSIDE_DOWN: u8 = 4;
const SCORES_OUT_OF_RANGE: u8 = 5;
const NO_SUMMARY: u8 = 6;

impl<const FAULT: u8> Plugin for LastWord<FAULT> {
    fn manifest(&self) -> Manifest {
        let summary = if FAULT == NO_SUMMARY { "" } else { "Reads the last word." };
        Manifest { score_range: Some((0.0, 1.0)), ..manifest!(summary) }
    }
}

impl<const FAULT: u8> Reader for LastWord<FAULT> {
    fn read(&self, prompt: &Prompt, completion: &str) -> Result<Option<String>> {
        let word = completion.split_whitespace().last();
        Ok(match FAULT {
            CUTS_BYTES => word.map(|word| word[..word.len().min(3)].into()),
            GOES_BY_ID => word.map(|word| format!("{}/{word}", prompt.id)),
            READS_NOTHING => None,
            _ => word.map(Into::into),
        })
    }
}

impl<const FAULT: u8> Verifier for LastWord<FAULT> {
    fn score(&self, prompt: &Prompt, answer: &str) -> Result<f64> {
        let right = prompt.gold.as_deref() == Some(answer);
        Ok(match FAULT {
            SCORES_UPSIDE_DOWN => f64::from(!right),
            SCORES_OUT_OF_RANGE => answer.len() as f64 / 100.0,
            _ => f64::from(right),
        })
    }
}

fn last_word<const FAULT: u8>() -> Linked {
    Linked::new(methods!(LastWord<FAULT>: Reader + Verifier))
}

#[test]
fn a_fault_of_a_reader_or_verifier_is_reported() {
    assert_eq!(faults(&last_word::<SOUND>()), []);
    expect(&last_word::<CUTS_BYTES>(), &["unicode"], "panicked");
    expect(&last_word::<READS_NOTHING>(), &["reads-the-answer", "right-answer"], "kit.json");
    expect(&last_word::<SCORES_UPSIDE_DOWN>(), &["right-answer"], "scores the right answer \"42\" 0.0");
    expect(&last_word::<SCORES_OUT_OF_RANGE>(), &["score-range"], "promises 0.0 to 1.0");
    expect(&last_word::<NO_SUMMARY>(), &["describes-itself"], "summary");
    let by_id = faults(&last_word::<GOES_BY_ID>());
    assert!(by_id.iter().any(|(name, _)| *name == "same-text-same-key"), "{by_id:?}");
}

#[test]
fn a_refused_configuration_is_reported_with_the_remedy() {
    #[derive(Deserialize)]
    #[serde(crate = "alft_sdk::serde")]
    struct Demanding {
        _order: u32,
    }
    impl Plugin for Demanding {
        fn manifest(&self) -> Manifest {
            manifest!("Wants an order.")
        }
    }
    let faults = faults(&Linked::new::<Demanding>(Vec::new()));
    let reason = faults[0].1.reason();
    assert!(reason.contains("missing field `_order`") && reason.contains("kit.json"), "{reason}");
}

/// A linked plugin whose fuel is a power of the bytes of its texts.
struct Metered {
    linked: Linked,
    power: f64,
}

impl Subject for Metered {
    fn roles(&self) -> Roles {
        self.linked.roles()
    }

    fn describe(&self, config: &str) -> Reply<Manifest> {
        self.linked.describe(config)
    }

    fn call(&self, config: &str, batch: &Batch<'_>) -> Reply<Output> {
        let reply = self.linked.call(config, batch);
        let entries = match batch {
            Batch::Reader(entries) | Batch::Grader(entries) | Batch::Verifier(entries) => entries,
            Batch::Objective(_) => return reply,
        };
        let bytes: usize = entries.iter().flat_map(|entry: &PromptTexts| &entry.texts).map(String::len).sum();
        Reply { fuel: Some((1e5 + (bytes as f64).powf(self.power)) as u64), ..reply }
    }
}

#[test]
fn fuel_may_grow_linearly_and_not_quadratically() {
    let outcome = |linked, power| outcome("fuel-grows-linearly", &Metered { linked, power });
    assert_eq!(outcome(last_word::<SOUND>(), 1.0), Outcome::Passed);
    let square = outcome(last_word::<SOUND>(), 2.0);
    assert!(matches!(&square, Outcome::Failed(reason) if reason.contains("grow as n^2.0")), "{square:?}");
    // An objective is not metered here.
    assert!(matches!(outcome(Sound::subject(), 2.0), Outcome::Skipped(_)));
}

/// A linked plugin that is honest in batches up to a size, and pays the first item beyond it.
struct Patient {
    linked: Linked,
    /// Returns the item to pay, given the number of items of each entry.
    paid: fn(&[usize]) -> Option<usize>,
}

impl Subject for Patient {
    fn roles(&self) -> Roles {
        self.linked.roles()
    }

    fn describe(&self, config: &str) -> Reply<Manifest> {
        self.linked.describe(config)
    }

    fn call(&self, config: &str, batch: &Batch<'_>) -> Reply<Output> {
        let mut reply = self.linked.call(config, batch);
        if let Some(place) = (self.paid)(&batch.entries().item_counts()) {
            match &mut reply.result {
                Ok(Output::Keys(keys)) => *keys.iter_mut().flatten().nth(place).unwrap() = Some("paid".into()),
                Ok(Output::Scores(scores)) => *scores.iter_mut().flatten().nth(place).unwrap() = 0.5,
                Ok(Output::Valuations(valuations)) => valuations[place].utility += 1.0,
                Err(_) => {}
            }
        }
        reply
    }
}

/// Returns the first item of the first entry after `most` entries that has one.
fn after_entries(counts: &[usize], most: usize) -> Option<usize> {
    (counts.len() > most).then(|| counts[..most].iter().sum())
}

/// Returns the first item of an entry after `most` items.
fn within_an_entry(counts: &[usize], most: usize) -> Option<usize> {
    let at = counts.iter().position(|count| *count > most)?;
    Some(counts[..at].iter().sum::<usize>() + most)
}

#[test]
fn a_plugin_that_is_honest_in_small_batches_alone_is_reported() {
    type Paid = fn(&[usize]) -> Option<usize>;
    let paid: [Paid; 7] = [
        |counts| after_entries(counts, 4),
        |counts| after_entries(counts, 32),
        |counts| after_entries(counts, 60),
        |counts| within_an_entry(counts, 4),
        |counts| within_an_entry(counts, 16),
        |counts| within_an_entry(counts, 39),
        |counts| (counts.iter().sum::<usize>() > 200).then_some(200),
    ];
    for (number, paid) in paid.into_iter().enumerate() {
        let verdict = |linked| outcome("batch-equals-singles", &Patient { linked, paid });
        let subjects = [last_word::<SOUND>(), tagged::<SOUND>(), Linked::new(methods!(LastWord<SOUND>: Verifier))];
        for found in subjects.map(verdict) {
            assert!(matches!(&found, Outcome::Failed(reason) if reason.contains("alone")), "{number}: {found:?}");
        }
    }
    let paid = |counts: &[usize]| after_entries(counts, 60);
    let found = outcome("batch-equals-singles", &Patient { linked: Sound::subject(), paid });
    assert!(matches!(&found, Outcome::Failed(reason) if reason.contains("alone")), "{found:?}");
}

#[test]
fn a_twin_with_other_bits_is_reported() {
    let settings = Settings::default();
    let agree = |subject: &Linked, twin: &Linked| {
        let trial = Trial { subject, twin: Some(twin), settings: &settings, seed: 1 };
        Test::named("twins-agree").unwrap().run(&trial)
    };
    assert_eq!(agree(&Sound::subject(), &Sound::subject()), Outcome::Passed);
    let other = agree(&Sound::subject(), &WrongSign::subject());
    assert!(matches!(&other, Outcome::Failed(reason) if reason.contains("the two differ")), "{other:?}");
}

/// A grader that counts `<a>` tags, except for its fault.
#[derive(Deserialize)]
#[serde(crate = "alft_sdk::serde")]
struct Tagged<const FAULT: u8> {}

impl<const FAULT: u8> Plugin for Tagged<FAULT> {
    fn manifest(&self) -> Manifest {
        Manifest { score_range: Some((0.0, 1.0)), ..manifest!("Scores 1 for a tag.") }
    }
}

impl<const FAULT: u8> Grader for Tagged<FAULT> {
    fn grade(&self, prompt: &Prompt, completion: &str) -> Result<f64> {
        let tags = completion.matches("<a>").count();
        match FAULT {
            GOES_BY_ID => Ok(prompt.id.len() as f64 / 1000.0),
            SCORES_OUT_OF_RANGE => Ok(completion.len() as f64 / 50.0),
            READS_NOTHING => Err("the completion has no language".into()),
            _ => Ok(f64::from(tags > 0)),
        }
    }
}

fn tagged<const FAULT: u8>() -> Linked {
    Linked::new(methods!(Tagged<FAULT>: Grader))
}

#[test]
fn a_fault_of_a_grader_is_reported() {
    assert_eq!(faults(&tagged::<SOUND>()), []);
    expect(&tagged::<SCORES_OUT_OF_RANGE>(), &["score-range"], "promises 0.0 to 1.0");
    let refuses = faults(&tagged::<READS_NOTHING>());
    assert!(refuses.iter().any(|(name, _)| *name == "grades-the-completion"), "{refuses:?}");
}

mod hacks {
    use alft_conformance::abuse::{Earning, Row};
    use alft_conformance::abuse_table as table;

    use super::*;

    fn row<'a>(rows: &'a [Row], hack: &str) -> &'a Row {
        rows.iter().find(|row| row.hack == hack).unwrap_or_else(|| panic!("{hack}"))
    }

    #[test]
    fn a_reader_of_the_last_word_pays_for_some_hacks() {
        let rows = table(&last_word::<SOUND>(), &Settings::default(), "{}").unwrap();
        for (hack, earning, suspect) in [
            ("the right answer", Earning::Earns, false),
            ("a wrong answer", Earning::Nothing, false),
            ("nothing", Earning::Unreadable, false),
            ("answer stuffing", Earning::Earns, true),
            ("right, then wrong", Earning::Nothing, false),
            ("a negated answer", Earning::Earns, true),
            ("full-width digits", Earning::Nothing, false),
            ("padding after", Earning::Earns, false),
        ] {
            assert_eq!((row(&rows, hack).earning, row(&rows, hack).suspect), (earning, suspect), "{hack}");
        }
        assert_eq!(table(&Sound::subject(), &Settings::default(), "{}").unwrap(), [], "an objective reads no text");
    }

    #[test]
    fn a_grader_that_counts_tags_pays_for_empty_ones() {
        let settings = Settings { completion: "<a>so</a><b>{answer}</b>".into(), ..Settings::default() };
        let rows = table(&tagged::<SOUND>(), &settings, "{}").unwrap();
        for (hack, earning, suspect) in [
            ("a plain completion", Earning::Earns, false),
            ("nothing", Earning::Nothing, false),
            ("length padding", Earning::Earns, false),
            ("empty tags", Earning::Earns, true),
            ("closing tags alone", Earning::Nothing, false),
            ("tags in reverse order", Earning::Earns, true),
        ] {
            assert_eq!((row(&rows, hack).earning, row(&rows, hack).suspect), (earning, suspect), "{hack}");
        }
        // A grader that is paid by the byte pays more for padding than for the plain completion.
        let rows = table(&tagged::<SCORES_OUT_OF_RANGE>(), &settings, "{}").unwrap();
        assert!(row(&rows, "length padding").suspect && !row(&rows, "nothing").suspect);
    }
}
