//! A third party's plugin in each language, built from source and result through the host.
//!
//! The compilers for Python, JavaScript and C are downloaded from their registries when they are first needed. If a
//! registry cannot be reached, these tests fail with its error.

use std::path::{Path, PathBuf};

use alft_build::{Error, Form};
use alft_plugin_host::{BatchResult, FailureKind, Limits, NativeTrust, Plugin};
use alft_sdk::Manifest;
use alft_sdk::bundle::Bundle;

use crate::support::{
    FORMS, built_project, chain, engine, entry, evaluate, open_file, random_bundles, read, score, source,
};

fn example(language: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/plugins").join(language)
}

fn open(language: &str, form: Form, config: &str) -> Plugin {
    try_open(language, form, config).unwrap_or_else(|error| panic!("{}", chain(&error)))
}

/// Opens an example. Libraries run in a child process: the one in C has no fingerprint, so its panics may not be caught.
fn try_open(language: &str, form: Form, config: &str) -> Result<Plugin, alft_plugin_host::Error> {
    let file = built_project(&example(language), form);
    Plugin::open(&source(&file, NativeTrust::Process, config), engine())
}

/// Returns the error of an example under a configuration that it refuses.
fn refused(language: &str, form: Form, config: &str) -> String {
    chain(&try_open(language, form, config).unwrap_err())
}

/// Returns the values, or the kinds and messages of the failures.
fn outcomes<T: Clone>(result: &BatchResult<T>) -> Vec<Result<T, (FailureKind, &str)>> {
    let outcomes = result.items.iter().map(|item| match item {
        Ok(value) => Ok(value.clone()),
        Err(failure) => Err((failure.kind, failure.detail.as_str())),
    });
    outcomes.collect()
}

#[test]
fn the_rust_example_reads_boxes() {
    for form in FORMS {
        let plugin = open("rust", form, "{}");
        let texts = [r"so \boxed{\frac{1}{2}}", "none", r"\boxed{ \text{größer} }", ""];
        let result = read(&plugin, &[entry(None, &texts), entry(None, &[r"\boxed{7}"])]);
        let keys: Vec<Option<String>> = result.items.into_iter().map(Result::unwrap).collect();
        let wanted = [Some(r"\frac{1}{2}"), None, Some(r"\text{größer}"), None, Some("7")];
        assert_eq!(keys, wanted.map(|key| key.map(str::to_owned)), "as a {form}");
    }
}

