//! What a plugin does wrong is named, counted and contained: the other samples keep their scores.

use alft_build::Form;
use alft_plugin_host::{FailureKind, Limits, NativeTrust, Plugin, Source};
use alft_sdk::batch::PromptTexts;
use alft_sdk::bundle::Prompt;

use crate::support::{FORMS, built, engine, open, open_file, random_bundles, source};

/// Four questions with four answers each; "13" is where the plugin misbehaves.
fn questions() -> Vec<PromptTexts> {
    let question = |q: usize| PromptTexts {
        prompt: Prompt { id: q.to_string(), ..Prompt::default() },
        texts: (0..4).map(|a| (4 * q + a).to_string()).collect(),
    };
    (0..4).map(question).collect()
}

/// Scores the questions and returns the failure of "13". All else must have been scored.
fn failure(plugin: &Plugin) -> (FailureKind, String) {
    let called = plugin.score(&questions());
    assert_eq!(called.items.len(), 16);
    for (at, item) in called.items.iter().enumerate().filter(|(at, _)| *at != 13) {
        assert_eq!(*item, Ok(0.0), "answer {at}");
    }
    let failure = called.items[13].as_ref().unwrap_err();
    (failure.kind, failure.detail.clone())
}

fn config(deed: &str) -> String {
    format!(r#"{{"deed": "{deed}", "on": "13"}}"#)
}

#[test]
fn each_deed_of_a_component_is_named_and_costs_its_sample_alone() {
    let path = built("misbehave", Form::Component);
    // Little fuel, so that the loop ends soon; the other deeds need less.
    let limits = Limits { fuel_base: 5_000_000, ..Limits::default() };
    for (deed, kind, words) in [
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
        let (found, detail) = failure(&open_file(&path, &config(deed), limits.clone()).unwrap());
        assert_eq!(found, kind, "{deed}: {detail}");
        assert!(detail.contains(words), "{deed}: {detail}");
    }
}

#[test]
fn a_panic_says_where_it_came_from() {
    let plugin = open("misbehave", Form::Component, &config("panic"));
    let called = plugin.score(&questions());
    let failure = called.items[13].as_ref().unwrap_err();
    assert!(failure.detail.contains("told to panic") && failure.detail.contains("lib.rs:"), "{failure}");
    let first = failure.backtrace.first().unwrap();
    assert!(first.contains("misbehave"), "demangled, and without the machinery of panics: {failure}");
}

#[test]
fn a_library_in_its_own_process_takes_nothing_with_it() {
    let path = built("misbehave", Form::Native);
    let opened = |deed: &str| {
        // Taking a batch apart starts a process for each half that dies; only the loop is to meet its deadline.
        let limits = Limits { deadline_ms: if deed == "loop" { 2000 } else { 60_000 }, ..Limits::default() };
        let source = Source { limits, ..source(&path, NativeTrust::Process, &config(deed)) };
        Plugin::open(&source, engine()).unwrap()
    };
    for (deed, kind, words) in [
        ("abort", FailureKind::Crash, "signal: 6"),
        ("exit", FailureKind::Crash, "exit status: 0"),
        ("recursion", FailureKind::Crash, "overflow"),
        ("memory", FailureKind::Crash, "memory allocation of"),
        ("panic", FailureKind::Panic, "told to panic"),
        ("nan", FailureKind::NonFinite, "NaN"),
        ("huge", FailureKind::Error, "a very long story"),
    ] {
        let (found, detail) = failure(&opened(deed));
        assert_eq!(found, kind, "{deed}: {detail}");
        assert!(detail.contains(words), "{deed}: {detail}");
    }
    // What it prints does not disturb what it answers, and of what it says a part is kept.
    for (deed, lines) in [("print", 0), ("flood", Limits::default().log_lines)] {
        let called = opened(deed).score(&questions());
        assert!(called.items.iter().all(|item| *item == Ok(0.0)), "{deed}: {:?}", called.items);
        assert_eq!(called.log.len(), lines, "{deed}");
    }
    let looping = opened("loop");
    let called = looping.score(&questions());
    assert!(called.items.iter().all(|item| item.as_ref().unwrap_err().kind == FailureKind::Deadline));
    assert_eq!(called.bill.calls, 1, "a deadline is not met twice");
    assert!(looping.score(&questions()[..3]).items.iter().all(Result::is_ok), "a new process goes on");
}

#[cfg(target_os = "linux")]
#[test]
fn what_a_library_starts_ends_with_its_process() {
    let path = built("misbehave", Form::Native);
    let opened = |deed: &str| Plugin::open(&source(&path, NativeTrust::Process, &config(deed)), engine()).unwrap();
    let forking = opened("fork");
    for asked in 1..=4 {
        let called = forking.score(&questions()[..asked]);
        assert_eq!(called.items, vec![Ok(0.0); 4 * asked], "a twin's reply is nobody's");
        assert_eq!(called.bill.calls, 1);
    }
    let leaving = opened("leave");
    let (kind, detail) = failure(&leaving);
    assert_eq!(kind, FailureKind::Error);
    let process = detail.strip_prefix("process ").unwrap();
    // The state is the first letter after the name: Z has ended, and waits for somebody to take note.
    let lives = || {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok();
        stat.is_some_and(|stat| !stat.rsplit(") ").next().unwrap().starts_with('Z'))
    };
    assert!(lives());
    drop(leaving);
    let begun = std::time::Instant::now();
    while lives() {
        assert!(begun.elapsed().as_secs() < 60, "process {process} outlives its plugin");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

#[test]
fn one_sample_of_512_that_burns_its_budget_costs_itself_alone() {
    let path = built("misbehave", Form::Component);
    let plugin = open_file(&path, &config("loop"), Limits { fuel_per_byte: 1000, ..Limits::default() }).unwrap();
    let text = |at: usize| if at == 300 { "13".to_owned() } else { "x".repeat(200) };
    let batch: Vec<PromptTexts> = (0..64)
        .map(|q| PromptTexts { prompt: Prompt::default(), texts: (8 * q..8 * q + 8).map(text).collect() })
        .collect();
    let called = plugin.score(&batch);
    assert_eq!(called.items.len(), 512);
    for (at, item) in called.items.iter().enumerate() {
        assert_eq!(item.is_err(), at == 300, "{at}: {item:?}");
    }
    assert_eq!(called.items[300].as_ref().unwrap_err().kind, FailureKind::OutOfFuel);
    let again = plugin.score(&batch);
    assert_eq!((called.calls, called.bill.fuel), (again.calls, again.bill.fuel), "calls and fuel are no accident");
}

#[test]
fn a_library_that_panics_errs_or_lies_costs_its_sample_alone() {
    for (deed, kind, words) in [
        ("panic", FailureKind::Panic, "told to panic"),
        ("error", FailureKind::Error, "told to fail"),
        ("nan", FailureKind::NonFinite, "NaN"),
        ("out-of-range", FailureKind::OutOfRange, "promises"),
    ] {
        let (found, detail) = failure(&open("misbehave", Form::Native, &config(deed)));
        assert_eq!(found, kind, "{deed}: {detail}");
        assert!(detail.contains(words), "{deed}: {detail}");
    }
}

#[test]
fn a_loop_with_endless_fuel_meets_its_deadline() {
    let limits = Limits { fuel_base: u64::MAX / 2, deadline_ms: 100, ..Limits::default() };
    let plugin = open_file(&built("misbehave", Form::Component), &config("loop"), limits).unwrap();
    let called = plugin.score(&questions());
    assert_eq!(called.bill.calls, 1, "a deadline is not met twice");
    assert!(called.items.iter().all(|item| item.as_ref().unwrap_err().kind == FailureKind::Deadline));
}

#[test]
fn an_answer_that_is_a_book_costs_its_sample_alone() {
    let limits = Limits { key_bytes: 10, ..Limits::default() };
    let plugin = open_file(&built("arithmetic", Form::Component), "{}", limits).unwrap();
    let texts = ["1234567890", "12345678901", "7"].map(String::from).to_vec();
    let called = plugin.read(&[PromptTexts { prompt: Prompt::default(), texts }]);
    let failure = called.items[1].as_ref().unwrap_err();
    assert!(failure.kind == FailureKind::Output && failure.detail.contains("`limits.key_bytes` is 10"), "{failure}");
    assert_eq!([&called.items[0], &called.items[2]], [&Ok(Some("1234567890".into())), &Ok(Some("7".into()))]);
}

#[test]
fn an_answer_that_is_not_kept_is_refused_before_it_is_recorded() {
    let limits = Limits { key_bytes: 10, ..Limits::default() };
    let plugin = open_file(&built("arithmetic", Form::Component), "{}", limits).unwrap();
    let called = plugin.read(&[PromptTexts { prompt: Prompt::default(), texts: vec!["7".repeat(200)] }]);
    assert_eq!(called.items[0].as_ref().unwrap_err().kind, FailureKind::Output);
    assert!(called.calls.iter().all(|call| call.outcome.is_err()), "its 200 digits are not in the record");
}

#[test]
fn a_flood_of_lines_is_cut_for_the_whole_batch() {
    let limits = Limits { fuel_base: 2_000_000_000, batch_bytes: 1, log_lines: 7, log_bytes: 6, ..Limits::default() };
    let plugin = open_file(&built("misbehave", Form::Component), r#"{"deed": "flood", "on": "3"}"#, limits).unwrap();
    let called = plugin.score(&questions());
    assert!(called.bill.calls > 1 && called.items.iter().all(|item| *item == Ok(0.0)), "{called:?}");
    assert_eq!(called.log.len(), 7);
    assert_eq!(called.log[0], "info: line 0");
}

#[test]
fn one_that_burns_its_fuel_on_everything_has_one_deadline_for_all_of_it() {
    let limits = Limits { fuel_base: 2_000_000_000, deadline_ms: 300, ..Limits::default() };
    let plugin = open_file(&built("misbehave", Form::Component), r#"{"deed": "loop"}"#, limits).unwrap();
    let called = plugin.score(&questions());
    assert!(called.bill.calls < 31, "{} calls, as many as it takes to be alone with each answer", called.bill.calls);
    assert!(called.items.iter().all(Result::is_err));
    assert_eq!(called.items[15].as_ref().unwrap_err().kind, FailureKind::Deadline);
}

#[test]
fn wrong_shapes_of_an_objective_are_found() {
    let bundles = random_bundles(8, 5);
    for form in FORMS {
        let called = open("misbehave", form, r#"{"deed": "short"}"#).evaluate(&bundles);
        for item in called.items {
            let failure = item.unwrap_err();
            let words = failure.detail.contains("shape");
            assert!(words && matches!(failure.kind, FailureKind::Shape | FailureKind::Error), "as a {form}: {failure}");
        }
    }
}

#[test]
fn a_trapped_component_is_used_again_in_a_fresh_instance() {
    let plugin = open("misbehave", Form::Component, &config("panic"));
    for _ in 0..3 {
        assert_eq!(failure(&plugin).0, FailureKind::Panic);
    }
}
