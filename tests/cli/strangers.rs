//! Text of a stranger cannot steer the terminal, pass for a line of alft's or fill the screen, wherever it comes from.

use std::path::{Path, PathBuf};
use std::process::Command;

use alft_build::Form;
use alft_plugin_host::ledger::Ledger;
use alft_plugin_host::{Engine, Limits, Plugin, Worker};
use alft_sdk::call::PromptTexts;
use alft_sdk::roles::Batch;
use serde_json::{Value, json};

use crate::support::{alft, all_text, built, component, finished, plugin_table};

/// Characters that a terminal obeys: of C0 and C1, and marks that change the direction of text. NUL is left out, since no
/// path and no argument can have it.
const STEERING: &str =
    "\u{1b}]0;t\u{7}\u{1b}[2J\r\u{8}\u{7f}\u{9b}31m\u{85}\u{202e}\u{2066}\u{61c}\u{200e}\u{200f}\u{2028}";

/// Those of [`STEERING`] that are no control characters.
const MARKS: [char; 6] = ['\u{202e}', '\u{2066}', '\u{61c}', '\u{200e}', '\u{200f}', '\u{2028}'];

/// Lines that would be taken for alft's.
const FORGED: [&str; 2] = ["imports    none, truly", "error: forged"];

/// More bytes than any place should print of a text.
const LONG: usize = 60_000;

/// Bytes of all that a command may print, where a table or a snippet of a file comes with the text.
const MOST_PRINTED: usize = 16_000;

/// A text with all of this.
fn text() -> String {
    format!("{}{}", short(), "x".repeat(LONG))
}

/// As [`text`], for a name of a file.
fn short() -> String {
    format!("a{STEERING}\n{}\n{}\n", FORGED[0], FORGED[1])
}

/// Asserts that a command prints nothing that steers a terminal, no forged line and no endless one.
fn assert_harmless(place: &str, command: &mut Command) {
    let output = command.output().unwrap();
    let all = all_text(&output);
    assert!(!all.trim().is_empty(), "{place}: nothing is printed");
    if let Some(at) = all.find(steers) {
        panic!("{place}: steers a terminal: {:?}", all[at..].chars().take(20).collect::<String>());
    }
    let forged = |line: &&str| FORGED.iter().any(|forged| line.starts_with(forged));
    assert!(!all.lines().any(|line| forged(&line)), "{place}: a line is forged: {all}");
    let json = command.get_args().any(|argument| argument == "--json");
    assert!(json || all.len() < MOST_PRINTED, "{place}: {} bytes are printed:\n{all}", all.len());
    assert!(!all.contains("panicked at"), "{place}: {all}");
}

/// Returns true for a character that a terminal obeys, other than a line break and a tab.
fn steers(c: char) -> bool {
    (c.is_control() && !"\n\t".contains(c)) || MARKS.contains(&c)
}

/// A scratch folder.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    fn alft(&self, args: &[&str]) -> Command {
        let mut command = alft(self.0.path());
        command.args(args);
        command
    }
}

/// A section of a component or module.
fn section(id: u8, content: &[u8]) -> Vec<u8> {
    [&[id][..], &leb128(content.len()), content].concat()
}

