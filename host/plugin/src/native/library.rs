//! [`NativeBackend`]: a library that is loaded into this process and called through the C ABI.

use std::ffi::c_void;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use alft_sdk::Manifest;
use alft_sdk::abi::{
    CAnswer, CBundle, CGroup, CManifest, CPrompt, CPromptTexts, EntryFn, EvaluateFn, Host, OK, PANICKED, PluginV1,
    ReadFn, RoleFn, ScoreFn, Str, VERSION,
};
use alft_sdk::bundle::{Answer, Bundle, Prompt, Valuation};
use alft_sdk::call::{Entries, Output, PromptTexts};
use alft_sdk::roles::{Batch, Role, Roles};

use super::examine::{examine, other_contract};
use crate::backend::Backend;
use crate::batch::call::{CallResult, Usage};
use crate::batch::deadline::Deadline;
use crate::error::{Error, LoadError};
use crate::failure::{Failure, FailureKind};
use crate::foreign::{ForeignError, chain, sanitize};
use crate::limits::Limits;
use crate::source::Form;

/// A loaded library. It is never unloaded: its code may have left pointers, threads or exit handlers behind.
pub(crate) struct NativeBackend {
    plugin: &'static PluginV1,
    limits: Limits,
}

impl NativeBackend {
    /// Loads a copy of the library at `path`. The caller has examined the copy and put it out of reach. Errors name `path`.
    pub(crate) fn load(path: &Path, copy: &Path, limits: &Limits) -> Result<Self, Error> {
        let bytes = std::fs::read(copy).map_err(|source| Error::Read { path: path.into(), source })?;
        let entry = examine(path, &bytes)?.entry;
        let failed = |source| Error::Load { path: path.into(), source };
        // The loader would search the system's folders for a path without a folder.
        let absolute = std::path::absolute(copy).map_err(|error| failed(LoadError::Path(error)))?;
        let linker = |error: libloading::Error| {
            let text = chain(&error).replace(&*absolute.to_string_lossy(), &path.to_string_lossy());
            failed(LoadError::Linker(ForeignError::from(text)))
        };
        // SAFETY: loading runs the library's initializers. The user trusts the library by its hash, and its entry symbol
        // says that it is a plugin of the contract.
        let plugin = unsafe {
            let library = libloading::Library::new(&absolute).map_err(linker)?;
            let function: EntryFn = *library.get(entry.as_str()).map_err(linker)?;
            std::mem::forget(library);
            let plugin = function();
            if plugin.is_null() {
                return Err(failed(LoadError::NullEntry { entry }));
            }
            // Size and version come first in every version of the contract. No more is read before they are known.
            let (found, version) = ((*plugin).size as usize, (*plugin).version);
            if version != VERSION {
                return Err(other_contract(path, version));
            }
            let wanted = size_of::<PluginV1>();
            if found < wanted {
                return Err(failed(LoadError::StructSize { found, wanted }));
            }
            &*plugin
        };
        if plugin.describe.is_none() {
            return Err(failed(LoadError::NoDescribe));
        }
        let backend = Self { plugin, limits: limits.clone() };
        match backend.roles().is_empty() {
            true => Err(Error::NoRole { path: path.into() }),
            false => Ok(backend),
        }
    }

    /// Calls a function that returns a key for each text.
    fn keys(&self, read: ReadFn, config: &str, batch: &[PromptTexts]) -> CallResult {
        let texts = CTexts::new(batch);
        let entries = texts.entries(batch);
        // SAFETY: the arguments live through the call.
        let called = self.invoke(|host| unsafe { read(host, Str::new(config), entries.as_ptr(), entries.len()) });
        called.finish(|keys| {
            let (found, wanted) = (keys.len(), text_counts(batch).sum::<usize>());
            match found == wanted {
                true => Ok(Output::Keys(regroup(keys, text_counts(batch)))),
                false => {
                    let detail = format!("{found} readable keys for {wanted} completions");
                    Err(Failure::new(FailureKind::Shape, detail))
                }
            }
        })
    }

