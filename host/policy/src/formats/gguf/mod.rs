//! GGUF files, the format of llama.cpp, read and written.
//!
//! [`mod@read`] loads a file and [`mod@write`] writes one. Both know a model by its [`architecture`]: the names of weights, and
//! [`config`] for its sizes, with [`rope`] for the scaling of positions. [`tokenizer`] has the vocabulary, as
//! [`byte_level`] or [`sentencepiece`], and [`pre_tokenizer`] the names of rules that split text. [`metadata`] reads the
//! keys of a file, after [`header`] has checked it, and [`gemma3`] has those of its family.

mod architecture;
mod byte_level;
mod config;
mod gemma3;
mod header;
mod metadata;
mod pre_tokenizer;
mod read;
mod rope;
mod sentencepiece;
mod tokenizer;
mod vocabulary;
mod write;

pub(super) use read::load;
pub(super) use write::{check, write};
