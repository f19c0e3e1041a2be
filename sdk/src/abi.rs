//! The C ABI of the contract: the Rust twin of `include/alft.h`.
//!
//! A library exports one function whose name begins with `alft_plugin_v1`. The function returns a static [`PluginV1`].
//! Memory never changes hands: arguments belong to the host for the duration of the call, numbers are written into
//! buffers of the host, and texts are returned through callbacks that copy them.

use std::ffi::c_void;

use crate::roles::Role;

/// Version of the C contract: the number in the name of the entry symbol.
pub const VERSION: u32 = 1;

/// Prefix of the name of a library's entry symbol, before the version.
pub const ENTRY_PREFIX: &str = "alft_plugin_v";

/// Status of a call that did its work.
pub const OK: i32 = 0;
/// Status of a call that failed; the text of the error was passed to [`Host::fail`].
pub const FAILED: i32 = 1;
/// Status of a call that panicked; the panic's message was passed to [`Host::fail`].
pub const PANICKED: i32 = 2;

/// Prefix of the name of the symbol at which a library tells how it was built, as a [`Fingerprint`].
///
/// The host reads the fingerprint from the file, before it runs any code of the library. The fingerprint is no part of
/// the contract: a library without one, such as a library written in C, is known by its file alone.
pub const FINGERPRINT_PREFIX: &str = "alft_fingerprint_v1";

/// The target that this crate is compiled for, such as `x86_64-unknown-linux-gnu`.
pub const TARGET: &str = env!("ALFT_TARGET");

/// UTF-8 text, padded with zeros.
pub type Fingerprint = [u8; 200];

/// Fingerprint of a crate that catches panics:
/// `sdk 0.1.0; target x86_64-unknown-linux-gnu; panic unwind; rustc 1.95.0 (59807616e 2026-04-14)`.
pub const UNWINDS: Fingerprint = padded(concat!(
    "sdk ",
    env!("CARGO_PKG_VERSION"),
    "; target ",
    env!("ALFT_TARGET"),
    "; panic unwind; ",
    env!("ALFT_RUSTC")
));

/// Fingerprint of a crate in which a panic ends the process. A host loads such a library in a child process only.
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

/// UTF-8 text. A null pointer is "none" where the contract has an option.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Str {
    /// First byte.
    pub ptr: *const u8,
    /// Length in bytes.
    pub len: usize,
}

impl Str {
    /// The null pointer: "none".
    pub const NULL: Self = Self { ptr: std::ptr::null(), len: 0 };

    /// Borrows `text`. The result is valid as long as `text` is.
    pub fn new(text: &str) -> Self {
        Self { ptr: text.as_ptr(), len: text.len() }
    }

    /// Copies the text, with bytes that are not UTF-8 replaced. Returns `None` for a null pointer.
    ///
    /// # Safety
    /// A pointer that is not null points to `len` readable bytes.
    pub unsafe fn copied(self) -> Option<String> {
        // SAFETY: the caller's promise.
        unsafe { self.bytes() }.map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    /// Returns the bytes of the text, or `None` for a null pointer.
    ///
    /// # Safety
    /// A pointer that is not null points to `len` bytes that are readable for `'a`.
    pub unsafe fn bytes<'a>(self) -> Option<&'a [u8]> {
        // SAFETY: the caller's promise.
        (!self.ptr.is_null()).then(|| unsafe { std::slice::from_raw_parts(self.ptr, self.len) })
    }
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

/// `types.transcript` and `verifier.question`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct CPromptTexts {
    /// The prompt that the texts belong to.
    pub prompt: CPrompt,
    /// Completions for a reader or a grader, distinct answer keys for a verifier.
    pub texts: *const Str,
    /// Number of texts.
    pub texts_len: usize,
}

/// `objective.answer`. `scores` points to one number for each of the bundle's verifiers.
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

/// `about.manifest`. The host reads it only if the call returns [`OK`]. The texts stay valid until the next call of the
/// library.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct CManifest {
    /// Size of this struct in bytes, set by the host.
    pub size: u32,
    /// Name of the plugin.
    pub name: Str,
    /// Version of the plugin.
    pub version: Str,
    /// One sentence.
    pub summary: Str,
    /// Lower end of the score range; NaN for none.
    pub score_low: f64,
    /// Upper end of the score range; NaN for none.
    pub score_high: f64,
    /// 1 if the utility is concave in the answer marginals.
    pub concave: u32,
    /// 1 if the rewards are the bundle size times the gradient of the utility.
    pub gradient: u32,
    /// 1 if the objective uses the probabilities under the reference policy.
    pub needs_reference: u32,
}