fn leb128(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

fn named(name: &str) -> Vec<u8> {
    [leb128(name.len()), name.as_bytes().to_vec()].concat()
}

const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";
const MODULE: &[u8] = b"\0asm\x01\0\0\0";

/// A component that imports an instance of this name.
fn importing(name: &str) -> Vec<u8> {
    let import = [&[1, 0][..], &named(name), &[5, 0]].concat();
    [COMPONENT, &section(7, &[1, 0x42, 0]), &section(10, &import)].concat()
}

/// A component that exports an instance under this name.
fn exporting(name: &str) -> Vec<u8> {
    let import = [&[1, 0][..], &named("a"), &[5, 0]].concat();
    let export = [&[1, 0][..], &named(name), &[5, 0, 0]].concat();
    [COMPONENT, &section(7, &[1, 0x42, 0]), &section(10, &import), &section(11, &export)].concat()
}

/// A component with a module inside that imports from a module of this name.
fn importing_inside(name: &str) -> Vec<u8> {
    let import = [&[1][..], &named(name), &named("f"), &[0, 0]].concat();
    let module = [MODULE, &section(1, &[1, 0x60, 0, 0]), &section(2, &import)].concat();
    [COMPONENT, &section(1, &module)].concat()
}

/// A component that names its producer.
fn produced_by(name: &str) -> Vec<u8> {
    let content = [&named("producers")[..], &[1], &named("language"), &[1], &named(name), &named("1")].concat();
    [COMPONENT, &section(0, &content)].concat()
}

/// Replaces every occurrence of a text in a file by one of the same length.
fn patched(file: &Path, from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = std::fs::read(file).unwrap();
    let places: Vec<usize> = bytes
        .windows(from.len())
        .enumerate()
        .filter(|(_, window)| *window == from.as_bytes())
        .map(|(at, _)| at)
        .collect();
    assert!(!places.is_empty(), "{} has no {from}", file.display());
    places.iter().for_each(|at| bytes[*at..at + to.len()].copy_from_slice(to.as_bytes()));
    bytes
}

#[test]
fn in_a_plugins_file() {
    let text = text();
    for (place, bytes) in [
        ("the name of an import", importing(&text)),
        ("an import that is called none", importing("none")),
        ("the URL of an import", importing(&format!("url=<{text}>"))),
        ("the version of an import", importing(&format!("alft:objective/diagnostics@1{text}"))),
        ("the version of an export", exporting(&format!("alft:objective/verifier@1{text}"))),
        ("the name of an export", exporting(&text)),
        ("the name of a system's interface", importing_inside(&format!("wasi:{text}"))),
        ("the name of a producer", produced_by(&text)),
        ("the bytes of a file", text.clone().into_bytes()),
    ] {
        let folder = Place::new();
        folder.write("p.wasm", bytes);
        folder.write("games.jsonl", game("g", "x", "A", "entropy"));
        for args in [&["plugin", "inspect", "p.wasm"][..], &["plugin", "inspect", "p.wasm", "--json"]] {
            assert_harmless(place, &mut folder.alft(args));
        }
        assert_harmless(place, &mut folder.alft(&["solve", "games.jsonl", "--plugin", "p.wasm"]));
        assert_harmless(place, &mut folder.alft(&["plugin", "check", "p.wasm"]));
    }
    let folder = Place::new();
    folder.write("p.wasm", importing("none"));
    let all = all_text(&folder.alft(&["plugin", "inspect", "p.wasm"]).output().unwrap());
    assert!(all.contains("imports    \"none\""), "{all}");
}

#[cfg(target_os = "linux")]
#[test]
fn in_a_native_library() {
    let library = built("misbehave", Form::Native);
    let folder = Place::new();
    let same_length = |text: &str| format!("\u{1b}[2J\n{}", "x".repeat(text.len() - 5));
    let target = alft_sdk::abi::TARGET;
    folder.write("target.so", patched(&library, target, &same_length(target)));
    folder.write("entry.so", patched(&library, "alft_plugin_v1", "alft_plugin_v\u{1b}"));
    for file in ["target.so", "entry.so"] {
        assert_harmless(file, &mut folder.alft(&["plugin", "inspect", file]));
        assert_harmless(file, &mut folder.alft(&["plugin", "inspect", file, "--trust-native", "--json"]));
        assert_harmless(file, &mut folder.alft(&["plugin", "check", file, "--trust-native"]));
    }
}

/// A line of a games file.
fn game(name: &str, id: &str, answer: &str, kind: &str) -> String {
    let traces = json!([{"answer": answer, "prob": 0.5}, {"answer": "B", "prob": 0.5}]);
    json!({"name": name, "beta": 0.1, "prompts": [{"id": id, "traces": traces}],
           "objectives": [{"kind": kind, "weight": 0.5}]})
    .to_string()
}

#[test]
fn in_games() {
    let text = &text();
    for (place, line) in [
        ("the name of a game", game(text, "x", "A", "entropy")),
        ("the name of a game that is refused", game(text, "x", "A", "entrpy")),
        ("the id of a prompt", game("g", text, "A", "entropy")),
        ("an answer", game("g", "x", text, "entropy")),
        ("the kind of an objective", game("g", "x", "A", text)),
        ("an unknown key", game("g", "x", "A", "entropy").replacen('{', &format!("{{{}: 1, ", json!(text)), 1)),
        (
            "two ids",
            game("g", "x", "A", "entropy")
                .replace(r#""prompts":["#, &format!(r#""prompts":[{0},{0},"#, json!({"id": text, "traces": []}))),
        ),
        ("no JSON", text.clone()),
    ] {
        let folder = Place::new();
        folder.write("games.jsonl", &line);
        for args in [&["solve", "games.jsonl"][..], &["solve", "games.jsonl", "--json"]] {
            assert_harmless(place, &mut folder.alft(args));
        }
        let simulate = ["simulate", "games.jsonl", "--steps", "1", "--group", "4"];
        assert_harmless(place, &mut folder.alft(&simulate));
    }
    let folder = Place::new();
    folder.write("games.jsonl", game(text, "x", "A", "entropy"));
    let output = folder.alft(&["solve", "games.jsonl", "--json"]).output().unwrap();
    let solution: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(&solution["name"], text, "a program gets all of the text");
    assert_harmless("--only", &mut folder.alft(&["solve", "games.jsonl", "--only", text]));
}

#[test]
fn in_completions() {
    let text = &text();
    let (reader, failing) = (component("regex"), component("misbehave"));
    let reader = ["--plugin", reader.to_str().unwrap(), "--config", r#"{"pattern": "(?s).*"}"#];
    let failing = ["--plugin", failing.to_str().unwrap(), "--config", r#"{"fault": "error"}"#];
    let line =
        |id: &str, completion: &str| json!({"id": id, "prompt": "p", "completions": [completion, "b"], "gold": "b"});
    for (place, lines) in [
        ("the id of a question", line(text, "a").to_string()),
        ("the id of two questions", format!("{0}\n{0}", line(text, "a"))),
        ("an answer", line("i", text).to_string()),
        ("an unknown type", json!({"id": [text], "prompt": "p", "completions": ["b"]}).to_string()),
        ("a missing key", json!({text: "p"}).to_string()),
        ("a role", json!({"id": "i", "prompt": [{"role": text, "content": "c"}], "completions": ["b"]}).to_string()),
        ("a key that comes twice", format!("{{{0}: 1, {0}: 2}}", json!(text))),
    ] {
        let folder = Place::new();
        folder.write("c.jsonl", lines);
        // Lines of data are JSON: a program reads them.
        let mut command = folder.alft(&[&["score", "c.jsonl"][..], &reader, &failing].concat());
        let output = command.output().unwrap();
        let data = String::from_utf8(output.stdout).unwrap();
        assert!(data.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{place}: {data}");
        assert!(!data.contains(steers), "{place}");
        command.stdout(std::process::Stdio::null());
        assert_harmless(place, command.args(failing));
    }
}

#[test]
fn in_a_kit() {
    let (text, regex) = (&text(), component("regex"));
    let regex = regex.to_str().unwrap();
    let check = ["plugin", "check", regex, "--config", r#"{"pattern": "(?s).*"}"#, "--kit", "kit.json"];
    for (place, kit, only) in [
        ("an unknown key", json!({text: 1}), "empty"),
        ("a wrong type", json!({"completion": [text]}), "empty"),
        (
            "a key that is read",
            json!({"completion": format!("{{answer}} {}", &text[..9_000]), "question": {"gold": "a\u{1b}", "wrong": "a\u{1b}"}}),
            "reads-the-answer",
        ),
        ("the names of answers", json!({"answers": [text, "b"]}), "empty"),
    ] {
        let folder = Place::new();
        folder.write("kit.json", kit.to_string());
        assert_harmless(place, folder.alft(&check).args(["--only", only]));
        assert_harmless(place, folder.alft(&check).args(["--only", only, "--json"]));
    }
    let folder = Place::new();
    assert_harmless("the name of a test", &mut folder.alft(&["plugin", "check", regex, "--only", text]));
    assert_harmless(
        "a configuration",
        &mut folder.alft(&["plugin", "check", regex, "--config", &json!({text: 1}).to_string()]),
    );
    assert_harmless(
        "a limit",
        &mut folder.alft(&["plugin", "check", regex, "--limits", &json!({text: 1}).to_string()]),
    );
}

/// The abuse table shows what a plugin reads.
#[test]
fn in_an_abuse_table() {
    let folder = Place::new();
    let gold = format!("4{STEERING}\n{}", FORGED[0]);
    folder.write("kit.json", json!({"question": {"gold": gold}}).to_string());
    let regex = component("regex");
    let check =
        ["plugin", "check", regex.to_str().unwrap(), "--config", r#"{"pattern": "(?s).*"}"#, "--kit", "kit.json"];
    let output = folder.alft(&check).output().unwrap();
    assert!(all_text(&output).contains("hacks of the"), "{}", all_text(&output));
    let all = all_text(&output);
    assert!(!all.contains(steers), "{all}");
    assert!(!all.lines().any(|line| line.starts_with(FORGED[0])), "{all}");
}

#[test]
fn in_a_run_file_and_its_questions() {
    let (text, small) = (&text(), finished().copy());
    let run = small.read("run.toml");
    let quoted = |text: &str| toml::Value::from(text).to_string();
    let key = json!(text).to_string().replace('\u{7f}', "\\u007f");
    let train = |place: &str, run: &str| {
        small.write("run.toml", run);
        assert_harmless(place, small.command(&["train", "run.toml", "--steps", "0"]).args(["--output", "x"]));
        assert_harmless(place, &mut small.command(&["train", "run.toml", "--resume", "run"]));
    };
    train("an unknown key", &format!("{key} = 1\n{run}"));
    train("the name of a plugin", &run.replace("name = \"entropy\"", &format!("name = {}", quoted(text))));
    train(
        "the name of two plugins",
        &run.replace("\"entropy\"", &quoted(text)).replace("\"coherence\"", &quoted(text)),
    );
    train("a configuration", &run.replace("marker", &key));
    train("a refused number", &run.replace("config = { marker", &format!("config = {{ {key} = nan, marker")));
    train("a template", &format!("{run}\n").replace("[prompts]", &format!("[prompts]\ntemplate = {}", quoted(text))));
    train("a path", &run.replace("\"train.jsonl\"", &quoted(text)));
    train("a model", &run.replace("embedded = \"tiny\"", &format!("embedded = {}", quoted(text))));
    train("a hub's model", &run.replace("embedded = \"tiny\"", &format!("hub = {}", quoted(text))));
    train("a role", &run.replace("weight = 0.03", &format!("roles = [{}]", quoted(text))));
    train("a hash", &run.replace("weight = 0.03", &format!("hash = {}", quoted(text))));
    small.write("run.toml", &run);
    for setting in [format!("{key}=1"), format!("train.steps={text}"), format!("plugin.{key}.weight=1"), text.clone()] {
        assert_harmless("--set", &mut small.command(&["train", "run.toml", "--set", &setting]));
    }
    let table = plugin_table(
        "misbehave",
        &component("misbehave"),
        &format!("roles = [\"verifier\"]\nconfig = {{ fault = \"error\" }}\n{key} = 1"),
    );
    train("an unknown key of a plugin", &format!("{run}{table}"));
    small.write("alft.lock", &format!("version = 1\nwasmtime = 1\n{key} = 1\n"));
    train("a lock", &run);
    std::fs::remove_file(small.path().join("alft.lock")).unwrap();

    let questions = small.read("train.jsonl");
    for (place, line) in [
        ("the id of a question", json!({"id": text, "prompt": "1+1=", "gold": "2"})),
        ("an unknown character", json!({"prompt": text, "gold": "2"})),
        ("a key near to gold", json!({"prompt": "1+1=", "gould": "2", text: "3"})),
    ] {
        small.write("train.jsonl", &format!("{line}\n{line}\n{questions}"));
        train(place, &run);
    }
    small.write("train.jsonl", &questions);
    small.write("worked.jsonl", &json!({"prompt": text, "completion": text}).to_string());
    train("a worked example", &run);
}

#[test]
fn in_a_models_files() {
    let text = &text();
    let config = json!({"architectures": ["LlamaForCausalLM"], "vocab_size": 8, "hidden_size": 8, "intermediate_size": 8,
        "num_hidden_layers": 1, "num_attention_heads": 1, "max_position_embeddings": 64, "rms_norm_eps": 1e-5});
    let with = |key: &str, value: Value| {
        let mut config = config.clone();
        config[key] = value;
        config.to_string()
    };
    let folder = Place::new();
    let bench = |place: &str, model: &str| {
        assert_harmless(place, &mut folder.alft(&["bench", "policy", model, "--quick", "--set", "device=cpu"]));
    };
    for (key, value) in [
        ("architectures", json!([text])),
        ("hidden_act", json!(text)),
        ("rope_scaling", json!({"rope_type": text})),
        ("quantization_config", json!({"quant_method": text})),
        ("vocab_size", json!(text)),
        ("torch_dtype", json!(text)),
    ] {
        folder.write("m/config.json", with(key, value));
        bench(key, "m");
    }
    folder.write("m/config.json", text);
    bench("config.json", "m");
    folder.write("m/config.json", config.to_string());
    folder.write("m/tokenizer.json", json!({"version": text}).to_string());
    bench("tokenizer.json", "m");
    let tokenizer =
        json!({"version": "1.0", "model": {"type": "WordLevel", "vocab": {text: 0, "b": 1}, "unk_token": text}});
    folder.write("m/tokenizer.json", tokenizer.to_string());
    folder.write(
        "m/tokenizer_config.json",
        json!({"chat_template": format!("{{{{ {text}"), "eos_token": text}).to_string(),
    );
    let header = json!({text: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).to_string();
    let tensors = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &[0; 4]].concat();
    folder.write("m/model.safetensors", tensors);
    bench("the name of a tensor", "m");
    folder.write("m/model.safetensors.index.json", json!({"weight_map": {text: text}}).to_string());
    std::fs::remove_file(folder.0.path().join("m/model.safetensors")).unwrap();
    bench("the name of a shard", "m");

    // A GGUF file with one entry of metadata: its architecture.
    let string = |text: &str| [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
    let gguf = |key: &str, value: &str| {
        [
            b"GGUF\x03\0\0\0",
            &0u64.to_le_bytes()[..],
            &1u64.to_le_bytes(),
            &string(key),
            &8u32.to_le_bytes(),
            &string(value),
        ]
        .concat()
    };
    folder.write("a.gguf", gguf("general.architecture", text));
    bench("the architecture of a GGUF file", "a.gguf");
    folder.write("b.gguf", gguf(text, "llama"));
    bench("a key of a GGUF file", "b.gguf");
    bench("the name of a model", text);
    assert_harmless("a setting", &mut folder.alft(&["bench", "policy", "tiny", "--set", text]));
}

#[test]
fn in_a_ledger() {
    let (folder, file) = (Place::new(), component("arithmetic"));
    std::fs::create_dir_all(folder.0.path().join("run")).unwrap();
    let limits = Limits::default();
    let worker = Worker { program: env!("CARGO_BIN_EXE_alft").into(), arguments: vec!["plugin-worker".into()] };
    let engine = Engine::new(&limits, worker).unwrap();
    let plugin =
        alft_runtime::plugins::open_file(&file, "{}", &limits, alft_plugin_host::NativeTrust::Refused, &engine)
            .unwrap();
    let write = |name: &str, plugin: &Plugin| {
        let mut ledger = Ledger::open(&folder.0.path().join("run/ledger"), 0).unwrap();
        let batch = Batch::Reader(vec![PromptTexts { prompt: Default::default(), texts: vec!["= 4".into()] }].into());
        let called = plugin.call(&batch);
        ledger.record(1, name, plugin, &batch, &called.calls).unwrap();
        ledger.sync().unwrap();
    };
    write(&text(), &plugin);
    assert_harmless("a plugin's name, without its file", &mut folder.alft(&["replay", "run"]));
    let named = |name: &str| format!("{name}={}", file.display());
    assert_harmless("a plugin's name", &mut folder.alft(&["replay", "run", "--plugin", &named(&text())]));
    assert_harmless("a plugin's name", &mut folder.alft(&["replay", "run", "--json", "--plugin", &named(&text())]));
    let rescore = ["rescore", "run", "--plugin", file.to_str().unwrap()];
    assert_harmless("a plugin's name", &mut folder.alft(&rescore));
    std::fs::write(folder.0.path().join("run/ledger"), text()).unwrap();
    assert_harmless("the bytes of a ledger", &mut folder.alft(&["replay", "run"]));
}

#[cfg(unix)]
#[test]
fn in_paths_arguments_and_the_environment() {
    let (text, short) = (&text(), &short());
    let folder = Place::new();
    let inside = folder.write(&format!("{short}/games.jsonl"), game("g", "x", "A", "entrpy"));
    let inside = inside.to_str().unwrap();
    std::fs::copy(component("regex"), folder.0.path().join(short).join("p.wasm")).unwrap();
    let plugin = inside.replace("games.jsonl", "p.wasm");
    for args in [
        &["solve", inside][..],
        &["solve", short],
        &["score", inside, "--plugin", &plugin],
        &["solve", "absent", "--plugin", &plugin],
        &["plugin", "inspect", &plugin],
        &["plugin", "inspect", &plugin, "--json"],
        &["plugin", "check", &plugin, "--only", "empty"],
        &["plugin", "check", short],
        &["plugin", "build", short],
        &["plugin", "new", short],
        &["plugin", "lock", short],
        &["train", inside],
        &["train", short],
        &["train", short, "--resume", short],
        &["replay", short],
        &["replay", "x", "--plugin", text],
        &["rescore", short, "--plugin", &plugin],
        &["bench", "policy", short],
        &["estimator", "--kind", text, "--group", "4"],
        &[text],
        &["solve", "games.jsonl", text],
        &["solve", "games.jsonl", "--tolerance", text],
        &["score", "c.jsonl", "--plugin", "p", "--config", &format!("{{\"{text}")],
    ] {
        let place = args.iter().map(|arg| arg.chars().take(12).collect::<String>()).collect::<Vec<_>>().join(" ");
        assert_harmless(&format!("{place:?}"), &mut folder.alft(args));
    }
    folder.write("games.jsonl", game("g", "x", "A", "entropy"));
    std::fs::write(folder.0.path().join("file"), "").unwrap();
    let mut inspect = folder.alft(&["plugin", "inspect", &plugin]);
    assert_harmless("ALFT_CACHE", inspect.env("ALFT_CACHE", folder.0.path().join("file").join(short)));
    assert_harmless("TMPDIR", folder.alft(&["solve", "games.jsonl"]).env("TMPDIR", short));
}

/// A backtrace of a library's error is no part of a message.
#[test]
fn a_message_has_no_backtrace() {
    let folder = Place::new();
    // A version and a type of value that the library does not know.
    folder.write("version.gguf", [b"GGUF\x09\0\0\0", &[0; 16][..]].concat());
    let entry = [&1u64.to_le_bytes()[..], b"a", &99u32.to_le_bytes()].concat();
    let counts = [&0u64.to_le_bytes()[..], &1u64.to_le_bytes()].concat();
    folder.write("value.gguf", [b"GGUF\x03\0\0\0", &counts[..], &entry].concat());
    for model in ["version.gguf", "value.gguf"] {
        let mut bench = folder.alft(&["bench", "policy", model, "--quick", "--set", "device=cpu"]);
        let output = bench.env("RUST_BACKTRACE", "1").output().unwrap();
        let all = all_text(&output);
        assert_eq!(output.status.code(), Some(6), "{all}");
        assert!(!all.contains("candle_core") && all.lines().count() < 8, "{all}");
    }
}
