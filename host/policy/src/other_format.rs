//! Files that have another format than they should, told by their first bytes.

use std::{io::Read, path::Path};

/// Bytes of a file that tell its format.
const START: u64 = 64;

/// The names of formats in errors.
pub(crate) const GGUF: &str = "GGUF";
pub(crate) const SAFETENSORS: &str = "safetensors";
const DAMAGED: &str = "cut short or damaged; fetch it again";

/// Returns what a file is in place of the format that it should have, and the remedy, if its first bytes tell: the end of a
/// sentence that begins with "the file is". A file of that very format is damaged.
pub(crate) fn other_format(path: &Path, format: &str) -> Option<String> {
    let mut start = Vec::new();
    alft_fs::open(path).ok()?.take(START).read_to_end(&mut start).ok()?;
    match start.as_slice() {
        [] => Some("empty; fetch it again".to_owned()),
        // Files of PyTorch are zip archives.
        [b'P', b'K', 3, 4, ..] => Some(
            "of PyTorch, whose format runs code when it is read; load the model with transformers, and save it by \
             `model.save_pretrained(folder, safe_serialization=True)`"
                .to_owned(),
        ),
        [b'G', b'G', b'U', b'F', ..] => {
            Some(if format == GGUF { DAMAGED } else { "a GGUF file; write its path in place of a folder's" }.to_owned())
        }
        start if start.get(8..10) == Some(b"{\"") => {
            const FOLDER: &str = "of safetensors; write the path of its folder, with config.json and tokenizer.json";
            Some(if format == SAFETENSORS { DAMAGED } else { FOLDER }.to_owned())
        }
        [b'{', ..] if [GGUF, SAFETENSORS].contains(&format) => {
            Some("of JSON; write the path of its folder, with config.json, tokenizer.json and weights".to_owned())
        }
        start => alft_fs::other_format(start).map(str::to_owned),
    }
}
