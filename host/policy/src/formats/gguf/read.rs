//! Loads a file. Weights of any quantisation are converted to `f32`, or kept in few bits for training of adapters.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::BufReader,
    path::Path,
    sync::Arc,
};

use alft_text::Foreign;
use candle_core::{
    DType, Device, Tensor,
    quantized::{GgmlDType, QStorage, QTensor, gguf_file::Content},
};
use serde_json::json;

use super::{
    architecture::{self, FREQUENCY_FACTORS, GgufArchitecture},
    config::{self, Present},
    header,
    metadata::{Metadata, size, string, token},
    tokenizer,
};
use crate::{
    error::{Error, Result},
    formats::huggingface::check_vocab_size,
    model::{
        companions::{Companions, TOKENIZER_CONFIG},
        config::ModelConfig,
        quantisation::Quantisation,
        tokenizer::Tokenizer,
        transformer::Transformer,
        weight::{Weight, WeightSource},
    },
    other_format::GGUF,
    policy::Policy,
};

/// Loads a file.
pub(in crate::formats) fn load(path: &Path, device: &Device, quantisation: Option<Quantisation>) -> Result<Policy> {
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
    let mut source = Source { tensors: &mut tensors, architecture, config: &config, device, quantisation };
    let transformer = Transformer::build(&config, &mut source)?;
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
        let file = alft_fs::open(path).map_err(Error::read(path))?;
        let mut reader = BufReader::new(file);
        header::check(&mut reader, path)?;
        let content = Content::read(&mut reader).map_err(|error| unread_type(path, error))?;
        // The library knows the sizes of these types, and does not read them.
        let number = |dtype: GgmlDType| match dtype {
            GgmlDType::Q8_1 => Some(9),
            GgmlDType::Q8K => Some(15),
            _ => None,
        };
        if let Some(number) = content.tensor_infos.values().find_map(|info| number(info.ggml_dtype)) {
            return Err(unread_number(path, number));
        }
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
            let factors = self.get(FREQUENCY_FACTORS)?.dequantize(&Device::Cpu)?.flatten_all()?.to_dtype(DType::F64)?;
            Some(factors.to_vec1()?)
        } else {
            None
        };
        Ok(Present { vocab_size, head, query_bias, frequency_factors })
    }

    /// Reads a tensor by the format's name for it, on the CPU.
    fn get(&mut self, stored: &str) -> Result<QTensor> {
        let Some(info) = self.content.tensor_infos.get(stored) else {
            return Err(Error::content(
                self.path,
                format!("there is no tensor `{stored}`", stored = Foreign::new(&stored)),
            ));
        };
        // The library takes the number of bytes as it comes, and makes a slice of it. A block has at least one number.
        let dims = info.shape.dims();
        let bytes = dims.iter().try_fold(info.ggml_dtype.type_size(), |bytes, size| bytes.checked_mul(*size));
        if !bytes.is_some_and(|bytes| bytes > 0 && bytes <= isize::MAX as usize) {
            return Err(Error::content(
                self.path,
                format!("`{}` has shape {dims:?}, which no tensor can have", Foreign::new(&stored)),
            ));
        }
        self.unread.remove(stored);
        self.content.tensor(&mut self.reader, stored, &Device::Cpu).map_err(|source| Error::ReadTensor {
            path: self.path.to_owned(),
            tensor: stored.to_owned(),
            source: source.into(),
        })
    }

    /// Fails if the file has a tensor that was not read: the model would compute something else than its makers meant.
    fn require_all_read(&self) -> Result<()> {
        let Some(first) = self.unread.first() else { return Ok(()) };
        let others =
            if self.unread.len() > 1 { format!(" and {} others", self.unread.len() - 1) } else { String::new() };
        let reason = format!(
            "no part of the model reads the tensor `{first}`{others}; load the model's Hugging Face folder",
            first = Foreign::new(&first)
        );
        Err(Error::content(self.path, reason))
    }
}

/// The weights of a file as those of a model.
struct Source<'a, 'p> {
    tensors: &'a mut Tensors<'p>,
    architecture: &'static GgufArchitecture,
    config: &'a ModelConfig,
    device: &'a Device,
    quantisation: Option<Quantisation>,
}

impl Source<'_, '_> {
    /// Reads a weight as the file has it. Returns it with the number of heads whose rows are ordered otherwise in Hugging
    /// Face's layout, if there are any.
    fn stored(&mut self, name: &str, shape: &[usize]) -> Result<(QTensor, Option<usize>)> {
        let path = self.tensors.path;
        let stored = self.architecture.stored_name(name).ok_or_else(|| {
            Error::content(path, format!("the format has no name for `{name}`", name = Foreign::new(&name)))
        })?;
        let tensor = self.tensors.get(&stored)?;
        if tensor.shape().dims() != shape {
            let found = tensor.shape().dims();
            let reason = format!(
                "`{stored}` has shape {found:?}; the metadata calls for {shape:?}",
                stored = Foreign::new(&stored)
            );
            return Err(Error::content(path, reason));
        }
        Ok((tensor, self.architecture.reordered_heads(name, self.config.heads, self.config.kv_heads)))
    }
}

