//! Same seed, same metrics; killed and resumed, the same as left alone.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Small, fail, succeed};

#[test]
fn same_seed_same_metrics_and_samples() {
    let small = Small::new();
    for output in ["a", "b"] {
        succeed(&mut small.train(output));
    }
    assert_eq!(small.metrics("a").len(), 20 + 6);
    assert_eq!(small.metrics("a"), small.metrics("b"));
    assert_eq!(small.read("a/samples.jsonl"), small.read("b/samples.jsonl"));

    succeed(small.train("c").args(["--seed", "1"]));
    assert_ne!(small.metrics("a"), small.metrics("c"), "another seed is another run");
}

#[test]
fn killed_and_resumed_is_the_same_as_left_alone() {
    let small = Small::new();
    succeed(&mut small.train("alone"));
    let steps = |output: &str| {
        let text = std::fs::read_to_string(small.path().join(output).join("metrics.jsonl")).unwrap_or_default();
        text.lines().filter(|line| line.contains("\"game\"")).count()
    };
    kill_when(small.train("game"), || steps("game") >= 3);
    // As soon as there is anything to resume: in the warm start, or before it.
    kill_when(small.train("early"), || small.path().join("early/state/state.safetensors").exists());
    for output in ["game", "early"] {
        assert!(!small.path().join(output).join("summary.json").exists(), "it was killed in the middle");
        succeed(&mut small.resume(output));
        assert_eq!(small.metrics(output), small.metrics("alone"));
        let samples = |of: &str| small.read(&format!("{of}/samples.jsonl"));
        assert_eq!(samples(output), samples("alone"));
        let ledger = |of: &str| std::fs::read(small.path().join(of).join("ledger")).unwrap();
        assert!(ledger(output) == ledger("alone"), "every call is on file, once");
        assert_eq!(small.summary(output), small.summary("alone"));
    }
}

/// The target's memory, the reference's answers, adapters and a penalty in the reward are state too.
#[test]
fn what_a_run_remembers_is_saved() {
    let small = Small::new();
    let settings = [
        "target.dynamics=average",
        "train.loss.kl=reward",
        "plugin.coherence.config={consensus = \"reference\"}",
        "model.lora={rank = 4, alpha = 8.0, targets = [\"q_proj\", \"v_proj\"]}",
        "prompts.train=few.jsonl",
    ];
    let few: Vec<String> = small.read("train.jsonl").lines().take(4).map(str::to_owned).collect();
    small.write("few.jsonl", &few.join("\n"));
    let with = |mut command: Command| -> Command {
        settings.iter().for_each(|set| {
            command.args(["--set", set]);
        });
        command
    };
    succeed(&mut with(small.train("alone")));
    let last = small.metrics("alone").pop().unwrap();
    assert_eq!(last["target"]["bundles"], 4, "every bundle has been met: {last}");
    assert!(last["target"]["distance"].as_f64().unwrap() > 0.0, "{last}");

    let begun = || {
        let text = std::fs::read_to_string(small.path().join("killed/metrics.jsonl")).unwrap_or_default();
        text.lines().filter(|line| line.contains("\"game\"")).count() >= 3
    };
    kill_when(with(small.train("killed")), begun);
    succeed(&mut with(small.resume("killed")));
    assert_eq!(small.metrics("killed"), small.metrics("alone"));
}

fn kill_when(mut command: Command, ready: impl Fn() -> bool) {
    let mut child = command.stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let begun = Instant::now();
    while !ready() {
        assert!(begun.elapsed() < Duration::from_secs(300), "it never came so far");
        assert!(child.try_wait().unwrap().is_none(), "it ended before it could be killed");
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_finished_run_can_be_made_longer_but_not_into_another() {
    let small = Small::new();
    succeed(&mut small.train("run"));
    succeed(small.resume("run").args(["--set", "train.steps=8"]));
    assert_eq!(small.metrics("run").len(), 20 + 8);

    fail(small.resume("run").args(["--set", "game.group=3"]), 7, &["game.group", "start a new run"]);
    fail(&mut small.resume("nowhere"), 7, &["no saved state", "--resume"]);
}
