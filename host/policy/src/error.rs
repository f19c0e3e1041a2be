//! What can go wrong, each with the file, the reason and the remedy.

use std::path::{Path, PathBuf};

/// The result of every fallible function of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Every error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A file was read, and is not what it should be.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// The model is of a family that this crate cannot compute.
    #[error("{}: the architecture `{found}` is not supported; supported are {supported}", path.display())]
    Architecture {
        /// The file that names the architecture.
        path: PathBuf,
        /// The architecture it names.
        found: String,
        /// The architectures that can be loaded.
        supported: &'static str,
    },
    /// The tokenizer can produce tokens that the model has no embedding for.
    #[error(
        "{}: the tokenizer has {tokenizer} tokens and the model only {model}; use the tokenizer that came with the model",
        path.display()
    )]
    Vocabulary {
        /// The folder or file of the model.
        path: PathBuf,
        /// Tokens of the tokenizer.
        tokenizer: usize,
        /// Rows of the model's embedding.
        model: usize,
    },
    /// The tokenizer refused a text or token ids.
    #[error("the tokenizer failed: {0}")]
    Tokenizer(String),
    /// A sequence does not fit the model's context.
    #[error(
        "sequence {index} needs {needed} tokens (prompt {prompt}) and the model's context holds {context}; shorten the prompt or allow fewer new tokens"
    )]
    ContextLength {
        /// Which sequence of the batch.
        index: usize,
        /// Tokens of its prompt.
        prompt: usize,
        /// Tokens of prompt and completion together.
        needed: usize,
        /// Tokens the model can attend to.
        context: usize,
    },
    /// A sequence of a batch cannot be computed.
    #[error("sequence {index}: {reason}")]
    Sequence {
        /// Which sequence of the batch.
        index: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A setting has a value that makes no sense.
    #[error("{name}: {reason}")]
    Setting {
        /// The setting's name.
        name: &'static str,
        /// Why it is refused, and what is allowed.
        reason: String,
    },
    /// A CUDA device was asked for and cannot be had.
    #[error("no CUDA device: {0}")]
    NoCuda(String),
    /// A number that must be finite was not. The weights were not touched.
    #[error(
        "{what} is {value} at optimiser step {step}; the weights were left as they were (lower the learning rate, or check the advantages)"
    )]
    NonFinite {
        /// The number's name, for example `loss`.
        what: String,
        /// Its value.
        value: f64,
        /// The optimiser step that was being computed.
        step: u64,
    },
    /// A KL penalty was asked for before there was a reference to measure it from.
    #[error("beta is {beta} but there is no reference policy: freeze the reference before the first GRPO step")]
    NoReference {
        /// The price of leaving the reference.
        beta: f64,
    },
    /// The tensor library failed: out of memory, or a mistake in this crate.
    #[error("tensor computation failed: {0}")]
    Tensor(#[from] candle_core::Error),
}

impl Error {
    pub(crate) fn io(path: &Path, source: std::io::Error) -> Self {
        Error::Io { path: path.to_owned(), source }
    }

    pub(crate) fn file(path: &Path, reason: impl ToString) -> Self {
        Error::File { path: path.to_owned(), reason: reason.to_string() }
    }

    pub(crate) fn setting(name: &'static str, reason: impl ToString) -> Self {
        Error::Setting { name, reason: reason.to_string() }
    }
}
