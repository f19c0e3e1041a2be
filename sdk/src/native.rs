//! The C ABI of the contract: what `include/alft.h` declares, and the glue by which [`export!`](crate::export!) offers
//! a Rust plugin through it.
//!
//! A library exports one function whose name begins with `alft_plugin_v1`, returning a static [`PluginV1`]. Memory
//! never changes hands: arguments belong to the host for the time of the call, numbers are written into buffers of
//! the host's, and texts go back through callbacks that copy them. A panic is caught inside the library.

use std::cell::Cell;
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, Once, PoisonError};

use crate::batch::PromptTexts;
use crate::bundle::{Answer, Bundle, Group, Prompt, Valuation};
use crate::diagnostics::Level;
use crate::dispatch;
use crate::roles::{Objective, Plugin, Reader, Result, Verifier};

/// The version of the C contract; the number in the entry symbol's name.
pub const VERSION: u32 = 1;

/// What the name of a library's entry symbol begins with.
pub const ENTRY_PREFIX: &str = "alft_plugin_v";

/// What the name of the symbol begins with at which a library says how it was built, as a [`Fingerprint`]. A host reads
/// it from the file, before any of the library's code runs. It is no part of the contract: of a library without one
/// (one written in C, say) no more is known than its file tells.
pub const FINGERPRINT_PREFIX: &str = "alft_fingerprint_v1";

/// The target that this crate is compiled for, as in `x86_64-unknown-linux-gnu`.
pub const TARGET: &str = env!("ALFT_TARGET");

/// UTF-8 text, filled up with zeros.
pub type Fingerprint = [u8; 200];

/// How a crate is built that catches panics:
/// `sdk 0.1.0; target x86_64-unknown-linux-gnu; panic unwind; rustc 1.95.0 (59807616e 2026-04-14)`.
pub const UNWINDS: Fingerprint = padded(concat!(
    "sdk ",
    env!("CARGO_PKG_VERSION"),
    "; target ",
    env!("ALFT_TARGET"),
    "; panic unwind; ",
    env!("ALFT_RUSTC")
));

/// The same of a crate in which a panic ends the process: hosts keep such a library out of theirs.
pub const ABORTS: Fingerprint = padded(concat!(
    "sdk ",
    env!("CARGO_PKG_VERSION"),
    "; target ",
    env!("ALFT_TARGET"),
    "; panic abort; ",
    env!("ALFT_RUSTC")
));

const fn padded(text: &str) -> Fingerprint {
    let (bytes, mut out, mut at) = (text.as_bytes(), [0; 200], 0);
    while at < bytes.len() && at < out.len() {
        out[at] = bytes[at];
        at += 1;
    }
    out
}

/// A call did its work.
pub const OK: i32 = 0;
/// The plugin returned an error; its text went to [`Host::fail`].
pub const FAILED: i32 = 1;
/// The plugin panicked; the panic's message went to [`Host::fail`].
pub const PANICKED: i32 = 2;

/// UTF-8 text. A null pointer is "none" where the contract has an option.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Str {
    /// First byte.
    pub ptr: *const u8,
    /// In bytes.
    pub len: usize,
}

/// `types.prompt`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs, reason = "the fields are those of bundle::Prompt")]
pub struct CPrompt {
    pub id: Str,
    pub text: Str,
    pub gold: Str,
    pub metadata: Str,
}

/// `reader.transcript` and `verifier.question`: a prompt with completions or answer keys.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct CQuestion {
    /// The question.
    pub prompt: CPrompt,
    /// Completions or answer keys.
    pub texts: *const Str,
    /// How many.
    pub texts_len: usize,
}

/// `objective.answer`. `scores` has one number for each of the bundle's verifiers.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs, reason = "the fields are those of bundle::Answer")]
pub struct CAnswer {
    pub key: Str,
    pub count: u32,
    pub scores: *const f64,
    pub frequency: f64,
    pub leave_one_out: f64,
    pub surprisal: f64,
    pub pooled_surprisal: f64,
    pub reference_probability: f64,
    pub pooled_reference_probability: f64,
}

/// `objective.group`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs, reason = "the fields are those of bundle::Group")]
pub struct CGroup {
    pub prompt: CPrompt,
    pub size: u32,
    pub answers: *const CAnswer,
    pub answers_len: usize,
}

/// `objective.bundle`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs, reason = "the fields are those of bundle::Bundle")]
pub struct CBundle {
    pub id: Str,
    pub verifiers: *const Str,
    pub verifiers_len: usize,
    pub multiplier: f64,
    pub exact: u32,
    pub groups: *const CGroup,
    pub groups_len: usize,
}

