//! Native libraries, through the C ABI of `alft_sdk::abi`. Nothing here can hold a library back: it runs with the
//! rights of this process, so one is only opened where the user trusts it by its hash; `remote` keeps its crashes out
//! of this process.

use std::ffi::c_void;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use alft_sdk::abi::{
    CAnswer, CBundle, CGroup, CManifest, CPrompt, CPromptTexts, ENTRY_PREFIX, EntryFn, FINGERPRINT_PREFIX, Fingerprint,
    Host, OK, PANICKED, PluginV1, Str, TARGET, VERSION,
};
use alft_sdk::batch::PromptTexts;
use alft_sdk::bundle::{Bundle, Prompt, Valuation};
use alft_sdk::roles::Manifest;
use object::{Architecture, BinaryFormat, Object, ObjectSection};

use crate::deadline::Deadline;
use crate::failure::shown;
use crate::isolate::{Attempt, Bill};
use crate::plugin::{Code, Roles};
use crate::{Error, Failure, FailureKind, Limits};

/// A loaded library. It is never unloaded: its code may have left pointers, threads or exit handlers behind.
pub(crate) struct Library {
    plugin: &'static PluginV1,
    limits: Limits,
}

impl Library {
    /// Loads the library at `path`, which was [examined](examine) before.
    pub(crate) fn load(path: &Path, limits: &Limits) -> Result<Self, Error> {
        let bytes = std::fs::read(path).map_err(|reason| Error::Read { path: path.into(), reason })?;
        let symbol = examine(path, &bytes)?.entry;
        let fail = |reason: String| Error::Load { path: path.into(), reason };
        // An absolute path: the loader would look a bare name up in the system's folders.
        let absolute = std::path::absolute(path).map_err(|error| fail(error.to_string()))?;
        // SAFETY: loading runs the library's initialisers. The user trusts it in so many words, and its entry symbol
        // says that it is a plugin of our contract.
        let plugin = unsafe {
            let library = libloading::Library::new(&absolute).map_err(|error| fail(error.to_string()))?;
            let entry: EntryFn = *library.get(symbol.as_str()).map_err(|error| fail(error.to_string()))?;
            std::mem::forget(library);
            let plugin = entry();
            if plugin.is_null() {
                return Err(fail(format!("{symbol} returned a null pointer")));
            }
            // Size and version come first in every contract: no more is read before they are known.
            let (size, version) = ((*plugin).size as usize, (*plugin).version);
            if version != VERSION {
                return Err(contract(path, version));
            }
            if size < size_of::<PluginV1>() {
                return Err(fail(format!("its plugin struct has {size} bytes, of {}", size_of::<PluginV1>())));
            }
            &*plugin
        };
        if plugin.read.is_none() && plugin.score.is_none() && plugin.evaluate.is_none() {
            return Err(Error::NoRole { path: path.into() });
        }
        if plugin.describe.is_none() {
            return Err(fail("it does not describe itself".into()));
        }
        Ok(Self { plugin, limits: limits.clone() })
    }
}

impl Code for Library {
    fn roles(&self) -> Roles {
        Roles {
            reader: self.plugin.read.is_some(),
            verifier: self.plugin.score.is_some(),
            objective: self.plugin.evaluate.is_some(),
        }
    }

