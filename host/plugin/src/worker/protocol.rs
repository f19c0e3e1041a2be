//! The protocol between a worker and its parent. A frame is a length of four bytes, little-endian, and a message of that
//! many bytes in postcard's encoding.

use std::borrow::Cow;
use std::io::{self, Read, Write};
use std::path::Path;

use alft_sdk::Manifest;
use alft_sdk::call::Output;
use alft_sdk::roles::{Batch, Roles};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::foreign::ForeignError;
use crate::limits::Limits;

/// The job of compiling a component: the worker's last argument.
pub(crate) const COMPILE: &str = "compile";

/// The job of running a native library: the worker's last argument.
pub(crate) const LIBRARY: &str = "library";

/// The only request of a compile job.
#[derive(Serialize, Deserialize)]
pub(crate) struct CompileRequest<'a> {
    pub(crate) limits: Cow<'a, Limits>,
    pub(crate) wasm: Cow<'a, [u8]>,
}

/// The reply to a [`CompileRequest`]. After `Compiled`, the next frame is the code.
#[derive(Serialize, Deserialize)]
pub(crate) enum CompileReply {
    Compiled,
    /// The code has more bytes than `limits.compiled_size`.
    TooLarge {
        bytes: u64,
    },
    Invalid(ForeignError),
}

/// The first request of a library job.
#[derive(Serialize, Deserialize)]
pub(crate) struct OpenRequest<'a> {
    /// Path of the library, for errors.
    pub(crate) path: Cow<'a, Path>,
    /// Path of the copy that is loaded.
    pub(crate) copy: Cow<'a, Path>,
    pub(crate) limits: Cow<'a, Limits>,
}

/// The reply to an [`OpenRequest`].
pub(crate) type OpenReply = Result<Roles, ForeignError>;

/// Every further request of a library job.
#[derive(Serialize, Deserialize)]
pub(crate) enum LibraryRequest<'a> {
    /// Answered by a [`DescribeReply`].
    Describe { config: Cow<'a, str> },
    /// Answered by a [`CallReply`].
    Call { config: Cow<'a, str>, batch: Batch<'a> },
}

pub(crate) type DescribeReply = Result<Manifest, Failure>;

#[derive(Serialize, Deserialize)]
pub(crate) struct CallReply {
    pub(crate) result: Result<Output, Failure>,
    pub(crate) log: Vec<String>,
}

/// A frame that is longer than its reader accepts.
pub(crate) struct FrameTooLarge(pub(crate) usize);

pub(crate) fn encode<T: Serialize + ?Sized>(message: &T) -> Vec<u8> {
    postcard::to_stdvec(message).expect("plain data can be encoded")
}

pub(crate) fn decode<T: for<'a> Deserialize<'a>>(message: &[u8]) -> Result<T, postcard::Error> {
    postcard::from_bytes(message)
}

pub(crate) fn write_frame(to: &mut impl Write, message: &[u8]) -> io::Result<()> {
    let length = u32::try_from(message.len()).map_err(|_| io::Error::other("a frame has at most 4 GiB"))?;
    to.write_all(&length.to_le_bytes())?;
    to.write_all(message)?;
    to.flush()
}

/// Returns the next message, or `None` at the end of the stream.
pub(crate) fn read_frame(from: &mut impl Read, max_bytes: usize) -> Result<Option<Vec<u8>>, FrameTooLarge> {
    let mut length = [0; 4];
    if from.read_exact(&mut length).is_err() {
        return Ok(None);
    }
    let length = u32::from_le_bytes(length) as usize;
    if length > max_bytes {
        return Err(FrameTooLarge(length));
    }
    let mut message = Vec::new();
    if message.try_reserve_exact(length).is_err() {
        return Err(FrameTooLarge(length));
    }
    match from.take(length as u64).read_to_end(&mut message) {
        Ok(read) if read == length => Ok(Some(message)),
        _ => Ok(None),
    }
}
