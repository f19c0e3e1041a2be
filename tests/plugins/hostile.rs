//! A plugin's faults are named, counted and confined: the other samples keep their scores.

use alft_build::Form;
use alft_plugin_host::{FailureKind, Limits, NativeTrust, Plugin, Source};
use alft_sdk::bundle::Prompt;
use alft_sdk::call::PromptTexts;

use crate::support::{
    FORMS, built, engine, entry, evaluate, misbehaving, open, open_file, random_bundles, read, score, source,
};

/// Returns four prompts with four answers each. The fault is on "13".
fn answers() -> Vec<PromptTexts> {
    let entry = |q: usize| PromptTexts {
        prompt: Prompt { id: q.to_string(), ..Prompt::default() },
        texts: (0..4).map(|a| (4 * q + a).to_string()).collect(),
    };
    (0..4).map(entry).collect()
}

/// Scores the answers and returns the failure of "13". All others must have a score.
fn failure(plugin: &Plugin) -> (FailureKind, String) {
    let result = score(plugin, &answers());
    assert_eq!(result.items.len(), 16);
    for (at, item) in result.items.iter().enumerate().filter(|(at, _)| *at != 13) {
        assert_eq!(*item, Ok(0.0), "answer {at}");
    }
    let failure = result.items[13].as_ref().unwrap_err();
    (failure.kind, failure.detail.clone())
}

fn config(fault: &str) -> String {
    misbehaving(fault, "13")
}

#[test]
fn each_fault_of_a_component_is_named_and_costs_only_its_sample() {
    let path = built("misbehave", Form::Component);
    // Little fuel, so that the loop ends soon; the other faults need less.
    let limits = Limits { fuel_base: 5_000_000, ..Limits::default() };
    for (fault, kind, words) in [
        ("loop", FailureKind::OutOfFuel, "units of fuel"),
        ("panic", FailureKind::Panic, "told to panic"),
        ("error", FailureKind::Error, "told to fail"),
        ("nan", FailureKind::NonFinite, "NaN"),
        ("infinity", FailureKind::NonFinite, "inf"),
        ("out-of-range", FailureKind::OutOfRange, "scored 2.0, but promises 0.0 to 1.0"),
        ("memory", FailureKind::Memory, "`limits.memory` is 67108864"),
        ("recursion", FailureKind::StackOverflow, "its stack of 524288 bytes"),
        ("abort", FailureKind::Trap, "unreachable"),
        ("exit", FailureKind::Trap, "unreachable"),
        ("flood", FailureKind::OutOfFuel, "5000000 and 10000 for each of"),
        ("huge", FailureKind::Memory, "`limits.memory`"),
    ] {
        let (found, detail) = failure(&open_file(&path, &config(fault), limits.clone()).unwrap());
        assert_eq!(found, kind, "{fault}: {detail}");
        assert!(detail.contains(words), "{fault}: {detail}");
    }
}

#[test]
fn a_panic_is_reported_with_its_place() {
    let plugin = open("misbehave", Form::Component, &config("panic"));
    let result = score(&plugin, &answers());
    let failure = result.items[13].as_ref().unwrap_err();
    assert!(failure.detail.contains("told to panic") && failure.detail.contains("lib.rs:"), "{failure}");
    let first = failure.backtrace.first().unwrap();
    assert!(first.contains("misbehave"), "demangled, and without the functions that handle a panic: {failure}");
}

#[test]
fn a_library_in_a_child_process_cannot_end_the_host() {
    let path = built("misbehave", Form::Native);
    let opened = |fault: &str| {
        // Bisection starts a process for each half that dies; only the loop is to meet its deadline.
        let limits = Limits { deadline_ms: if fault == "loop" { 2000 } else { 60_000 }, ..Limits::default() };
        let source = Source { limits, ..source(&path, NativeTrust::Process, &config(fault)) };
        Plugin::open(&source, engine()).unwrap()
    };
    for (fault, kind, words) in [
        ("abort", FailureKind::Crash, "signal: 6"),
        ("exit", FailureKind::Crash, "exit status: 0"),
        ("recursion", FailureKind::Crash, "overflow"),
        ("memory", FailureKind::Crash, "memory allocation of"),
        ("panic", FailureKind::Panic, "told to panic"),
        ("nan", FailureKind::NonFinite, "NaN"),
        ("huge", FailureKind::Error, "a very long story"),
    ] {
        let (found, detail) = failure(&opened(fault));
        assert_eq!(found, kind, "{fault}: {detail}");
        assert!(detail.contains(words), "{fault}: {detail}");
    }
    // What the library prints does not disturb its replies, and a part of its diagnostics is kept.
    for (fault, lines) in [("print", 0), ("flood", Limits::default().log_lines)] {
        let result = score(&opened(fault), &answers());
        assert!(result.items.iter().all(|item| *item == Ok(0.0)), "{fault}: {:?}", result.items);
        assert_eq!(result.log.len(), lines, "{fault}");
    }
    let looping = opened("loop");
    let result = score(&looping, &answers());
    assert!(result.items.iter().all(|item| item.as_ref().unwrap_err().kind == FailureKind::Deadline));
    assert_eq!(result.usage.calls, 1, "a batch meets its deadline once");
    assert!(score(&looping, &answers()[..3]).items.iter().all(Result::is_ok), "a new process was started");
}

