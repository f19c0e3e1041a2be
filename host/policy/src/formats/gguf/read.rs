//! Loads a file. Weights of any quantisation are converted to `f32`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::BufReader,
    path::Path,
};

use candle_core::{DType, Device, Tensor, quantized::gguf_file::Content};
use serde_json::json;

use super::{
    architecture::{self, FREQUENCY_FACTORS, GgufArchitecture},
    config::{self, Present},
    metadata::{Metadata, size, string, token},
    tokenizer,
};
use crate::{
    error::{Error, Result},
    formats::huggingface::check_vocab_size,
    model::{
        companions::{Companions, TOKENIZER_CONFIG},
        config::ModelConfig,
        tokenizer::Tokenizer,
        transformer::Transformer,
    },
    policy::Policy,
};

/// Loads a file.
pub(in crate::formats) fn load(path: &Path, device: &Device) -> Result<Policy> {
    let mut tensors = Tensors::open(path)?;
    let values = std::mem::take(&mut tensors.content.metadata);
    let metadata = Metadata { path, values: &values };
    if let Some(parts) = metadata.optional("split.count", size)?.filter(|parts| *parts > 1) {
        let reason = format!("the file is one of {parts} parts; join them with `llama-gguf-split --merge`");
        return Err(metadata.wrong(reason));
    }
    let architecture = architecture(&metadata)?;
    let config = config::read(&metadata, architecture, &tensors.present(architecture)?)?;
    let tokenizer = tokenizer::read(&metadata)?;
    check_vocab_size(&tokenizer, &config, path)?;
    let transformer =
        Transformer::build(&config, &mut |name, shape| tensors.weight(name, shape, architecture, &config, device))?;
    tensors.require_all_read()?;
    Ok(Policy { companions: companions(&metadata, &config, &tokenizer)?, config, tokenizer, transformer })
}

fn architecture(metadata: &Metadata<'_>) -> Result<&'static GgufArchitecture> {
    let name = metadata.require("general.architecture", string)?;
    architecture::named(name).ok_or_else(|| Error::Architecture {
        path: metadata.path.to_owned(),
        found: name.to_owned(),
        supported: architecture::SUPPORTED,
    })
}

/// The tensors of a file, which are read one at a time.
struct Tensors<'p> {
    path: &'p Path,
    reader: BufReader<File>,
    content: Content,
    unread: BTreeSet<String>,
}

impl<'p> Tensors<'p> {
    fn open(path: &'p Path) -> Result<Self> {
        let file = File::open(path).map_err(Error::read(path))?;
        let mut reader = BufReader::new(file);
        let content = Content::read(&mut reader).map_err(|error| unread_type(path, error))?;
        let unread = content.tensor_infos.keys().cloned().collect();
        Ok(Self { path, reader, content, unread })
    }

    /// Returns what the tensors tell about the model.
    fn present(&mut self, architecture: &GgufArchitecture) -> Result<Present> {
        let embedding = self.content.tensor_infos.get("token_embd.weight");
        let embedding = embedding.ok_or_else(|| Error::content(self.path, "there is no tensor `token_embd.weight`"))?;
        let vocab_size = embedding.shape.dims().first().copied().unwrap_or(0);
        let has = |name: &str| self.content.tensor_infos.contains_key(name);
        let (head, query_bias) = (has("output.weight"), has("blk.0.attn_q.bias"));
        let frequency_factors = if architecture.frequency_factors && has(FREQUENCY_FACTORS) {
            let factors = self.get(FREQUENCY_FACTORS)?.flatten_all()?.to_dtype(DType::F64)?;
            Some(factors.to_vec1()?)
        } else {
            None
        };
        Ok(Present { vocab_size, head, query_bias, frequency_factors })
    }

    /// Reads a tensor by the format's name for it, in `f32`.
    fn get(&mut self, stored: &str) -> Result<Tensor> {
        if !self.content.tensor_infos.contains_key(stored) {
            return Err(Error::content(self.path, format!("there is no tensor `{stored}`")));
        }
        self.unread.remove(stored);
        let failed = |source: candle_core::Error| Error::ReadTensor {
            path: self.path.to_owned(),
            tensor: stored.to_owned(),
            source: source.into(),
        };
        // The conversion runs on the CPU, so that every device gets the same bits.
        let quantised = self.content.tensor(&mut self.reader, stored, &Device::Cpu).map_err(failed)?;
        quantised.dequantize(&Device::Cpu).map_err(failed)
    }

