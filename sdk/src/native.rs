//! The native side of [`export!`](crate::export!): offers a Rust plugin through the C [`abi`](crate::abi). A panic is
//! caught inside the library.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, Once, PoisonError};

use crate::abi::{CAnswer, CBundle, CGroup, CManifest, CPrompt, CPromptTexts, FAILED, Host, OK, PANICKED, Str};
use crate::bundle::{Answer, Bundle, Group, Prompt, Valuation};
use crate::call::PromptTexts;
use crate::dispatch;
use crate::level::Level;
use crate::plugin::{Plugin, Result};
use crate::roles::Function;

/// Returns a slice of the host's memory; an empty one for a null pointer, which C code passes for a length of 0.
///
/// # Safety
/// A pointer that is not null points to `len` valid elements that outlive `'a`.
unsafe fn slice<'a, T>(ptr: *const T, len: usize) -> &'a [T] {
    // SAFETY: the caller's promise.
    if ptr.is_null() { &[] } else { unsafe { std::slice::from_raw_parts(ptr, len) } }
}

/// # Safety
/// The texts are valid.
unsafe fn prompt(c: &CPrompt) -> Prompt {
    // SAFETY: the caller's promise.
    unsafe {
        Prompt {
            id: c.id.copied().unwrap_or_default(),
            text: c.text.copied().unwrap_or_default(),
            gold: c.gold.copied(),
            metadata: c.metadata.copied().unwrap_or_default(),
        }
    }
}

/// # Safety
/// The batch is valid by the contract.
unsafe fn prompt_texts(batch: *const CPromptTexts, len: usize) -> Vec<PromptTexts> {
    // SAFETY: the caller's promise.
    unsafe {
        let entry = |c: &CPromptTexts| PromptTexts {
            prompt: prompt(&c.prompt),
            texts: slice(c.texts, c.texts_len).iter().map(|text| text.copied().unwrap_or_default()).collect(),
        };
        slice(batch, len).iter().map(entry).collect()
    }
}

/// # Safety
/// The batch is valid by the contract.
unsafe fn bundles(batch: *const CBundle, len: usize) -> Vec<Bundle> {
    // SAFETY: the caller's promise, for every pointer below.
    unsafe {
        let answer = |c: &CAnswer, verifiers: usize| Answer {
            key: c.key.copied().unwrap_or_default(),
            count: c.count,
            scores: slice(c.scores, verifiers).to_vec(),
            frequency: c.frequency,
            leave_one_out: c.leave_one_out,
            surprisal: c.surprisal,
            pooled_surprisal: c.pooled_surprisal,
            reference_probability: c.reference_probability,
            pooled_reference_probability: c.pooled_reference_probability,
        };
        let group = |c: &CGroup, verifiers: usize| Group {
            prompt: prompt(&c.prompt),
            size: c.size,
            answers: slice(c.answers, c.answers_len).iter().map(|c| answer(c, verifiers)).collect(),
        };
        let bundle = |c: &CBundle| Bundle {
            id: c.id.copied().unwrap_or_default(),
            verifiers: slice(c.verifiers, c.verifiers_len).iter().filter_map(|name| name.copied()).collect(),
            multiplier: c.multiplier,
            exact: c.exact != 0,
            groups: slice(c.groups, c.groups_len).iter().map(|g| group(g, c.verifiers_len)).collect(),
        };
        slice(batch, len).iter().map(bundle).collect()
    }
}

thread_local! {
    /// The host of the current call, for [`log`].
    static HOST: Cell<*const Host> = const { Cell::new(std::ptr::null()) };
    /// Message and location of the current call's panic.
    static PANIC: Cell<Option<String>> = const { Cell::new(None) };
}

pub(crate) fn log(level: Level, message: &str) {
    let host = HOST.get();
    if !host.is_null() {
        // SAFETY: `guarded` sets it for the duration of a call, during which the host keeps it valid.
        unsafe { ((*host).log)((*host).context, level as u32, Str::new(message)) };
    }
}

/// Runs one call with the configuration's text. An error or a panic is passed to the host as text: nothing unwinds into
/// the host.
///
/// # Safety
/// `host` and `config` are valid for the duration of the call.
unsafe fn guarded(host: *const Host, config: Str, call: impl FnOnce(&str) -> Result<()>) -> i32 {
    static HOOK: Once = Once::new();
    // A library has its own copy of std, and so its own panic hook: the host's hook is not replaced.
    HOOK.call_once(|| std::panic::set_hook(Box::new(|info| PANIC.set(Some(info.to_string())))));
    HOST.set(host);
    // SAFETY: the caller's promise.
    let result = catch_unwind(AssertUnwindSafe(|| call(&unsafe { config.copied() }.unwrap_or_default())));
    HOST.set(std::ptr::null());
    let (status, message) = match result {
        Ok(Ok(())) => return OK,
        Ok(Err(error)) => (FAILED, error.to_string()),
        Err(_) => (PANICKED, PANIC.take().unwrap_or_else(|| "panicked".into())),
    };
    // SAFETY: the caller's promise; the host copies the text before it returns.
    unsafe { ((*host).fail)((*host).context, Str::new(&message)) };
    status
}

