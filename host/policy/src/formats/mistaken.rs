//! Folders that are no model, named for what they are. `other_format` does so for files.

use std::path::Path;

use alft_text::Foreign;

use super::safetensors::{INDEX, WEIGHTS};
use crate::{
    error::{Error, Result},
    model::companions::TOKENIZER,
};

/// Fails for a folder that is no model in Hugging Face's format, with what it is instead or what is missing.
pub(super) fn check_folder(dir: &Path) -> Result<()> {
    let has = |name: &str| dir.join(name).is_file();
    let with_ending = |ending: &str| -> Option<String> {
        let names = std::fs::read_dir(dir).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        names.filter(|name| name.ends_with(ending)).min().map(|name| Foreign::new(&name).to_string())
    };
    for name in ["config.json", WEIGHTS, INDEX, TOKENIZER] {
        let path = dir.join(name);
        if path.exists() && !path.is_file() {
            // The error says what it is.
            alft_fs::open(&path).map_err(Error::read(&path))?;
        }
    }
    let fault = if !has("config.json") {
        if let Some(snapshot) = snapshot(dir) {
            format!("is a cache of a hub, whose files are in its folders of snapshots: write the path {snapshot}")
        } else if has("adapter_config.json") {
            "is an adapter of PEFT without its model: write the folder of the model that it was trained beside, and this \
             one as `model.adapter`"
                .to_owned()
        } else if let Some(name) = with_ending(".gguf") {
            format!("has no config.json, but a GGUF file: write the path of {name}")
        } else if has("params.json") {
            "has the format of Llama's or Mistral's own programs: convert it to Hugging Face's, or fetch the repository \
             whose name ends in -hf"
                .to_owned()
        } else {
            "is no model: there is no config.json; a folder in Hugging Face's format has config.json, tokenizer.json and \
             model.safetensors"
                .to_owned()
        }
    } else if !has(WEIGHTS) && !has(INDEX) {
        match with_ending(".bin").or_else(|| with_ending(".pth")) {
            Some(name) => format!(
                "has its weights in {name}, a format that runs code when it is read: load the model with transformers, and save \
                 it by `model.save_pretrained(folder, safe_serialization=True)`"
            ),
            None => match with_ending(".safetensors") {
                Some(name) => {
                    format!("has {name}, but no {WEIGHTS}, and no {INDEX}, which names several: fetch that too")
                }
                None => match OTHER_WEIGHTS.iter().find_map(|(ending, of)| Some((with_ending(ending)?, of))) {
                    Some((name, of)) => format!("has {name}, {of}"),
                    None => format!("has no weights: fetch {WEIGHTS}, or all the files that {INDEX} names"),
                },
            },
        }
    } else if !has(TOKENIZER) {
        match with_ending(".model") {
            Some(name) => format!(
                "has no tokenizer.json, but {name}: load the tokenizer with transformers, and save it by \
                 `tokenizer.save_pretrained(folder)`"
            ),
            None if has("vocab.json") && has("merges.txt") => {
                "has no tokenizer.json, but vocab.json and merges.txt: load the \
                 tokenizer with transformers, and save it by `tokenizer.save_pretrained(folder)`"
                    .to_owned()
            }
            None => "has no tokenizer.json: fetch it from where the weights are".to_owned(),
        }
    } else {
        return Ok(());
    };
    Err(Error::content(dir, format!("the folder {fault}")))
}

/// The endings of files of weights that are not read, with the rest of the sentence about such a file.
const OTHER_WEIGHTS: [(&str, &str); 8] = [
    (".h5", OF_ANOTHER_LIBRARY),
    (".msgpack", OF_ANOTHER_LIBRARY),
    (".onnx", OF_ANOTHER_LIBRARY),
    (".ckpt", "which runs code when it is read: fetch the weights in safetensors"),
    (".part", UNFINISHED),
    (".incomplete", UNFINISHED),
    (".crdownload", UNFINISHED),
    (".aria2", UNFINISHED),
];
const OF_ANOTHER_LIBRARY: &str = "which another library reads: fetch the weights in safetensors, or load the model with \
                                  transformers and save it by `model.save_pretrained(folder, safe_serialization=True)`";
const UNFINISHED: &str = "a download that did not end: fetch the file again";

