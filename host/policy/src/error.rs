//! Errors: each names the file, setting or sequence, the reason, and where there is one the remedy. Causes are kept as
//! [`source`](std::error::Error::source).

use std::path::{Path, PathBuf};

use alft_text::Foreign;

use crate::other_format::other_format;

/// The result of every fallible function of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The error of a library that this crate does not name in its interface.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Every error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder could not be read.
    #[error("cannot read {}", Foreign::path(path))]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The operating system's error.
        source: std::io::Error,
    },
    /// A file or folder could not be written. The destination is as it was before.
    #[error(transparent)]
    Write(#[from] alft_fs::Error),
    /// A file is not in the format that it should have.
    #[error("{} is not a valid {format} file", Foreign::path(path))]
    Format {
        /// The file.
        path: PathBuf,
        /// The expected format, for example `JSON`.
        format: &'static str,
        /// The parser's error.
        source: BoxError,
    },
    /// A file is in the right format and its content cannot be used.
    #[error("{}: {reason}", Foreign::path(path))]
    Content {
        /// The file or folder.
        path: PathBuf,
        /// The fault, and the remedy where there is one.
        reason: String,
    },
    /// A tensor of a file of weights could not be read.
    #[error("{}: cannot read the tensor `{tensor}`", Foreign::path(path), tensor = Foreign::new(tensor))]
    ReadTensor {
        /// The file.
        path: PathBuf,
        /// The tensor's name in the file.
        tensor: String,
        /// The tensor library's error.
        source: BoxError,
    },
    /// A file of weights could not be written.
    #[error("cannot write tensors to {}", Foreign::path(path))]
    WriteTensors {
        /// The file.
        path: PathBuf,
        /// The library's error.
        source: BoxError,
    },
    /// The model is of a family that this crate cannot compute.
    #[error(
        "{}: the architecture `{found}` is not supported; supported are {supported}",
        Foreign::path(path),
        found = Foreign::new(found)
    )]
    Architecture {
        /// The file that names the architecture.
        path: PathBuf,
        /// The architecture in the file.
        found: String,
        /// The architectures that can be loaded.
        supported: &'static str,
    },
    /// There is nothing where a model should be.
    #[error(
        "there is no model at {}: write the path of a folder in Hugging Face's format or of a GGUF file; a run file names a model of \
         a hub as `hub = \"owner/model\"`",
        Foreign::path(path)
    )]
    NoModel {
        /// The folder or file.
        path: PathBuf,
    },
    /// A model of a hub was asked for in a build that fetches none.
    #[error(
        "this build fetches no models: build alft with `--features hub`, or put {files} of `{model}` (revision `{revision}`) into a \
         folder and write its path",
        model = Foreign::new(model),
        revision = Foreign::new(revision)
    )]
    HubNotBuilt {
        /// The model's repository.
        model: String,
        /// The branch, tag or commit.
        revision: String,
        /// The files that are needed.
        files: String,
    },
    /// The environment forbids to connect, and the model was not fetched before.
    #[error(
        "the cache does not have all files of `{model}` at {revision}, and HF_HUB_OFFLINE forbids to fetch them; fetch the model once \
         without it",
        model = Foreign::new(model),
        revision = Foreign::new(revision)
    )]
    HubOffline {
        /// The model's repository.
        model: String,
        /// The branch, tag or commit.
        revision: String,
    },
    /// A model could not be fetched from a hub.
    #[error(
        "cannot fetch `{model}`; check its name, the connection to the hub (HF_ENDPOINT names another one) and, if the model asks for \
         one, your token (HF_TOKEN)",
        model = Foreign::new(model)
    )]
    Hub {
        /// The model's repository.
        model: String,
        /// The library's error.
        source: BoxError,
    },
    /// The tokenizer can produce tokens that the model has no embedding for.
    #[error(
        "{}: the tokenizer has {tokenizer} tokens and the model only {model}; use the tokenizer that came with the model",
        Foreign::path(path)
    )]
    Vocabulary {
        /// The folder or file of the model.
        path: PathBuf,
        /// Number of tokens of the tokenizer.
        tokenizer: usize,
        /// Number of rows of the model's embedding.
        model: usize,
    },
    /// The tokenizer failed.
    #[error("the tokenizer failed to {action}")]
    Tokenizer {
        /// The operation, for example `encode a text`.
        action: &'static str,
        /// The tokenizer library's error.
        source: BoxError,
    },
    /// A text holds a character that the tokenizer has no token for.
    #[error(
        "the tokenizer has no token for {character:?} in {text:?}",
        text = Foreign::new(text),
        character = Foreign::new(character)
    )]
    NoToken {
        /// The character, or the part of the text around it that the tokenizer treats as one.
        character: String,
        /// The whole text.
        text: String,
    },
    /// The model's chat template cannot be used.
    #[error("the model's chat template cannot be {action}")]
    ChatTemplate {
        /// `compiled` or `rendered`.
        action: &'static str,
        /// The template library's error, with the line.
        source: minijinja::Error,
    },
    /// The model's chat template leaves questions out.
    #[error(
        "the chat template in {place} writes conversations without the question, so the model would not read it: fetch the template \
         again, or write one of your own as `prompts.template`"
    )]
    TemplateWithoutQuestion {
        /// The file that the template is in.
        place: &'static str,
    },
    /// A sequence does not fit the model's context.
    #[error(
        "sequence {index} needs {needed} tokens (prompt {prompt}) and the model's context holds {context}; shorten the prompt or allow fewer new tokens"
    )]
    ContextLength {
        /// Index of the sequence in the batch.
        index: usize,
        /// Number of tokens of the prompt.
        prompt: usize,
        /// Number of tokens of prompt and completion together.
        needed: usize,
        /// Number of tokens the model can attend to.
        context: usize,
    },
    /// A sequence of a batch cannot be computed.
    #[error("sequence {index}: {reason}")]
    Sequence {
        /// Index of the sequence in the batch.
        index: usize,
        /// The fault.
        reason: String,
    },
    /// A setting is out of range.
    #[error("`{name}` {reason}")]
    Setting {
        /// The setting's name.
        name: &'static str,
        /// The fault and the allowed values; continues a sentence that begins with the name.
        reason: String,
    },
    /// A text that names a model or a setting means none.
    #[error("{argument}: {reason}", argument = Foreign::new(argument))]
    Argument {
        /// The text.
        argument: String,
        /// The fault, and the texts that are allowed.
        reason: String,
    },
    /// A CUDA device was asked for in a build without CUDA.
    #[error("this build has no CUDA; build with `--features cuda`, or use the device `cpu`")]
    CudaNotBuilt,
    /// A CUDA device was asked for and could not be opened.
    #[error("cannot open a CUDA device; check the driver with `nvidia-smi`, or use the device `cpu`")]
    NoCudaDevice(#[source] candle_core::Error),
    /// A number that must be finite is not. The weights are unchanged.
    #[error(
        "{quantity} is {value:?} at optimiser step {step}; the weights were left as they were (lower the learning rate, or check the batch)"
    )]
    NonFinite {
        /// The quantity, for example `the loss`.
        quantity: &'static str,
        /// Its value.
        value: f64,
        /// The optimiser step that was being computed.
        step: u64,
    },
    /// No token of a completion can be drawn.
    #[error(
        "sequence {index}: the model's logits are not finite: its weights are damaged, or its training has diverged (go back to \
         earlier weights, and train them with a lower learning rate)"
    )]
    NonFiniteLogits {
        /// Index of the sequence in the requests.
        index: usize,
    },
    /// A KL penalty was asked for and there is no reference policy to measure it from.
    #[error("`beta` is {beta:?} but there is no reference policy: freeze the reference before the first GRPO step")]
    NoReference {
        /// The coefficient of the KL penalty.
        beta: f64,
    },
    /// A device has too little memory. Nothing was changed.
    #[error("the device has too little memory {action}; {remedy}")]
    OutOfMemory {
        /// The work, for example `for an update`.
        action: &'static str,
        /// The settings to change, and what each saves.
        remedy: String,
    },
    /// The tensor library failed; this crate is wrong.
    #[error("a tensor computation failed")]
    Tensor(#[from] candle_core::Error),
}

impl Error {
    pub(crate) fn read(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Error::Read { path: path.to_owned(), source: alft_fs::with_hint(path, source) }
    }

    pub(crate) fn format<E: Into<BoxError>>(path: &Path, format: &'static str) -> impl FnOnce(E) -> Self {
        move |source| match other_format(path, format) {
            Some(other) => Error::content(path, format!("the file is {other}")),
            None => Error::Format { path: path.to_owned(), format, source: source.into() },
        }
    }

    pub(crate) fn content(path: &Path, reason: impl Into<String>) -> Self {
        Error::Content { path: path.to_owned(), reason: reason.into() }
    }

    /// Returns [`Error::OutOfMemory`] with the remedy in place of a device's refusal of memory, and any other error as it is.
    pub(crate) fn or_out_of_memory(self, action: &'static str, remedy: impl FnOnce() -> String) -> Self {
        match self {
            Error::Tensor(source) if source.to_string().contains("OUT_OF_MEMORY") => {
                Error::OutOfMemory { action, remedy: remedy() }
            }
            other => other,
        }
    }

    pub(crate) fn setting(name: &'static str, reason: impl Into<String>) -> Self {
        Error::Setting { name, reason: reason.into() }
    }
}
