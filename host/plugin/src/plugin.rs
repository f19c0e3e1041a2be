//! [`Plugin`]: a component or a native library, behind the same three calls.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use alft_sdk::batch::PromptTexts;
use alft_sdk::bundle::{Bundle, Valuation};
use alft_sdk::roles::Manifest;
use serde::{Deserialize, Serialize};

use crate::component::Guest;
use crate::deadline::Deadline;
use crate::failure::{indented, line};
use crate::isolate::{Attempt, Called, Entry, Output, Part, isolate};
use crate::native::{self, Library};
use crate::remote::Remote;
use crate::size::{bundle_size, question_size};
use crate::{Engine, Error, Failure, FailureKind, Limits, cache, file, spread};

/// What a plugin can be asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Completions to answer keys.
    Reader,
    /// Answers to scores.
    Verifier,
    /// Distributions of answers to rewards.
    Objective,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reader => "reader",
            Self::Verifier => "verifier",
            Self::Objective => "objective",
        })
    }
}

impl Role {
    /// All of them, in the order of a run.
    pub const ALL: [Self; 3] = [Self::Reader, Self::Verifier, Self::Objective];
}

/// Bytes of a plugin's name, and of its version, that are kept.
const NAME_BYTES: usize = 100;

/// The version of the contract that every plugin which this host opens speaks.
pub const CONTRACT: &str = "1.0.0";

/// The roles that a plugin was found to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Roles {
    pub(crate) reader: bool,
    pub(crate) verifier: bool,
    pub(crate) objective: bool,
}

/// Where a plugin comes from and how far it is trusted.
#[derive(Debug, Clone)]
pub struct Source {
    /// A `.wasm` component or a native library.
    pub path: PathBuf,
    /// The BLAKE3 of the file, in hexadecimal, if only that file will do. A native library needs one.
    pub pin: Option<String>,
    /// Whether a native library may run, and where.
    pub native: NativeTrust,
    /// The plugin's table of the run file, as a JSON object.
    pub config: String,
    /// What one call may use.
    pub limits: Limits,
}

/// How far a native library is trusted: it runs with all the rights of this user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NativeTrust {
    /// It may not run.
    Refused,
    /// In a child process, which it may crash, block or fill up.
    Process,
    /// In this process: as fast as can be, and at its mercy.
    InProcess,
}

/// Loaded code: one call of each kind, unchecked.
pub(crate) trait Code: Send + Sync {
    fn roles(&self) -> Roles;
    fn imports(&self) -> &[String] {
        &[]
    }
    fn describe(&self, config: &str) -> Attempt<Manifest>;
    fn read(&self, config: &str, batch: &[PromptTexts], deadline: Deadline) -> Attempt<Vec<Option<String>>>;
    fn score(&self, config: &str, batch: &[PromptTexts], deadline: Deadline) -> Attempt<Vec<f64>>;
    fn evaluate(&self, config: &str, batch: &[Bundle], deadline: Deadline) -> Attempt<Valuation>;
}

/// What a plugin was loaded as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// A WebAssembly component, in its sandbox.
    Component,
    /// A native library in a child process.
    NativeProcess,
    /// A native library in this process.
    Native,
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Component => "WebAssembly component",
            Self::NativeProcess => "native library in a process of its own",
            Self::Native => "native library",
        })
    }
}

/// An opened plugin, with its configuration.
pub struct Plugin {
    code: Box<dyn Code>,
    form: Form,
    source: Source,
    manifest: Manifest,
    roles: Roles,
    hash: String,
    fingerprint: Option<String>,
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugin").field("manifest", &self.manifest).field("form", &self.form).finish_non_exhaustive()
    }
}

