//! The job of compiling a component in a child process, under a time and a memory limit.

use std::borrow::Cow;
use std::time::Duration;

use super::parent::{Worker, WorkerError, WorkerProcess};
use super::protocol::{COMPILE, CompileReply, CompileRequest, decode, encode};
use crate::error::CompileError;
use crate::foreign::ForeignError;
use crate::limits::Limits;
use crate::wasm::engine;

/// Writable memory of the compiler, in GiB. It needs some hundred times the size of the code.
pub(super) const MEMORY_GIB: u64 = 4;

/// Compiles a component in a child process and returns the code.
pub(crate) fn compile(worker: &Worker, wasm: &[u8], limits: &Limits) -> Result<Vec<u8>, CompileError> {
    let failed = |source| match source {
        WorkerError::Deadline => CompileError::TimeLimit { ms: limits.compile_ms },
        source => CompileError::Worker { memory_gib: MEMORY_GIB, source },
    };
    let request = encode(&CompileRequest { limits: Cow::Borrowed(limits), wasm: wasm.into() });
    let mut process = WorkerProcess::start(worker, COMPILE, usize::MAX).map_err(failed)?;
    let reply = process.request(&request, Duration::from_millis(limits.compile_ms)).map_err(failed)?;
    let compiled: CompileReply = decode(&reply).map_err(|error| failed(error.into()))?;
    Ok(compiled?)
}

/// The child's side: compiles the component of an encoded [`CompileRequest`].
pub(super) fn serve(request: &[u8]) -> CompileReply {
    let CompileRequest { limits, wasm } = decode(request).map_err(|error| ForeignError::new(&error))?;
    let engine = wasmtime::Engine::new(&engine::config(&limits))?;
    Ok(engine.precompile_component(&wasm)?)
}