    fn describe(&self, config: &str) -> Attempt<Manifest> {
        call(&self.limits, |host| {
            let mut out = CManifest {
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
            let describe = self.plugin.describe.expect("checked when loaded");
            // SAFETY: the arguments live through the call, and the texts of `out` until the next one.
            unsafe {
                let status = describe(host, Str::new(config), &mut out);
                if status != OK {
                    return (status, Vec::new());
                }
                let text = |text: Str| text.copied().unwrap_or_default();
                let manifest = Manifest {
                    name: text(out.name),
                    version: text(out.version),
                    summary: text(out.summary),
                    score_range: (!out.score_low.is_nan()).then_some((out.score_low, out.score_high)),
                    concave: out.concave != 0,
                    gradient: out.gradient != 0,
                    needs_reference: out.needs_reference != 0,
                };
                (status, vec![manifest])
            }
        })
    }

    fn read(&self, config: &str, batch: &[PromptTexts], _: Deadline) -> Attempt<Vec<Option<String>>> {
        let read = self.plugin.read.expect("Plugin asks only for roles that were found");
        let texts = Texts::of(batch);
        let questions = texts.questions(batch);
        let mut keys = Vec::new();
        let attempt = call(&self.limits, |host| {
            // SAFETY: the arguments live through the call.
            let status = unsafe { read(host, Str::new(config), questions.as_ptr(), questions.len()) };
            // SAFETY: `call` made this context, and the library has returned.
            keys = std::mem::take(unsafe { &mut (*(*host).context.cast::<Heard<'_>>()).keys });
            (status, vec![()])
        });
        let wanted: usize = batch.iter().map(|q| q.texts.len()).sum();
        let result = attempt.result.and_then(|_| match keys.len() == wanted {
            true => Ok(regroup(keys, batch.iter().map(|q| q.texts.len()))),
            false => {
                Err(Failure::new(FailureKind::Shape, format!("{} readable keys for {wanted} completions", keys.len())))
            }
        });
        Attempt { result, bill: attempt.bill, log: attempt.log }
    }

    fn score(&self, config: &str, batch: &[PromptTexts], _: Deadline) -> Attempt<Vec<f64>> {
        let score = self.plugin.score.expect("Plugin asks only for roles that were found");
        let texts = Texts::of(batch);
        let questions = texts.questions(batch);
        call(&self.limits, |host| {
            // NaN, so that a number the library does not write is found out.
            let mut scores = vec![f64::NAN; batch.iter().map(|q| q.texts.len()).sum()];
            // SAFETY: the arguments live through the call; the buffer has one place for each answer.
            let status =
                unsafe { score(host, Str::new(config), questions.as_ptr(), questions.len(), scores.as_mut_ptr()) };
            (status, regroup(scores, batch.iter().map(|q| q.texts.len())))
        })
    }

    fn evaluate(&self, config: &str, batch: &[Bundle], _: Deadline) -> Attempt<Valuation> {
        let evaluate = self.plugin.evaluate.expect("Plugin asks only for roles that were found");
        let verifiers: Vec<Vec<Str>> =
            batch.iter().map(|b| b.verifiers.iter().map(|name| Str::new(name)).collect()).collect();
        let answers: Vec<Vec<CAnswer>> =
            batch.iter().flat_map(|b| &b.groups).map(|g| g.answers.iter().map(answer).collect()).collect();
        let mut next = answers.iter();
        let groups: Vec<Vec<CGroup>> = batch
            .iter()
            .map(|b| {
                b.groups
                    .iter()
                    .zip(next.by_ref())
                    .map(|(g, answers)| CGroup {
                        prompt: prompt(&g.prompt),
                        size: g.size,
                        answers: answers.as_ptr(),
                        answers_len: answers.len(),
                    })
                    .collect()
            })
            .collect();
        let bundles: Vec<CBundle> = batch
            .iter()
            .zip(groups.iter().zip(&verifiers))
            .map(|(b, (groups, verifiers))| CBundle {
                id: Str::new(&b.id),
                verifiers: verifiers.as_ptr(),
                verifiers_len: verifiers.len(),
                multiplier: b.multiplier,
                exact: b.exact.into(),
                groups: groups.as_ptr(),
                groups_len: groups.len(),
            })
            .collect();
        call(&self.limits, |host| {
            let mut utilities = vec![f64::NAN; batch.len()];
            let mut violations = vec![f64::NAN; batch.len()];
            let mut rewards = vec![f64::NAN; answers.iter().map(Vec::len).sum()];
            // SAFETY: the arguments live through the call; the buffers have the sizes of the contract.
            let status = unsafe {
                evaluate(
                    host,
                    Str::new(config),
                    bundles.as_ptr(),
                    bundles.len(),
                    utilities.as_mut_ptr(),
                    violations.as_mut_ptr(),
                    rewards.as_mut_ptr(),
                )
            };
            let rewards = regroup(rewards, answers.iter().map(Vec::len));
            let rewards = regroup(rewards, batch.iter().map(|b| b.groups.len()));
            let numbers = utilities.into_iter().zip(violations).zip(rewards);
            let valuation = |((utility, violation), rewards): ((f64, f64), _)| Valuation {
                utility,
                rewards,
                violation: (!violation.is_nan()).then_some(violation),
            };
            (status, numbers.map(valuation).collect())
        })
    }
}

/// What a library's file says of it.
pub(crate) struct Examined {
    /// The name of its entry symbol.
    entry: String,
    /// How it was built; `None` where it does not say.
    pub(crate) fingerprint: Option<String>,
}

impl Examined {
    /// Whether a panic of the library can be caught. Of one that does not say, nobody knows.
    pub(crate) fn unwinds(&self) -> bool {
        self.fingerprint.as_ref().is_some_and(|fingerprint| fingerprint.contains("; panic unwind;"))
    }
}

/// Looks a library over without loading it: one for another machine, or of another contract, is refused before any of
/// its code runs.
pub(crate) fn examine(path: &Path, bytes: &[u8]) -> Result<Examined, Error> {
    let not_a_plugin = |reason: &str| Error::NotAPlugin { path: path.into(), reason: reason.into() };
    let file = object::File::parse(bytes).map_err(|error| not_a_plugin(&error.to_string()))?;
    if (file.architecture(), file.format()) != (ARCHITECTURE, FORMAT) {
        let found = format!("{:?} on {:?}", file.format(), file.architecture());
        return Err(Error::Target { path: path.into(), found, wanted: TARGET });
    }
    let exports = file.exports().map_err(|error| not_a_plugin(&error.to_string()))?;
    // Mach-O puts an underscore before every C name.
    let bare = |name: &str| match file.format() {
        BinaryFormat::MachO => name.strip_prefix('_').unwrap_or(name).to_owned(),
        _ => name.to_owned(),
    };
    let names: Vec<(String, u64)> =
        exports.iter().map(|export| (bare(&String::from_utf8_lossy(export.name())), export.address())).collect();
    let fingerprint = names.iter().find(|(name, _)| name.starts_with(FINGERPRINT_PREFIX)).and_then(|(_, address)| {
        let length = size_of::<Fingerprint>() as u64;
        let text = file.sections().find_map(|section| section.data_range(*address, length).ok().flatten())?;
        let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
        Some(String::from_utf8_lossy(text).into_owned())
    });
    if let Some(fingerprint) = &fingerprint
        && !fingerprint.contains(&format!("; target {TARGET};"))
    {
        return Err(Error::Target { path: path.into(), found: fingerprint.clone(), wanted: TARGET });
    }
    let entries = || names.iter().map(|(name, _)| name).filter(|name| name.starts_with(ENTRY_PREFIX));
    let version = |name: &str| -> Option<u32> {
        let digits = &name[ENTRY_PREFIX.len()..];
        digits.split(|c: char| !c.is_ascii_digit()).next().and_then(|digits| digits.parse().ok())
    };
    let mut ours = entries().filter(|name| version(name) == Some(VERSION));
    match (ours.next(), ours.next()) {
        (Some(name), None) => Ok(Examined { entry: name.clone(), fingerprint }),
        (Some(a), Some(b)) => Err(not_a_plugin(&format!("it has two entry symbols, {a} and {b}"))),
        (None, _) => match entries().find_map(|name| version(name)) {
            Some(version) => Err(contract(path, version)),
            None => Err(not_a_plugin("it has no symbol alft_plugin_v1; build it with `alft plugin build --native`")),
        },
    }
}

/// What this program itself is.
const ARCHITECTURE: Architecture = if cfg!(target_arch = "x86_64") {
    Architecture::X86_64
} else if cfg!(target_arch = "aarch64") {
    Architecture::Aarch64
} else {
    Architecture::Unknown
};

const FORMAT: BinaryFormat = if cfg!(target_os = "macos") {
    BinaryFormat::MachO
} else if cfg!(windows) {
    BinaryFormat::Pe
} else {
    BinaryFormat::Elf
};

fn contract(path: &Path, version: u32) -> Error {
    Error::Contract { path: path.into(), found: version.to_string(), supported: "1" }
}

/// What a library says during a call.
struct Heard<'a> {
    limits: &'a Limits,
    log: Vec<String>,
    error: String,
    keys: Vec<Option<String>>,
}

fn call<T>(limits: &Limits, run: impl FnOnce(*const Host) -> (i32, Vec<T>)) -> Attempt<T> {
    /// # Safety
    /// `context` is the `Heard` of the call under way.
    unsafe fn heard<'a>(context: *mut c_void) -> &'a mut Heard<'a> {
        // SAFETY: the caller's promise.
        unsafe { &mut *context.cast::<Heard<'_>>() }
    }
    unsafe extern "C" fn log(context: *mut c_void, level: u32, message: Str) {
        // SAFETY: the library passes our context and a valid text.
        let (heard, message) = unsafe { (heard(context), message.copied()) };
        if heard.log.len() < heard.limits.log_lines {
            let name = ["error", "warn", "info"].get(level as usize).unwrap_or(&"debug");
            heard.log.extend(message.map(|message| format!("{name}: {}", shown(message, heard.limits.log_bytes))));
        }
    }
    unsafe extern "C" fn fail(context: *mut c_void, message: Str) {
        // SAFETY: as above.
        unsafe {
            let heard = heard(context);
            heard.error = shown(message.copied().unwrap_or_default(), heard.limits.log_bytes);
        }
    }
    unsafe extern "C" fn key(context: *mut c_void, key: Str) {
        // SAFETY: as above.
        let (heard, key) = unsafe { (heard(context), key.bytes()) };
        match key.map(|key| String::from_utf8(key.to_vec())).transpose() {
            Ok(key) => heard.keys.push(key),
            // Replacing bytes could make two answers one; leaving it out makes the result too short.
            Err(_) => heard.log.push("error: a key is not UTF-8".into()),
        }
    }

    /// The contract promises libraries one call at a time: a C plugin may keep its manifest in a static buffer.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let begun = Instant::now();
    let mut heard_of = Heard { limits, log: Vec::new(), error: String::new(), keys: Vec::new() };
    let context = (&raw mut heard_of).cast::<c_void>();
    let host = Host { size: size_of::<Host>() as u32, context, log, fail, key };
    let (status, values) = run(&host);
    let result = match status {
        OK => Ok(values),
        PANICKED => Err(Failure::new(FailureKind::Panic, heard_of.error)),
        _ => Err(Failure::new(FailureKind::Error, heard_of.error)),
    };
    let bill = Bill { calls: 1, time: begun.elapsed(), ..Bill::default() };
    Attempt { result, bill, log: heard_of.log }
}

/// The text pointers of a batch, which `CPromptTexts`s point into.
struct Texts(Vec<Vec<Str>>);

impl Texts {
    fn of(batch: &[PromptTexts]) -> Self {
        Self(batch.iter().map(|q| q.texts.iter().map(|text| Str::new(text)).collect()).collect())
    }

    fn questions(&self, batch: &[PromptTexts]) -> Vec<CPromptTexts> {
        let question = |(q, texts): (&PromptTexts, &Vec<Str>)| CPromptTexts {
            prompt: prompt(&q.prompt),
            texts: texts.as_ptr(),
            texts_len: texts.len(),
        };
        batch.iter().zip(&self.0).map(question).collect()
    }
}

fn prompt(p: &Prompt) -> CPrompt {
    CPrompt {
        id: Str::new(&p.id),
        text: Str::new(&p.text),
        gold: p.gold.as_deref().map_or(Str::NULL, Str::new),
        metadata: Str::new(&p.metadata),
    }
}

fn answer(a: &alft_sdk::Answer) -> CAnswer {
    CAnswer {
        key: Str::new(&a.key),
        count: a.count,
        scores: a.scores.as_ptr(),
        frequency: a.frequency,
        leave_one_out: a.leave_one_out,
        surprisal: a.surprisal,
        pooled_surprisal: a.pooled_surprisal,
        reference_probability: a.reference_probability,
        pooled_reference_probability: a.pooled_reference_probability,
    }
}

fn regroup<T>(flat: Vec<T>, sizes: impl Iterator<Item = usize>) -> Vec<Vec<T>> {
    let mut flat = flat.into_iter();
    sizes.map(|size| flat.by_ref().take(size).collect()).collect()
}