impl Plugin {
    /// Opens a plugin, checks what it is, and has it check its configuration.
    ///
    /// # Errors
    /// Everything in [`Error`]: each names the file, the reason and the remedy.
    pub fn open(source: &Source, engine: &Engine) -> Result<Self, Error> {
        let (path, limits) = (&source.path, &source.limits);
        let bytes = file::read(path, limits)?;
        let hash = file::hash_of(&bytes);
        if let Some(pinned) = source.pin.as_ref().filter(|pinned| **pinned != hash) {
            return Err(Error::Pinned { path: path.clone(), found: hash, pinned: pinned.clone() });
        }
        let (mut form, mut fingerprint) = (Form::Component, None);
        let code: Box<dyn Code> = match (kind(path, &bytes)?, source.native) {
            (Kind::Component, _) => Box::new(Guest::load(path, &bytes, engine, limits)?),
            (Kind::Native, NativeTrust::Refused) => return Err(Error::Untrusted { path: path.clone() }),
            (Kind::Native, _) if source.pin.is_none() => return Err(Error::Unpinned { path: path.clone(), hash }),
            (Kind::Native, trust) => {
                let examined = native::examine(path, &bytes)?;
                // What was examined is what is loaded, whatever becomes of the file.
                let name = format!("{hash}.{}", std::env::consts::DLL_EXTENSION);
                let copy = cache::folder("libraries").and_then(|folder| cache::file(&folder, &name, &bytes));
                let copy = copy.map_err(|reason| Error::Copy { path: path.clone(), reason })?;
                let unwinds = examined.unwinds();
                fingerprint = examined.fingerprint;
                if trust == NativeTrust::Process {
                    form = Form::NativeProcess;
                    Box::new(Remote::open(&copy, limits, engine.worker())?)
                } else if unwinds {
                    form = Form::Native;
                    Box::new(Library::load(&copy, limits)?)
                } else {
                    let reason = match fingerprint {
                        Some(_) => "it is built to abort when it panics",
                        None => "it does not say how it was built",
                    };
                    return Err(Error::Aborts { path: path.clone(), reason });
                }
            }
        };
        let described = code.describe(&source.config);
        let mut manifest = described.result.map(|mut one| one.remove(0)).map_err(|failure| match failure.kind {
            FailureKind::Error => {
                Error::Config { path: path.clone(), config: source.config.clone(), reason: indented(&failure.detail) }
            }
            _ => Error::Describe { path: path.clone(), failure },
        })?;
        for (text, most) in [
            (&mut manifest.name, NAME_BYTES),
            (&mut manifest.version, NAME_BYTES),
            (&mut manifest.summary, limits.log_bytes),
        ] {
            *text = line(std::mem::take(text), most);
        }
        if let Some((low, high)) = manifest.score_range
            && manifest.range_is_empty()
        {
            let detail = format!("its score range is {low:?} to {high:?}, with no score in it");
            let failure = Failure::new(FailureKind::OutOfRange, detail);
            return Err(Error::Describe { path: path.clone(), failure });
        }
        let roles = code.roles();
        Ok(Self { code, form, source: source.clone(), manifest, roles, hash, fingerprint })
    }

    /// Who it is and what it promises.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// What it was loaded as.
    pub fn form(&self) -> Form {
        self.form
    }

    /// What it was opened from.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// BLAKE3 of its file, in hexadecimal.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// What it imports: an empty list or our own interfaces, or nothing would have been opened. Empty for native libraries,
    /// which need no import to do what they like.
    pub fn imports(&self) -> &[String] {
        self.code.imports()
    }

    /// How a native library says it was built; see [`alft_sdk::abi::Fingerprint`].
    pub fn fingerprint(&self) -> Option<&str> {
        self.fingerprint.as_deref()
    }

    /// Whether it has the role.
    pub fn has(&self, role: Role) -> bool {
        match role {
            Role::Reader => self.roles.reader,
            Role::Verifier => self.roles.verifier,
            Role::Objective => self.roles.objective,
        }
    }

    /// As a reader: each completion's answer key, `None` where no answer can be read. Items are completions, in order
    /// over all questions.
    pub fn read(&self, batch: &[PromptTexts]) -> Called<Option<String>> {
        let deadline = self.deadline();
        let call =
            |batch: &[PromptTexts]| self.kept(texts(batch), self.code.read(&self.source.config, batch, deadline));
        self.by_text(batch, deadline, &call, &|key| self.checked_key(key.as_deref()))
    }

    /// As a verifier: each answer's score. Items are answers, in order over all questions.
    pub fn score(&self, batch: &[PromptTexts]) -> Called<f64> {
        let deadline = self.deadline();
        let call =
            |batch: &[PromptTexts]| self.kept(texts(batch), self.code.score(&self.source.config, batch, deadline));
        self.by_text(batch, deadline, &call, &|score| self.checked_score(*score))
    }

