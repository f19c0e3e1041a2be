//! [`Plugin`]: a component or a native library, behind the same three calls.

use std::fmt;
use std::path::{Path, PathBuf};

use alft_sdk::bundle::{Bundle, Valuation};
use alft_sdk::linked::Question;
use alft_sdk::roles::Manifest;

use crate::component::Guest;
use crate::isolate::{Attempt, Called, isolate};
use crate::native::Library;
use crate::{Engine, Error, Failure, FailureKind, Limits};

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

/// The roles that a plugin was found to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    /// Whether a native library may be loaded.
    pub trust_native: bool,
    /// The plugin's table of the run file, as a JSON object.
    pub config: String,
    /// What one call may use.
    pub limits: Limits,
}

enum Code {
    Component(Guest),
    Native(Library),
}

/// An opened plugin, with its configuration.
pub struct Plugin {
    code: Code,
    config: String,
    manifest: Manifest,
    roles: Roles,
    hash: String,
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let form = if self.is_native() { "native" } else { "component" };
        f.debug_struct("Plugin").field("manifest", &self.manifest).field("form", &form).finish_non_exhaustive()
    }
}

impl Plugin {
    /// Opens a plugin, checks what it is, and has it check its configuration.
    ///
    /// # Errors
    /// Everything in [`Error`]: each names the file, the reason and the remedy.
    pub fn open(source: &Source, engine: &Engine) -> Result<Self, Error> {
        let path = &source.path;
        let bytes = std::fs::read(path).map_err(|reason| Error::Read { path: path.clone(), reason })?;
        let code = match kind(path, &bytes)? {
            Kind::Component => Code::Component(Guest::load(path, &bytes, engine, &source.limits)?),
            Kind::Native if !source.trust_native => return Err(Error::Untrusted { path: path.clone() }),
            Kind::Native => Code::Native(Library::load(path, &bytes)?),
        };
        let described = match &code {
            Code::Component(guest) => guest.describe(&source.config),
            Code::Native(library) => library.describe(&source.config),
        };
        let manifest = described.result.map(|mut one| one.remove(0)).map_err(|failure| match failure.kind {
            FailureKind::Error => {
                Error::Config { path: path.clone(), config: source.config.clone(), reason: failure.detail }
            }
            _ => Error::Describe { path: path.clone(), failure },
        })?;
        if manifest.score_range.is_some_and(|(low, high)| low.is_nan() || high.is_nan() || low > high) {
            let detail = format!("its score range is {:?}", manifest.score_range);
            let failure = Failure::new(FailureKind::OutOfRange, detail);
            return Err(Error::Describe { path: path.clone(), failure });
        }
        let roles = match &code {
            Code::Component(guest) => guest.roles(),
            Code::Native(library) => library.roles(),
        };
        let hash = blake3::hash(&bytes).to_hex().to_string();
        Ok(Self { code, config: source.config.clone(), manifest, roles, hash })
    }

    /// Who it is and what it promises.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Whether it runs outside the sandbox.
    pub fn is_native(&self) -> bool {
        matches!(self.code, Code::Native(_))
    }

