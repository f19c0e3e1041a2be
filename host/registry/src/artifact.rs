//! A published plugin: first the facts about it, which need none of its code, and then its code.

use std::collections::BTreeSet;
use std::path::PathBuf;

use alft_plugin_host::inspect::{self, ComponentInfo};
use alft_plugin_host::lock::Conformance;
use alft_plugin_host::source::hash_bytes;
use alft_text::Foreign;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::Result;
use crate::cache::{self, Record};
use crate::client::{Access, Client, check_size};
use crate::digest::Digest;
use crate::error::Error;
use crate::manifest::{
    Descriptor, Facts, INDEX, MAX_CONFIG, MAX_MANIFEST, MAX_REPORT, Manifest, REPORT, WASM, WASM_CONFIG, WasmConfig,
    World,
};
use crate::reference::Reference;
use crate::signature::SignedBy;

/// The referrers of an artifact that are looked at for a report.
const MAX_REFERRERS: usize = 16;

/// A published plugin, as its manifest and its config describe it.
pub struct Artifact {
    /// With the digest of the manifest.
    reference: Reference,
    digest: Digest,
    layer: Descriptor,
    world: World,
    facts: Facts,
    /// The documents, for the cache.
    documents: [Vec<u8>; 2],
}

/// A component in the cache, which was checked against its digest.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// The component's file.
    pub path: PathBuf,
    /// BLAKE3 of the component, in hexadecimal.
    pub blake3: String,
    /// The reference with its digest.
    pub reference: Reference,
}

/// The results of conformance tests that the publisher attached. They are the publisher's word.
#[derive(Deserialize)]
struct Report {
    blake3: String,
    passed: u32,
    failed: u32,
    crashed: u32,
    skipped: u32,
    version: u32,
}

impl Artifact {
    /// Reads an artifact's manifest and config: from the cache if the reference has a digest that is there, and else from the
    /// registry. None of its code is fetched, and nothing if the component is larger than `max_component` bytes.
    ///
    /// # Errors
    /// Fails if the artifact cannot be read, is not what its digest names, or is no WebAssembly component.
    pub fn find(reference: &Reference, max_component: u64) -> Result<Self> {
        if let Some(cached) = Self::cached(reference)? {
            check_size(&cached.reference, "component", cached.layer.size, max_component)?;
            return Ok(cached);
        }
        let client = Client::new(reference, Access::Read);
        let tag_or_digest = reference.digest().map(Digest::to_string);
        let tag_or_digest =
            tag_or_digest.or_else(|| reference.tag().map(str::to_owned)).expect("one of both was given");
        let missing = || Error::NotFound { reference: reference.clone() };
        let (bytes, _) = client.manifest(&tag_or_digest)?.ok_or_else(missing)?;
        let parts = Self::manifest(reference, bytes)?;
        check_size(&parts.0, "component", parts.3.size, max_component)?;
        let config = client.blob("config", &parts.2.config, MAX_CONFIG)?;
        Self::new(parts, config)
    }

    /// Returns the artifact that a digest names, if it is in the cache.
    ///
    /// # Errors
    /// Fails if the artifact in the cache is no WebAssembly component.
    pub fn cached(reference: &Reference) -> Result<Option<Self>> {
        let Some((_, bytes)) = reference.digest().and_then(|digest| cache::get(digest, MAX_MANIFEST)) else {
            return Ok(None);
        };
        let parts = Self::manifest(reference, bytes)?;
        let config = cache::get(&parts.2.config.digest, MAX_CONFIG);
        config.map(|(_, config)| Self::new(parts, config)).transpose()
    }

    /// Reads a manifest: the reference with the digest, the bytes, the manifest, and its one layer.
    fn manifest(reference: &Reference, bytes: Vec<u8>) -> Result<(Reference, Vec<u8>, Manifest, Descriptor)> {
        let reference = reference.with_digest(Digest::of(&bytes));
        let manifest: Manifest = parse(&reference, "manifest", &bytes)?;
        let wrong = |reason: String| Error::NotAPlugin { reference: reference.clone(), reason };
        let Manifest { config, layers, media_type, .. } = &manifest;
        if media_type.as_deref() == Some(INDEX) {
            return Err(wrong("it is a list of artifacts".into()));
        }
        if config.media_type != WASM_CONFIG {
            let found = Foreign::new(config.media_type.as_str());
            return Err(wrong(format!(
                "its config is {found:?}, and that of a WebAssembly component is {WASM_CONFIG:?}"
            )));
        }
        match &layers[..] {
            [layer] if layer.media_type == WASM => {
                let layer = layer.clone();
                Ok((reference, bytes, manifest, layer))
            }
            [layer] => {
                let found = Foreign::new(layer.media_type.as_str());
                Err(wrong(format!("its layer is {found:?}, and a component is {WASM:?}")))
            }
            _ => Err(wrong(format!("it has {} layers, and a component has one", layers.len()))),
        }
    }

