//! Wrong input gets an error that names the place, and its exit code.

use std::process::Command;

use alft_build::Form;

use crate::support::{Small, alft, all_text, built, component, fail, finished, plugin_table, root, succeed};

#[test]
fn in_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    fail(&mut alft(folder.path()), 2, &["Usage"]);
    fail(alft(folder.path()).args(["train", "run.toml", "--stpes", "1"]), 2, &["--steps"]);
}

#[test]
fn in_the_run_file() {
    let small = Small::new();
    let set = |setting: &str, texts: &[&str]| fail(small.train("x").args(["--set", setting]), 3, texts);
    set("train.stpes=3", &["unknown field `stpes`", "stpes = 3", "did you mean `steps`?"]);
    set("game.group=1", &["`game.group` must be at least 2", "not 1", "group = 1"]);
    set("train.steps=many", &["steps = \"many\"", "expected u64"]);
    set("plugin.entropy.weight=-1", &["`plugin.entropy.weight` must be 0 or more", "weight = -1"]);
    set("plugin.absent.weight=1", &["--set plugin.absent.weight=1", "plugin has no entry \"absent\""]);

    let train = || small.command(&["train", "run.toml"]);
    fail(&mut small.command(&["train", "absent.toml"]), 1, &["cannot read the run file absent.toml", "No such file"]);
    small.write("run.toml", "output = \"x\"\n[model\n");
    fail(&mut train(), 3, &["run.toml", "[model"]);
    small.write("run.toml", "");
    fail(&mut train(), 3, &["missing field"]);
}

/// Help is data, as any other output.
#[cfg(target_os = "linux")]
#[test]
fn in_a_full_disk_behind_the_help() {
    let folder = tempfile::tempdir().unwrap();
    for argument in ["--help", "--version", "train --help"] {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let output = alft(folder.path()).args(argument.split(' ')).stdout(full).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{argument}");
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(errors.contains("cannot write to standard output"), "{argument}: {errors}");
    }
}

/// The run goes on, and says at its start what the verifier cannot judge.
#[test]
fn in_the_gold_answers() {
    let small = Small::new();
    let train = small.read("train.jsonl");
    let (first, rest) = train.split_once('\n').unwrap();
    let mut question: serde_json::Value = serde_json::from_str(first).unwrap();
    question.as_object_mut().unwrap().remove("gold");
    small.write("train.jsonl", &format!("{question}\n{rest}"));
    let output = succeed(small.train("x").args(["--steps", "0"]));
    let errors = String::from_utf8(output.stderr).unwrap();
    let phrasings = question["prompts"].as_array().unwrap().len();
    for text in [&format!("warning: plugin arithmetic cannot judge {phrasings} of "), "has no gold answer"] {
        assert!(errors.contains(text), "{text}: {errors}");
    }
}

