//! The child's side of a worker.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, channel};

use alft_text::Foreign;

use super::compile;
use super::protocol::{
    COMPILE, CallReply, LIBRARY, LibraryRequest, OpenReply, OpenRequest, decode, encode, read_frame, write_frame,
};
use crate::backend::Backend;
use crate::batch::deadline::Deadline;
use crate::foreign::ForeignError;
use crate::native::library::NativeBackend;

/// Writable memory of the process itself, in bytes, without the library's.
const PROCESS_MEMORY: u64 = 256 << 20;

/// Does a worker's job, which the last of `arguments` names. Returns when the job is done. Ends the process if the parent
/// dies before that.
pub fn serve(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let job = arguments.into_iter().last().unwrap_or_default();
    let (mut input, mut output) = match private_streams() {
        Ok(streams) => streams,
        Err(error) => {
            eprintln!("the worker has no input or output: {error}");
            return ExitCode::FAILURE;
        }
    };
    let (received, requests) = channel();
    std::thread::spawn(move || {
        while let Ok(Some(request)) = read_frame(&mut input, usize::MAX) {
            if received.send(request).is_err() {
                return;
            }
        }
        end_process_group();
    });
    let pid = std::process::id();
    // If a library forks, its call returns in both processes. The new process must not reply: the parent would take it for
    // the reply to the next request.
    let mut reply = |message: &[u8]| match std::process::id() == pid {
        true => write_frame(&mut output, message).is_ok(),
        false => std::process::abort(),
    };
    match job.to_str() {
        Some(COMPILE) => {
            limit_memory(compile::MEMORY_MIB << 20);
            if let Ok(request) = requests.recv() {
                compile::serve(&request, &mut reply);
            }
            ExitCode::SUCCESS
        }
        Some(LIBRARY) => {
            serve_library(&requests, &mut reply);
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("a worker cannot do the job {}", Foreign::path(&job));
            ExitCode::FAILURE
        }
    }
}

/// Loads a library and makes the calls that are requested.
fn serve_library(requests: &Receiver<Vec<u8>>, reply: &mut dyn FnMut(&[u8]) -> bool) {
    let Ok(Ok(open)) = requests.recv().map(|request| decode::<OpenRequest<'_>>(&request)) else { return };
    limit_memory(PROCESS_MEMORY + open.limits.memory as u64);
    let library = match NativeBackend::load(&open.path, &open.copy, &open.limits) {
        Ok(library) => library,
        Err(error) => {
            reply(&encode::<OpenReply>(&Err(ForeignError::new(&error))));
            return;
        }
    };
    reply(&encode::<OpenReply>(&Ok(library.roles())));
    while let Ok(Ok(request)) = requests.recv().map(|request| decode::<LibraryRequest<'_>>(&request)) {
        let message = match request {
            LibraryRequest::Describe { config } => encode(&library.describe(&config)),
            LibraryRequest::Call { config, batch } => {
                // The parent keeps the time.
                let called = library.call(&config, &batch, Deadline::of_batch(&open.limits));
                encode(&CallReply { result: called.result, log: called.log })
            }
        };
        if !reply(&message) {
            return;
        }
    }
}

/// Ends this process and its process group at once. Exit handlers do not run: a library may have left some, or may be in
/// an endless loop.
fn end_process_group() -> ! {
    #[cfg(unix)]
    if rustix::process::getpgrp() == rustix::process::getpid() {
        let _ = rustix::process::kill_current_process_group(rustix::process::Signal::KILL);
    }
    std::process::abort();
}

/// Limits the writable memory of this process and turns core dumps off, where the system can.
#[cfg(target_os = "linux")]
fn limit_memory(bytes: u64) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    for (resource, wanted) in [(Resource::Data, bytes), (Resource::Core, 0)] {
        let maximum = getrlimit(resource).maximum;
        let current = maximum.map_or(wanted, |maximum| maximum.min(wanted));
        // If the system refuses, the deadline still holds.
        let _ = setrlimit(resource, Rlimit { current: Some(current), maximum });
    }
}

#[cfg(not(target_os = "linux"))]
fn limit_memory(_: u64) {}

/// Moves the standard streams out of a library's reach: what it reads is empty, and what it prints goes to standard error.
#[cfg(unix)]
fn private_streams() -> io::Result<(File, File)> {
    let input = rustix::io::dup(io::stdin())?.into();
    let output = rustix::io::dup(io::stdout())?.into();
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    rustix::stdio::dup2_stdout(io::stderr())?;
    Ok((input, output))
}

#[cfg(not(unix))]
fn private_streams() -> io::Result<(io::Stdin, io::Stdout)> {
    Ok((io::stdin(), io::stdout()))
}
