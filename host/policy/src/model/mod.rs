//! The model: configuration, weights and forward pass of a decoder-only transformer, its tokenizer and its adapters.
//!
//! [`families`] say how models differ in their [`config`], which [`config_json`] reads and writes; [`rope`] has the
//! frequencies of positions. [`batch`] packs sequences for the [`transformer`], [`log_probs`] scores them with it, and
//! [`gradient`] is its backward pass. [`decoding`] prepares a model for sampling, with [`joined`] for a device. [`lora`]
//! attaches adapters, beside which a [`weight`] may be kept in few bits by [`quantisation`], [`init`] draws random weights,
//! and [`tiny`] is the embedded model's configuration. [`chat`] writes a conversation by the model's own template, which is
//! among its [`companions`], and [`stand_in`] keeps special tokens out of the text within it.

pub(crate) mod batch;
pub(crate) mod chat;
pub(crate) mod companions;
pub(crate) mod config;
pub(crate) mod config_json;
pub(crate) mod decoding;
mod families;
pub(crate) mod gradient;
pub(crate) mod init;
pub(crate) mod joined;
pub(crate) mod json_text;
pub(crate) mod log_probs;
pub(crate) mod lora;
pub(crate) mod quantisation;
pub(crate) mod rope;
mod stand_in;
mod template_work;
pub(crate) mod tiny;
pub(crate) mod tokenizer;
pub(crate) mod tokenizer_json;
pub(crate) mod transformer;
pub(crate) mod weight;
