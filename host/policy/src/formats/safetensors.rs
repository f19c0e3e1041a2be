//! Safetensors files.

use std::{collections::BTreeMap, io::Read, path::Path};

use alft_text::Foreign;
use candle_core::{Tensor, safetensors::MmapedSafetensors};
use safetensors::Dtype;

use crate::{
    error::{Error, Result},
    other_format::SAFETENSORS,
};

/// The weights of a folder that has them in one file.
pub(crate) const WEIGHTS: &str = "model.safetensors";
/// The list of the files of a folder that has them in several.
pub(crate) const INDEX: &str = "model.safetensors.index.json";

/// The types in which weights are read. The numbers of every other type mean something only with scales, or with a table, that
/// another file or program has.
const READ: [Dtype; 4] = [Dtype::F32, Dtype::F16, Dtype::BF16, Dtype::F64];

/// Fails if a tensor is of a type that weights are not read in.
pub(crate) fn require_floats(tensors: &MmapedSafetensors, path: &Path) -> Result<()> {
    let other = tensors.tensors().into_iter().filter(|(_, tensor)| !READ.contains(&tensor.dtype()));
    let Some((name, tensor)) = other.min_by(|(a, _), (b, _)| a.cmp(b)) else { return Ok(()) };
    let reason = format!(
        "the tensor `{name}` is of the type {:?}; weights are read in F32, F16, BF16 and F64: take the weights in one of these, \
         or load the model with transformers and save it in bf16 or f32",
        tensor.dtype(),
        name = Foreign::new(&name)
    );
    Err(Error::content(path, reason))
}

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

#[cfg(test)]
pub(crate) mod tests {
    use std::fs;

    use safetensors::tensor::TensorView;

    use super::*;

    /// Changes the type of a tensor in a file, or adds it: zeros of as many numbers.
    pub(crate) fn retype(path: &Path, name: &str, dtype: Dtype) {
        let bytes = fs::read(path).unwrap();
        let read = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let mut tensors: BTreeMap<String, TensorView> = read.tensors().into_iter().collect();
        let shape = tensors.get(name).map_or(vec![8, 8], |tensor| tensor.shape().to_vec());
        let zeros = vec![0; shape.iter().product::<usize>() * dtype.bitsize() / 8];
        tensors.insert(name.to_owned(), TensorView::new(dtype, shape, &zeros).unwrap());
        let changed = safetensors::serialize(tensors, None).unwrap();
        fs::write(path, changed).unwrap();
    }

    /// The types of the format in which no weights are read.
    pub(crate) const OTHERS: [Dtype; 17] = [
        Dtype::BOOL,
        Dtype::F4,
        Dtype::F6_E2M3,
        Dtype::F6_E3M2,
        Dtype::U8,
        Dtype::I8,
        Dtype::F8_E5M2,
        Dtype::F8_E4M3,
        Dtype::F8_E8M0,
        Dtype::F8_E4M3FNUZ,
        Dtype::F8_E5M2FNUZ,
        Dtype::I16,
        Dtype::U16,
        Dtype::I32,
        Dtype::U32,
        Dtype::C64,
        Dtype::I64,
    ];
}