/// `about.manifest`, read on [`OK`] alone. The texts stay valid until the library's next call.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct CManifest {
    /// Size of this struct in bytes, set by the host.
    pub size: u32,
    /// The plugin's name.
    pub name: Str,
    /// The plugin's version.
    pub version: Str,
    /// One sentence.
    pub summary: Str,
    /// Lower end of the score range; NaN for none.
    pub score_low: f64,
    /// Upper end of the score range; NaN for none.
    pub score_high: f64,
    /// 1 if the utility is concave.
    pub concave: u32,
    /// 1 if the rewards are the bundle size times the gradient.
    pub gradient: u32,
    /// 1 if it needs estimates of the reference policy's answers.
    pub needs_reference: u32,
}

/// What the host offers during a call. `context` goes back to it with every callback.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Host {
    /// Size of this struct in bytes.
    pub size: u32,
    /// The host's own.
    pub context: *mut c_void,
    /// `diagnostics.log`, levels 0 (error) to 3 (debug).
    pub log: unsafe extern "C" fn(context: *mut c_void, level: u32, message: Str),
    /// The text of the error that the call is about to return.
    pub fail: unsafe extern "C" fn(context: *mut c_void, message: Str),
    /// `read`: the next completion's key; a null pointer for none. Called once for each completion, in order.
    pub key: unsafe extern "C" fn(context: *mut c_void, key: Str),
}

/// `about.describe`: fills `manifest`.
pub type DescribeFn = unsafe extern "C" fn(host: *const Host, config: Str, manifest: *mut CManifest) -> i32;
/// `reader.read`: calls `host.key` once for each completion.
pub type ReadFn = unsafe extern "C" fn(host: *const Host, config: Str, batch: *const CQuestion, len: usize) -> i32;
/// `verifier.score`: writes one number for each answer of each question, in order.
pub type ScoreFn =
    unsafe extern "C" fn(host: *const Host, config: Str, batch: *const CQuestion, len: usize, scores: *mut f64) -> i32;
/// `objective.evaluate`: writes a utility and a violation (NaN for none) for each bundle, and one reward for each
/// answer of each group of each bundle, in order.
pub type EvaluateFn = unsafe extern "C" fn(
    host: *const Host,
    config: Str,
    batch: *const CBundle,
    len: usize,
    utilities: *mut f64,
    violations: *mut f64,
    rewards: *mut f64,
) -> i32;

/// What a library's entry function returns. A role that is not offered is null.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct PluginV1 {
    /// Size of this struct in bytes.
    pub size: u32,
    /// [`VERSION`].
    pub version: u32,
    /// Every plugin has it.
    pub describe: Option<DescribeFn>,
    /// The reader's role.
    pub read: Option<ReadFn>,
    /// The verifier's role.
    pub score: Option<ScoreFn>,
    /// The objective's role.
    pub evaluate: Option<EvaluateFn>,
}

/// The entry function: `const alft_plugin *alft_plugin_v1(void)`.
pub type EntryFn = unsafe extern "C" fn() -> *const PluginV1;

impl Str {
    /// "None".
    pub const NULL: Self = Self { ptr: std::ptr::null(), len: 0 };

    /// Borrows `text`: valid as long as it is.
    pub fn new(text: &str) -> Self {
        Self { ptr: text.as_ptr(), len: text.len() }
    }

    /// Copies the text out; `None` for a null pointer. Bytes that are not UTF-8 are replaced.
    ///
    /// # Safety
    /// A pointer that is not null points to `len` readable bytes.
    pub unsafe fn copied(self) -> Option<String> {
        // SAFETY: the caller's promise.
        unsafe { self.bytes() }.map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    /// The text's bytes; `None` for a null pointer.
    ///
    /// # Safety
    /// A pointer that is not null points to `len` bytes that are readable for `'a`.
    pub unsafe fn bytes<'a>(self) -> Option<&'a [u8]> {
        // SAFETY: the caller's promise.
        (!self.ptr.is_null()).then(|| unsafe { std::slice::from_raw_parts(self.ptr, self.len) })
    }
}

/// A slice of the host's; empty for a null pointer, which C code passes for a length of 0.
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
/// The batch is valid as the contract has it.
unsafe fn questions(batch: *const CQuestion, len: usize) -> Vec<PromptTexts> {
    // SAFETY: the caller's promise.
    unsafe {
        let question = |c: &CQuestion| PromptTexts {
            prompt: prompt(&c.prompt),
            texts: slice(c.texts, c.texts_len).iter().map(|text| text.copied().unwrap_or_default()).collect(),
        };
        slice(batch, len).iter().map(question).collect()
    }
}

/// # Safety
/// The batch is valid as the contract has it.
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
    /// The host of the call under way, for [`log`].
    static HOST: Cell<*const Host> = const { Cell::new(std::ptr::null()) };
    /// Where and why the call under way panicked.
    static PANIC: Cell<Option<String>> = const { Cell::new(None) };
}