    fn new(parts: (Reference, Vec<u8>, Manifest, Descriptor), config: Vec<u8>) -> Result<Self> {
        let (reference, bytes, manifest, layer) = parts;
        let wasm: WasmConfig = parse(&reference, "config", &config)?;
        let wrong = |reason: &str| Err(Error::NotAPlugin { reference: reference.clone(), reason: reason.into() });
        if (wasm.architecture.as_str(), wasm.os.as_str()) != (WasmConfig::ARCHITECTURE, WasmConfig::OS) {
            return wrong("its config is not that of a WebAssembly component; a core module is no plugin");
        }
        if wasm.layer_digests != [layer.digest.clone()] {
            return wrong("its config is about another component than its manifest");
        }
        let Some(world) = wasm.component else { return wrong("its config does not name imports and exports") };
        let (digest, facts) = (Digest::of(&bytes), Facts::of(&manifest.annotations));
        Ok(Self { reference, digest, layer, world, facts, documents: [bytes, config] })
    }

    /// The reference with the digest of the manifest.
    pub fn reference(&self) -> &Reference {
        &self.reference
    }

    /// The digest of the manifest, which names everything else.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The digest of the component.
    pub fn layer(&self) -> &Digest {
        &self.layer.digest
    }

    /// The component's bytes.
    pub fn size(&self) -> u64 {
        self.layer.size
    }

    /// Names of the component's imports, by its config.
    pub fn imports(&self) -> &[Foreign] {
        &self.world.imports
    }

    /// Names of the component's exports, by its config.
    pub fn exports(&self) -> &[Foreign] {
        &self.world.exports
    }

    /// The facts in the annotations.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Refuses a component that imports anything but the contract's interfaces, by its config.
    ///
    /// # Errors
    /// Names the import.
    pub fn check_imports(&self) -> Result<()> {
        refuse_imports(&self.reference, self.imports())
    }

    /// Checks that the artifact has a valid signature. One that was checked before is remembered, so a run needs no network.
    ///
    /// # Errors
    /// Fails if there is no valid signature, or `cosign` is not installed.
    pub fn check_signature(&self, signed_by: &SignedBy) -> Result<()> {
        let signer = signed_by.identity()?;
        if cache::is_signed(&self.digest, &signer) {
            return Ok(());
        }
        signed_by.verify(&self.reference)?;
        cache::put_signed(&self.digest, &signer)
    }

    /// Returns the component: from the cache, or else from the registry.
    ///
    /// # Errors
    /// Fails if the component imports anything but the contract's interfaces, which is known before it is fetched; if it is
    /// not what its digest names, or not what the config and the annotations say.
    pub fn fetch(&self) -> Result<Fetched> {
        self.check_imports()?;
        let (reference, layer) = (self.reference.clone(), &self.layer);
        if let Some((path, bytes)) = cache::get(&layer.digest, layer.size) {
            self.check(&bytes)?;
            self.keep_record(None)?;
            return Ok(Fetched { path, blake3: hash_bytes(&bytes), reference });
        }
        let bytes = Client::new(&self.reference, Access::Read).blob("component", layer, layer.size)?;
        self.check(&bytes)?;
        let path = cache::put(&bytes)?;
        self.keep_record(None)?;
        Ok(Fetched { path, blake3: hash_bytes(&bytes), reference })
    }

    /// Returns the results of the conformance tests that the publisher attached, if there are any: from the cache, or else
    /// from the registry. They are kept in the cache if the component is.
    ///
    /// # Errors
    /// Fails if the registry cannot be reached, or refuses.
    pub fn report(&self) -> Result<Option<Conformance>> {
        if let Some(report) = self.cached_report() {
            return Ok(Some(report));
        }
        let client = Client::new(&self.reference, Access::Read);
        for referrer in client.referrers(&self.digest)?.into_iter().take(MAX_REFERRERS) {
            if referrer.artifact_type.as_deref() != Some(REPORT) {
                continue;
            }
            let Some((bytes, _)) = client.manifest(&referrer.digest.to_string())? else { continue };
            let manifest: Manifest = parse(&self.reference, "report", &bytes)?;
            if manifest.subject.is_none_or(|subject| subject.digest != self.digest) {
                continue;
            }
            let Some(layer) = manifest.layers.first().filter(|layer| layer.media_type == REPORT) else { continue };
            let bytes = client.blob("report", layer, MAX_REPORT)?;
            if let Some(report) = self.read_report(&bytes) {
                if cache::record(&self.digest).is_some() {
                    cache::put(&bytes)?;
                    self.keep_record(Some(Digest::of(&bytes)))?;
                }
                return Ok(Some(report));
            }
        }
        Ok(None)
    }