    /// Reads a weight by Hugging Face's name for it, in Hugging Face's layout.
    fn weight(
        &mut self,
        name: &str,
        shape: &[usize],
        architecture: &GgufArchitecture,
        config: &ModelConfig,
        device: &Device,
    ) -> Result<Tensor> {
        let stored = architecture
            .stored_name(name)
            .ok_or_else(|| Error::content(self.path, format!("the format has no name for `{name}`")))?;
        let mut tensor = self.get(&stored)?;
        if tensor.dims() != shape {
            let found = tensor.dims();
            let reason = format!("`{stored}` has shape {found:?}; the metadata calls for {shape:?}");
            return Err(Error::content(self.path, reason));
        }
        if let Some(heads) = architecture.reordered_heads(name, config.heads, config.kv_heads) {
            tensor = apart(&tensor, heads)?;
        }
        if config.variant.norms_from_one && architecture::is_norm(name) {
            tensor = (tensor - 1.0)?;
        }
        Ok(tensor.to_device(device)?)
    }

    /// Fails if the file has a tensor that was not read: the model would compute something else than its makers meant.
    fn require_all_read(&self) -> Result<()> {
        let Some(first) = self.unread.first() else { return Ok(()) };
        let others =
            if self.unread.len() > 1 { format!(" and {} others", self.unread.len() - 1) } else { String::new() };
        let reason =
            format!("no part of the model reads the tensor `{first}`{others}; load the model's Hugging Face folder");
        Err(Error::content(self.path, reason))
    }
}

/// Moves the two rows of each rotary pair, which are neighbours, half a head apart.
fn apart(weight: &Tensor, heads: usize) -> Result<Tensor> {
    let rows = weight.dim(0)?;
    let width = weight.elem_count() / rows;
    let pairs = weight.reshape((heads, rows / heads / 2, 2, width))?;
    Ok(pairs.transpose(1, 2)?.contiguous()?.reshape(weight.shape())?)
}

/// The types of the format that the tensor library does not read, by their numbers.
const UNREAD_TYPES: [(u32, &str); 15] = [
    (16, "IQ2_XXS"),
    (17, "IQ2_XS"),
    (18, "IQ3_XXS"),
    (19, "IQ1_S"),
    (20, "IQ4_NL"),
    (21, "IQ3_S"),
    (22, "IQ2_S"),
    (23, "IQ4_XS"),
    (28, "F64"),
    (29, "IQ1_M"),
    (34, "TQ1_0"),
    (35, "TQ2_0"),
    (39, "MXFP4"),
    (40, "NVFP4"),
    (41, "Q1_0"),
];

/// Names the type of a tensor that the library refused by its number.
fn unread_type(path: &Path, error: candle_core::Error) -> Error {
    let text = error.to_string();
    let number = text.split_once("unknown dtype for tensor ").and_then(|(_, rest)| {
        let digits = rest.split(|character: char| !character.is_ascii_digit()).next();
        digits?.parse::<u32>().ok()
    });
    let Some(number) = number else { return Error::format(path, "GGUF")(error) };
    let known = UNREAD_TYPES.iter().find(|(known, _)| *known == number);
    let name = known.map_or_else(|| format!("number {number}"), |(_, name)| (*name).to_owned());
    let supported = "F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q8_1, and Q2_K to Q8_K";
    let reason = format!("a tensor has the type {name}, which is not supported; supported are {supported}");
    Error::content(path, format!("{reason}; load another quantisation of the model"))
}

/// Returns the `tokenizer_config.json` that a Hugging Face folder of the model would have, with the chat template if there is
/// one.
fn companions(metadata: &Metadata<'_>, config: &ModelConfig, tokenizer: &Tokenizer) -> Result<Companions> {
    let token =
        |key: &str| -> Result<Option<String>> { Ok(metadata.optional(key, token)?.and_then(|id| tokenizer.token(id))) };
    let mut value = json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": config.context_length,
        "clean_up_tokenization_spaces": false,
        "add_bos_token": !tokenizer.beginning().is_empty(),
        "bos_token": token("tokenizer.ggml.bos_token_id")?,
        "eos_token": token("tokenizer.ggml.eos_token_id")?,
        "unk_token": token("tokenizer.ggml.unknown_token_id")?,
        "pad_token": token("tokenizer.ggml.padding_token_id")?,
    });
    if let Some(template) = metadata.optional("tokenizer.chat_template", string)? {
        value["chat_template"] = json!(template);
    }
    Ok(Companions::new(BTreeMap::from([(TOKENIZER_CONFIG, format!("{value:#}\n"))])))
}

#[cfg(test)]
mod tests;