    /// As an objective: each bundle's valuation.
    pub fn evaluate(&self, batch: &[Bundle]) -> Called<Valuation> {
        // The C ABI has one length for both, and would read past the shorter.
        let answers =
            |b: &Bundle| b.groups.iter().flat_map(|g| &g.answers).any(|a| a.scores.len() != b.verifiers.len());
        if batch.iter().any(answers) {
            let failure = Failure::new(FailureKind::Shape, "an answer does not have one score for each verifier");
            return Called { items: batch.iter().map(|_| Err(failure.clone())).collect(), ..Called::default() };
        }
        let deadline = self.deadline();
        let call =
            |batch: &[Bundle]| self.kept(priced(batch), self.code.evaluate(&self.source.config, batch, deadline));
        let mut called = self.spread(batch.iter().map(bundle_size), &|range| {
            isolate(batch, range, deadline, &|entries| Part { entries, texts: None }, &call, &|_, _| Ok(()))
        });
        called.log.truncate(self.source.limits.log_lines);
        for (item, bundle) in called.items.iter_mut().zip(batch) {
            if let Err(failure) = item.as_ref().map_err(Clone::clone).and_then(|v| checked_valuation(v, bundle)) {
                *item = Err(failure);
            }
        }
        called
    }

    /// Refuses what is too large to be kept until the step is on record: of calls that are taken apart there may be a
    /// thousand. For `items` texts or answers there may be as many keys' bytes.
    fn kept<T: Entry>(&self, items: usize, mut attempt: Attempt<T>) -> Attempt<T> {
        // A list and a number besides, for each.
        let most = self.source.limits.key_bytes.saturating_add(64).saturating_mul(items.max(1));
        let bytes = attempt.result.as_ref().map_or(0, |values| values.iter().map(Entry::bytes).sum());
        if bytes > most {
            let limit = self.source.limits.key_bytes;
            let detail = format!("handed back {bytes} bytes for {items} items; `limits.key_bytes` is {limit} for each");
            attempt.result = Err(Failure::new(FailureKind::Output, detail));
        }
        attempt
    }

    /// For a batch that is asked now.
    fn deadline(&self) -> Deadline {
        Deadline::begin(&self.source.limits)
    }

    /// One call as it is, for a replay: what came back, unchecked, and its fuel.
    pub(crate) fn call_read(&self, batch: &[PromptTexts]) -> (Result<Output, Failure>, u64) {
        let attempt = self.kept(texts(batch), self.code.read(&self.source.config, batch, self.deadline()));
        (attempt.result.map(Output::Keys), attempt.bill.fuel)
    }

    /// As [`Plugin::call_read`].
    pub(crate) fn call_score(&self, batch: &[PromptTexts]) -> (Result<Output, Failure>, u64) {
        let attempt = self.kept(texts(batch), self.code.score(&self.source.config, batch, self.deadline()));
        (attempt.result.map(Output::Scores), attempt.bill.fuel)
    }

    /// As [`Plugin::call_read`].
    pub(crate) fn call_evaluate(&self, batch: &[Bundle]) -> (Result<Output, Failure>, u64) {
        let attempt = self.kept(priced(batch), self.code.evaluate(&self.source.config, batch, self.deadline()));
        (attempt.result.map(Output::Valuations), attempt.bill.fuel)
    }

    /// Calls over parts of a batch, at once where that is of use: a library takes one call at a time.
    fn spread<T: Send>(
        &self,
        sizes: impl Iterator<Item = usize>,
        work: &(dyn Fn(Range<usize>) -> Called<T> + Sync),
    ) -> Called<T> {
        let ranges = spread::split(sizes, self.source.limits.batch_bytes);
        match self.form {
            Form::Component => spread::each(ranges, work),
            Form::Native | Form::NativeProcess => {
                ranges.into_iter().map(work).fold(Called::default(), |mut all, one| {
                    all.extend(one);
                    all
                })
            }
        }
    }

