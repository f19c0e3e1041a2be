//! A plugin of all four roles, called through the C ABI that `export!` makes.

use std::ffi::c_void;

use alft_sdk::abi::{CManifest, CPrompt, CPromptTexts, FAILED, Host, OK, PANICKED, PluginV1, Str, VERSION};
use alft_sdk::serde::Deserialize;
use alft_sdk::{
    Bundle, Grader, Manifest, Objective, Plugin, Prompt, Reader, Result, Valuation, Verifier, export, manifest,
};

/// Reads the first word, grades the length, scores the gold answer, and values nothing.
#[derive(Deserialize)]
#[serde(crate = "alft_sdk::serde", deny_unknown_fields)]
struct Words {}

impl Plugin for Words {
    fn manifest(&self) -> Manifest {
        Manifest { score_range: Some((0.0, 100.0)), ..manifest!("All roles.") }
    }
}

impl Reader for Words {
    fn read(&self, _: &Prompt, completion: &str) -> Result<Option<String>> {
        Ok(completion.split_whitespace().next().map(str::to_owned))
    }
}

impl Grader for Words {
    fn grade(&self, _: &Prompt, completion: &str) -> Result<f64> {
        match completion {
            "panic" => panic!("a grader panicked"),
            "error" => Err("no language".into()),
            text => Ok(text.len() as f64),
        }
    }
}

impl Verifier for Words {
    fn score(&self, prompt: &Prompt, answer: &str) -> Result<f64> {
        Ok(f64::from(prompt.gold.as_deref() == Some(answer)))
    }
}

impl Objective for Words {
    fn evaluate(&self, bundle: &Bundle) -> Result<Valuation> {
        Ok(Valuation { utility: 0.0, rewards: bundle.rewards(|_, _| 0.0), violation: None })
    }
}

export!(Words: Reader + Grader + Verifier + Objective);

unsafe extern "C" {
    // The suffix is the name of this test's crate.
    safe fn alft_plugin_v1_export() -> *const PluginV1;
}

/// The results that a call returns through callbacks.
#[derive(Default)]
struct Returned {
    keys: Vec<Option<String>>,
    failure: Option<String>,
}

unsafe extern "C" fn log(_: *mut c_void, _: u32, _: Str) {}

unsafe extern "C" fn fail(context: *mut c_void, message: Str) {
    // SAFETY: the context is a `Returned` for the duration of the call, and the text is valid.
    unsafe { (*context.cast::<Returned>()).failure = message.copied() };
}

unsafe extern "C" fn key(context: *mut c_void, key: Str) {
    // SAFETY: as in `fail`.
    unsafe { (*context.cast::<Returned>()).keys.push(key.copied()) };
}

fn plugin() -> &'static PluginV1 {
    // SAFETY: `export!` returns a pointer to a static.
    unsafe { &*alft_plugin_v1_export() }
}

/// Makes one call with the texts of a prompt. Returns its status and what it passed to the callbacks.
fn call(texts: &[&str], function: impl FnOnce(*const Host, *const CPromptTexts) -> i32) -> (i32, Returned) {
    let mut returned = Returned::default();
    let host = Host { size: size_of::<Host>() as u32, context: (&raw mut returned).cast(), log, fail, key };
    let texts: Vec<Str> = texts.iter().map(|text| Str::new(text)).collect();
    let prompt = CPrompt { id: Str::new("q"), text: Str::new("?"), gold: Str::new("a"), metadata: Str::new("{}") };
    let entry = CPromptTexts { prompt, texts: texts.as_ptr(), texts_len: texts.len() };
    (function(&host, &entry), returned)
}

#[test]
fn a_plugin_of_all_roles_has_all_functions() {
    let plugin = plugin();
    assert_eq!((plugin.size as usize, plugin.version), (size_of::<PluginV1>(), VERSION));
    assert!(plugin.describe.is_some() && plugin.read.is_some() && plugin.grade.is_some());
    assert!(plugin.score.is_some() && plugin.evaluate.is_some());

    let mut manifest = CManifest {
        size: size_of::<CManifest>() as u32,
        name: Str::NULL,
        version: Str::NULL,
        summary: Str::NULL,
        score_low: f64::NAN,
        score_high: f64::NAN,
        concave: 0,
        gradient: 0,
        needs_reference: 0,
    };
    // SAFETY: the arguments are valid for the duration of the call.
    let (status, _) = call(&[], |host, _| unsafe { plugin.describe.unwrap()(host, Str::new("{}"), &mut manifest) });
    // SAFETY: the manifest's texts are valid until the next call.
    assert_eq!((status, unsafe { manifest.name.copied() }), (OK, Some("alft-sdk".into())));
    assert_eq!((manifest.score_low, manifest.score_high), (0.0, 100.0));
}

#[test]
fn texts_are_read_graded_and_scored() {
    let plugin = plugin();
    let config = Str::new("{}");
    let mut scores = [0.0; 3];
    // SAFETY: the arguments are valid for the duration of the call, in each of the calls below.
    let (status, returned) =
        call(&["a b", "", " c"], |host, entry| unsafe { plugin.read.unwrap()(host, config, entry, 1) });
    assert_eq!((status, returned.keys), (OK, vec![Some("a".into()), None, Some("c".into())]));
    let grade = plugin.grade.unwrap();
    // SAFETY: see above.
    let (status, _) =
        call(&["a b", "", " c"], |host, entry| unsafe { grade(host, config, entry, 1, scores.as_mut_ptr()) });
    assert_eq!((status, scores), (OK, [3.0, 0.0, 2.0]));
    let score = plugin.score.unwrap();
    // SAFETY: see above.
    let (status, _) =
        call(&["a", "b", "a "], |host, entry| unsafe { score(host, config, entry, 1, scores.as_mut_ptr()) });
    assert_eq!((status, scores), (OK, [1.0, 0.0, 0.0]));
}

#[test]
fn errors_and_panics_are_returned_as_text() {
    let grade = plugin().grade.unwrap();
    let mut score = [0.0];
    for (text, wanted, words) in [("error", FAILED, "no language"), ("panic", PANICKED, "a grader panicked")] {
        // SAFETY: the arguments are valid for the duration of the call.
        let (status, returned) =
            call(&[text], |host, entry| unsafe { grade(host, Str::new("{}"), entry, 1, score.as_mut_ptr()) });
        assert_eq!(status, wanted);
        assert!(returned.failure.as_ref().unwrap().contains(words), "{:?}", returned.failure);
    }
}
