//! Safetensors files.

use std::{collections::BTreeMap, io::Read, path::Path};

use candle_core::{Tensor, safetensors::MmapedSafetensors};

use crate::{
    error::{Error, Result},
    other_format::SAFETENSORS,
};

/// The weights of a folder that has them in one file.
pub(crate) const WEIGHTS: &str = "model.safetensors";
/// The list of the files of a folder that has them in several.
pub(crate) const INDEX: &str = "model.safetensors.index.json";

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

/// Fails for a file that ends before its header does. The library finds one that ends before its last tensor.
fn check_length(path: &Path) -> Result<()> {
    let mut file = alft_fs::open(path).map_err(Error::read(path))?;
    let length = file.metadata().map_err(Error::read(path))?.len();
    let mut header = [0; 8];
    let begins = file.read_exact(&mut header).is_ok();
    let header = u64::from_le_bytes(header);
    // The limit of the format's own library: what is above is no header.
    const MOST: u64 = 100_000_000;
    if begins && header <= MOST && length < header.saturating_add(8) {
        let reason =
            format!("the file is cut short: it has {length} bytes, and its header alone {header}; fetch it again");
        return Err(Error::content(path, reason));
    }
    Ok(())
}
