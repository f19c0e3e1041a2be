//! [`Plugin`]: opened code with its configuration, called with whole batches.

use std::fmt;
use std::mem;

use alft_sdk::Manifest;
use alft_sdk::roles::{Batch, Role, Roles};

use crate::backend::Backend;
use crate::batch::bisect::{bisect, bisect_texts};
use crate::batch::call::{BatchResult, CallResult};
use crate::batch::deadline::Deadline;
use crate::batch::part::Part;
use crate::batch::{parallel, size};
use crate::cache;
use crate::error::Error;
use crate::failure::{Failure, FailureKind};
use crate::foreign::{indent, single_line};
use crate::limits::Limits;
use crate::native::examine::examine;
use crate::native::library::NativeBackend;
use crate::native::process::ProcessBackend;
use crate::source::{self, Form, Format, NativeTrust, Source};
use crate::validate;
use crate::wasm::component::ComponentBackend;
use crate::wasm::engine::Engine;

/// A plugin's name and version are truncated to this many bytes each.
const NAME_BYTES: usize = 100;

/// An opened plugin with its configuration.
pub struct Plugin {
    backend: Box<dyn Backend>,
    source: Source,
    manifest: Manifest,
    hash: String,
    fingerprint: Option<String>,
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugin").field("manifest", &self.manifest).field("form", &self.form()).finish_non_exhaustive()
    }
}

impl Plugin {
    /// Opens a plugin: verifies its file, loads its code and has it check its configuration.
    ///
    /// # Errors
    /// Fails for each of the reasons in [`Error`], all of which name the file and the remedy.
    pub fn open(source: &Source, engine: &Engine) -> Result<Self, Error> {
        let Source { path, pin, native, limits, .. } = source;
        let bytes = source::read(path, limits)?;
        let hash = source::hash_bytes(&bytes);
        if let Some(pinned) = pin.as_ref().filter(|pinned| **pinned != hash) {
            return Err(Error::Pinned { path: path.clone(), found: hash, pinned: pinned.clone() });
        }
        let mut fingerprint = None;
        let backend: Box<dyn Backend> = match (source::detect_format(path, &bytes)?, native) {
            (Format::Component, _) => Box::new(ComponentBackend::load(path, &bytes, engine, limits)?),
            (Format::Library, NativeTrust::Refused) => return Err(Error::Untrusted { path: path.clone() }),
            (Format::Library, _) if pin.is_none() => return Err(Error::Unpinned { path: path.clone(), hash }),
            (Format::Library, trust) => {
                let examined = examine(path, &bytes)?;
                fingerprint = examined.fingerprint.clone();
                if *trust == NativeTrust::InProcess {
                    examined.require_unwinding(path)?;
                }
                // The library is loaded from a copy of the bytes that were hashed: the file may change at any time.
                let name = format!("{hash}.{}", std::env::consts::DLL_EXTENSION);
                let copy = cache::copy_library(&name, &bytes);
                let copy = copy.map_err(|source| Error::Copy { path: path.clone(), source })?;
                match trust {
                    NativeTrust::InProcess => Box::new(NativeBackend::load(path, &copy, limits)?),
                    _ => Box::new(ProcessBackend::start(path, &copy, limits, engine.worker())?),
                }
            }
        };
        Self::start(backend, source, hash, fingerprint)
    }

    /// Has loaded code check its configuration.
    pub(crate) fn start(
        backend: Box<dyn Backend>,
        source: &Source,
        hash: String,
        fingerprint: Option<String>,
    ) -> Result<Self, Error> {
        let manifest = describe(&*backend, source)?;
        Ok(Self { backend, source: source.clone(), manifest, hash, fingerprint })
    }

    /// Returns the plugin's name and its promises under its configuration.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Returns the form in which the plugin runs.
    pub fn form(&self) -> Form {
        self.backend.form()
    }

    /// Returns the source that the plugin was opened from.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Returns the BLAKE3 hash of the plugin's file, in hexadecimal.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// Returns the names of the interfaces that the plugin imports: a component with other imports than the contract's is
    /// not opened. Empty for native libraries, which need no import to reach the system.
    pub fn imports(&self) -> &[String] {
        self.backend.imports()
    }