    /// Returns the results of the conformance tests, if they are in the cache.
    pub fn cached_report(&self) -> Option<Conformance> {
        let (_, bytes) = cache::get(&cache::record(&self.digest)?.report?, MAX_REPORT)?;
        self.read_report(&bytes)
    }

    /// Reads a report. `None` if it is none, or is about another component.
    fn read_report(&self, bytes: &[u8]) -> Option<Conformance> {
        let Report { blake3, passed, failed, crashed, skipped, version } = serde_json::from_slice(bytes).ok()?;
        let is_this = self.facts.blake3.as_ref().is_some_and(|known| *known.raw() == blake3);
        is_this.then_some(Conformance { passed, failed, crashed, skipped, version })
    }

    /// Puts the documents into the cache, and the record of the artifact last.
    fn keep_record(&self, report: Option<Digest>) -> Result<()> {
        for document in &self.documents {
            cache::put(document)?;
        }
        let before = cache::record(&self.digest);
        let report = report.or_else(|| before.as_ref()?.report.clone());
        // A reference with a tag tells people more.
        let before = before.map(|before| before.reference).filter(|before| before.tag().is_some());
        let reference = before.filter(|_| self.reference.tag().is_none()).unwrap_or_else(|| self.reference.clone());
        cache::put_record(&self.digest, &Record { reference, report })
    }

    /// Compares the component with everything that was said about it.
    fn check(&self, bytes: &[u8]) -> Result<()> {
        let info = inspect_component(bytes)
            .map_err(|reason| Error::NotAPlugin { reference: self.reference.clone(), reason })?;
        refuse_imports(&self.reference, &info.imports)?;
        let sorted = |names: &[Foreign]| {
            names.iter().map(Foreign::raw).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(", ")
        };
        let said = |fact: &Option<Foreign>, found: &str| {
            fact.as_ref().map_or_else(|| found.to_owned(), |fact| fact.raw().to_owned())
        };
        let (blake3, roles, contract) =
            (hash_bytes(bytes), roles(&info.exports), contract(&info.exports).unwrap_or_default());
        let properties = [
            ("list of imports", sorted(self.imports()), sorted(&info.imports)),
            ("list of exports", sorted(self.exports()), sorted(&info.exports)),
            ("BLAKE3 hash", said(&self.facts.blake3, &blake3), blake3.clone()),
            ("list of roles", said(&self.facts.roles, &roles), roles.clone()),
            ("contract", said(&self.facts.contract, &contract), contract.clone()),
        ];
        match properties.into_iter().find(|(_, claimed, found)| claimed != found) {
            None => Ok(()),
            Some((property, claimed, found)) => Err(Error::Untrue {
                reference: self.reference.clone(),
                property,
                claimed: claimed.into(),
                found: found.into(),
            }),
        }
    }
}

/// Reads the imports and exports in a component's file; the reason if it is none.
pub(crate) fn inspect_component(bytes: &[u8]) -> Result<ComponentInfo, String> {
    if alft_plugin_host::source::refuse_core_module("".as_ref(), bytes).is_err() {
        return Err("it is a core module and no component".into());
    }
    inspect::component(bytes)
        .map_err(|error| format!("its bytes are no component: {}", Foreign::new(error.to_string())))
}

/// Refuses a component that could reach the system.
pub(crate) fn refuse_imports(reference: &Reference, imports: &[Foreign]) -> Result<()> {
    match imports.iter().find(|name| !inspect::is_allowed_import(name.raw())) {
        None => Ok(()),
        Some(import) => Err(Error::Import { reference: reference.clone(), import: import.clone() }),
    }
}

/// Returns the names of the roles that exports of the contract give, with commas between.
pub(crate) fn roles(exports: &[Foreign]) -> String {
    let has = |role: &str| exports.iter().any(|name| interface(name).is_some_and(|(interface, _)| interface == role));
    let roles = alft_sdk::roles::Role::ALL.into_iter().map(|role| role.name());
    roles.filter(|role| has(role)).collect::<Vec<_>>().join(", ")
}

/// Returns the contract that exports are of.
pub(crate) fn contract(exports: &[Foreign]) -> Option<String> {
    let (_, version) = exports.iter().find_map(interface)?;
    Some(format!("alft:objective@{version}"))
}

fn interface(name: &Foreign) -> Option<(&str, &str)> {
    inspect::contract_interface(name.raw())
}

fn parse<T: DeserializeOwned>(reference: &Reference, content: &'static str, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|source| Error::Malformed { reference: reference.clone(), content, source })
}
