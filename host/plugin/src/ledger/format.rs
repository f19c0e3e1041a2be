//! The format of a ledger: a file of frames to which frames are only appended.
//!
//! A frame is the length of its body (4 bytes, little-endian), the first 16 bytes of the BLAKE3 hash of the previous
//! frame's 16 bytes and the body, and the body: a [`Record`] in postcard's encoding, compressed with LZ4. Floats keep
//! their bits. A changed byte breaks the chain of hashes at its frame, and a frame that a killed process left half-written
//! can be told from one that was tampered with.

use std::borrow::Cow;
use std::io;
use std::path::PathBuf;

use alft_sdk::roles::Batch;
use alft_text::Foreign;
use serde::{Deserialize, Serialize};

use crate::batch::call::Call;
use crate::limits::Limits;
use crate::source::{Form, NativeTrust, Source};
use crate::wasm::engine::WASMTIME;
use crate::wasm::prices::FUEL_RULES;

/// The version of the format.
///
/// Format 2 added fields at the ends of two records: the prices of fuel to headers, and `limits.compiled_size` to plugins.
/// Ledgers of format 1 are read, and continued, as if they had them.
pub(super) const FORMAT: u32 = 2;

/// Bytes of a frame before its body: the length and the link.
pub(super) const HEAD_BYTES: usize = 4 + size_of::<Link>();

/// Bytes that a frame's body may have. A longer length is not that of a frame.
pub(super) const MAX_BODY_BYTES: usize = 1 << 30;

/// The hash that links a frame to the frames before it.
pub(crate) type Link = [u8; 16];

/// Returns the link of the frame with this body.
pub(crate) fn link(previous: &Link, body: &[u8]) -> Link {
    let mut hasher = blake3::Hasher::new();
    hasher.update(previous).update(body);
    hasher.finalize().as_bytes()[..16].try_into().expect("a hash has 32 bytes")
}

/// The contents of a frame.
// Postcard numbers variants and fields: their order is part of the format.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Record<'a> {
    /// The program that wrote the records from here on: the first record, and another where another version went on.
    Header {
        /// Version of the format.
        format: u32,
        /// Version of this crate.
        alft: Cow<'a, str>,
        /// wasmtime's major version. The same call may use other fuel under another.
        wasmtime: u32,
        /// The machine's target, such as `x86_64-unknown-linux-gnu`.
        target: Cow<'a, str>,
        /// Version of the prices of fuel. The same call may use other fuel under another.
        fuel_rules: u32,
    },
    /// A plugin, before its first batch.
    Plugin(PluginRecord<'a>),
    /// A batch with the calls that were made for it.
    Batch {
        /// Step of the run, from 1; 0 before the first.
        step: u64,
        /// Position of the plugin among the plugin records.
        plugin: usize,
        /// The whole batch.
        batch: Batch<'a>,
        /// The calls, each with a part of the batch.
        calls: Cow<'a, [Call]>,
    },
}

/// A plugin of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PluginRecord<'a> {
    /// The plugin's name in the run.
    pub name: Cow<'a, str>,
    /// BLAKE3 hash of the plugin's file, in hexadecimal.
    pub hash: Cow<'a, str>,
    /// The form in which the plugin ran.
    pub form: Form,
    /// The plugin's configuration, a JSON object.
    pub config: Cow<'a, str>,
    /// The limits of the plugin's calls.
    pub limits: Cow<'a, Limits>,
}

impl Record<'_> {
    /// Returns the header of a ledger that this program writes.
    pub(super) fn header() -> Self {
        Self::Header {
            format: FORMAT,
            alft: env!("CARGO_PKG_VERSION").into(),
            wasmtime: WASMTIME,
            target: alft_sdk::abi::TARGET.into(),
            fuel_rules: FUEL_RULES,
        }
    }

    /// Decodes a record of a ledger in this format; the format of a header is its own.
    pub(super) fn decode(mut bytes: Vec<u8>, format: u32) -> Option<Record<'static>> {
        // The number of the variant; a header's format comes next.
        let older = match bytes.first()? {
            0 => *bytes.get(1)? == 1,
            _ => format == 1,
        };
        if older {
            let added = match bytes[0] {
                0 => postcard::to_stdvec(&1u32),
                1 => postcard::to_stdvec(&Limits::default().compiled_size),
                _ => Ok(Vec::new()),
            };
            bytes.extend(added.expect("a number can be encoded"));
        }
        postcard::from_bytes(&bytes).ok()
    }
}

impl PluginRecord<'_> {
    /// Returns the source that opens the same plugin in the same form, from its file at `path`.
    pub fn source(&self, path: PathBuf) -> Source {
        let native = match self.form {
            Form::Component => NativeTrust::Refused,
            Form::NativeProcess => NativeTrust::Process,
            Form::Native => NativeTrust::InProcess,
        };
        Source {
            path,
            pin: Some(self.hash.clone().into_owned()),
            native,
            config: self.config.clone().into_owned(),
            limits: self.limits.clone().into_owned(),
        }
    }

    pub(super) fn into_owned(self) -> PluginRecord<'static> {
        PluginRecord {
            name: Cow::Owned(self.name.into_owned()),
            hash: Cow::Owned(self.hash.into_owned()),
            form: self.form,
            config: Cow::Owned(self.config.into_owned()),
            limits: Cow::Owned(self.limits.into_owned()),
        }
    }
}

/// A ledger that cannot be written or read.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum Error {
    #[error("cannot read or write the ledger {}", Foreign::path(path))]
    Io { path: PathBuf, source: io::Error },

    #[error("the ledger {} is broken in frame {frame} (at byte {offset})", Foreign::path(path))]
    Broken { path: PathBuf, frame: u64, offset: u64, source: FrameError },
}

/// A frame that cannot be read.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum FrameError {
    #[error("its length is {bytes} bytes: the file is not a ledger, or was changed")]
    TooLong { bytes: usize },

    #[error("its bytes are not those that were written")]
    Changed,

    #[error("it was written by another version of alft")]
    OtherVersion,

    #[error("the ledger has the format {found}; this alft reads the formats 1 to {FORMAT}")]
    OtherFormat { found: u32 },

    #[error("the ledger does not begin with a header")]
    NoHeader,

    #[error("the saved state counts on {length} bytes, where no frame ends")]
    NotAnEnd { length: u64 },
}
