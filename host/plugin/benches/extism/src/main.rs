//! Times one verifier in five forms: as a component (a fresh instance for each call), as a native library in this process
//! and in a child process, and as an Extism plugin with JSON (a fresh instance for each call, and one instance for all).
//! The forms are called in turn, so that the load of the machine affects all alike.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use alft_build::Form;
use alft_plugin_host::{Engine, Failure, Limits, NativeTrust, Plugin, Source, Worker, source};
use alft_sdk::Prompt;
use alft_sdk::call::{Item, PromptTexts};
use alft_sdk::roles::Batch;
use anyhow::{Context, Result, ensure};

/// The argument that makes this program a worker of the plugin host.
const WORKER: &str = "plugin-worker";

/// Answers of a prompt, and bytes of an answer.
const GROUP: usize = 8;
const BYTES: usize = 200;

/// Answers in a call.
const SIZES: [usize; 3] = [1, 8, 64];

/// Calls of each runner with each number of answers.
const CALLS: usize = 3000;

/// The verifier in one of its forms.
struct Runner {
    name: &'static str,
    score: Box<dyn FnMut(&[PromptTexts]) -> Result<Vec<f64>>>,
}

fn main() -> Result<ExitCode> {
    if std::env::args().nth(1).as_deref() == Some(WORKER) {
        return Ok(alft_plugin_host::worker::serve(std::env::args_os().skip(2)));
    }
    let mut runners = runners()?;
    println!("{BYTES} bytes an answer, {CALLS} calls each, µs a call\n");
    println!("| answers | form | p50 | p99 | p50 ÷ native |\n| ---: | --- | ---: | ---: | ---: |");
    for answers in SIZES {
        let batch = batch(answers);
        let mut times = vec![Vec::with_capacity(CALLS); runners.len()];
        let wanted = (runners[0].score)(&batch)?;
        for _ in 0..CALLS {
            for (runner, times) in runners.iter_mut().zip(&mut times) {
                let started = Instant::now();
                let scores = (runner.score)(&batch)?;
                times.push(started.elapsed());
                ensure!(scores == wanted, "{} scored {scores:?}, not {wanted:?}", runner.name);
            }
        }
        times.iter_mut().for_each(|times| times.sort_unstable());
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        let median = |times: &[Duration]| micros(times[CALLS / 2]);
        let native = median(&times[1]);
        for (runner, times) in runners.iter().zip(&times) {
            let (p50, p99) = (median(times), micros(times[CALLS * 99 / 100]));
            println!("| {answers} | {} | {p50:.1} | {p99:.1} | {:.2} |", runner.name, p50 / native);
        }
    }
    bad_sample()?;
    Ok(ExitCode::SUCCESS)
}

/// Times a step of 512 answers, one of which loops forever, under the default limits.
fn bad_sample() -> Result<()> {
    const ANSWERS: usize = 512;
    let misbehave = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../../plugins/misbehave");
    let path = alft_build::build(&misbehave, Form::Component, &|line| eprintln!("{line}"))?;
    let limits = Limits::default();
    let engine = Engine::new(&limits, worker()?)?;
    let config = r#"{"fault": "loop", "on": "loop"}"#.into();
    let source = Source { path, pin: None, native: NativeTrust::Refused, config, limits: limits.clone() };
    let plugin = Plugin::open(&source, &engine)?;
    let good = batch(ANSWERS);
    let mut bad = good.clone();
    bad[ANSWERS / GROUP / 2].texts[3].replace_range(..4, "loop");
    println!("\nan endless loop on one of {ANSWERS} answers, ms a step, deadline {} ms\n", limits.deadline_ms);
    println!("| batch | p50 | longest | calls | failed |\n| --- | ---: | ---: | ---: | ---: |");
    for (name, batch) in [("all good", &good), ("one loops", &bad)] {
        let mut times = Vec::new();
        let (mut calls, mut failed) = (0, 0);
        for _ in 0..20 {
            let started = Instant::now();
            let result = plugin.call(&Batch::Verifier(batch.into()));
            times.push(started.elapsed().as_secs_f64() * 1e3);
            (calls, failed) = (result.usage.calls, result.items.iter().filter(|item| item.is_err()).count());
        }
        times.sort_by(f64::total_cmp);
        println!("| {name} | {:.1} | {:.1} | {calls} | {failed} |", times[times.len() / 2], times[times.len() - 1]);
    }
    Ok(())
}

fn worker() -> Result<Worker> {
    Ok(Worker { program: std::env::current_exe()?, arguments: vec![WORKER.into()] })
}

