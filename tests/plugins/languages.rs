//! A third party's plugin in each language, from its source through the host.
//!
//! The compilers for Python, JavaScript and C come from their registries when they are first needed; where a registry
//! cannot be reached these tests fail with its words.

use std::path::{Path, PathBuf};

use alft_build::{Error, Form};
use alft_plugin_host::{Called, Failure, FailureKind, Limits, NativeTrust, Plugin};
use alft_sdk::Manifest;
use alft_sdk::batch::PromptTexts;
use alft_sdk::bundle::{Bundle, Prompt};

use crate::support::{FORMS, engine, open_file, random_bundles, source};

fn example(language: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/plugins").join(language)
}

fn open(language: &str, form: Form, config: &str) -> Plugin {
    tried(language, form, config).unwrap_or_else(|error| panic!("{error}"))
}

/// Libraries run apart: of one in C nobody knows whether its failures can be caught.
fn tried(language: &str, form: Form, config: &str) -> Result<Plugin, alft_plugin_host::Error> {
    Plugin::open(&source(&built(language, form), NativeTrust::Process, config), engine())
}

fn built(language: &str, form: Form) -> PathBuf {
    alft_build::build(&example(language), form, &|line| eprintln!("{line}")).unwrap_or_else(|error| panic!("{error}"))
}

/// What it says of a configuration that it refuses.
fn refused(language: &str, form: Form, config: &str) -> String {
    tried(language, form, config).unwrap_err().to_string()
}

fn question(gold: Option<&str>, texts: &[&str]) -> PromptTexts {
    let prompt = Prompt { id: "q".into(), gold: gold.map(Into::into), ..Prompt::default() };
    PromptTexts { prompt, texts: texts.iter().map(|text| (*text).to_owned()).collect() }
}

/// Values where there are some, and the kind and words of the failure elsewhere.
fn outcomes<T: Clone>(called: &Called<T>) -> Vec<Result<T, (FailureKind, &str)>> {
    fn words(failure: &Failure) -> (FailureKind, &str) {
        (failure.kind, &failure.detail)
    }
    let outcomes = called.items.iter().map(|item| match item {
        Ok(value) => Ok(value.clone()),
        Err(failure) => Err(words(failure)),
    });
    outcomes.collect()
}

#[test]
fn rust_reads_boxes() {
    for form in FORMS {
        let plugin = open("rust", form, "{}");
        let texts = [r"so \boxed{\frac{1}{2}}", "none", r"\boxed{ \text{größer} }", ""];
        let called = plugin.read(&[question(None, &texts), question(None, &[r"\boxed{7}"])]);
        let keys: Vec<Option<String>> = called.items.into_iter().map(Result::unwrap).collect();
        let wanted = [Some(r"\frac{1}{2}"), None, Some(r"\text{größer}"), None, Some("7")];
        assert_eq!(keys, wanted.map(|key| key.map(str::to_owned)), "as a {form}");
    }
}