#[test]
fn in_the_worked_examples() {
    let small = Small::new();
    let worked = small.read("worked.jsonl");
    let long = format!(r#"{{"prompt": "1+1=", "completion": "{}"}}"#, "9".repeat(5000));
    small.write("worked.jsonl", &format!("{worked}{long}\n"));
    let line = format!("worked.jsonl, line {}", worked.lines().count() + 1);
    fail(&mut small.train("x"), 4, &[&line, "tokens", "context holds 512", "shorten the example"]);
    small.write("worked.jsonl", &format!("{worked}{{\"prompt\": \"1+1=\", \"completion\": \"é\"}}\n"));
    fail(&mut small.train("x"), 4, &[&line, "no token for \"é\""]);
    small.write("worked.jsonl", &format!("{worked}{{\"prompt\": \"\", \"completion\": \"2\"}}\n"));
    fail(&mut small.train("x"), 4, &[&line, "the prompt has no tokens"]);
    assert!(!small.path().join("x").exists(), "nothing was begun");
}

/// The tokenizer has a token that the model has no row for.
#[test]
fn in_the_rows_of_a_model() {
    let small = finished().copy();
    let run = small.read("run.toml").replace("embedded = \"tiny\"", "path = \"run/model\"");
    let mut tokenizer: serde_json::Value = serde_json::from_str(&small.read("run/model/tokenizer.json")).unwrap();
    let rows = tokenizer["model"]["vocab"].as_object().unwrap().len();
    let added = serde_json::json!({
        "id": rows, "content": "[PAD]", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
        "special": true
    });
    tokenizer["added_tokens"].as_array_mut().unwrap().push(added);
    small.write("run/model/tokenizer.json", &tokenizer.to_string());
    small.write("run.toml", &run);
    let (token, rows) = (format!("has token {rows}"), format!("rows for tokens below {rows}"));
    // A template's marks are read as the tokens that they name.
    small.write("run.toml", &run.replace("[prompts]", "[prompts]\ntemplate = \"[PAD]{prompt}\""));
    fail(&mut small.train("x"), 4, &["train.jsonl: question ", &token, &rows, "added without rows"]);
    assert!(!small.path().join("x").exists(), "nothing was begun");
}

#[test]
fn in_an_evaluation_that_is_trained_on() {
    let small = Small::new();
    small.write("eval.jsonl", &small.read("train.jsonl").lines().take(2).collect::<Vec<_>>().join("\n"));
    let output = succeed(small.train("x").args(["--steps", "1"]));
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(errors.contains("warning: 2 of 2 questions of prompts.eval are in prompts.train too"), "{errors}");
    let summary = String::from_utf8(output.stdout).unwrap();
    assert!(summary.contains("on questions, 2 of them trained on") && !summary.contains("kept out"), "{summary}");
}

/// The run goes on, and says at its start what the special tokens of the model mean for it.
#[test]
fn in_the_special_tokens() {
    let small = finished().copy();
    let run = small.read("run.toml").replace("embedded = \"tiny\"", "path = \"run/model\"");
    let question = |text: &str| {
        small.write("train.jsonl", &format!("{{\"prompt\": \"{text}\", \"gold\": 2}}\n"));
    };
    small.write("run.toml", &run);
    question("1+1=");
    let warnings = || {
        let output = succeed(small.train("x").args(["--steps", "0"]));
        let errors = String::from_utf8(output.stderr).unwrap();
        errors.lines().filter(|line| line.starts_with("warning:")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(warnings(), [""; 0]);
    let edit = |name: &str, edit: &dyn Fn(&mut serde_json::Value)| {
        let path = format!("run/model/{name}");
        let mut value = serde_json::from_str(&small.read(&path)).unwrap();
        edit(&mut value);
        small.write(&path, &value.to_string());
    };
    let without = |key: &'static str| move |value: &mut serde_json::Value| value[key] = serde_json::Value::Null;
    edit("config.json", &without("eos_token_id"));
    edit("generation_config.json", &without("eos_token_id"));
    assert_eq!(warnings(), [""; 0], "tokenizer_config.json still names the token");
    edit("tokenizer_config.json", &without("eos_token"));
    let [warning] = &warnings()[..] else { panic!("{:?}", warnings()) };
    for text in ["no end-of-sequence token", "cut at 32 tokens", "eos_token_id", "sampling.stop"] {
        assert!(warning.contains(text), "{warning}");
    }
    small.write("run.toml", &run.replace("max_new_tokens = 32", "max_new_tokens = 32\nstop = [\".\"]"));
    assert_eq!(warnings(), [""; 0], "a text ends the completions");

    let tokenizer = small.read("run/model/tokenizer.json");
    small.write("run/model/tokenizer.json", &tokenizer.replace("<eos>", "and"));
    question("one and one");
    let [warning] = &warnings()[..] else { panic!("{:?}", warnings()) };
    for text in ["1 of the questions quote special tokens", "such as and in question 1"] {
        assert!(warning.contains(text), "{warning}");
    }
}

#[test]
fn in_numbers_of_the_command_line() {
    let small = Small::new();
    for (option, number) in [("--seed", "18446744073709551615"), ("--steps", "9223372036854775808")] {
        fail(
            small.train("x").args([option, number]),
            2,
            &[option, "write a whole number from 0 to 9223372036854775807"],
        );
    }
}

/// Limits of the system are blamed for what they do.
#[cfg(target_os = "linux")]
#[test]
fn in_the_limits_of_the_system() {
    let small = Small::new();
    let limited = |limit: &str, command: &Command| {
        let mut shell = Command::new("sh");
        let arguments = command.get_args().map(|argument| argument.to_str().unwrap());
        let line = [command.get_program().to_str().unwrap()].into_iter().chain(arguments).collect::<Vec<_>>().join(" ");
        shell.current_dir(small.path()).args(["-c", &format!("ulimit {limit} && exec {line}")]);
        shell
    };
    let steps = |output: &str| {
        let mut train = small.train(output);
        train.args(["--steps", "1"]);
        train
    };
    succeed(&mut limited("-v 3000000", &steps("short")));
    fail(&mut limited("-f 100", &steps("small")), 1, &["File too large"]);

    // With less and less memory the run ends, without blame for a plugin, and no sample is dropped.
    for limit in (400_000..700_000).step_by(75_000) {
        let output = format!("v{limit}");
        let ended = limited(&format!("-v {limit}"), &steps(&output)).output().unwrap();
        let text = all_text(&ended);
        assert!(!text.contains("bug in the plugin"), "{limit}: {text}");
        if ended.status.success() {
            assert!(!small.read(&format!("{output}/samples.jsonl")).contains("dropped"), "{limit}: {text}");
        }
    }
    let inspect = small.command(&["plugin", "inspect", component("entropy").to_str().unwrap()]);
    fail(&mut limited("-f 10", &inspect), 1, &["File too large", "no fault of the plugin", "ulimit"]);
}

/// A reader of the messages that is gone, and a full disk behind them, end no run.
#[cfg(target_os = "linux")]
#[test]
fn in_the_place_of_the_messages() {
    let small = Small::new();
    let run = |output: &str, messages: std::process::Stdio| {
        let status =
            small.train(output).args(["--steps", "1"]).stdout(std::process::Stdio::null()).stderr(messages).status();
        assert_eq!(status.unwrap().code(), Some(0), "{output}");
        assert!(small.read(&format!("{output}/summary.json")).contains("\"steps\""), "{output}");
    };
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    run("full", full.into());
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    run("gone", writer.into());
}

/// A slash at the end, and an empty folder.
#[test]
fn in_the_name_of_the_output() {
    let small = Small::new();
    let train = |output: &str| drop(succeed(small.train(output).args(["--steps", "0"])));
    train("runs/x/");
    train("runs/x/");
    std::fs::create_dir(small.path().join("given")).unwrap();
    train("given/");
    for folder in ["runs/x/summary.json", "runs/x-2/summary.json", "given/summary.json"] {
        assert!(small.path().join(folder).is_file(), "{folder}");
    }
}

/// A name that is no UTF-8 cannot stand in a run's records.
#[cfg(target_os = "linux")]
#[test]
fn in_a_name_that_is_no_text() {
    use std::os::unix::ffi::OsStrExt;

    let small = Small::new();
    let folder = small.path().join(std::ffi::OsStr::from_bytes(b"caf\xe9"));
    std::fs::create_dir(&folder).unwrap();
    for file in ["run.toml", "train.jsonl", "eval.jsonl", "worked.jsonl"] {
        std::fs::copy(small.path().join(file), folder.join(file)).unwrap();
    }
    std::fs::copy(component("entropy"), folder.join("a.wasm")).unwrap();
    let told = &["\u{fffd}", "is not UTF-8", "rename"];
    fail(small.command(&["train"]).arg(folder.join("run.toml")), 2, told);
    fail(small.command(&["train", "run.toml", "--output"]).arg(folder.join("x")), 2, told);
    for arguments in [&["plugin", "check"][..], &["plugin", "inspect", "--json"], &["plugin", "bench", "--json"]] {
        fail(small.command(arguments).arg(folder.join("a.wasm")), 2, told);
        fail(small.command(arguments).arg("a.wasm").current_dir(&folder), 2, told);
    }
}

/// Two tables have a key of the same name. The error shows the line of the wrong one.
#[test]
fn in_one_of_two_keys_of_the_same_name() {
    let small = Small::new();
    let run = small.read("run.toml").replace("[eval]\nbundles = 2\ngroup = 2", "[eval]\nbundles = 2\ngroup = 0");
    small.write("run.toml", &run);
    let line = run.lines().position(|line| line == "group = 0").unwrap() + 1;
    let texts = ["`eval.group` must be at least 1", &format!("[run.toml:{line}:1]"), &format!("{line} │ group = 0")];
    fail(&mut small.command(&["train", "run.toml"]), 3, &texts);
}

#[test]
fn in_the_questions() {
    let small = Small::new();
    let train = small.read("train.jsonl");
    let refused = |text: &str, texts: &[&str]| {
        small.write("train.jsonl", text);
        fail(&mut small.train("x"), 4, texts);
    };
    refused(&train.replacen("\"prompts\"", "\"promts\"", 1), &["train.jsonl, line 1", "no `prompt`", "a line is {"]);
    refused(&format!("{train}{{\"prompt\": "), &["train.jsonl, line 1001", "EOF"]);
    refused("", &["train.jsonl", "the file is empty"]);
    refused("{\"id\": \"q\", \"prompt\": \"Wie groß?\"}\n", &["train.jsonl", "question q"]);
    std::fs::remove_file(small.path().join("train.jsonl")).unwrap();
    fail(&mut small.train("x"), 4, &["train.jsonl", "No such file"]);
}

#[test]
fn in_the_plugins() {
    let small = Small::new();
    let run = small.read("run.toml");
    let entropy = plugin_table("entropy", &component("entropy"), "weight = 0.03");
    let refused = |table: &str, texts: &[&str]| {
        small.write("run.toml", &run.replace(&entropy, table));
        fail(&mut small.train("x"), 5, texts);
    };
    let with = |keys: &str| plugin_table("entropy", &component("entropy"), keys);
    let from = |source: &str| format!("\n[[plugin]]\nname = \"entropy\"\ncrate = {:?}\n", root().join(source));
    let absent = plugin_table("entropy", "absent.wasm".as_ref(), "");
    refused(&absent, &["plugin \"entropy\" cannot be used", "cannot read the plugin", "absent.wasm", "No such file"]);
    refused(&from("plugins/absent"), &["plugin \"entropy\"", "plugins/absent", "no Cargo.toml"]);
    let native = plugin_table("entropy", &built("entropy", Form::Native), "");
    refused(&native, &["plugin \"entropy\"", "add `trust = \"native\"` to the plugin's table"]);
    refused(&with("config = { wieght = 1 }"), &["plugin \"entropy\"", "unknown field `wieght`"]);
    refused(&with("roles = [\"reader\"]"), &["plugin \"entropy\"", "does not have the role reader"]);
    refused(&with(&format!("hash = \"{}\"", "0".repeat(64))), &["plugin \"entropy\"", "is not the pinned file"]);
    let contract = "(component (instance $v) (export \"alft:objective/objective@9.0.0\" (instance $v)))";
    std::fs::write(small.path().join("future.wasm"), wat::parse_str(contract).unwrap()).unwrap();
    let future = plugin_table("entropy", "future.wasm".as_ref(), "");
    refused(&future, &["future.wasm", "version 9.0.0 of the contract", "this host has version 1.0.0"]);
    let reader = plugin_table("arithmetic", &component("arithmetic"), "config = { marker = \":\" }");
    small.write("run.toml", &run.replace(&reader, ""));
    fail(&mut small.train("x"), 5, &["none of the plugins reads answers"]);
}

#[cfg(unix)]
#[test]
fn in_the_runs_folder() {
    let small = finished().copy();
    std::fs::write(small.path().join("run/changes.jsonl"), b"\xff\n").unwrap();
    fail(&mut small.resume("run"), 7, &["changes.jsonl", "no change that this alft made"]);
    std::fs::write(small.path().join("run/changes.jsonl"), "").unwrap();
    // A process that opens a pipe waits for a writer, for ever.
    for name in ["lock", "changes.jsonl", "samples.jsonl", "ledger"] {
        let path = small.path().join("run").join(name);
        let kept = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        succeed(Command::new("mkfifo").arg(&path));
        fail(&mut small.resume("run"), 1, &[name, "it is a pipe; name a regular file"]);
        if name == "ledger" {
            fail(&mut small.command(&["replay", "run"]), 1, &["ledger", "it is a pipe; name a regular file"]);
        }
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, kept).unwrap();
    }
    succeed(small.resume("run").args(["--set", "train.steps=7"]));
}

#[test]
fn in_the_model() {
    let small = Small::new();
    let run = small.read("run.toml");
    let refused = |keys: &str, texts: &[&str]| {
        small.write("run.toml", &run.replace("embedded = \"tiny\"", keys));
        fail(&mut small.train("x"), 6, texts);
    };
    refused("path = \"no/model\"", &["no/model"]);
    std::fs::create_dir(small.path().join("empty")).unwrap();
    refused("path = \"empty\"", &["empty", "config.json"]);
    refused("embedded = \"tiny\"\ndevice = \"cuda\"", &["CUDA"]);
}

/// Nobody writes into the pipe: a command that waits for it never ends.
#[cfg(unix)]
#[test]
fn files_that_are_pipes_devices_or_folders_are_refused_for_what_they_are() {
    let small = Small::new();
    let at = |name: &str| small.path().join(name).display().to_string();
    assert!(Command::new("mkfifo").arg(at("pipe")).status().unwrap().success());
    std::os::unix::fs::symlink("/dev/zero", at("device")).unwrap();
    std::fs::create_dir(at("folder")).unwrap();
    for (name, kind) in [("pipe", "it is a pipe"), ("device", "it is a device"), ("folder", "it is a folder")] {
        let words: &[&str] = &[name, kind];
        let file = at(name);
        fail(&mut small.command(&["train", &file]), 1, words);
        fail(small.train("x").args(["--set", &format!("prompts.train={file:?}")]), 4, words);
        fail(small.train("x").args(["--set", &format!("plugin.entropy.path={file:?}")]), 5, words);
        fail(small.command(&["score", &file, "--plugin"]).arg(component("arithmetic")), 4, words);
        fail(small.command(&["plugin", "inspect"]).arg(component("entropy")).args(["--kit", &file]), 4, &[name]);
        if name != "folder" {
            fail(&mut small.command(&["plugin", "inspect", &file]), 5, words);
        }
    }
}

/// The kernel's log has the type of a regular file, and a reader waits for its next message. Only an administrator can open it.
#[cfg(target_os = "linux")]
#[test]
fn a_link_to_the_kernels_log_is_not_waited_for() {
    let small = Small::new();
    let log = small.path().join("log.wasm").display().to_string();
    std::os::unix::fs::symlink("/proc/kmsg", &log).unwrap();
    if std::fs::OpenOptions::new().read(true).open("/proc/kmsg").is_err() {
        return;
    }
    fail(&mut small.command(&["plugin", "inspect", &log]), 5, &["log.wasm"]);
    fail(small.command(&["plugin", "inspect"]).arg(component("entropy")).args(["--kit", &log]), 4, &["log.wasm"]);
    fail(small.train("x").args(["--set", &format!("prompts.train={log:?}")]), 4, &["log.wasm"]);
    fail(&mut small.command(&["train", &log]), 1, &["log.wasm"]);
    let manifest = small.path().join("project");
    std::fs::create_dir(&manifest).unwrap();
    std::os::unix::fs::symlink("/proc/kmsg", manifest.join("Cargo.toml")).unwrap();
    fail(&mut small.command(&["plugin", "inspect", "project"]), 5, &["Cargo.toml"]);
    let run = finished().copy();
    std::fs::remove_file(run.path().join("run/ledger")).unwrap();
    std::os::unix::fs::symlink("/proc/kmsg", run.path().join("run/ledger")).unwrap();
    fail(run.resume("run").args(["--set", "train.steps=7"]), 1, &["ledger"]);
}
