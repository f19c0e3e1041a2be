//! Safetensors files.

use std::{collections::BTreeMap, path::Path};

use candle_core::{Tensor, safetensors::MmapedSafetensors};

use super::mistaken::{SAFETENSORS, check_length};
use crate::error::{Error, Result};

/// Maps a file into memory, to read its tensors one at a time.
pub(crate) fn map(path: &Path) -> Result<MmapedSafetensors> {
    check_length(path)?;
    // SAFETY: the file is mapped for reading while the model loads. This crate replaces files by renaming, which leaves
    // maps intact; that another process overwrites the file in place meanwhile cannot be ruled out, as with every map.
    unsafe { MmapedSafetensors::new(path) }.map_err(Error::format(path, SAFETENSORS))
}

/// Writes tensors to a file, with `metadata` in its header.
pub(crate) fn write(tensors: &BTreeMap<String, Tensor>, path: &Path, metadata: &[(&str, &str)]) -> Result<()> {
    let metadata = metadata.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    safetensors::serialize_to_file(tensors, Some(metadata), path)
        .map_err(|source| Error::WriteTensors { path: path.to_owned(), source: source.into() })
}