/// Returns prompts with [`GROUP`] answers each, all different.
fn batch(answers: usize) -> Vec<PromptTexts> {
    const WORDS: [&str; 12] =
        ["The", "train", "leaves", "Berlin", "at", "noon,", "and", "reaches", "Prague", "before", "(about)", "five."];
    let text = |seed: usize| -> String {
        let mut words = (0..).map(|at| WORDS[(seed * 7 + at * (seed % 5 + 1)) % WORDS.len()]);
        let mut text = String::new();
        while text.len() < BYTES {
            text.push_str(words.next().expect("endless"));
            text.push(' ');
        }
        text.truncate(BYTES);
        text
    };
    let entry = |at: usize| PromptTexts {
        prompt: Prompt { id: format!("q{at}"), gold: Some(text(at)), ..Prompt::default() },
        texts: (0..GROUP.min(answers)).map(|index| text(at * GROUP + index + 1)).collect(),
    };
    (0..answers.div_ceil(GROUP)).map(entry).collect()
}

fn runners() -> Result<Vec<Runner>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let build = |form| alft_build::build(&folder.join("verifier"), form, &|line| eprintln!("{line}"));
    let (component, library) = (build(Form::Component)?, build(Form::Native)?);
    let engine = Engine::new(&Limits::default(), worker()?)?;
    let alft = |name, path: &Path, native| -> Result<Runner> {
        let pin = Some(source::hash_file(path, &Limits::default())?);
        let source = Source { path: path.into(), pin, native, config: "{}".into(), limits: Limits::default() };
        let plugin = Plugin::open(&source, &engine)?;
        let score = move |batch: &[PromptTexts]| -> Result<Vec<f64>> {
            let result = plugin.call(&Batch::Verifier(batch.into())).map(|item| match item {
                Item::Score(score) => score,
                other => unreachable!("a verifier returned {other:?}"),
            });
            Ok(result.items.into_iter().collect::<Result<_, Failure>>()?)
        };
        Ok(Runner { name, score: Box::new(score) })
    };
    let wasm = std::fs::read(extism_guest(folder)?)?;
    let manifest = extism::Manifest::new([extism::Wasm::data(wasm)]).with_timeout(Duration::from_secs(10));
    let compiled = extism::PluginBuilder::new(manifest).with_cache_disabled().compile()?;
    let mut one = extism::Plugin::new_from_compiled(&compiled)?;
    Ok(vec![
        alft("alft, component", &component, NativeTrust::Refused)?,
        alft("alft, native library", &library, NativeTrust::InProcess)?,
        alft("alft, native library in a child process", &library, NativeTrust::Process)?,
        Runner {
            name: "Extism, JSON",
            score: Box::new(move |batch| json(&mut extism::Plugin::new_from_compiled(&compiled)?, batch)),
        },
        Runner { name: "Extism, JSON, one instance for all", score: Box::new(move |batch| json(&mut one, batch)) },
    ])
}

/// Calls the Extism plugin.
fn json(plugin: &mut extism::Plugin, batch: &[PromptTexts]) -> Result<Vec<f64>> {
    let entry = |entry: &PromptTexts| serde_json::json!({"gold": entry.prompt.gold, "answers": entry.texts});
    let input = serde_json::to_string(&batch.iter().map(entry).collect::<Vec<_>>())?;
    let output: String = plugin.call("score", input)?;
    Ok(serde_json::from_str::<Vec<Vec<f64>>>(&output)?.concat())
}

/// Builds the Extism plugin as a core module, with the compiler and the profile of alft's components.
fn extism_guest(folder: &Path) -> Result<PathBuf> {
    const TARGET: &str = "wasm32-unknown-unknown";
    let target = folder.join("target/guest");
    let cache = std::env::var_os("ALFT_CACHE").map_or_else(|| target.join("cache"), PathBuf::from);
    let toolchain = alft_build::wasm_toolchain(&cache, &|line| eprintln!("{line}"))?;
    let built = Command::new("cargo")
        .args(["rustc", "--release", "--lib", "--crate-type", "cdylib", "--package", "alft-bench-extism-guest"])
        .args(["--target", TARGET])
        .current_dir(folder)
        .env("RUSTC", &toolchain.rustc)
        .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", toolchain.linker.with_file_name("rust-lld"))
        .env("CARGO_TARGET_DIR", &target)
        .envs([("CARGO_PROFILE_RELEASE_LTO", "true"), ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1")])
        .envs([("CARGO_PROFILE_RELEASE_PANIC", "abort"), ("CARGO_PROFILE_RELEASE_STRIP", "debuginfo")])
        .status()
        .context("cargo does not start")?;
    ensure!(built.success(), "the Extism guest was not built");
    Ok(target.join(TARGET).join("release/alft_bench_extism_guest.wasm"))
}