/// Returns the newest snapshot in the folder that a hub's library keeps for a model.
fn snapshot(dir: &Path) -> Option<String> {
    let folders = std::fs::read_dir(dir.join("snapshots")).ok()?.flatten().filter(|entry| entry.path().is_dir());
    let newest = folders.max_by_key(|entry| entry.metadata().and_then(|data| data.modified()).ok())?;
    Some(Foreign::path(&newest.path()).to_string())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use candle_core::Device;
    use safetensors::Dtype;

    use super::*;
    use crate::{
        Policy,
        formats::safetensors::tests::{OTHERS, retype},
    };

    /// Returns the message about a model at `path`.
    fn refused(path: &Path) -> String {
        let Err(error) = Policy::open(path, &Device::Cpu) else { panic!("{} is taken for a model", path.display()) };
        error.to_string()
    }

    /// Saves a model, changes its folder, and returns the message about it.
    fn changed(change: impl Fn(&Path)) -> String {
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("model");
        Policy::tiny(0, &Device::Cpu).unwrap().save(&model).unwrap();
        change(&model);
        refused(&model)
    }

    #[test]
    fn a_folder_is_named_for_what_it_is() {
        let remove =
            |names: &'static [&str]| move |dir: &Path| names.iter().for_each(|n| fs::remove_file(dir.join(n)).unwrap());
        let rename =
            |from: &'static str, to: &'static str| move |dir: &Path| fs::rename(dir.join(from), dir.join(to)).unwrap();
        let write = |name: &'static str, text: &'static str| move |dir: &Path| fs::write(dir.join(name), text).unwrap();
        let adapter = |dir: &Path| {
            remove(&["config.json"])(dir);
            write("adapter_config.json", "{}")(dir);
        };
        let gguf = |dir: &Path| {
            remove(&["config.json"])(dir);
            write("m.gguf", "GGUF")(dir);
        };
        let shards = |dir: &Path| {
            remove(&["model.safetensors"])(dir);
            write(INDEX, r#"{"weight_map": {"a": "model-1.safetensors"}}"#)(dir);
        };
        let merges = |dir: &Path| {
            rename("tokenizer.json", "vocab.json")(dir);
            write("merges.txt", "a b")(dir);
        };
        let cache = |dir: &Path| {
            remove(&["config.json"])(dir);
            fs::create_dir_all(dir.join("snapshots/0a1b")).unwrap();
        };
        for (message, words) in [
            (changed(remove(&["config.json"])), "there is no config.json"),
            (changed(adapter), "is an adapter of PEFT without its model"),
            (changed(gguf), "write the path of m.gguf"),
            (changed(remove(&["model.safetensors"])), "has no weights"),
            (changed(rename("model.safetensors", "pytorch_model.bin")), "safe_serialization=True"),
            (
                changed(rename("model.safetensors", "weights.safetensors")),
                "has weights.safetensors, but no model.safetensors",
            ),
            (changed(shards), "is missing model-1.safetensors"),
            (changed(remove(&["tokenizer.json"])), "has no tokenizer.json"),
            (changed(rename(WEIGHTS, "tf_model.h5")), "has tf_model.h5, which another library reads"),
            (changed(rename(WEIGHTS, "flax_model.msgpack")), "has flax_model.msgpack, which another library reads"),
            (
                changed(rename(WEIGHTS, "model.safetensors.part")),
                "has model.safetensors.part, a download that did not end",
            ),
            (changed(merges), "but vocab.json and merges.txt"),
            (changed(cache), "model/snapshots/0a1b"),
            (changed(rename("tokenizer.json", "tokenizer.model")), "`tokenizer.save_pretrained(folder)`"),
            (changed(write("model.safetensors", "version https://git-lfs.github.com/spec/v1")), "git lfs pull"),
            (changed(write("tokenizer.json", "<!doctype html>")), "the file is an HTML page"),
            (changed(write("config.json", "")), "the file is empty"),
        ] {
            assert!(message.contains(words), "{words}: {message}");
        }
    }

    #[test]
    fn a_file_is_named_for_what_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.gguf");
        let message = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            refused(&path)
        };
        assert!(message(b"").contains("the file is empty"));
        assert!(message(b"GGUF\x03\0\0\0").contains("cut short or damaged"));
        assert!(message(b"PK\x03\x04archive").contains("safe_serialization=True"));
        for (bytes, words) in [
            (b"\x80\x02\x8a\ncode".as_slice(), "of PyTorch, whose format runs code"),
            (b"\x89HDF\r\n\x1a\n", "of HDF5"),
            (b"\x93NUMPY\x01\0", "an array of NumPy"),
            (b"lmgg\x01\0\0\0", "of GGML, the format before GGUF"),
            (b"tjgg\x01\0\0\0", "of GGML, the format before GGUF"),
            (b"algg\x01\0\0\0", "an adapter of old versions of llama.cpp"),
            (b"\x7fELF\x02\x01\x01\0", "a program"),
            (&[0; 64], "empty but for zeros"),
            (b"Entry not found", "the answer of a hub"),
            (b"\x10\0\0\0\0\0\0\0{ \"a\": 1}", "of safetensors; write the path of its folder"),
        ] {
            assert!(message(bytes).contains(&format!("the file is {words}")), "{}", message(bytes));
        }
        assert!(message(b"{\"a\": 1}").contains("write the path of its folder"));
        assert!(message(b"\x10\0\0\0\0\0\0\0{\"a\": 1}").contains("of safetensors; write the path of its folder"));
    }

    #[test]
    fn weights_of_other_types_are_refused_by_name() {
        for dtype in OTHERS {
            for tensor in ["model.layers.0.self_attn.q_proj.weight", "model.embed_tokens.weight", "lm_head.weight"] {
                let message = changed(|dir| retype(&dir.join(WEIGHTS), tensor, dtype));
                let words =
                    format!("model.safetensors: the tensor `{tensor}` is of the type {dtype:?}; weights are read in");
                assert!(message.contains(&words), "{message}");
            }
        }
    }

    #[test]
    fn a_shard_without_a_tensor_of_the_index_and_one_of_another_type_are_named() {
        let sharded = |index: &'static str, dtype: Option<Dtype>| {
            changed(move |dir| {
                let shard = dir.join("model-1.safetensors");
                fs::rename(dir.join(WEIGHTS), &shard).unwrap();
                if let Some(dtype) = dtype {
                    retype(&shard, "model.norm.weight", dtype);
                }
                fs::write(dir.join(INDEX), format!("{{\"weight_map\": {{\"{index}\": \"model-1.safetensors\"}}}}"))
                    .unwrap();
            })
        };
        let message = sharded("absent", None);
        assert!(
            message.contains("model-1.safetensors: there is no tensor `absent`, which model.safetensors.index"),
            "{message}"
        );
        let message = sharded("model.norm.weight", Some(Dtype::F8_E4M3));
        assert!(
            message.contains("model-1.safetensors: the tensor `model.norm.weight` is of the type F8_E4M3"),
            "{message}"
        );
    }

    #[test]
    fn weights_of_mlx_are_named() {
        let quantised = |key: &'static str| {
            changed(move |dir| {
                let path = dir.join("config.json");
                let text = fs::read_to_string(&path).unwrap();
                let with = format!("{{\"{key}\": {{\"group_size\": 64, \"bits\": 4}},");
                fs::write(&path, text.replacen('{', &with, 1)).unwrap();
            })
        };
        for key in ["quantization", "quantization_config"] {
            let message = quantised(key);
            assert!(
                message.contains("config.json: the weights are quantised by MLX, which is not supported"),
                "{message}"
            );
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_socket_in_the_place_of_weights_is_named() {
        let message = changed(|dir| {
            fs::remove_file(dir.join(WEIGHTS)).unwrap();
            std::os::unix::net::UnixListener::bind(dir.join(WEIGHTS)).unwrap();
        });
        assert!(message.starts_with("cannot read ") && message.ends_with("model.safetensors"), "{message}");
        assert!(!message.contains("has model.safetensors, but no"), "{message}");
    }

    #[test]
    fn weights_that_were_cut_are_told() {
        let cut = |length: usize| {
            changed(move |dir| {
                let path = dir.join(WEIGHTS);
                let bytes = fs::read(&path).unwrap();
                fs::write(&path, &bytes[..length]).unwrap();
            })
        };
        assert!(cut(1000).contains("cut short: it has 1000 bytes"), "{}", cut(1000));
        assert!(cut(100_000).contains("cut short or damaged"), "{}", cut(100_000));
    }
}