/// The functions that the host offers during a call. Each is passed `context`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Host {
    /// Size of this struct in bytes.
    pub size: u32,
    /// Opaque to the library.
    pub context: *mut c_void,
    /// `diagnostics.log`, with levels from 0 (error) to 3 (debug).
    pub log: unsafe extern "C" fn(context: *mut c_void, level: u32, message: Str),
    /// Sets the text of the error that the call is about to return.
    pub fail: unsafe extern "C" fn(context: *mut c_void, message: Str),
    /// Appends a result of `read`: the next completion's key, or a null pointer for none.
    pub key: unsafe extern "C" fn(context: *mut c_void, key: Str),
}

/// `about.describe`: fills `manifest`.
pub type DescribeFn = unsafe extern "C" fn(host: *const Host, config: Str, manifest: *mut CManifest) -> i32;
/// `reader.read`: calls `host.key` once for each completion of each prompt, in order.
pub type ReadFn = unsafe extern "C" fn(host: *const Host, config: Str, batch: *const CPromptTexts, len: usize) -> i32;
/// `grader.grade` and `verifier.score`: write one number for each text of each prompt, in order.
pub type ScoreFn = unsafe extern "C" fn(
    host: *const Host,
    config: Str,
    batch: *const CPromptTexts,
    len: usize,
    scores: *mut f64,
) -> i32;
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

/// The functions of a plugin. A role that the plugin does not have is null.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct PluginV1 {
    /// Size of this struct in bytes.
    pub size: u32,
    /// [`VERSION`].
    pub version: u32,
    /// Never null.
    pub describe: Option<DescribeFn>,
    /// The role of a reader.
    pub read: Option<ReadFn>,
    /// The role of a grader.
    pub grade: Option<ScoreFn>,
    /// The role of a verifier.
    pub score: Option<ScoreFn>,
    /// The role of an objective.
    pub evaluate: Option<EvaluateFn>,
}

/// The function of a role, by the kind of its results.
#[derive(Debug, Clone, Copy)]
pub enum RoleFn {
    /// Returns keys.
    Keys(ReadFn),
    /// Returns scores.
    Scores(ScoreFn),
    /// Returns valuations.
    Valuations(EvaluateFn),
}

impl PluginV1 {
    /// Returns the function of a role, or `None` if the plugin does not have the role.
    pub fn function(&self, role: Role) -> Option<RoleFn> {
        match role {
            Role::Reader => self.read.map(RoleFn::Keys),
            Role::Grader => self.grade.map(RoleFn::Scores),
            Role::Verifier => self.score.map(RoleFn::Scores),
            Role::Objective => self.evaluate.map(RoleFn::Valuations),
        }
    }

    /// Makes a plugin without roles.
    pub const fn new(describe: DescribeFn) -> Self {
        Self {
            size: std::mem::size_of::<Self>() as u32,
            version: VERSION,
            describe: Some(describe),
            read: None,
            grade: None,
            score: None,
            evaluate: None,
        }
    }
}

/// The entry function: `const alft_plugin *alft_plugin_v1(void)`.
pub type EntryFn = unsafe extern "C" fn() -> *const PluginV1;