#[cfg(unix)]
#[test]
fn a_process_that_holds_the_streams_of_a_crashed_one_does_not_turn_the_crash_into_a_deadline() {
    let path = built("misbehave", Form::Native);
    let limits = Limits { deadline_ms: 120_000, ..Limits::default() };
    let source = Source { limits, ..source(&path, NativeTrust::Process, &config("orphan")) };
    let (kind, detail) = failure(&Plugin::open(&source, engine()).unwrap());
    assert_eq!(kind, FailureKind::Crash, "{detail}");
    assert!(detail.contains("signal: 6"), "{detail}");
}

/// Keeps every core busy with several threads until it is dropped.
struct BusyMachine(std::sync::Arc<std::sync::atomic::AtomicBool>);

impl BusyMachine {
    fn start() -> Self {
        let busy = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
        for _ in 0..4 * std::thread::available_parallelism().map_or(1, usize::from) {
            let busy = std::sync::Arc::clone(&busy);
            std::thread::spawn(move || while busy.load(std::sync::atomic::Ordering::Relaxed) {});
        }
        Self(busy)
    }
}

impl Drop for BusyMachine {
    fn drop(&mut self) {
        self.0.store(false, std::sync::atomic::Ordering::Relaxed);
    }
}

#[test]
fn a_busy_machine_changes_neither_failures_nor_fuel() {
    let path = built("misbehave", Form::Component);
    let limits = Limits { fuel_base: 200_000_000, fuel_per_byte: 0, ..Limits::default() };
    let opened = |deadline_ms| {
        let limits = Limits { deadline_ms, ..limits.clone() };
        open_file(&path, &config("loop"), limits).unwrap()
    };
    let started = std::time::Instant::now();
    let quiet = score(&opened(600_000), &answers());
    // As much time as the whole batch took, which made nine calls: plenty for each call, and too little for all calls when
    // each has to wait for the busy threads.
    let deadline_ms = started.elapsed().as_millis() as u64 + 20;
    let busy = BusyMachine::start();
    let slow = score(&opened(deadline_ms), &answers());
    drop(busy);
    assert_eq!(quiet.items[13].as_ref().unwrap_err().kind, FailureKind::OutOfFuel);
    assert_eq!((slow.items, slow.usage.fuel, slow.calls), (quiet.items, quiet.usage.fuel, quiet.calls));
}

#[cfg(target_os = "linux")]
#[test]
fn processes_that_a_library_starts_end_with_its_process() {
    let path = built("misbehave", Form::Native);
    let opened = |fault: &str| Plugin::open(&source(&path, NativeTrust::Process, &config(fault)), engine()).unwrap();
    let forking = opened("fork");
    for count in 1..=4 {
        let result = score(&forking, &answers()[..count]);
        assert_eq!(result.items, vec![Ok(0.0); 4 * count], "the forked process does not reply");
        assert_eq!(result.usage.calls, 1);
    }
    let leaving = opened("leave");
    let (kind, detail) = failure(&leaving);
    assert_eq!(kind, FailureKind::Error);
    let process = detail.strip_prefix("process ").unwrap();
    // The state is the first letter after the name: Z has ended and was not reaped.
    let lives = || {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok();
        stat.is_some_and(|stat| !stat.rsplit(") ").next().unwrap().starts_with('Z'))
    };
    assert!(lives());
    drop(leaving);
    let started = std::time::Instant::now();
    while lives() {
        assert!(started.elapsed().as_secs() < 60, "process {process} outlives its plugin");
        std::thread::yield_now();
    }
}

#[test]
fn one_sample_of_512_that_burns_its_fuel_costs_only_itself() {
    let path = built("misbehave", Form::Component);
    let plugin = open_file(&path, &config("loop"), Limits { fuel_per_byte: 1000, ..Limits::default() }).unwrap();
    let text = |at: usize| if at == 300 { "13".to_owned() } else { "x".repeat(200) };
    let batch: Vec<PromptTexts> = (0..64)
        .map(|q| PromptTexts { prompt: Prompt::default(), texts: (8 * q..8 * q + 8).map(text).collect() })
        .collect();
    let result = score(&plugin, &batch);
    assert_eq!(result.items.len(), 512);
    for (at, item) in result.items.iter().enumerate() {
        assert_eq!(item.is_err(), at == 300, "{at}: {item:?}");
    }
    assert_eq!(result.items[300].as_ref().unwrap_err().kind, FailureKind::OutOfFuel);
    let again = score(&plugin, &batch);
    assert_eq!((result.calls, result.usage.fuel), (again.calls, again.usage.fuel), "calls and fuel are reproducible");
}

