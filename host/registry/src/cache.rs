//! Content of registries in alft's cache, by its digest, so that a run needs no network.
//!
//! Content is checked against its digest whenever it is read, and damaged content counts as absent. The cache does not know
//! which content a tag names now: that is for `alft.lock` to say.

use std::fs;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::digest::Digest;
use crate::error::Error;
use crate::reference::Reference;

/// Prefixes of the names of files: content, records of artifacts, and signatures that were found to be valid.
const CONTENT: &str = "sha256-";
const ARTIFACT: &str = "artifact-";
const SIGNATURE: &str = "signature-";

/// An artifact that was fetched whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The reference that it was last fetched by, with its digest; one with a tag where there was one.
    pub reference: Reference,
    /// The digest of its report of the conformance tests, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<Digest>,
}

/// Returns the artifacts in the cache, in the order of their references.
///
/// # Errors
/// Fails if the cache cannot be used.
pub fn records() -> Result<Vec<Record>> {
    let folder = folder()?;
    let entries = fs::read_dir(&folder).map_err(|source| Error::Cache { source })?;
    let is_record = |name: &std::ffi::OsStr| name.to_str().is_some_and(|name| name.starts_with(ARTIFACT));
    let paths = entries.flatten().filter(|entry| is_record(&entry.file_name())).map(|entry| entry.path());
    let read = |path: PathBuf| serde_json::from_slice(&alft_fs::read(&path, alft_fs::MAX_SETTINGS).ok()?).ok();
    let mut records: Vec<Record> = paths.filter_map(read).collect();
    records.sort_by_cached_key(|record| record.reference.to_string());
    Ok(records)
}

/// Returns content and its file, if it is in the cache, undamaged and of at most `limit` bytes.
pub(crate) fn get(digest: &Digest, limit: u64) -> Option<(PathBuf, Vec<u8>)> {
    let path = content_path(digest).ok()?;
    let bytes = alft_fs::read(&path, limit).ok()?;
    (Digest::of(&bytes) == *digest).then_some((path, bytes))
}

/// Keeps content. Returns its file.
pub(crate) fn put(bytes: &[u8]) -> Result<PathBuf> {
    let digest = Digest::of(bytes);
    let path = content_path(&digest)?;
    if get(&digest, bytes.len() as u64).is_none() {
        alft_fs::write(&path, bytes)?;
    }
    Ok(path)
}

/// Returns what is known of an artifact that was fetched.
pub(crate) fn record(manifest: &Digest) -> Option<Record> {
    let path = folder().ok()?.join(format!("{ARTIFACT}{}", manifest.hex()));
    serde_json::from_slice(&alft_fs::read(&path, alft_fs::MAX_SETTINGS).ok()?).ok()
}

/// Records an artifact that was fetched.
pub(crate) fn put_record(manifest: &Digest, record: &Record) -> Result<()> {
    let path = folder()?.join(format!("{ARTIFACT}{}", manifest.hex()));
    let bytes = serde_json::to_vec(record).expect("a record is plain data");
    Ok(alft_fs::write(&path, &bytes)?)
}

/// Returns true if a signature of the artifact was found to be valid before.
pub(crate) fn is_signed(manifest: &Digest, signer: &str) -> bool {
    signature_path(manifest, signer).is_ok_and(|path| path.is_file())
}

/// Remembers that the artifact has a valid signature.
pub(crate) fn put_signed(manifest: &Digest, signer: &str) -> Result<()> {
    Ok(alft_fs::write(&signature_path(manifest, signer)?, signer.as_bytes())?)
}

fn signature_path(manifest: &Digest, signer: &str) -> Result<PathBuf> {
    let digest = Digest::of(format!("{manifest} {signer}").as_bytes());
    Ok(folder()?.join(format!("{SIGNATURE}{}", digest.hex())))
}

fn content_path(digest: &Digest) -> Result<PathBuf> {
    Ok(folder()?.join(format!("{CONTENT}{}", digest.hex())))
}

fn folder() -> Result<PathBuf> {
    alft_plugin_host::cache_folder("registry").map_err(|source| Error::Cache { source })
}
