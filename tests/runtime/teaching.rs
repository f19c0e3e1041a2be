//! Questions that teach nothing are drawn again from others, and asked less often.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::linked::{assert_stopped_equals_alone, finish, start};
use crate::support::Scratch;

const DYNAMIC: &str = "game = { dynamic_sampling = { max_rounds = 3 } }";
const ADAPTIVE: &str = "game = { questions = \"adaptive\" }\ntrain = { steps = 60 }";
const BOTH: &str = "game = { questions = \"adaptive\", dynamic_sampling = { max_rounds = 2 } }";

/// The samples of each question of each step.
fn asked(scratch: &Scratch, output: &str) -> BTreeMap<(u64, String), Vec<Value>> {
    let mut asked: BTreeMap<_, Vec<Value>> = BTreeMap::new();
    for sample in scratch.lines(&format!("{output}/samples.jsonl")) {
        let question = sample["prompt"].as_str().unwrap().to_owned();
        asked.entry((sample["step"].as_u64().unwrap(), question)).or_default().push(sample);
    }
    asked
}

fn teaches(samples: &[Value]) -> bool {
    samples.iter().any(|sample| sample["advantage"].as_f64().unwrap() != 0.0)
}

#[test]
fn questions_are_drawn_until_enough_of_them_teach() {
    let scratch = Scratch::new();
    finish(start(&scratch, "run", DYNAMIC));
    let asked = asked(&scratch, "run");
    let mut resampled = 0;
    for line in scratch.metrics("run") {
        let step = line["step"].as_u64().unwrap();
        let of_step: Vec<_> = asked.iter().filter(|((of, _), _)| *of == step).collect();
        let samples: Vec<&Value> = of_step.iter().flat_map(|(_, samples)| *samples).collect();
        let drawn = samples.len() / 4;
        assert_eq!(drawn, 3 + line["resampled"].as_u64().unwrap() as usize);
        assert_eq!(drawn, of_step.len(), "no question comes twice in a step: {line}");
        assert!(drawn <= 3 * (1 + 3), "the bound on rounds: {line}");
        let teaching = of_step.iter().filter(|(_, samples)| teaches(samples)).count();
        assert!(teaching <= 3 && (teaching == 3 || drawn > 3), "{line}");
        // Every sample counts in the averages, or accuracy would be drawn to one half.
        let right = samples.iter().filter(|sample| sample["reward"] == 1.0).count() as f64;
        assert!((line["accuracy"].as_f64().unwrap() - right / samples.len() as f64).abs() < 1e-12, "{line}");
        let tokens = line["completion_tokens"].as_f64().unwrap() * samples.len() as f64;
        assert!((line["sampled_tokens"].as_f64().unwrap() - tokens).abs() < 1e-6, "{line}");
        resampled += drawn - 3;
    }
    assert!(resampled > 8, "most questions teach nothing: {resampled}");
}

#[test]
fn a_question_that_was_always_or_never_right_is_asked_less_often_and_never_lost() {
    let scratch = Scratch::new();
    finish(start(&scratch, "run", ADAPTIVE));
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    asked(&scratch, "run").into_keys().for_each(|(_, question)| *counts.entry(question).or_default() += 1);
    let of = |kind: &str| -> Vec<usize> {
        counts.iter().filter(|(question, _)| question.starts_with(kind)).map(|(_, count)| *count).collect()
    };
    let sum = |kind: &str| of(kind).iter().sum::<usize>();
    assert!(sum("mixed") > 2 * sum("right") && sum("mixed") > 2 * sum("wrong"), "{counts:?}");
    assert!(of("right").len() == 4 && of("wrong").len() == 4, "{counts:?}");
    let later: BTreeSet<String> =
        asked(&scratch, "run").into_keys().filter(|(step, _)| *step > 20).map(|(_, question)| question).collect();
    assert_eq!(later.len(), 12, "what was passed over is asked again: {later:?}");
}

#[test]
fn a_resumed_run_draws_the_same_questions() {
    let scratch = Scratch::new();
    assert_stopped_equals_alone(&scratch, BOTH);
    assert!(scratch.metrics("alone").iter().any(|line| line["resampled"].as_u64().unwrap() > 0));
}