/// Keeps the texts of the last manifest alive until the next one.
static MANIFEST: Mutex<[String; 3]> = Mutex::new([String::new(), String::new(), String::new()]);

/// The [`DescribeFn`](crate::abi::DescribeFn) of `P`.
///
/// # Safety
/// The arguments are valid by the contract.
#[doc(hidden)]
pub unsafe extern "C" fn describe<P: Plugin>(host: *const Host, config: Str, out: *mut CManifest) -> i32 {
    // SAFETY: the caller's promise.
    unsafe {
        guarded(host, config, |config| {
            let manifest = dispatch::describe::<P>(config)?;
            let (score_low, score_high) = manifest.score_range.unwrap_or((f64::NAN, f64::NAN));
            *out = CManifest {
                size: (*out).size,
                name: Str::new(&manifest.name),
                version: Str::new(&manifest.version),
                summary: Str::new(&manifest.summary),
                score_low,
                score_high,
                concave: manifest.concave.into(),
                gradient: manifest.gradient.into(),
                needs_reference: manifest.needs_reference.into(),
            };
            *MANIFEST.lock().unwrap_or_else(PoisonError::into_inner) =
                [manifest.name, manifest.version, manifest.summary];
            Ok(())
        })
    }
}

/// The [`ReadFn`](crate::abi::ReadFn) of a role that returns keys.
///
/// # Safety
/// The arguments are valid by the contract.
#[doc(hidden)]
pub unsafe extern "C" fn keys<P: Plugin, F>(
    host: *const Host,
    config: Str,
    batch: *const CPromptTexts,
    len: usize,
) -> i32
where
    F: Function<P, Entry = PromptTexts, Reply = Vec<Option<String>>>,
{
    // SAFETY: the caller's promise.
    unsafe {
        guarded(host, config, |config| {
            for key in dispatch::call::<P, F>(config, &prompt_texts(batch, len))?.iter().flatten() {
                ((*host).key)((*host).context, key.as_deref().map_or(Str::NULL, Str::new));
            }
            Ok(())
        })
    }
}

/// The [`ScoreFn`](crate::abi::ScoreFn) of a role that returns scores.
///
/// # Safety
/// The arguments are valid by the contract.
#[doc(hidden)]
pub unsafe extern "C" fn scores<P: Plugin, F>(
    host: *const Host,
    config: Str,
    batch: *const CPromptTexts,
    len: usize,
    out: *mut f64,
) -> i32
where
    F: Function<P, Entry = PromptTexts, Reply = Vec<f64>>,
{
    // SAFETY: the caller's promise; `dispatch` returns one score for each text.
    unsafe {
        guarded(host, config, |config| {
            let scores = dispatch::call::<P, F>(config, &prompt_texts(batch, len))?;
            for (at, score) in scores.iter().flatten().enumerate() {
                out.add(at).write(*score);
            }
            Ok(())
        })
    }
}

/// The [`EvaluateFn`](crate::abi::EvaluateFn) of a role that returns valuations.
///
/// # Safety
/// The arguments are valid by the contract.
#[doc(hidden)]
pub unsafe extern "C" fn valuations<P: Plugin, F>(
    host: *const Host,
    config: Str,
    batch: *const CBundle,
    len: usize,
    utilities: *mut f64,
    violations: *mut f64,
    rewards: *mut f64,
) -> i32
where
    F: Function<P, Entry = Bundle, Reply = Valuation>,
{
    // SAFETY: the caller's promise; `check_shape` keeps the rewards within the host's buffer.
    unsafe {
        guarded(host, config, |config| {
            let batch = bundles(batch, len);
            let mut next = 0;
            for (at, valuation) in dispatch::call::<P, F>(config, &batch)?.iter().enumerate() {
                check_shape(&batch[at], valuation)?;
                utilities.add(at).write(valuation.utility);
                violations.add(at).write(valuation.violation.unwrap_or(f64::NAN));
                for reward in valuation.rewards.iter().flatten() {
                    rewards.add(next).write(*reward);
                    next += 1;
                }
            }
            Ok(())
        })
    }
}

/// Fails if the valuation cannot be written as C numbers. The host checks the shape of a component's result; here a wrong
/// shape would be written past the end of the host's buffer.
fn check_shape(bundle: &Bundle, valuation: &Valuation) -> Result<()> {
    let wanted: Vec<usize> = bundle.groups.iter().map(|group| group.answers.len()).collect();
    let given: Vec<usize> = valuation.rewards.iter().map(Vec::len).collect();
    if valuation.violation.is_some_and(f64::is_nan) {
        // NaN means "none" in the C ABI.
        return Err(format!("bundle {}: the violation is NaN", bundle.id).into());
    }
    if wanted == given {
        return Ok(());
    }
    Err(format!("bundle {}: rewards have the shape {given:?}, answers have {wanted:?}", bundle.id).into())
}