impl WeightSource for Source<'_, '_> {
    fn tensor(&mut self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let (stored, heads) = self.stored(name, shape)?;
        let mut tensor = plain(&stored, heads)?;
        if self.config.variant.norms_from_one && architecture::is_norm(name) {
            tensor = (tensor - 1.0)?;
        }
        Ok(tensor.to_device(self.device)?)
    }

    fn projection(&mut self, name: &str, shape: &[usize]) -> Result<Weight> {
        let Some(quantisation) = self.quantisation else { return Ok(Weight::Plain(self.tensor(name, shape)?)) };
        let (stored, heads) = self.stored(name, shape)?;
        match quantisation.keeps(stored.dtype()) {
            true => Ok(Weight::Quantised(Arc::new(kept(&stored, heads, self.device)?))),
            false => quantisation.quantise(name, &plain(&stored, heads)?, self.device),
        }
    }
}

/// Returns a stored weight in `f32`, in Hugging Face's layout. The CPU converts it, so that every device gets the same bits.
fn plain(stored: &QTensor, heads: Option<usize>) -> Result<Tensor> {
    let tensor = stored.dequantize(&Device::Cpu)?;
    heads.map_or_else(|| Ok(tensor.clone()), |heads| apart(&tensor, heads))
}

/// Returns a stored weight as it is quantised, on a device and in Hugging Face's layout. A row is a run of whole blocks, so rows
/// can change places.
fn kept(stored: &QTensor, heads: Option<usize>, device: &Device) -> Result<QTensor> {
    let bytes = stored.data()?;
    let rows = stored.shape().dims()[0];
    let bytes = match heads {
        Some(heads) => apart(&Tensor::from_slice(&bytes, (rows, bytes.len() / rows), &Device::Cpu)?, heads)?
            .flatten_all()?
            .to_vec1::<u8>()?
            .into(),
        None => bytes,
    };
    Ok(QTensor::new(QStorage::from_data(bytes, device, stored.dtype())?, stored.shape())?)
}

/// Moves the two rows of each rotary pair, which are neighbours, half a head apart.
fn apart(weight: &Tensor, heads: usize) -> Result<Tensor> {
    let rows = weight.dim(0)?;
    let width = weight.elem_count() / rows;
    let pairs = weight.reshape((heads, rows / heads / 2, 2, width))?;
    Ok(pairs.transpose(1, 2)?.contiguous()?.reshape(weight.shape())?)
}

/// The types of the format that the tensor library does not read, by their numbers.
const UNREAD_TYPES: [(u32, &str); 29] = [
    (4, "Q4_2, which the format no longer has"),
    (5, "Q4_3, which the format no longer has"),
    (9, "Q8_1"),
    (15, "Q8_K"),
    (16, "IQ2_XXS"),
    (17, "IQ2_XS"),
    (18, "IQ3_XXS"),
    (19, "IQ1_S"),
    (20, "IQ4_NL"),
    (21, "IQ3_S"),
    (22, "IQ2_S"),
    (23, "IQ4_XS"),
    (24, "I8"),
    (25, "I16"),
    (26, "I32"),
    (27, "I64"),
    (28, "F64"),
    (29, "IQ1_M"),
    (31, "Q4_0_4_4, which the format no longer has"),
    (32, "Q4_0_4_8, which the format no longer has"),
    (33, "Q4_0_8_8, which the format no longer has"),
    (34, "TQ1_0"),
    (35, "TQ2_0"),
    (36, "IQ4_NL_4_4, which the format no longer has"),
    (37, "IQ4_NL_4_8, which the format no longer has"),
    (38, "IQ4_NL_8_8, which the format no longer has"),
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
    match number {
        Some(number) => unread_number(path, number),
        None => Error::format(path, GGUF)(error),
    }
}

/// Returns the error about a tensor of a type that is not read.
fn unread_number(path: &Path, number: u32) -> Error {
    let known = UNREAD_TYPES.iter().find(|(known, _)| *known == number);
    let name = known.map_or_else(|| format!("number {number}"), |(_, name)| (*name).to_owned());
    let supported = "F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, and Q2_K to Q6_K";
    let reason = format!(
        "a tensor has the type {name}, which is not supported; supported are {supported}",
        name = Foreign::new(&name)
    );
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
