//! Mistakes of new users: each message names the place, the reason and a remedy, and the remedy works.

use std::fs;
use std::path::Path;

use crate::support::{Small, alft, component, fail, succeed};

/// A run that takes a moment.
const RUN: &str = r#"output = "runs/x"

[model]
embedded = "tiny"

[warm_start]
data = "worked.jsonl"
steps = 1
batch = 2

[prompts]
train = "train.jsonl"
eval = "eval.jsonl"

[sampling]
max_new_tokens = 16

[game]
group = 2
bundles_per_step = 1

[train]
steps = 1

[eval]
bundles = 1
group = 2

[[plugin]]
name = "arithmetic"
path = "arithmetic.wasm"
config = { marker = ":" }

[[plugin]]
name = "coherence"
path = "coherence.wasm"
weight = 0.6
"#;

const TRAIN: &str = r#"{"id": "a", "prompts": ["1+1=", "one and one"], "gold": "2"}
{"id": "b", "prompts": ["2+2=", "two and two"], "gold": "4"}
"#;

/// A change of a user's files.
type Edit = Box<dyn Fn(&Path)>;

/// Replaces a part of the run file.
fn run(from: &'static str, to: &'static str) -> Edit {
    replace("run.toml", from, to)
}

fn replace(name: &'static str, from: &'static str, to: &'static str) -> Edit {
    Box::new(move |folder| {
        let text = fs::read_to_string(folder.join(name)).unwrap();
        assert!(text.contains(from), "{name} has no {from}");
        fs::write(folder.join(name), text.replacen(from, to, 1)).unwrap();
    })
}

fn write(name: &'static str, text: impl AsRef<[u8]> + 'static) -> Edit {
    Box::new(move |folder| fs::write(folder.join(name), &text).unwrap())
}

fn rename(from: &'static str, to: &'static str) -> Edit {
    Box::new(move |folder| fs::rename(folder.join(from), folder.join(to)).unwrap())
}

fn both(first: Edit, second: Edit) -> Edit {
    Box::new(move |folder| {
        first(folder);
        second(folder);
    })
}

fn nothing() -> Edit {
    Box::new(|_| ())
}

const ALFT_TRAIN: &[&str] = &["train", "run.toml"];

/// A mistake, the message about it, and the remedy that the message names.
struct Mistake {
    make: Edit,
    args: &'static [&'static str],
    code: i32,
    says: &'static [&'static str],
    mend: Edit,
    mended_args: &'static [&'static str],
}

/// A mistake in the arguments, and the arguments that the message asks for.
fn line(
    args: &'static [&'static str],
    code: i32,
    says: &'static [&'static str],
    mended: &'static [&'static str],
) -> Mistake {
    Mistake { make: nothing(), args, code, says, mend: nothing(), mended_args: mended }
}

/// A mistake in the files of a run.
fn files(make: Edit, code: i32, says: &'static [&'static str], mend: Edit) -> Mistake {
    Mistake { make, args: ALFT_TRAIN, code, says, mend, mended_args: ALFT_TRAIN }
}

/// A mistake in the run file.
fn toml(from: &'static str, to: &'static str, says: &'static [&'static str], mended: &'static str) -> Mistake {
    files(run(from, to), 3, says, run(to, mended))
}