    /// Returns a native library's description of how it was built; see [`alft_sdk::abi::Fingerprint`].
    pub fn fingerprint(&self) -> Option<&str> {
        self.fingerprint.as_deref()
    }

    /// Returns the plugin's roles.
    pub fn roles(&self) -> Roles {
        self.backend.roles()
    }

    /// Returns true if the plugin has the role.
    pub fn has(&self, role: Role) -> bool {
        self.roles().has(role)
    }

    /// Calls the plugin with a batch. Returns an item or a failure for each text, in order over all prompts, or for each
    /// bundle. A large batch is split into several calls; the part of a call that fails is bisected.
    ///
    /// # Panics
    /// Panics if the plugin does not have the role of the batch.
    pub fn call(&self, batch: &Batch<'_>) -> BatchResult {
        self.require_role(batch.role());
        if let Err(failure) = validate::batch(batch) {
            return BatchResult::failed(&failure, batch.item_count());
        }
        let limits = &self.source.limits;
        let deadline = self.deadline();
        let call = |part: &Batch<'_>, deadline| self.call_backend(part, deadline);
        let ranges = parallel::split(&size::entry_bytes(batch), limits.batch_bytes);
        let bisect = |range| bisect(batch, Part::entries(range), limits, deadline, &call);
        let entries = match self.form() {
            Form::Component => parallel::map(ranges, &bisect),
            // The contract promises a library one call at a time.
            Form::Native | Form::NativeProcess => parallel::map_in_order(ranges, &bisect),
        };
        let mut result = bisect_texts(batch, entries, limits, deadline, &call);
        result.log.truncate(limits.log_lines);
        validate::items(&mut result, batch, &self.manifest, limits);
        result
    }

    /// Makes a single call with the whole batch, and returns its output without validation.
    pub(crate) fn call_once(&self, batch: &Batch<'_>) -> CallResult {
        self.require_role(batch.role());
        self.call_backend(batch, self.deadline())
    }

    /// Returns the deadline of a batch's calls, and starts it where they share one.
    fn deadline(&self) -> Deadline {
        match self.form() {
            Form::Component => Deadline::of_each_call(&self.source.limits),
            Form::Native | Form::NativeProcess => Deadline::of_batch(&self.source.limits),
        }
    }

    fn call_backend(&self, batch: &Batch<'_>, deadline: Deadline) -> CallResult {
        let Source { config, limits, .. } = &self.source;
        let CallResult { result, usage, log } = self.backend.call(config, batch, deadline);
        CallResult { result: result.and_then(|output| validate::output_size(batch, output, limits)), usage, log }
    }

    fn require_role(&self, role: Role) {
        assert!(self.has(role), "plugin {} has no role {role}", self.manifest.name);
    }
}

/// Returns the backend's manifest under the configuration of `source`, made fit to be shown to people.
fn describe(backend: &dyn Backend, source: &Source) -> Result<Manifest, Error> {
    let Source { path, config, limits, .. } = source;
    let failed = |failure: Failure| match failure.kind {
        FailureKind::Error => {
            Error::Config { path: path.clone(), config: config.clone(), reason: indent(failure.words()) }
        }
        _ => Error::Start { path: path.clone(), source: failure },
    };
    let mut manifest = backend.describe(config).map_err(failed)?;
    if let Some((low, high)) = manifest.score_range
        && manifest.range_is_empty()
    {
        let detail = format!("its score range is {low:?} to {high:?}, and contains no number");
        return Err(failed(Failure::new(FailureKind::OutOfRange, detail)));
    }
    shorten(&mut manifest, limits);
    Ok(manifest)
}

fn shorten(manifest: &mut Manifest, limits: &Limits) {
    for (text, max_bytes) in [
        (&mut manifest.name, NAME_BYTES),
        (&mut manifest.version, NAME_BYTES),
        (&mut manifest.summary, limits.log_bytes),
    ] {
        *text = single_line(mem::take(text), max_bytes);
    }
}