    /// Calls a function that returns a score for each text.
    fn scores(&self, score: ScoreFn, config: &str, batch: &[PromptTexts]) -> CallResult {
        let texts = CTexts::new(batch);
        let entries = texts.entries(batch);
        // NaN is refused later, so a score that the library does not write is found.
        let mut scores = vec![f64::NAN; text_counts(batch).sum()];
        // SAFETY: the arguments live through the call; the buffer has a place for each text.
        let called = self.invoke(|host| unsafe {
            score(host, Str::new(config), entries.as_ptr(), entries.len(), scores.as_mut_ptr())
        });
        called.finish(|_| Ok(Output::Scores(regroup(scores, text_counts(batch)))))
    }

    /// Calls a function that returns a valuation for each bundle.
    fn valuations(&self, evaluate: EvaluateFn, config: &str, batch: &[Bundle]) -> CallResult {
        let parts = CBundles::new(batch);
        let bundles = parts.entries(batch);
        let groups = || batch.iter().flat_map(|bundle| &bundle.groups).map(|group| group.answers.len());
        let mut utilities = vec![f64::NAN; batch.len()];
        let mut violations = vec![f64::NAN; batch.len()];
        let mut rewards = vec![f64::NAN; groups().sum()];
        // SAFETY: the arguments live through the call; the buffers have the sizes of the contract.
        let called = self.invoke(|host| unsafe {
            evaluate(
                host,
                Str::new(config),
                bundles.as_ptr(),
                bundles.len(),
                utilities.as_mut_ptr(),
                violations.as_mut_ptr(),
                rewards.as_mut_ptr(),
            )
        });
        called.finish(|_| {
            let rewards = regroup(regroup(rewards, groups()), batch.iter().map(|bundle| bundle.groups.len()));
            let valuation = |((utility, violation), rewards): ((f64, f64), _)| Valuation {
                utility,
                rewards,
                // NaN means none.
                violation: (!violation.is_nan()).then_some(violation),
            };
            Ok(Output::Valuations(utilities.into_iter().zip(violations).zip(rewards).map(valuation).collect()))
        })
    }

    /// Runs one call of the library and collects what it passes to the host's callbacks.
    fn invoke(&self, call: impl FnOnce(*const Host) -> i32) -> Invoked {
        /// The contract promises libraries one call at a time: a C plugin may keep its manifest in a static buffer.
        static LIBRARY_CALL: Mutex<()> = Mutex::new(());
        let _call = LIBRARY_CALL.lock().unwrap_or_else(PoisonError::into_inner);
        let started = Instant::now();
        let mut context = CallContext { limits: &self.limits, log: Vec::new(), error: String::new(), keys: Vec::new() };
        let host = Host {
            size: size_of::<Host>() as u32,
            context: (&raw mut context).cast::<c_void>(),
            log: push_log,
            fail: set_error,
            key: push_key,
        };
        let status = call(&host);
        let CallContext { log, error, keys, .. } = context;
        let keys = match status {
            OK => Ok(keys),
            PANICKED => Err(Failure::new(FailureKind::Panic, error)),
            _ => Err(Failure::new(FailureKind::Error, error)),
        };
        Invoked { keys, log, time: started.elapsed() }
    }
}

impl Backend for NativeBackend {
    fn form(&self) -> Form {
        Form::Native
    }

    fn roles(&self) -> Roles {
        Role::ALL.into_iter().filter(|role| self.plugin.function(*role).is_some()).collect()
    }

    fn describe(&self, config: &str) -> Result<Manifest, Failure> {
        let describe = self.plugin.describe.expect("checked when the library is loaded");
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
        let mut copied = None;
        let called = self.invoke(|host| {
            // SAFETY: the arguments live through the call. The texts are copied before another call can begin.
            unsafe {
                let status = describe(host, Str::new(config), &mut manifest);
                copied = (status == OK).then(|| copy_manifest(&manifest));
                status
            }
        });
        called.keys.map(|_| copied.expect("the manifest is copied if the call succeeds"))
    }