#[test]
fn python_reads_and_scores_dates() {
    let plugin = open("python", Form::Component, r#"{"tolerance_days": 3}"#);
    let Manifest { name, version, score_range, .. } = plugin.manifest();
    assert_eq!((name.as_str(), version.as_str(), *score_range), ("dates", "0.1.0", Some((0.0, 1.0))));

    let called = plugin.read(&[question(None, &["on July 4th, 1776.", "no day", ""]), question(None, &["1776-07-04"])]);
    let keys: Vec<Option<String>> = called.items.into_iter().map(Result::unwrap).collect();
    assert_eq!(keys, [Some("1776-07-04".to_owned()), None, None, Some("1776-07-04".to_owned())]);

    let called = plugin.score(&[question(Some("1776-07-04"), &["1776-07-04", "1776-07-05", "1799-01-01"])]);
    assert_eq!(outcomes(&called), [Ok(1.0), Ok(0.75), Ok(0.0)]);

    // One question raises: its traceback arrives, and the others keep their scores.
    let called = plugin.score(&[question(Some("1776-07-04"), &["soon"]), question(Some("soon"), &["1776-07-04"])]);
    let [Ok(0.0), Err((FailureKind::Error, said))] = outcomes(&called)[..] else { panic!("{:?}", called.items) };
    for part in
        ["plugin.py\", line", "right = date.fromisoformat(prompt.gold)", "ValueError: Invalid isoformat string: 'soon'"]
    {
        assert!(said.contains(part), "{said}");
    }
    let called = plugin.score(&[question(None, &["1776-07-04"])]);
    let [Err((FailureKind::Error, said))] = outcomes(&called)[..] else { panic!("{:?}", called.items) };
    assert!(said.contains("prompt q has no gold answer"), "{said}");

    let said = refused("python", Form::Component, r#"{"tolerance": 3}"#);
    assert!(said.contains("unexpected keyword argument 'tolerance'"), "{said}");
}

#[test]
fn javascript_prices_welfare() {
    let plugin = open("js", Form::Component, r#"{"answers": ["1", "2", "9"], "epsilon": 0.1}"#);
    assert!(plugin.manifest().concave && plugin.manifest().gradient);
    let bundles = random_bundles(50, 5);
    let called = plugin.evaluate(&bundles);
    assert_eq!(called.bill.calls, 1);
    for (item, bundle) in called.items.iter().zip(&bundles) {
        let valuation = item.as_ref().unwrap();
        let (utility, rewards) = welfare(bundle);
        assert!((valuation.utility - utility).abs() < 1e-12, "{} is not {utility}", valuation.utility);
        assert_eq!((&valuation.rewards, valuation.violation), (&rewards, None));
    }

    let said = refused("js", Form::Component, "{}");
    assert!(said.contains("answers is empty; list the answers"), "{said}");
    let said = refused("js", Form::Component, r#"{"answers": ["1"], "epsilom": 1}"#);
    assert!(said.contains("unknown key \"epsilom\""), "{said}");
}

/// The objective of examples/plugins/js, over again.
fn welfare(bundle: &Bundle) -> (f64, Vec<Vec<f64>>) {
    let listed = |key: &str| ["1", "2", "9"].contains(&key);
    let utility = bundle.mean(|group| {
        group.answers.iter().filter(|answer| listed(&answer.key)).map(|answer| (answer.frequency / 0.1).ln_1p()).sum()
    });
    (utility, bundle.rewards(|_, answer| if listed(&answer.key) { 1.0 / (0.1 + answer.frequency) } else { 0.0 }))
}

#[test]
fn c_scores_numbers_alike_in_both_forms() {
    for form in FORMS {
        let plugin = open("c", form, r#"{"tolerance":0.01}"#);
        assert_eq!(plugin.manifest().score_range, Some((0.0, 1.0)));
        let pi = question(
            Some("3.14159265"),
            &["3.14", "3", "", "three", "inf", "3.1415926535897932384626433832795028841971"],
        );
        let called = plugin.score(&[pi, question(Some("0"), &["0", "-0.0"])]);
        assert_eq!(outcomes(&called), [1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0].map(Ok), "as a {form}");

        let called = plugin.score(&[question(Some("2"), &["2"]), question(None, &["2"])]);
        let [Ok(1.0), Err((FailureKind::Error, said))] = outcomes(&called)[..] else { panic!("{:?}", called.items) };
        assert!(said.contains("missing or not a number"), "as a {form}: {said}");
        for config in [r#"{"tolerance":-1}"#, r#"{"tolerance":"1"}"#, r#"{"other":1}"#] {
            let said = refused("c", form, config);
            assert!(said.contains("the only key is tolerance"), "{config} as a {form}: {said}");
        }
    }
}

/// A project in a scratch folder, from an example and with one file written anew.
fn changed(language: &str, file: &str, text: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(example(language)).unwrap().map(Result::unwrap) {
        if entry.path().is_file() {
            std::fs::copy(entry.path(), dir.path().join(entry.file_name())).unwrap();
        }
    }
    std::fs::write(dir.path().join(file), text).unwrap();
    dir
}

#[test]
fn javascript_that_throws_is_an_error_with_its_stack() {
    let source = "
        export default class Thrower {
          evaluate(bundle) {
            if (bundle.id === '1') throw new RangeError('not this one');
            if (bundle.id === '2') return { utility: '1', rewards: [] };
            console.warn('bundle', bundle.id);
            return { utility: 0, rewards: bundle.groups.map((group) => group.answers.map(() => 0)) };
          }
        }";
    let dir = changed("js", "plugin.js", source);
    let file = alft_build::build(dir.path(), Form::Component, &|_| {}).unwrap();
    let plugin = open_file(&file, "{}", Limits::default()).unwrap();
    let called = plugin.evaluate(&random_bundles(3, 6));
    let outcomes = outcomes(&called);
    let [Ok(_), Err((FailureKind::Error, thrown)), Err((FailureKind::Error, wrong))] = &outcomes[..] else {
        panic!("{:?}", called.items)
    };
    assert!(thrown.contains("RangeError: not this one") && thrown.contains("at evaluate (/plugin.js:4"), "{thrown}");
    assert!(wrong.contains("utility is a string; return a number"), "{wrong}");
    assert!(called.log.iter().any(|line| line == "warn: bundle 0"), "{:?}", called.log);
}

#[test]
fn what_does_not_build_is_said_in_the_compilers_words() {
    for (language, file, text, words) in [
        ("python", "plugin.py", "import alft\nimport no_such_module\n", "No module named 'no_such_module'"),
        ("js", "plugin.js", "export default class {", "plugin.js"),
        ("c", "plugin.c", "#include \"alft.h\"\nint x = y;\n", "plugin.c:2:9"),
    ] {
        let dir = changed(language, file, text);
        let error = alft_build::build(dir.path(), Form::Component, &|_| {}).unwrap_err();
        assert!(matches!(&error, Error::Compile { failed, .. } if failed.tail.contains(words)), "{language}: {error}");
    }
}

#[test]
fn c_that_needs_an_operating_system_is_no_component() {
    let plugin = std::fs::read_to_string(example("c").join("plugin.c")).unwrap();
    let talks = plugin.replace("#include <math.h>", "#include <math.h>\n#include <stdio.h>");
    let talks = talks.replace("const double allowed", "puts(\"scoring\");\n    const double allowed");
    let dir = changed("c", "plugin.c", &talks);
    let error = alft_build::build(dir.path(), Form::Component, &|_| {}).unwrap_err().to_string();
    assert!(error.contains("a component has no operating system") && error.contains("wasi"), "{error}");
}

#[test]
fn only_rust_and_c_make_libraries() {
    for (language, name) in [("python", "Python"), ("js", "JavaScript")] {
        let error = alft_build::build(&example(language), Form::Native, &|_| {}).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains("leave out --native"), "{error}");
    }
}

#[test]
fn the_examples_hold_the_sdk_as_it_is() {
    use alft_build::assets::{HEADER, JAVASCRIPT, PYTHON};
    for (file, text) in [("python/alft.py", PYTHON), ("js/alft.js", JAVASCRIPT), ("c/alft.h", HEADER)] {
        assert!(
            std::fs::read_to_string(example(file)).unwrap() == text,
            "copy sdk's file over examples/plugins/{file}"
        );
    }
}
