//! Publishing: a component, its facts and its report into a registry.

use std::collections::BTreeMap;
use std::path::Path;

use alft_plugin_host::source::hash_bytes;
use alft_text::Foreign;

use crate::Result;
use crate::artifact::{contract, inspect_component, refuse_imports, roles};
use crate::client::{Access, Client};
use crate::digest::Digest;
use crate::error::Error;
use crate::manifest::{Descriptor, EMPTY, Facts, MANIFEST, Manifest, REPORT, WASM, WASM_CONFIG, WasmConfig, json};
use crate::reference::Reference;

/// The content of an empty config.
const EMPTY_CONFIG: &[u8] = b"{}";

/// A plugin to publish.
#[derive(Debug, Clone)]
pub struct Publication<'a> {
    /// The component's file, for errors.
    pub path: &'a Path,
    /// The component.
    pub component: &'a [u8],
    /// The plugin's name, version, summary and claims. Contract, roles and hash are read from the component.
    pub facts: Facts,
    /// The report of the conformance tests, as JSON.
    pub report: Option<&'a [u8]>,
    /// True to give a tag that exists to this component.
    pub overwrite: bool,
}

/// A plugin that was published.
#[derive(Debug, Clone)]
pub struct Published {
    /// The reference with the digest of the manifest.
    pub reference: Reference,
    /// The digest of the component.
    pub layer: Digest,
    /// The digest of the report's manifest.
    pub report: Option<Digest>,
}

/// Refuses a file that is not published: a native library, or one that is no component.
///
/// # Errors
/// Fails if the bytes are not those of a component.
pub fn check_file(path: &Path, bytes: &[u8]) -> Result<()> {
    let is_library = alft_plugin_host::inspect::library_entries(bytes).is_ok();
    if is_library {
        return Err(Error::NativeLibrary { path: path.to_owned() });
    }
    let wrong = |reason: String| Error::NotAComponent { path: path.to_owned(), source: reason.into() };
    inspect_component(bytes).map(drop).map_err(wrong)
}

/// Publishes a plugin under a tag. The same component published twice is the same artifact.
///
/// # Errors
/// Fails if the file is no component or imports more than a plugin may, the tag exists and names another artifact, or the
/// registry refuses.
pub fn publish(reference: &Reference, publication: &Publication<'_>) -> Result<Published> {
    let Publication { path, component, facts, report, overwrite } = publication;
    let tag = match (reference.tag(), reference.digest()) {
        (Some(tag), None) => tag,
        _ => return Err(Error::PublishDigest { reference: reference.clone() }),
    };
    check_file(path, component)?;
    let wrong = |reason: String| Error::NotAComponent { path: (*path).to_owned(), source: reason.into() };
    let info = inspect_component(component).map_err(wrong)?;
    refuse_imports(reference, &info.imports)?;
    let facts = Facts {
        contract: contract(&info.exports).map(Foreign::new),
        roles: Some(roles(&info.exports).into()),
        blake3: Some(hash_bytes(component).into()),
        ..facts.clone()
    };

    let layer = Descriptor::of(WASM, component).with_file_name(&facts.file_name());
    let config = json(&WasmConfig::new(layer.digest.clone(), info.imports, info.exports));
    let manifest = json(&Manifest {
        schema_version: 2,
        media_type: Some(MANIFEST.into()),
        artifact_type: None,
        config: Descriptor::of(WASM_CONFIG, &config),
        layers: vec![layer.clone()],
        subject: None,
        annotations: facts.annotations(),
    });
    let digest = Digest::of(&manifest);

    let client = Client::new(reference, Access::Write);
    match client.manifest(tag)? {
        Some((_, found)) if found != digest && !overwrite => {
            return Err(Error::TagExists { reference: reference.clone(), found });
        }
        _ => {}
    }
    client.push_blob(&config)?;
    client.push_blob(component)?;
    client.push_manifest(tag, MANIFEST, &manifest)?;
    let report = report.map(|report| attach(&client, &manifest, report)).transpose()?;
    Ok(Published { reference: reference.with_digest(digest), layer: layer.digest, report })
}

/// Publishes a report as an artifact that refers to the plugin's manifest.
fn attach(client: &Client, manifest: &[u8], report: &[u8]) -> Result<Digest> {
    let subject = Descriptor::of(MANIFEST, manifest);
    let referrer = json(&Manifest {
        schema_version: 2,
        media_type: Some(MANIFEST.into()),
        artifact_type: Some(REPORT.into()),
        config: Descriptor::of(EMPTY, EMPTY_CONFIG),
        layers: vec![Descriptor::of(REPORT, report).with_file_name("conformance.json")],
        subject: Some(subject.clone()),
        annotations: BTreeMap::new(),
    });
    client.push_blob(EMPTY_CONFIG)?;
    client.push_blob(report)?;
    let digest = Digest::of(&referrer);
    // Registries before version 1.1 of the specification keep no list of referrers: the list is a tag then.
    if !client.push_manifest(&digest.to_string(), MANIFEST, &referrer)? {
        let descriptor = Descriptor { artifact_type: Some(REPORT.into()), ..Descriptor::of(MANIFEST, &referrer) };
        client.add_tagged_referrer(&subject.digest, descriptor)?;
    }
    Ok(digest)
}