    /// A call over questions, with a value for each *text*: what fails is first narrowed to its question, then within
    /// the question to its text.
    fn by_text<T: Clone + Send>(
        &self,
        batch: &[PromptTexts],
        deadline: Deadline,
        call: &(dyn Fn(&[PromptTexts]) -> Attempt<Vec<T>> + Sync),
        check: &dyn Fn(&T) -> Result<(), Failure>,
    ) -> Called<T>
    where
        Vec<T>: Entry,
    {
        let fits = |question: &PromptTexts, values: &Vec<T>| one_for_each_text(question, values.len());
        let whole = self.spread(batch.iter().map(question_size), &|range| {
            isolate(batch, range, deadline, &|entries| Part { entries, texts: None }, call, &fits)
        });
        let mut out = Called { bill: whole.bill, log: whole.log, calls: whole.calls, ..Called::default() };
        for (at, (item, question)) in whole.items.into_iter().zip(batch).enumerate() {
            match item {
                Ok(values) => out.items.extend(values.into_iter().map(Ok)),
                Err(failure) if question.texts.len() < 2 || failure.kind == FailureKind::Deadline => {
                    out.items.extend(question.texts.iter().map(|_| Err(failure.clone())));
                }
                Err(_) => {
                    let single =
                        |text: &String| PromptTexts { prompt: question.prompt.clone(), texts: vec![text.clone()] };
                    let singles: Vec<PromptTexts> = question.texts.iter().map(single).collect();
                    let part = |texts| Part { entries: at..at + 1, texts: Some(texts) };
                    let parts = isolate(&singles, 0..singles.len(), deadline, &part, call, &fits);
                    out.bill.add(parts.bill);
                    out.log.extend(parts.log);
                    out.calls.extend(parts.calls);
                    out.items.extend(parts.items.into_iter().map(|item| item.map(|mut one| one.remove(0))));
                }
            }
        }
        out.log.truncate(self.source.limits.log_lines);
        for item in &mut out.items {
            if let Err(failure) = item.as_ref().map_err(Clone::clone).and_then(check) {
                *item = Err(failure);
            }
        }
        out
    }

    fn checked_key(&self, key: Option<&str>) -> Result<(), Failure> {
        let (bytes, limit) = (key.map_or(0, str::len), self.source.limits.key_bytes);
        if bytes <= limit {
            return Ok(());
        }
        Err(Failure::new(
            FailureKind::Output,
            format!("gave an answer of {bytes} bytes; `limits.key_bytes` is {limit}"),
        ))
    }

    fn checked_score(&self, score: f64) -> Result<(), Failure> {
        finite("score", score)?;
        match self.manifest.score_range {
            Some((low, high)) if score < low || score > high => Err(Failure::new(
                FailureKind::OutOfRange,
                format!("scored {score:?}, but promises {low:?} to {high:?}"),
            )),
            _ => Ok(()),
        }
    }
}

fn texts(batch: &[PromptTexts]) -> usize {
    batch.iter().map(|question| question.texts.len()).sum()
}

fn priced(batch: &[Bundle]) -> usize {
    batch.iter().flat_map(|bundle| &bundle.groups).map(|group| group.answers.len()).sum()
}

enum Kind {
    Component,
    Native,
}

/// By content and not by name: what a file is called proves nothing.
fn kind(path: &Path, bytes: &[u8]) -> Result<Kind, Error> {
    if bytes.starts_with(b"\0asm") {
        return Ok(Kind::Component);
    }
    if wasmtime::Engine::detect_precompiled(bytes).is_some() {
        return Err(Error::Precompiled { path: path.into() });
    }
    let native = object::FileKind::parse(bytes).map_err(|error| Error::NotAPlugin {
        path: path.into(),
        reason: if bytes.is_empty() { "it is empty".into() } else { error.to_string() },
    })?;
    match native {
        object::FileKind::Elf64 | object::FileKind::MachO64 | object::FileKind::MachOFat64 | object::FileKind::Pe64 => {
            Ok(Kind::Native)
        }
        other => Err(Error::NotAPlugin { path: path.into(), reason: format!("it is of the kind {other:?}") }),
    }
}

fn one_for_each_text(question: &PromptTexts, found: usize) -> Result<(), Failure> {
    let wanted = question.texts.len();
    if found == wanted {
        return Ok(());
    }
    let detail = format!("{found} results for {wanted} entries of prompt {}", question.prompt.id);
    Err(Failure::new(FailureKind::Shape, detail))
}

fn checked_valuation(valuation: &Valuation, bundle: &Bundle) -> Result<(), Failure> {
    finite("utility", valuation.utility)?;
    if let Some(violation) = valuation.violation {
        finite("violation", violation)?;
    }
    let given: Vec<usize> = valuation.rewards.iter().map(Vec::len).collect();
    let wanted: Vec<usize> = bundle.groups.iter().map(|group| group.answers.len()).collect();
    if given != wanted {
        let detail = format!("rewards of the shape {given:?} for answers of the shape {wanted:?}");
        return Err(Failure::new(FailureKind::Shape, detail));
    }
    valuation.rewards.iter().flatten().try_for_each(|reward| finite("reward", *reward))
}

fn finite(what: &str, value: f64) -> Result<(), Failure> {
    if value.is_finite() { Ok(()) } else { Err(Failure::new(FailureKind::NonFinite, format!("a {what} is {value}"))) }
}
