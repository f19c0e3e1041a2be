//! Files that have another format than they should, told by their first bytes.

use std::{io::Read, path::Path};

/// Bytes of a file that tell its format.
const START: u64 = 512;

/// The names of formats in errors.
pub(crate) const GGUF: &str = "GGUF";
pub(crate) const SAFETENSORS: &str = "safetensors";
const DAMAGED: &str = "cut short or damaged; fetch it again";

const SAVE: &str = "save it by `model.save_pretrained(folder, safe_serialization=True)`";

/// Returns what a file is in place of the format that it should have, and the remedy, if its first bytes tell: the end of a
/// sentence that begins with "the file is". A file of that very format is damaged.
pub(crate) fn other_format(path: &Path, format: &str) -> Option<String> {
    let mut start = Vec::new();
    alft_fs::open(path).ok()?.take(START).read_to_end(&mut start).ok()?;
    match start.as_slice() {
        [] => Some("empty; fetch it again".to_owned()),
        // Before pickles, whose first bytes can be the length of a header.
        start if is_safetensors(start) => {
            const FOLDER: &str = "of safetensors; write the path of its folder, with config.json and tokenizer.json";
            Some(if format == SAFETENSORS { DAMAGED } else { FOLDER }.to_owned())
        }
        // Files of PyTorch are zip archives, and were pickles before.
        [b'P', b'K', 3, 4, ..] | [0x80, 2..=5, ..] => Some(format!(
            "of PyTorch, whose format runs code when it is read; load the model with transformers, and {SAVE}"
        )),
        [b'\x89', b'H', b'D', b'F', ..] => {
            Some(format!("of HDF5, as TensorFlow writes; fetch the weights in safetensors, or {SAVE}"))
        }
        [b'\x93', b'N', b'U', b'M', b'P', b'Y', ..] => {
            Some(format!("an array of NumPy, not a model; load the model with transformers, and {SAVE}"))
        }
        // The numbers of these formats, as they lie in a file.
        [b'l' | b'f', b'm', b'g', b'g', ..] | [b't', b'j', b'g', b'g', ..] => Some(
            "of GGML, the format before GGUF; fetch a GGUF file, or convert the model's folder by llama.cpp's \
             `convert_hf_to_gguf.py`"
                .to_owned(),
        ),
        [b'a', b'l', b'g', b'g', ..] => {
            Some("an adapter of old versions of llama.cpp; fetch the adapter in PEFT's format".to_owned())
        }
        start if !start.is_empty() && b"GGUF".starts_with(start) && format == GGUF => Some(DAMAGED.to_owned()),
        [b'G', b'G', b'U', b'F', ..] => {
            Some(if format == GGUF { DAMAGED } else { "a GGUF file; write its path in place of a folder's" }.to_owned())
        }
        [b'{', ..] if [GGUF, SAFETENSORS].contains(&format) => {
            Some("of JSON; write the path of its folder, with config.json, tokenizer.json and weights".to_owned())
        }
        start => alft_fs::other_format(start).map(str::to_owned),
    }
}

/// Returns true for the beginning of a safetensors file: the length of a header in JSON, and the header.
fn is_safetensors(start: &[u8]) -> bool {
    // The limit of the format's own library.
    const MOST: u64 = 100_000_000;
    let length = start.first_chunk().map(|length| u64::from_le_bytes(*length));
    length.is_some_and(|length| (2..=MOST).contains(&length))
        && start.get(8..).unwrap_or_default().trim_ascii_start().starts_with(b"{")
}
