//! An item on which a plugin used up its fuel, memory or stack is worth what the run file says.

use alft_game::{AdvantageConfig, Answer, TargetConfig};
use alft_plugin_host::{BatchResult, Failure, FailureKind};
use alft_policy::Completion;
use alft_runtime::config::OnLimit;
use alft_runtime::data::Question;
use alft_runtime::plugins::{PluginSet, RunPlugin, Scorer};
use alft_runtime::reward::{self, RewardConfig, TargetState};
use alft_runtime::rollout::{Group, Rollout};
use alft_runtime::stats::StepStats;
use alft_sdk::call::{Entries, Item, Returns};
use alft_sdk::roles::{Batch, Role, Roles};
use alft_sdk::{Manifest, Prompt};

/// Reads completions literally and scores 1. Fails on a text that names the role and a kind of failure.
#[derive(Debug)]
struct Limited(Manifest);

impl Scorer for Limited {
    fn manifest(&self) -> &Manifest {
        &self.0
    }

    fn roles(&self) -> Roles {
        Roles::default().with(Role::Reader).with(Role::Grader).with(Role::Verifier)
    }

    fn call(&self, batch: &Batch<'_>) -> BatchResult {
        let Entries::Texts(entries) = batch.entries() else { panic!("{batch:?}") };
        let item = |text: &String| {
            let kinds = FailureKind::METERED.into_iter().chain([FailureKind::Deadline, FailureKind::Trap]);
            let fails = |kind: &FailureKind| *text == format!("{} {kind}", batch.role());
            match kinds.into_iter().find(fails) {
                Some(kind) => Err(Failure::new(kind, "a limit")),
                None if batch.role().returns() == Returns::Keys => Ok(Item::Key(Some(text.clone()))),
                None => Ok(Item::Score(1.0)),
            }
        };
        let items = entries.iter().flat_map(|entry| entry.texts.iter().map(item)).collect();
        BatchResult { items, ..BatchResult::default() }
    }
}

/// Rewards the completions of one prompt.
fn rewarded<'a>(question: &'a Question, texts: &[&str], on_limit: Option<OnLimit>) -> (Rollout<'a>, StepStats) {
    let completion = |text: &&str| Completion {
        tokens: Vec::new(),
        log_probs: Vec::new(),
        text: (*text).to_owned(),
        finished: true,
    };
    let group = Group::new(&question.prompts[0], Vec::new(), texts.iter().map(completion).collect());
    let mut rollouts = [Rollout { question, groups: vec![group] }];
    let mut plugin = RunPlugin::linked("limited", 1.0, Limited(alft_sdk::manifest!("Fails at limits.")));
    plugin.on_limit = on_limit;
    let config = RewardConfig {
        step: 0,
        estimator: &alft_sdk::estimate::PlugIn,
        target: TargetConfig::default(),
        advantage: AdvantageConfig::default(),
        kl_penalty: None,
    };
    let plugins = PluginSet::new(vec![plugin]).unwrap();
    let stats = reward::assign(&mut rollouts, &plugins, &mut TargetState::default(), &config);
    let [rollout] = rollouts;
    (rollout, stats)
}

const TEXTS: [&str; 6] =
    ["good", "reader out-of-fuel", "verifier memory", "grader stack-overflow", "reader deadline", "verifier deadline"];

/// Items that count for the failure rate.
fn failed(stats: &StepStats) -> u64 {
    stats.plugins[0].items.values().map(|count| count.failed).sum()
}

#[test]
fn a_limit_is_worth_the_score_of_the_run_file_and_a_deadline_is_a_failure() {
    let question = Question::of_texts("q".into(), vec![Prompt { id: "q".into(), ..Prompt::default() }]);
    let (rollout, stats) = rewarded(&question, &TEXTS, Some(OnLimit { score: -2.0, traps: false }));
    let [good, unread, verified, graded, late_reader, late_verifier] = &rollout.groups[0].samples[..] else { panic!() };
    // The reward is the verifier's score and the grader's.
    assert_eq!(good.reward, Some(2.0));
    assert_eq!(
        (&unread.answer, unread.reward),
        (&Answer::Unreadable, Some(-1.0)),
        "the lowest score of an answer, and 1"
    );
    assert_eq!((verified.reward, verified.accuracy, graded.reward), (Some(-1.0), Some(-2.0), Some(-1.0)));
    assert!(!late_reader.is_kept() && !late_verifier.is_kept());

    let counts = |kind: &str| stats.plugins[0].failures[kind].0;
    assert_eq!([counts("out-of-fuel"), counts("memory"), counts("stack-overflow"), counts("deadline")], [1, 1, 1, 2]);
    assert_eq!(failed(&stats), 2, "the failure rate is that of the deadlines");
}

#[test]
fn a_limit_is_a_failure_by_default() {
    let question = Question::of_texts("q".into(), vec![Prompt { id: "q".into(), ..Prompt::default() }]);
    let (rollout, stats) = rewarded(&question, &TEXTS, None);
    let kept: Vec<bool> = rollout.groups[0].samples.iter().map(|sample| sample.is_kept()).collect();
    assert_eq!(kept, [true, false, false, false, false, false]);
    assert_eq!(failed(&stats), 5);
}

#[test]
fn a_trap_is_the_items_doing_where_the_run_file_says_so() {
    let question = Question::of_texts("q".into(), vec![Prompt { id: "q".into(), ..Prompt::default() }]);
    let texts = ["good", "reader trap", "verifier trap", "reader out-of-fuel"];
    for (traps, kept) in [(true, [true, true, true, true]), (false, [true, false, false, true])] {
        let (rollout, stats) = rewarded(&question, &texts, Some(OnLimit { score: 0.0, traps }));
        let samples = &rollout.groups[0].samples;
        assert_eq!(samples.iter().map(|sample| sample.is_kept()).collect::<Vec<_>>(), kept);
        assert_eq!(failed(&stats), if traps { 0 } else { 2 });
        if traps {
            assert_eq!((&samples[1].answer, samples[2].reward), (&Answer::Unreadable, Some(1.0)), "1 of the grader");
        }
    }
}
