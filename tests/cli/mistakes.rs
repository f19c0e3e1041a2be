//! Bad input gets a clear error and its exit code.

use std::process::Command;

use crate::support::{Small, alft, fail, root, succeed};

#[test]
fn of_the_command_line() {
    let small = Small::new();
    fail(&mut alft(small.path()), 2, &["Usage"]);
    fail(alft(small.path()).args(["train", "run.toml", "--stpes", "1"]), 2, &["--steps"]);
}

#[test]
fn of_the_run_file() {
    let small = Small::new();
    fail(alft(small.path()).args(["train", "absent.toml"]), 1, &["absent.toml", "No such file"]);
    fail(small.train("x").args(["--set", "train.stpes=3"]), 3, &["stpes", "did you mean `steps`?"]);
    fail(small.train("x").args(["--set", "game.group=1"]), 3, &["group = 1", "2 or more"]);
    fail(small.train("x").args(["--set", "train.steps=many"]), 3, &["steps = \"many\"", "expected u64"]);
    small.write("run.toml", "output = \"x\"\n[model\n");
    fail(alft(small.path()).args(["train", "run.toml"]), 3, &["run.toml", "[model"]);
    small.write("run.toml", "");
    fail(alft(small.path()).args(["train", "run.toml"]), 3, &["missing field"]);
}

#[test]
fn of_the_questions() {
    let small = Small::new();
    let train = small.read("train.jsonl");
    small.write("train.jsonl", &train.replacen("\"prompts\"", "\"promts\"", 1));
    fail(&mut small.train("x"), 4, &["train.jsonl, line 1", "no `prompt`"]);
    small.write("train.jsonl", &format!("{train}{{\"prompt\": "));
    fail(&mut small.train("x"), 4, &["train.jsonl, line 1001", "EOF"]);
    small.write("train.jsonl", "");
    fail(&mut small.train("x"), 4, &["train.jsonl", "holds no line"]);
    small.write("train.jsonl", "{\"id\": \"q\", \"prompt\": \"Wie groß?\"}\n");
    fail(&mut small.train("x"), 4, &["train.jsonl", "question q"]);
    std::fs::remove_file(small.path().join("train.jsonl")).unwrap();
    fail(&mut small.train("x"), 4, &["train.jsonl", "No such file"]);
}

#[test]
fn of_the_plugins() {
    let small = Small::new();
    let run = small.read("run.toml");
    let entropy =
        format!("crate = \"{}\"\nform = \"native\"\ntrust = \"native\"", root().join("plugins/entropy").display());
    let with = |plugin: &str| small.write("run.toml", &run.replace(&entropy, plugin));
    with("path = \"absent.wasm\"");
    fail(&mut small.train("x"), 5, &["plugin \"entropy\"", "absent.wasm", "No such file"]);
    with(&entropy.replace("plugins/entropy", "plugins/absent"));
    fail(&mut small.train("x"), 5, &["plugins/absent", "no Cargo.toml"]);
    with(&entropy.replace("trust = \"native\"", ""));
    fail(&mut small.train("x"), 5, &["plugin \"entropy\"", "trust = \"native\""]);
    with(&format!("{entropy}\nconfig = {{ wieght = 1 }}"));
    fail(&mut small.train("x"), 5, &["plugin \"entropy\"", "unknown field `wieght`"]);
    with(&format!("{entropy}\nroles = [\"reader\"]"));
    fail(&mut small.train("x"), 5, &["plugin \"entropy\"", "does not have the role reader"]);
    let contract = "(component (instance $v) (export \"alft:objective/objective@9.0.0\" (instance $v)))";
    std::fs::write(small.path().join("future.wasm"), wat::parse_str(contract).unwrap()).unwrap();
    with("path = \"future.wasm\"");
    fail(&mut small.train("x"), 5, &["future.wasm", "contract version 9.0.0", "this host speaks version 1.0.0"]);
    small.write("run.toml", &run.replace("plugins/arithmetic", "plugins/gini").replace("config = { marker", "# "));
    fail(&mut small.train("x"), 5, &["none of the plugins reads answers"]);
}

#[cfg(unix)]
#[test]
fn of_the_runs_folder() {
    let small = Small::prebuilt();
    succeed(&mut small.train("run"));
    std::fs::write(small.path().join("run/changes.jsonl"), b"\xff\n").unwrap();
    fail(&mut small.resume("run"), 7, &["changes.jsonl", "no change that this alft made"]);
    std::fs::write(small.path().join("run/changes.jsonl"), "").unwrap();
    // Whoever opened a pipe would wait for ever.
    for name in ["lock", "changes.jsonl", "samples.jsonl", "ledger"] {
        let path = small.path().join("run").join(name);
        let kept = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        succeed(Command::new("mkfifo").arg(&path));
        fail(&mut small.resume("run"), 1, &[name, "it is not a file"]);
        if name == "ledger" {
            fail(alft(small.path()).args(["replay", "run"]), 1, &["ledger", "it is not a file"]);
        }
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, kept).unwrap();
    }
    succeed(small.resume("run").args(["--set", "train.steps=7"]));
}

#[test]
fn of_the_model() {
    let small = Small::new();
    let run = small.read("run.toml");
    small.write("run.toml", &run.replace("embedded = \"tiny\"", "path = \"no/model\""));
    fail(&mut small.train("x"), 6, &["no/model"]);
    std::fs::create_dir(small.path().join("empty")).unwrap();
    small.write("run.toml", &run.replace("embedded = \"tiny\"", "path = \"empty\""));
    fail(&mut small.train("x"), 6, &["empty", "config.json"]);
    small.write("run.toml", &run.replace("embedded = \"tiny\"", "embedded = \"tiny\"\ndevice = \"cuda\""));
    fail(&mut small.train("x"), 6, &["CUDA"]);
}