/// A mistake in the questions.
fn questions(text: impl AsRef<[u8]> + 'static, says: &'static [&'static str], mended: &'static str) -> Mistake {
    files(write("train.jsonl", text), 4, says, write("train.jsonl", mended))
}

/// Makes each mistake in a folder of its own, reads the message, follows it, and runs again.
fn check(mistakes: Vec<Mistake>) {
    for Mistake { make, args, code, says, mend, mended_args } in mistakes {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path();
        fs::write(folder.join("run.toml"), RUN).unwrap();
        fs::write(folder.join("train.jsonl"), TRAIN).unwrap();
        fs::write(folder.join("eval.jsonl"), "{\"prompt\": \"3+4=\", \"gold\": 7}\n").unwrap();
        fs::write(folder.join("worked.jsonl"), "{\"prompt\": \"1+1=\", \"completion\": \"so:2\"}\n").unwrap();
        for name in ["arithmetic", "coherence"] {
            fs::copy(component(name), folder.join(name).with_extension("wasm")).unwrap();
        }
        make(folder);
        fail(alft(folder).args(args), code, says);
        mend(folder);
        succeed(alft(folder).args(mended_args));
    }
}

#[test]
fn in_the_command_line() {
    let help = |args, says, mended| line(args, 2, says, mended);
    check(vec![
        help(&["trian", "run.toml"], &["unrecognized subcommand 'trian'", "'train'"], ALFT_TRAIN),
        help(&["train"], &["not provided", "<RUN.toml>", "Usage: alft train <RUN.toml>"], ALFT_TRAIN),
        help(
            &["train", "run.toml", "--stpes", "1"],
            &["'--stpes'", "'--steps'"],
            &["train", "run.toml", "--steps", "1"],
        ),
        help(
            &["train", "run.toml", "--steps", "few"],
            &["'few'", "--steps <N>"],
            &["train", "run.toml", "--steps", "1"],
        ),
        help(
            &["train", "run.toml", "--seed", "-1"],
            &["'-1' for '--seed <N>'", "write a whole number from 0 to"],
            &["train", "run.toml", "--seed", "1"],
        ),
        help(
            &["train", "run.toml", "--resume", "runs/x", "--output", "y"],
            &["'--resume <DIR>' cannot be used with '--output <DIR>'"],
            &["train", "run.toml", "--output", "y"],
        ),
        help(&["plugin", "new", "mine"], &["--role <ROLE>"], &["plugin", "new", "mine", "--role", "verifier"]),
        help(
            &["plugin", "new", "mine", "--role", "judge"],
            &["\"judge\" is not a role", "reader, grader, verifier, objective"],
            &["plugin", "new", "mine", "--role", "verifier"],
        ),
        Mistake {
            make: write("c.jsonl", "{\"prompt\": \"1+1=\", \"completions\": [\"so:2\"], \"gold\": 2}\n"),
            args: &["score", "c.jsonl"],
            code: 2,
            says: &["not provided", "--plugin <FILE>|--run <RUN.toml>"],
            mend: nothing(),
            mended_args: &["score", "c.jsonl", "--run", "run.toml"],
        },
        line(&["train", "rnu.toml"], 1, &["cannot read the run file rnu.toml", "did you mean run.toml?"], ALFT_TRAIN),
        line(
            &["train", "."],
            1,
            &["cannot read the run file .", "name a run file in it, such as run.toml"],
            ALFT_TRAIN,
        ),
        line(
            &["train", "train.jsonl"],
            3,
            &["train.jsonl:1", "a run file is TOML: lines `key = value` below tables"],
            ALFT_TRAIN,
        ),
        line(
            &["train", "run.toml", "--set", "steps=1"],
            3,
            &["unknown field `steps`", "`train.steps` and `warm_start.steps` are the numbers of steps"],
            &["train", "run.toml", "--set", "train.steps=1"],
        ),
        line(
            &["train", "run.toml", "--set", "train.steps"],
            3,
            &["--set train.steps: write key=value"],
            &["train", "run.toml", "--set", "train.steps=1"],
        ),
        line(
            &["train", "run.toml", "--set", "plugin.coherance.weight=1"],
            3,
            &["plugin has no entry \"coherance\"; there are arithmetic, coherence"],
            &["train", "run.toml", "--set", "plugin.coherence.weight=1"],
        ),
        line(
            &["plugin", "new", "my plugin", "--role", "verifier"],
            5,
            &["\"my plugin\" is no plugin name", "such as \"my-plugin\""],
            &["plugin", "new", "my-plugin", "--role", "verifier"],
        ),
        line(&["train", "run.toml", "--resume", "runs/x"], 7, &["no saved state here", "without --resume"], ALFT_TRAIN),
    ]);
}

#[test]
fn in_the_text_of_the_run_file() {
    let whole = |text: &'static str, says| files(write("run.toml", text), 3, says, write("run.toml", RUN));
    check(vec![
        whole("", &["run.toml", "missing field `output`", "add the folder of the run's files, as in `output ="]),
        toml("[model]", "[model", &["run.toml:3", "unclosed table", "close the bracket"], "[model]"),
        toml(
            "steps = 1\n\n[eval]",
            "steps = 1\nsteps = 2\n\n[eval]",
            &["duplicate key", "keep one of the two"],
            "steps = 1\n\n[eval]",
        ),
        toml("steps = 1\n\n[eval]", "stpes = 1\n\n[eval]", &["stpes", "did you mean `steps`?"], "steps = 1\n\n[eval]"),
        toml("[prompts]", "[promts]", &["unknown field `promts`", "did you mean `prompts`?"], "[prompts]"),
        toml("group = 2", "group = \"2\"", &["group = \"2\"", "write a whole number that is 0 or more"], "group = 2"),
        toml("\"tiny\"", "tiny", &["run.toml:4", "write a text in quotes, as in \"tiny\""], "\"tiny\""),
        toml("\"tiny\"", "\"small\"", &["unknown variant `small`", "write one of tiny"], "\"tiny\""),
        files(
            run("embedded = \"tiny\"", "path = \"C:\\models\""),
            3,
            &["run.toml:4", "write the text in single quotes"],
            // A text in single quotes is read; the folder that the user means is not there in this test.
            run("path = \"C:\\models\"", "embedded = 'tiny'"),
        ),
        toml(
            "[prompts]\ntrain = \"train.jsonl\"\neval = \"eval.jsonl\"\n",
            "# Here.\n",
            &["missing field `prompts`", "add the questions, as in `prompts = { train = \"train.jsonl\" }`"],
            "[prompts]\ntrain = \"train.jsonl\"\n",
        ),
        toml(
            "[[plugin]]\nname = \"coh",
            "[plugin]\nname = \"coh",
            &["duplicate key", "`[[plugin]]`, with two brackets"],
            "[[plugin]]\nname = \"coh",
        ),
        toml(
            "name = \"coherence\"\n",
            "# Here.\n",
            &["missing field `name`", "add a name of the plugin"],
            "name = \"coherence\"\n",
        ),
        toml(
            "max_new_tokens = 16",
            "max_new_tokens = 16\nstop = \".\"",
            &["expected a sequence", "write a list, as in"],
            "max_new_tokens = 16\nstop = [\".\"]",
        ),
        toml("{ marker = \":\" }", "\":\"", &["expected a map", "write a table, as in"], "{ marker = \":\" }"),
    ]);
}

#[test]
fn in_the_values_of_the_run_file() {
    check(vec![
        toml("group = 2\nbun", "group = 1\nbun", &["`game.group` must be at least 2", "run.toml:19"], "group = 2\nbun"),
        toml(
            "max_new_tokens = 16",
            "temperature = -1",
            &["`sampling.temperature` is -1.0", "from 1e-6"],
            "temperature = 1",
        ),
        toml(
            "max_new_tokens = 16",
            "top_p = 1.5",
            &["`sampling.top_p` is 1.5", "above 0 and at most 1"],
            "top_p = 0.9",
        ),
        toml(
            "embedded = \"tiny\"",
            "embedded = \"tiny\"\npath = \"m\"",
            &["`model` needs one of", "and not two"],
            "embedded = \"tiny\"",
        ),
        toml(
            "embedded = \"tiny\"",
            "lora = {}",
            &["`model` needs one of `embedded = \"tiny\"`, `path`"],
            "embedded = \"tiny\"",
        ),
        toml(
            "embedded",
            "device = \"gpu\"\nembedded",
            &["unknown variant `gpu`", "did you mean `cpu`?"],
            "device = \"cpu\"\nembedded",
        ),
        toml(
            "embedded",
            "dtype = \"float32\"\nembedded",
            &["unknown variant `float32`", "f32"],
            "dtype = \"f32\"\nembedded",
        ),
        toml(
            "embedded",
            "lora = { rank = 4, targets = [\"q\"] }\nembedded",
            &["`model.lora.targets` has `q`", "choose from q_proj"],
            "lora = { rank = 4, targets = [\"q_proj\"] }\nembedded",
        ),
        toml(
            "[train]\nsteps = 1",
            "[train]\nsteps = 1\nlearning_rate = 1e-4",
            &["unknown field `learning_rate`", "`schedule = { learning_rate = 1e-5 }`"],
            "[train]\nsteps = 1\nschedule = { learning_rate = 1e-5 }",
        ),
        toml(
            "[train]\nsteps = 1",
            "[train]\nepochs = 1",
            &["unknown field `epochs`", "`train.steps`"],
            "[train]\nsteps = 1",
        ),
        toml(
            "weight = 0.6",
            "weight = -0.6",
            &["`plugin.coherence.weight` must be 0 or more", "not -0.6"],
            "weight = 0.6",
        ),
        toml(
            "weight = 0.6",
            "weight = \"high\"",
            &["expected a number, or a schedule"],
            "weight = { from = 0.0, to = 0.3, over = 100 }",
        ),
        toml(
            "weight = 0.6",
            "on_error = \"skip\"",
            &["unknown variant `skip`", "drop-sample"],
            "on_error = \"drop-sample\"",
        ),
        toml(
            "weight = 0.6",
            "roles = [\"judge\"]",
            &["unknown variant `judge`", "reader, verifier, objective, grader"],
            "roles = [\"objective\"]",
        ),
        toml(
            "\"coherence\"\npath",
            "\"arithmetic\"\npath = \"coherence.wasm\"\n#",
            &["stands for two plugins", "give each another name"],
            "\"other\"\npath = \"coherence.wasm\"\n#",
        ),
        toml(
            "path = \"coherence.wasm\"\n",
            "# Here.\n",
            &["`plugin.coherence.path` or `crate` must be given"],
            "path = \"coherence.wasm\"\n",
        ),
        toml(
            "group = 2\nbun",
            "group = 2\nestimator = \"plugin\"\nbun",
            &["no estimator \"plugin\"", "plug-in, harmonic"],
            "group = 2\nestimator = \"plug-in\"\nbun",
        ),
        toml(
            "eval = \"eval.jsonl\"",
            "template = \"Q:\"",
            &["`prompts.template` must contain {prompt}"],
            "template = \"{prompt}\"",
        ),
    ]);
}

#[test]
fn in_the_questions() {
    check(vec![
        files(
            run("train.jsonl", "trian.jsonl"),
            4,
            &["trian.jsonl", "did you mean train.jsonl?"],
            run("trian", "train"),
        ),
        files(run("worked.jsonl", "wroked.jsonl"), 4, &["did you mean worked.jsonl?"], run("wroked", "worked")),
        questions("", &["train.jsonl: the file is empty; a line is {"], TRAIN),
        questions("prompt,gold\n1+1=,2\n", &["train.jsonl, line 1", "a line is {"], TRAIN),
        questions(
            "[{\"prompt\": \"1+1=\", \"gold\": 2}]",
            &["line 1", "is a JSON array", "one object a line"],
            "{\"prompt\": \"1+1=\", \"gold\": 2}",
        ),
        questions(
            "{\"prompt\": \"1+1=\", \"gold\": 2}\n{\"prompt\": \"2+",
            &["line 2", "EOF while parsing a string", "a line is {"],
            "{\"prompt\": \"1+1=\", \"gold\": 2}\n",
        ),
        questions(
            "{\"question\": \"1+1=\", \"gold\": 2}\n",
            &["line 1", "no `prompt` or `prompts`, but `question`"],
            "{\"prompt\": \"1+1=\", \"gold\": 2}\n",
        ),
        questions(
            "{\"prompt\": \"1+1=\", \"gold\": {}}\n",
            &["line 1", "`gold` must be a text or a number"],
            "{\"prompt\": \"1+1=\", \"gold\": 2}\n",
        ),
        questions(
            "{\"prompt\": 1, \"gold\": 2}\n",
            &["line 1", "a prompt is a text, or a list of messages"],
            "{\"prompt\": \"1+1=\", \"gold\": 2}\n",
        ),
        questions(
            "{\"id\": 1, \"prompt\": \"1+1=\"}\n{\"id\": 1, \"prompt\": \"2+2=\"}\n",
            &["line 2", "the id \"1\" is that of line 1"],
            "{\"id\": 1, \"prompt\": \"1+1=\"}\n{\"id\": 2, \"prompt\": \"2+2=\"}\n",
        ),
        questions(b"{\"prompt\": \"1+1= \xe9\"}\n", &["line 1", "is not UTF-8"], TRAIN),
        questions(b"\x1f\x8b\x08\x00", &["the file is compressed by gzip; unpack it first"], TRAIN),
        questions(b"PAR1\x15", &["a Parquet table; write its rows as JSON lines"], TRAIN),
        questions("{\"prompt\": \"1+1= è\"}\n", &["question 1", "no token for \"è\""], TRAIN),
        files(
            run("max_new_tokens = 16", "max_new_tokens = 5000"),
            4,
            &["leaves no room for 5000 more", "lower sampling.max_new_tokens"],
            run("5000", "16"),
        ),
        files(
            write("worked.jsonl", "{\"prompt\": \"1+1=\", \"answer\": \"2\"}\n"),
            4,
            &["worked.jsonl, line 1", "a line is {\"prompt\": \"…\", \"completion\": \"…\"}"],
            replace("worked.jsonl", "answer", "completion"),
        ),
    ]);
}

#[test]
fn in_the_plugins_and_the_model() {
    let plugin = |make, says, mend| files(make, 5, says, mend);
    let model = |make, says, mend| files(make, 6, says, mend);
    check(vec![
        plugin(
            run("coherence.wasm", "coherance.wasm"),
            &["plugin \"coherence\"", "did you mean coherence.wasm?"],
            run("coherance", "coherence"),
        ),
        plugin(
            both(rename("coherence.wasm", "kept.wasm"), write("coherence.wasm", "hello")),
            &["coherence.wasm is neither a WebAssembly component nor a native library"],
            rename("kept.wasm", "coherence.wasm"),
        ),
        plugin(
            both(rename("coherence.wasm", "kept.wasm"), write("coherence.wasm", b"\0asm\x01\0\0\0")),
            &["is a core WebAssembly module and not a component"],
            rename("kept.wasm", "coherence.wasm"),
        ),
        plugin(
            run("path = \"coherence.wasm\"", "crate = \".\""),
            &["no plugin project here", "`alft plugin new`"],
            run("crate = \".\"", "path = \"coherence.wasm\""),
        ),
        plugin(
            run("marker = \":\"", "mark = \":\""),
            &["refuses the configuration {\"mark\":\":\"}", "expected `marker`"],
            run("mark =", "marker ="),
        ),
        plugin(
            run("weight = 0.6", "roles = [\"reader\"]"),
            &["does not have the role reader", "`roles`"],
            run("roles = [\"reader\"]", "weight = 0.6"),
        ),
        plugin(
            run("weight = 0.6", "hash = \"abc\""),
            &["is not the pinned file", "update the pinned hash"],
            run("hash = \"abc\"", ""),
        ),
        plugin(
            run("path = \"coherence.wasm\"", "path = \"arithmetic.wasm\"\nconfig = { marker = \":\" }"),
            &["more than one plugin would read the answers", "`roles = [\"verifier\"]`"],
            run("weight = 0.6", "roles = [\"verifier\"]"),
        ),
        model(
            run("embedded = \"tiny\"", "path = \"no/model\""),
            &["there is no model at", "no/model"],
            run("path = \"no/model\"", "embedded = \"tiny\""),
        ),
        model(
            run("embedded = \"tiny\"", "hub = \"owner/model\""),
            &["put config.json, tokenizer.json", "into a folder"],
            run("hub = \"owner/model\"", "embedded = \"tiny\""),
        ),
        model(
            both(
                write("m.gguf", "version https://git-lfs.github.com/spec/v1\n"),
                run("embedded = \"tiny\"", "path = \"m.gguf\""),
            ),
            &["m.gguf: the file is a pointer of Git LFS", "git lfs pull"],
            run("path = \"m.gguf\"", "embedded = \"tiny\""),
        ),
        model(
            run("eval = \"eval.jsonl\"", "template = \"chat\""),
            &["`prompts.template` is \"chat\"", "no chat template: write one in the run file, with {prompt}"],
            run("\"chat\"", "\"{prompt}\""),
        ),
    ]);
}

/// A folder that is no model, and the model that was exported.
#[test]
fn in_the_folder_of_a_model() {
    let small = Small::new();
    succeed(small.train("run").args(["--steps", "1"]));
    let run = small.read("run.toml");
    small.write("run.toml", &run.replace("embedded = \"tiny\"", "path = \"run\""));
    fail(small.train("x").args(["--steps", "0"]), 6, &["the folder is no model", "model.safetensors"]);
    small.write("run.toml", &run.replace("embedded = \"tiny\"", "path = \"run/model\""));
    succeed(small.train("x").args(["--steps", "0"]));
}