    fn call(&self, config: &str, batch: &Batch<'_>, _: Deadline) -> CallResult {
        let function = self.plugin.function(batch.role()).expect("a plugin is called in its roles alone");
        match (function, batch.entries()) {
            (RoleFn::Keys(read), Entries::Texts(entries)) => self.keys(read, config, entries),
            (RoleFn::Scores(score), Entries::Texts(entries)) => self.scores(score, config, entries),
            (RoleFn::Valuations(evaluate), Entries::Bundles(bundles)) => self.valuations(evaluate, config, bundles),
            (function, _) => unreachable!("{function:?} is not called with the entries of a {}", batch.role()),
        }
    }
}

/// The outcome of one call, without the numbers that the library wrote into buffers.
struct Invoked {
    keys: Result<Vec<Option<String>>, Failure>,
    log: Vec<String>,
    time: Duration,
}

impl Invoked {
    /// Makes the output from the keys and from the buffers, if the call succeeded.
    fn finish(self, output: impl FnOnce(Vec<Option<String>>) -> Result<Output, Failure>) -> CallResult {
        CallResult { result: self.keys.and_then(output), usage: Usage::unmetered(self.time), log: self.log }
    }
}

/// The host's state during a call, to which the callbacks have a pointer.
struct CallContext<'a> {
    limits: &'a Limits,
    log: Vec<String>,
    error: String,
    keys: Vec<Option<String>>,
}

impl CallContext<'_> {
    /// # Safety
    /// `context` is the pointer of the call under way, and no other reference to its target is alive.
    unsafe fn from_raw<'a>(context: *mut c_void) -> &'a mut CallContext<'a> {
        // SAFETY: the caller's promise.
        unsafe { &mut *context.cast::<CallContext<'_>>() }
    }
}

/// Callback `log`.
unsafe extern "C" fn push_log(context: *mut c_void, level: u32, message: Str) {
    // SAFETY: the library passes the host's context and a valid text.
    let (context, message) = unsafe { (CallContext::from_raw(context), message.copied()) };
    if context.log.len() < context.limits.log_lines {
        let level = ["error", "warn", "info"].get(level as usize).unwrap_or(&"debug");
        let line = |message| format!("{level}: {}", sanitize(message, context.limits.log_bytes));
        context.log.extend(message.map(line));
    }
}

/// Callback `fail`.
unsafe extern "C" fn set_error(context: *mut c_void, message: Str) {
    // SAFETY: the library passes the host's context and a valid text.
    let (context, message) = unsafe { (CallContext::from_raw(context), message.copied()) };
    context.error = sanitize(message.unwrap_or_default(), context.limits.log_bytes);
}

/// Callback `key`.
unsafe extern "C" fn push_key(context: *mut c_void, key: Str) {
    // SAFETY: the library passes the host's context and a valid text.
    let (context, key) = unsafe { (CallContext::from_raw(context), key.bytes()) };
    match key.map(|key| String::from_utf8(key.to_vec())).transpose() {
        Ok(key) => context.keys.push(key),
        // Replacing the invalid bytes could make two answers equal. Without the key the output is too short.
        Err(_) => context.log.push("error: a key is not UTF-8".into()),
    }
}

/// # Safety
/// The texts are valid.
unsafe fn copy_manifest(manifest: &CManifest) -> Manifest {
    // SAFETY: the caller's promise.
    let text = |text: Str| unsafe { text.copied() }.unwrap_or_default();
    Manifest {
        name: text(manifest.name),
        version: text(manifest.version),
        summary: text(manifest.summary),
        score_range: (!manifest.score_low.is_nan()).then_some((manifest.score_low, manifest.score_high)),
        concave: manifest.concave != 0,
        gradient: manifest.gradient != 0,
        needs_reference: manifest.needs_reference != 0,
    }
}

