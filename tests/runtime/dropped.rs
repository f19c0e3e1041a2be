//! A sample that a plugin fails on has no part in anything that a step computes.

use alft_game::{AdvantageConfig, Answer, TargetConfig, TargetDynamics};
use alft_policy::Completion;
use alft_runtime::config::OnError;
use alft_runtime::data::Question;
use alft_runtime::plugins::{PluginSet, RunPlugin};
use alft_runtime::reward::{self, RewardConfig, TargetState};
use alft_runtime::rollout::{Group, Rollout};
use alft_sdk::{Bundle, Manifest, Objective, Plugin, Prompt, Reader, Result, Valuation, Verifier, linked, manifest};

/// Reads the completion as the answer, scores its length, and fails as an objective where an answer is "fail".
#[derive(serde::Deserialize)]
struct Literal {}

impl Plugin for Literal {
    fn manifest(&self) -> Manifest {
        manifest!("Takes completions literally.")
    }
}

impl Reader for Literal {
    fn read(&self, _: &Prompt, completion: &str) -> Result<Option<String>> {
        match completion {
            "" => Ok(None),
            "unreadable by failure" => Err("told to fail".into()),
            text => Ok(Some(text.to_owned())),
        }
    }
}

impl Verifier for Literal {
    fn score(&self, _: &Prompt, answer: &str) -> Result<f64> {
        Ok(answer.len() as f64)
    }
}

impl Objective for Literal {
    fn evaluate(&self, bundle: &Bundle) -> Result<Valuation> {
        if bundle.groups.iter().any(|group| group.answer("fail").is_some()) {
            return Err("told to fail".into());
        }
        Ok(Valuation { utility: 0.0, rewards: bundle.rewards(|_, answer| answer.frequency), violation: None })
    }
}

fn question() -> Question {
    let prompt = |id: &str| Prompt { id: id.into(), text: id.into(), ..Prompt::default() };
    Question::of_texts("q".into(), vec![prompt("q/0"), prompt("q/1")])
}

fn rollout<'a>(question: &'a Question, texts: [&[&str]; 2]) -> Rollout<'a> {
    let completion = |text: &&str| Completion {
        tokens: Vec::new(),
        log_probs: Vec::new(),
        text: (*text).to_owned(),
        finished: true,
    };
    let groups = question.prompts.iter().zip(texts);
    let groups = groups.map(|(prompt, texts)| Group::new(prompt, Vec::new(), texts.iter().map(completion).collect()));
    Rollout { question, groups: groups.collect() }
}

fn plugins(set: impl FnOnce(&mut RunPlugin)) -> PluginSet {
    let literal = linked!(Literal: Reader + Verifier + Objective)("{}").unwrap();
    let mut plugin = RunPlugin::linked("literal", 1.0, literal);
    set(&mut plugin);
    PluginSet::new(vec![plugin]).unwrap()
}

fn config(dynamics: TargetDynamics) -> RewardConfig<'static> {
    RewardConfig {
        step: 0,
        estimator: &alft_sdk::estimate::PlugIn,
        target: TargetConfig { dynamics, rate: 0.5 },
        advantage: AdvantageConfig::default(),
        kl_penalty: None,
    }
}

fn assign(rollout: &mut Rollout<'_>, plugins: &PluginSet, targets: &mut TargetState, dynamics: TargetDynamics) {
    reward::assign(std::slice::from_mut(rollout), plugins, targets, &config(dynamics));
}

/// Group objectives run before anyone counts, so a group that one of them drops never reaches the target.
#[test]
fn a_group_that_a_group_objective_drops_does_not_move_the_target() {
    let question = question();
    // Pass@k is defined for scores of 0 and 1: "xxx" scores 3, so it drops the first group.
    let plugins = plugins(|plugin| {
        plugin.group_objective = Some(alft_game::GroupObjective::PassAtK { k: 2 });
        plugin.on_error = OnError::DropGroup;
    });
    for dynamics in [TargetDynamics::Average, TargetDynamics::Mirror] {
        let mut targets = TargetState::default();
        let mut rollout = rollout(&question, [&["xxx", "y"], &["y", "z"]]);
        assign(&mut rollout, &plugins, &mut targets, dynamics);
        assert!(rollout.groups[0].samples.iter().all(|sample| !sample.is_kept()), "the first group is dropped");
        assert!(rollout.groups[1].samples.iter().all(|sample| sample.is_kept()), "the second is not");
        let remembered: Vec<&str> = targets.targets["q"].answers().collect();
        assert_eq!(remembered, ["y", "z"], "{dynamics:?}: the dropped group's answers are not remembered");
    }
}

