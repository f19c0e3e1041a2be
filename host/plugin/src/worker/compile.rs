//! The job of compiling a component in a child process, under a time and a memory limit and a limit of the code's size.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use super::parent::{Worker, WorkerError, WorkerProcess};
use super::protocol::{COMPILE, CompileReply, CompileRequest, decode, encode};
use crate::error::CompileError;
use crate::foreign::ForeignError;
use crate::limits::Limits;
use crate::wasm::engine;

/// Writable memory of the compiler, in MiB. It needs some hundred times the size of a function, and several times the size
/// of the component.
pub(super) const MEMORY_MIB: u64 = 896;

/// Compiles a component in a child process and returns the code.
pub(crate) fn compile(worker: &Worker, wasm: &[u8], limits: &Limits) -> Result<Vec<u8>, CompileError> {
    let limit = limits.compiled_size;
    let failed = |source| match source {
        WorkerError::Deadline => CompileError::TimeLimit { ms: limits.compile_ms },
        WorkerError::ReplyTooLarge { bytes } => CompileError::TooLarge { bytes: bytes as u64, limit },
        source => CompileError::Worker { memory_mib: MEMORY_MIB, source },
    };
    let request = encode(&CompileRequest { limits: Cow::Borrowed(limits), wasm: wasm.into() });
    let deadline = Instant::now() + Duration::from_millis(limits.compile_ms);
    let left = || deadline.saturating_duration_since(Instant::now());
    let max_bytes = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut process = WorkerProcess::start(worker, COMPILE, max_bytes).map_err(failed)?;
    let reply = process.request(request, left()).map_err(failed)?;
    match decode(&reply).map_err(|error| failed(error.into()))? {
        CompileReply::Compiled => process.next_reply(left()).map_err(failed),
        CompileReply::TooLarge { bytes } => Err(CompileError::TooLarge { bytes, limit }),
        CompileReply::Invalid(error) => Err(error.into()),
    }
}

/// The child's side: compiles the component of an encoded [`CompileRequest`].
pub(super) fn serve(request: &[u8], reply: &mut dyn FnMut(&[u8]) -> bool) {
    match compiled(request) {
        Err(refused) => reply(&encode(&refused)),
        // The code is a frame of its own, so that neither side copies it.
        Ok(code) => reply(&encode(&CompileReply::Compiled)) && reply(&code),
    };
}

fn compiled(request: &[u8]) -> Result<Vec<u8>, CompileReply> {
    let invalid = |error: wasmtime::Error| CompileReply::Invalid(error.into());
    let CompileRequest { limits, wasm } =
        decode(request).map_err(|error| CompileReply::Invalid(ForeignError::new(&error)))?;
    let engine = wasmtime::Engine::new(&engine::config(&limits)).map_err(invalid)?;
    let code = engine.precompile_component(&wasm).map_err(invalid)?;
    match code.len() as u64 {
        bytes if bytes > limits.compiled_size => Err(CompileReply::TooLarge { bytes }),
        _ => Ok(code),
    }
}