/// The text pointers of a batch, into which `CPromptTexts`s point.
struct CTexts(Vec<Vec<Str>>);

impl CTexts {
    fn new(batch: &[PromptTexts]) -> Self {
        Self(batch.iter().map(|entry| entry.texts.iter().map(|text| Str::new(text)).collect()).collect())
    }

    fn entries(&self, batch: &[PromptTexts]) -> Vec<CPromptTexts> {
        let entry = |(entry, texts): (&PromptTexts, &Vec<Str>)| CPromptTexts {
            prompt: c_prompt(&entry.prompt),
            texts: texts.as_ptr(),
            texts_len: texts.len(),
        };
        batch.iter().zip(&self.0).map(entry).collect()
    }
}

/// The verifiers' names and the groups of each bundle, into which `CBundle`s point.
struct CBundles {
    verifiers: Vec<Vec<Str>>,
    groups: Vec<Vec<CGroup>>,
    /// The answers of each group of each bundle, into which the groups point.
    _answers: Vec<Vec<CAnswer>>,
}

impl CBundles {
    fn new(batch: &[Bundle]) -> Self {
        let names = |bundle: &Bundle| bundle.verifiers.iter().map(|name| Str::new(name)).collect();
        let answers: Vec<Vec<CAnswer>> = batch
            .iter()
            .flat_map(|bundle| &bundle.groups)
            .map(|group| group.answers.iter().map(c_answer).collect())
            .collect();
        let mut next = answers.iter();
        let mut groups = |bundle: &Bundle| {
            let groups = bundle.groups.iter().zip(next.by_ref()).map(|(group, answers)| CGroup {
                prompt: c_prompt(&group.prompt),
                size: group.size,
                answers: answers.as_ptr(),
                answers_len: answers.len(),
            });
            groups.collect()
        };
        let (verifiers, groups) = (batch.iter().map(names).collect(), batch.iter().map(&mut groups).collect());
        // Moving the vectors does not move their elements, so the pointers stay valid.
        Self { verifiers, groups, _answers: answers }
    }

    fn entries(&self, batch: &[Bundle]) -> Vec<CBundle> {
        let entry = |(bundle, (groups, verifiers)): (&Bundle, (&Vec<CGroup>, &Vec<Str>))| CBundle {
            id: Str::new(&bundle.id),
            verifiers: verifiers.as_ptr(),
            verifiers_len: verifiers.len(),
            multiplier: bundle.multiplier,
            exact: bundle.exact.into(),
            groups: groups.as_ptr(),
            groups_len: groups.len(),
        };
        batch.iter().zip(self.groups.iter().zip(&self.verifiers)).map(entry).collect()
    }
}

fn c_prompt(prompt: &Prompt) -> CPrompt {
    CPrompt {
        id: Str::new(&prompt.id),
        text: Str::new(&prompt.text),
        gold: prompt.gold.as_deref().map_or(Str::NULL, Str::new),
        metadata: Str::new(&prompt.metadata),
    }
}

fn c_answer(answer: &Answer) -> CAnswer {
    CAnswer {
        key: Str::new(&answer.key),
        count: answer.count,
        scores: answer.scores.as_ptr(),
        frequency: answer.frequency,
        leave_one_out: answer.leave_one_out,
        surprisal: answer.surprisal,
        pooled_surprisal: answer.pooled_surprisal,
        reference_probability: answer.reference_probability,
        pooled_reference_probability: answer.pooled_reference_probability,
    }
}

fn text_counts(batch: &[PromptTexts]) -> impl Iterator<Item = usize> {
    batch.iter().map(|entry| entry.texts.len())
}

/// Splits a flat list into lists of these sizes.
fn regroup<T>(flat: Vec<T>, sizes: impl Iterator<Item = usize>) -> Vec<Vec<T>> {
    let mut flat = flat.into_iter();
    sizes.map(|size| flat.by_ref().take(size).collect()).collect()
}