#[test]
fn a_fault_of_a_library_in_this_process_costs_only_its_sample() {
    for (fault, kind, words) in [
        ("panic", FailureKind::Panic, "told to panic"),
        ("error", FailureKind::Error, "told to fail"),
        ("nan", FailureKind::NonFinite, "NaN"),
        ("out-of-range", FailureKind::OutOfRange, "promises"),
    ] {
        let (found, detail) = failure(&open("misbehave", Form::Native, &config(fault)));
        assert_eq!(found, kind, "{fault}: {detail}");
        assert!(detail.contains(words), "{fault}: {detail}");
    }
}

#[test]
fn a_loop_with_endless_fuel_meets_its_deadline() {
    let limits = Limits { fuel_base: u64::MAX / 2, deadline_ms: 100, ..Limits::default() };
    let plugin = open_file(&built("misbehave", Form::Component), &config("loop"), limits).unwrap();
    let result = score(&plugin, &answers());
    assert_eq!(result.usage.calls, 1, "a batch meets its deadline once");
    assert!(result.items.iter().all(|item| item.as_ref().unwrap_err().kind == FailureKind::Deadline));
}

#[test]
fn a_key_above_the_limit_costs_only_its_sample() {
    let limits = Limits { key_bytes: 10, ..Limits::default() };
    let plugin = open_file(&built("arithmetic", Form::Component), "{}", limits).unwrap();
    let result = read(&plugin, &[entry(None, &["1234567890", "12345678901", "7"])]);
    let failure = result.items[1].as_ref().unwrap_err();
    assert!(failure.kind == FailureKind::Output && failure.detail.contains("`limits.key_bytes` is 10"), "{failure}");
    assert_eq!([&result.items[0], &result.items[2]], [&Ok(Some("1234567890".into())), &Ok(Some("7".into()))]);
}

#[test]
fn an_output_above_the_limit_is_not_recorded() {
    let limits = Limits { key_bytes: 10, ..Limits::default() };
    let plugin = open_file(&built("arithmetic", Form::Component), "{}", limits).unwrap();
    let result = read(&plugin, &[entry(None, &[&"7".repeat(200)])]);
    assert_eq!(result.items[0].as_ref().unwrap_err().kind, FailureKind::Output);
    assert!(result.calls.iter().all(|call| call.outcome.is_err()), "the record does not have the 200 digits");
}

#[test]
fn diagnostics_are_limited_for_the_whole_batch() {
    let limits = Limits { fuel_base: 2_000_000_000, batch_bytes: 1, log_lines: 7, log_bytes: 6, ..Limits::default() };
    let plugin = open_file(&built("misbehave", Form::Component), &misbehaving("flood", "3"), limits).unwrap();
    let result = score(&plugin, &answers());
    assert!(result.usage.calls > 1 && result.items.iter().all(|item| *item == Ok(0.0)), "{result:?}");
    assert_eq!(result.log.len(), 7);
    assert_eq!(result.log[0], "info: line 0");
}

#[test]
fn a_plugin_that_burns_its_fuel_on_every_item_is_stopped_by_fuel_on_each() {
    let limits = Limits { fuel_base: 20_000_000, fuel_per_byte: 0, ..Limits::default() };
    let plugin = open_file(&built("misbehave", Form::Component), &misbehaving("loop", ""), limits).unwrap();
    let result = score(&plugin, &answers());
    assert!(result.items.iter().all(|item| item.as_ref().unwrap_err().kind == FailureKind::OutOfFuel));
    assert_eq!(result.usage.fuel, 20_000_000 * result.usage.calls);
}

#[test]
fn wrong_shapes_of_an_objective_are_found() {
    let bundles = random_bundles(8, 5);
    for form in FORMS {
        let result = evaluate(&open("misbehave", form, &misbehaving("short", "")), &bundles);
        for item in result.items {
            let failure = item.unwrap_err();
            let words = failure.detail.contains("shape");
            assert!(words && matches!(failure.kind, FailureKind::Shape | FailureKind::Error), "as a {form}: {failure}");
        }
    }
}

#[test]
fn a_component_that_trapped_is_called_again_in_a_fresh_instance() {
    let plugin = open("misbehave", Form::Component, &config("panic"));
    for _ in 0..3 {
        assert_eq!(failure(&plugin).0, FailureKind::Panic);
    }
}