    /// BLAKE3 of its file, in hexadecimal.
    pub fn hash(&self) -> &str {
        &self.hash
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
    pub fn read(&self, batch: &[Question]) -> Called<Option<String>> {
        let call = |batch: &[Question]| match &self.code {
            Code::Component(guest) => guest.read(&self.config, batch),
            Code::Native(library) => library.read(&self.config, batch),
        };
        by_text(batch, &call, &|_| Ok(()))
    }

    /// As a verifier: each answer's score. Items are answers, in order over all questions.
    pub fn score(&self, batch: &[Question]) -> Called<f64> {
        let call = |batch: &[Question]| match &self.code {
            Code::Component(guest) => guest.score(&self.config, batch),
            Code::Native(library) => library.score(&self.config, batch),
        };
        by_text(batch, &call, &|score| self.checked_score(*score))
    }

    /// As an objective: each bundle's valuation.
    pub fn evaluate(&self, batch: &[Bundle]) -> Called<Valuation> {
        // The C ABI has one length for both, and would read past the shorter.
        let answers =
            |b: &Bundle| b.groups.iter().flat_map(|g| &g.answers).any(|a| a.scores.len() != b.verifiers.len());
        if batch.iter().any(answers) {
            let failure = Failure::new(FailureKind::Shape, "an answer does not have one score for each verifier");
            let items = batch.iter().map(|_| Err(failure.clone())).collect();
            return Called { items, bill: Default::default(), log: Vec::new() };
        }
        let mut called = isolate(batch, &|batch| {
            let attempt = match &self.code {
                Code::Component(guest) => guest.evaluate(&self.config, batch),
                Code::Native(library) => library.evaluate(&self.config, batch),
            };
            one_each(attempt, batch.len())
        });
        for (item, bundle) in called.items.iter_mut().zip(batch) {
            if let Err(failure) = item.as_ref().map_err(Clone::clone).and_then(|v| checked_valuation(v, bundle)) {
                *item = Err(failure);
            }
        }
        called
    }

    fn checked_score(&self, score: f64) -> Result<(), Failure> {
        finite("score", score)?;
        match self.manifest.score_range {
            Some((low, high)) if score < low || score > high => {
                Err(Failure::new(FailureKind::OutOfRange, format!("scored {score}, but promises {low} to {high}")))
            }
            _ => Ok(()),
        }
    }
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

/// A call over questions, with a value for each *text*: what fails is first narrowed to its question, then within the
/// question to its text.
fn by_text<T>(
    batch: &[Question],
    call: &dyn Fn(&[Question]) -> Attempt<Vec<T>>,
    check: &dyn Fn(&T) -> Result<(), Failure>,
) -> Called<T> {
    let shaped = |batch: &[Question]| {
        let mut attempt = one_each(call(batch), batch.len());
        attempt.result = attempt.result.and_then(|values| {
            match values.iter().zip(batch).find(|(values, q)| values.len() != q.texts.len()) {
                None => Ok(values),
                Some((values, q)) => {
                    let detail =
                        format!("{} results for {} entries of prompt {}", values.len(), q.texts.len(), q.prompt.id);
                    Err(Failure::new(FailureKind::Shape, detail))
                }
            }
        });
        attempt
    };
    let mut out = Called { items: Vec::new(), bill: Default::default(), log: Vec::new() };
    let whole = isolate(batch, &shaped);
    out.bill.add(whole.bill);
    out.log.extend(whole.log);
    for (item, question) in whole.items.into_iter().zip(batch) {
        match item {
            Ok(values) => out.items.extend(values.into_iter().map(Ok)),
            Err(failure) if question.texts.len() == 1 || failure.kind == FailureKind::Deadline => {
                out.items.extend(question.texts.iter().map(|_| Err(failure.clone())));
            }
            Err(_) => {
                let single = |text: &String| Question { prompt: question.prompt.clone(), texts: vec![text.clone()] };
                let singles: Vec<Question> = question.texts.iter().map(single).collect();
                let parts = isolate(&singles, &shaped);
                out.bill.add(parts.bill);
                out.log.extend(parts.log);
                out.items.extend(parts.items.into_iter().map(|item| item.map(|mut one| one.remove(0))));
            }
        }
    }
    for item in &mut out.items {
        if let Err(failure) = item.as_ref().map_err(Clone::clone).and_then(check) {
            *item = Err(failure);
        }
    }
    out
}

fn one_each<T>(attempt: Attempt<T>, wanted: usize) -> Attempt<T> {
    let result = attempt.result.and_then(|values| match values.len() == wanted {
        true => Ok(values),
        false => Err(Failure::new(FailureKind::Shape, format!("{} results for {wanted} entries", values.len()))),
    });
    Attempt { result, ..attempt }
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
