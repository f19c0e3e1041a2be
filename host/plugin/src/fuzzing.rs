//! Entrances for the fuzz targets in `tests/fuzz` to code that has no public function. No part of the crate's interface.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use alft_sdk::Manifest;
use alft_sdk::roles::{Batch, Roles};
use serde::{Deserialize, Serialize};

use crate::backend::Backend;
use crate::batch::call::{CallResult, Usage};
use crate::batch::deadline::Deadline;
use crate::error::Error;
use crate::failure::{Failure, FailureKind};
use crate::ledger::{Link, link};
use crate::plugin::Plugin;
use crate::source::{Form, Source};
use crate::worker::protocol::{
    CallReply, CompileReply, CompileRequest, DescribeReply, LibraryRequest, OpenReply, OpenRequest, decode, encode,
    read_frame, write_frame,
};

/// Returns the messages of a stream of frames, up to the first frame that is broken or longer than `max_bytes`.
pub fn messages(mut stream: &[u8], max_bytes: usize) -> Vec<Vec<u8>> {
    std::iter::from_fn(|| read_frame(&mut stream, max_bytes).ok().flatten()).collect()
}

/// Returns the frame of a message.
pub fn frame(message: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    write_frame(&mut frame, message).expect("a vector can be written to");
    frame
}

/// Decodes a message as each of the protocol's types, and asserts that a value is encoded and decoded again without loss.
pub fn message(bytes: &[u8]) {
    fn round_trip<T: Serialize + for<'a> Deserialize<'a>>(bytes: &[u8]) {
        let Ok(value) = decode::<T>(bytes) else { return };
        let encoded = encode(&value);
        let again = decode::<T>(&encoded).expect("an encoded message can be decoded");
        assert_eq!(encode(&again), encoded);
    }
    round_trip::<CompileRequest<'_>>(bytes);
    round_trip::<CompileReply>(bytes);
    round_trip::<OpenRequest<'_>>(bytes);
    round_trip::<OpenReply>(bytes);
    round_trip::<LibraryRequest<'_>>(bytes);
    round_trip::<DescribeReply>(bytes);
    round_trip::<CallReply>(bytes);
}

/// Opens a plugin whose child process answers with these messages in turn, and then ends.
///
/// # Errors
/// Fails if the process does not open a library, or refuses the configuration.
pub fn plugin(source: &Source, replies: Vec<Vec<u8>>) -> Result<Plugin, Error> {
    let mut replies = replies.into_iter();
    let opened = replies.next().and_then(|reply| decode::<OpenReply>(&reply).ok()).and_then(Result::ok);
    let backend = Replies { roles: opened.unwrap_or_default(), left: Mutex::new(replies) };
    Plugin::start(Box::new(backend), source, String::new(), None)
}

/// The replies of a child process.
struct Replies {
    roles: Roles,
    left: Mutex<std::vec::IntoIter<Vec<u8>>>,
}

impl Replies {
    fn next<R: for<'a> Deserialize<'a>>(&self) -> Result<R, Failure> {
        let reply = self.left.lock().unwrap_or_else(PoisonError::into_inner).next();
        let crash = |detail: &str| Failure::new(FailureKind::Crash, detail);
        decode(&reply.ok_or_else(|| crash("its child process ended"))?).map_err(|error| crash(&error.to_string()))
    }
}

impl Backend for Replies {
    fn form(&self) -> Form {
        Form::NativeProcess
    }

    fn roles(&self) -> Roles {
        self.roles
    }

    fn describe(&self, _: &str) -> Result<Manifest, Failure> {
        self.next::<DescribeReply>()?
    }

    fn call(&self, _: &str, _: &Batch<'_>, _: Deadline) -> CallResult {
        let (result, log) = match self.next() {
            Ok(CallReply { result, log }) => (result, log),
            Err(failure) => (Err(failure), Vec::new()),
        };
        CallResult { result, usage: Usage::unmetered(Duration::ZERO), log }
    }
}

/// The bytes of a ledger with right lengths and hashes around any bodies.
#[derive(Debug, Default)]
pub struct LedgerBytes {
    bytes: Vec<u8>,
    link: Link,
}

impl LedgerBytes {
    /// Appends a frame with a body as it is.
    pub fn push_body(&mut self, body: &[u8]) {
        self.link = link(&self.link, body);
        let length = u32::try_from(body.len()).expect("a fuzzer's input is short").to_le_bytes();
        self.bytes.extend([&length[..], &self.link, body].concat());
    }

    /// Appends a frame with an encoded record.
    pub fn push_record(&mut self, record: &[u8]) {
        self.push_body(&lz4_flex::compress_prepend_size(record));
    }

    /// Returns the bytes of the file.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}