pub(crate) fn log(level: Level, message: &str) {
    let host = HOST.get();
    if !host.is_null() {
        // SAFETY: set by `guarded` for the time of a call, during which the host keeps it valid.
        unsafe { ((*host).log)((*host).context, level as u32, Str::new(message)) };
    }
}

/// Runs one call: an error or a panic goes to the host as text, and nothing unwinds into it.
///
/// # Safety
/// `host` is valid for the time of the call.
unsafe fn guarded(host: *const Host, call: impl FnOnce() -> Result<()>) -> i32 {
    static HOOK: Once = Once::new();
    // The library has a std, and so a panic hook, of its own: the host's is not touched.
    HOOK.call_once(|| std::panic::set_hook(Box::new(|info| PANIC.set(Some(info.to_string())))));
    HOST.set(host);
    let result = catch_unwind(AssertUnwindSafe(call));
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

/// The [`DescribeFn`] of `P`.
///
/// # Safety
/// Called as the contract has it.
#[doc(hidden)]
pub unsafe extern "C" fn describe<P: Plugin>(host: *const Host, config: Str, out: *mut CManifest) -> i32 {
    // SAFETY: the host keeps its promises.
    unsafe {
        guarded(host, || {
            let manifest = dispatch::describe::<P>(&config.copied().unwrap_or_default())?;
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

/// The [`ReadFn`] of `P`.
///
/// # Safety
/// Called as the contract has it.
#[doc(hidden)]
pub unsafe extern "C" fn read<P: Reader>(host: *const Host, config: Str, batch: *const CQuestion, len: usize) -> i32 {
    // SAFETY: the host keeps its promises.
    unsafe {
        guarded(host, || {
            let keys = dispatch::read::<P>(&config.copied().unwrap_or_default(), &questions(batch, len))?;
            for key in keys.iter().flatten() {
                ((*host).key)((*host).context, key.as_deref().map_or(Str::NULL, Str::new));
            }
            Ok(())
        })
    }
}

/// The [`ScoreFn`] of `P`.
///
/// # Safety
/// Called as the contract has it.
#[doc(hidden)]
pub unsafe extern "C" fn score<P: Verifier>(
    host: *const Host,
    config: Str,
    batch: *const CQuestion,
    len: usize,
    out: *mut f64,
) -> i32 {
    // SAFETY: the host keeps its promises.
    unsafe {
        guarded(host, || {
            let scores = dispatch::score::<P>(&config.copied().unwrap_or_default(), &questions(batch, len))?;
            for (at, score) in scores.iter().flatten().enumerate() {
                out.add(at).write(*score);
            }
            Ok(())
        })
    }
}

/// The [`EvaluateFn`] of `P`.
///
/// # Safety
/// Called as the contract has it.
#[doc(hidden)]
pub unsafe extern "C" fn evaluate<P: Objective>(
    host: *const Host,
    config: Str,
    batch: *const CBundle,
    len: usize,
    utilities: *mut f64,
    violations: *mut f64,
    rewards: *mut f64,
) -> i32 {
    // SAFETY: the host keeps its promises; `in_shape` keeps the rewards within the host's buffer.
    unsafe {
        guarded(host, || {
            let batch = bundles(batch, len);
            let mut next = 0;
            for (at, valuation) in
                dispatch::evaluate::<P>(&config.copied().unwrap_or_default(), &batch)?.iter().enumerate()
            {
                in_shape(&batch[at], valuation)?;
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

/// A component's wrong shape is seen by the host; here it would run past the host's buffer.
fn in_shape(bundle: &Bundle, valuation: &Valuation) -> Result<()> {
    let wanted: Vec<usize> = bundle.groups.iter().map(|group| group.answers.len()).collect();
    let given: Vec<usize> = valuation.rewards.iter().map(Vec::len).collect();
    if valuation.violation.is_some_and(f64::is_nan) {
        // NaN is how the C ABI says "none".
        return Err(format!("bundle {}: the violation is NaN", bundle.id).into());
    }
    if wanted == given {
        return Ok(());
    }
    Err(format!("bundle {}: rewards have the shape {given:?}, answers have {wanted:?}", bundle.id).into())
}