#[test]
fn a_bundle_that_an_objective_drops_does_not_move_the_target() {
    let question = question();
    let plugins = plugins(|plugin| plugin.on_error = OnError::DropGroup);
    let mut targets = TargetState::default();
    let mut first = rollout(&question, [&["a", "a"], &["a", "b"]]);
    assign(&mut first, &plugins, &mut targets, TargetDynamics::Average);
    let before = targets.clone();
    let mut second = rollout(&question, [&["fail", "c"], &["c", "c"]]);
    assign(&mut second, &plugins, &mut targets, TargetDynamics::Average);
    assert_eq!(targets.targets, before.targets);
    for sample in second.samples() {
        assert_eq!((&sample.answer, sample.advantage), (&Answer::Dropped, None));
        assert_eq!(sample.dropped.as_deref(), Some("literal: error"));
        assert!(sample.rewards.is_empty() && sample.reward.is_none() && sample.accuracy.is_none());
    }
}

#[test]
fn a_dropped_sample_has_no_part_in_the_baseline() {
    let question = question();
    let plugins = plugins(|_| ());
    let mut rollout = rollout(&question, [&["aa", "b", "unreadable by failure"], &["c", "", "c"]]);
    assign(&mut rollout, &plugins, &mut TargetState::default(), TargetDynamics::BestResponse);
    let advantages: Vec<Option<f64>> = rollout.groups[0].samples.iter().map(|sample| sample.advantage).collect();
    assert!(advantages[0].unwrap() > 0.0 && advantages[0].unwrap() == -advantages[1].unwrap(), "{advantages:?}");
    assert_eq!(advantages[2], None);
    let unreadable = &rollout.groups[1].samples[1];
    assert_eq!(unreadable.accuracy, Some(0.0), "no answer is never the better choice");
    assert!(unreadable.advantage.unwrap() < 0.0);
}

#[test]
fn one_failure_drops_the_whole_group_if_the_run_file_says_so() {
    let question = question();
    let plugins = plugins(|plugin| plugin.on_error = OnError::DropGroup);
    let mut rollout = rollout(&question, [&["a", "unreadable by failure"], &["a", "b"]]);
    assign(&mut rollout, &plugins, &mut TargetState::default(), TargetDynamics::BestResponse);
    assert!(rollout.groups[0].samples.iter().all(|sample| sample.answer == Answer::Dropped));
    assert!(rollout.groups[1].samples.iter().all(|sample| sample.advantage.is_some()));
}

/// Keys of 60 KB each, none of them twice: the reader is to blame, and neither an objective nor the run's memory pays.
#[test]
fn endless_keys_are_the_readers_failure_and_are_not_remembered() {
    let (question, plugins) = (question(), plugins(|_| ()));
    let mut targets = TargetState::default();
    for step in 0..4 {
        let key = |number: usize| format!("{step}-{number}-{}", "x".repeat(60_000));
        let keys: Vec<String> = (0..32).map(key).chain(["short".into(), "short".into()]).collect();
        let texts: Vec<&str> = keys.iter().map(String::as_str).collect();
        let (first, second) = texts.split_at(17);
        let mut rollout = rollout(&question, [first, second]);
        let config = config(TargetDynamics::Average);
        let stats = reward::assign(std::slice::from_mut(&mut rollout), &plugins, &mut targets, &config);
        // 1 MiB of keys is 17 of these, beside the short one, which comes first as the most frequent.
        let kept = rollout.samples().filter(|sample| sample.is_kept()).count();
        assert_eq!(kept, 17 + 2);
        let (failures, first) = &stats.plugins[0].failures["output"];
        assert!(*failures == 15 && first.contains("read, prompt q/") && first.contains("at most 1048576"), "{first}");
        assert_eq!(stats.plugins[0].failures.len(), 1, "the objective has not failed");
        let remembered: usize = targets.targets["q"].answers().map(str::len).sum();
        assert!((5..=65_536).contains(&remembered), "{remembered}");
        assert!(targets.targets["q"].answers().any(|answer| answer == "short"));
    }
    assert!(targets.forgotten > 4 * 15, "{}", targets.forgotten);
}