#[test]
fn the_python_example_reads_and_scores_dates() {
    let plugin = open("python", Form::Component, r#"{"tolerance_days": 3}"#);
    let Manifest { name, version, score_range, .. } = plugin.manifest();
    assert_eq!((name.as_str(), version.as_str(), *score_range), ("dates", "0.1.0", Some((0.0, 1.0))));

    let result = read(&plugin, &[entry(None, &["on July 4th, 1776.", "no day", ""]), entry(None, &["1776-07-04"])]);
    let keys: Vec<Option<String>> = result.items.into_iter().map(Result::unwrap).collect();
    assert_eq!(keys, [Some("1776-07-04".to_owned()), None, None, Some("1776-07-04".to_owned())]);

    let result = score(&plugin, &[entry(Some("1776-07-04"), &["1776-07-04", "1776-07-05", "1799-01-01"])]);
    assert_eq!(outcomes(&result), [Ok(1.0), Ok(0.75), Ok(0.0)]);

    // An exception arrives with its traceback, and the other prompts keep their scores.
    let result = score(&plugin, &[entry(Some("1776-07-04"), &["soon"]), entry(Some("soon"), &["1776-07-04"])]);
    let [Ok(0.0), Err((FailureKind::Error, message))] = outcomes(&result)[..] else { panic!("{:?}", result.items) };
    for part in
        ["plugin.py\", line", "right = date.fromisoformat(prompt.gold)", "ValueError: Invalid isoformat string: 'soon'"]
    {
        assert!(message.contains(part), "{message}");
    }
    let result = score(&plugin, &[entry(None, &["1776-07-04"])]);
    let [Err((FailureKind::Error, message))] = outcomes(&result)[..] else { panic!("{:?}", result.items) };
    assert!(message.contains("prompt q has no gold answer"), "{message}");

    let message = refused("python", Form::Component, r#"{"tolerance": 3}"#);
    assert!(message.contains("unexpected keyword argument 'tolerance'"), "{message}");
}

#[test]
fn the_javascript_example_evaluates_welfare() {
    let plugin = open("js", Form::Component, r#"{"answers": ["1", "2", "9"], "epsilon": 0.1}"#);
    assert!(plugin.manifest().concave && plugin.manifest().gradient);
    let bundles = random_bundles(50, 5);
    let result = evaluate(&plugin, &bundles);
    assert_eq!(result.usage.calls, 1);
    for (item, bundle) in result.items.iter().zip(&bundles) {
        let valuation = item.as_ref().unwrap();
        let (utility, rewards) = welfare(bundle);
        assert!((valuation.utility - utility).abs() < 1e-12, "{} is not {utility}", valuation.utility);
        assert_eq!((&valuation.rewards, valuation.violation), (&rewards, None));
    }

    let message = refused("js", Form::Component, "{}");
    assert!(message.contains("answers is empty; list the answers"), "{message}");
    let message = refused("js", Form::Component, r#"{"answers": ["1"], "epsilom": 1}"#);
    assert!(message.contains("unknown key \"epsilom\""), "{message}");
}

/// The objective of examples/plugins/js, computed here.
fn welfare(bundle: &Bundle) -> (f64, Vec<Vec<f64>>) {
    let listed = |key: &str| ["1", "2", "9"].contains(&key);
    let utility = bundle.mean(|group| {
        group.answers.iter().filter(|answer| listed(&answer.key)).map(|answer| (answer.frequency / 0.1).ln_1p()).sum()
    });
    (utility, bundle.rewards(|_, answer| if listed(&answer.key) { 1.0 / (0.1 + answer.frequency) } else { 0.0 }))
}

#[test]
fn the_c_example_scores_numbers_alike_in_both_forms() {
    for form in FORMS {
        let plugin = open("c", form, r#"{"tolerance":0.01}"#);
        assert_eq!(plugin.manifest().score_range, Some((0.0, 1.0)));
        let pi =
            entry(Some("3.14159265"), &["3.14", "3", "", "three", "inf", "3.1415926535897932384626433832795028841971"]);
        let result = score(&plugin, &[pi, entry(Some("0"), &["0", "-0.0"])]);
        assert_eq!(outcomes(&result), [1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0].map(Ok), "as a {form}");

        let result = score(&plugin, &[entry(Some("2"), &["2"]), entry(None, &["2"])]);
        let [Ok(1.0), Err((FailureKind::Error, message))] = outcomes(&result)[..] else { panic!("{:?}", result.items) };
        assert!(message.contains("missing or not a number"), "as a {form}: {message}");
        for config in [r#"{"tolerance":-1}"#, r#"{"tolerance":"1"}"#, r#"{"other":1}"#] {
            let message = refused("c", form, config);
            assert!(message.contains("the only key is tolerance"), "{config} as a {form}: {message}");
        }
    }
}

/// Copies an example into a temporary folder and replaces one of its files.
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
fn an_exception_in_javascript_is_an_error_with_its_stack() {
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
    let file = built_project(dir.path(), Form::Component);
    let plugin = open_file(&file, "{}", Limits::default()).unwrap();
    let result = evaluate(&plugin, &random_bundles(3, 6));
    let outcomes = outcomes(&result);
    let [Ok(_), Err((FailureKind::Error, thrown)), Err((FailureKind::Error, wrong))] = &outcomes[..] else {
        panic!("{:?}", result.items)
    };
    assert!(thrown.contains("RangeError: not this one") && thrown.contains("at evaluate (/plugin.js:4"), "{thrown}");
    assert!(wrong.contains("utility is a string; return a number"), "{wrong}");
    assert!(result.log.iter().any(|line| line == "warn: bundle 0"), "{:?}", result.log);
}

#[test]
fn a_failed_build_has_the_compilers_message() {
    for (language, file, text, words) in [
        ("python", "plugin.py", "import alft\nimport no_such_module\n", "No module named 'no_such_module'"),
        ("js", "plugin.js", "export default class {", "plugin.js"),
        ("c", "plugin.c", "#include \"alft.h\"\nint x = y;\n", "plugin.c:2:9"),
    ] {
        let dir = changed(language, file, text);
        let error = alft_build::build(dir.path(), Form::Component, &|_| {}).unwrap_err();
        assert!(
            matches!(&error, Error::Compile { source, .. } if source.stderr.contains(words)),
            "{language}: {error}"
        );
    }
}

#[test]
fn c_code_that_needs_an_operating_system_does_not_build_as_a_component() {
    let plugin = std::fs::read_to_string(example("c").join("plugin.c")).unwrap();
    let talks = plugin.replace("#include <math.h>", "#include <math.h>\n#include <stdio.h>");
    let talks = talks.replace("const double allowed", "puts(\"scoring\");\n    const double allowed");
    let dir = changed("c", "plugin.c", &talks);
    let error = chain(&alft_build::build(dir.path(), Form::Component, &|_| {}).unwrap_err());
    assert!(error.contains("a component has no operating system") && error.contains("wasi"), "{error}");
}

#[test]
fn only_rust_and_c_can_be_built_as_libraries() {
    for (language, name) in [("python", "Python"), ("js", "JavaScript")] {
        let error = alft_build::build(&example(language), Form::Native, &|_| {}).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains("leave out --native"), "{error}");
    }
}

#[test]
fn the_examples_have_the_current_sdk_files() {
    use alft_build::assets::{HEADER, JAVASCRIPT, PYTHON};
    for (file, text) in [("python/alft.py", PYTHON), ("js/alft.js", JAVASCRIPT), ("c/alft.h", HEADER)] {
        assert!(
            std::fs::read_to_string(example(file)).unwrap() == text,
            "copy sdk's file over examples/plugins/{file}"
        );
    }
}
