//! [`ProcessBackend`]: a library in a child process. If it crashes, aborts or hangs, it costs the child and not the run.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use alft_sdk::Manifest;
use alft_sdk::roles::{Batch, Roles};
use serde::Deserialize;

use crate::backend::Backend;
use crate::batch::call::{CallResult, Usage};
use crate::batch::deadline::Deadline;
use crate::error::{Error, LoadError};
use crate::failure::{Failure, FailureKind};
use crate::foreign::chain;
use crate::limits::Limits;
use crate::source::Form;
use crate::worker::parent::{Worker, WorkerError, WorkerProcess};
use crate::worker::protocol::{
    CallReply, DescribeReply, LIBRARY, LibraryRequest, OpenReply, OpenRequest, decode, encode,
};

/// Time for starting a child and loading the library into it. Within a call, the deadline may leave less.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// The paths of a library.
struct Paths {
    library: PathBuf,
    copy: PathBuf,
}

/// A library in a child process.
pub(crate) struct ProcessBackend {
    worker: Worker,
    /// Path of the library, for errors, and of the copy that is loaded.
    paths: Paths,
    limits: Limits,
    roles: Roles,
    /// `None` after the child has died. The next call starts another.
    child: Mutex<Option<WorkerProcess>>,
}

impl ProcessBackend {
    /// Loads a copy of the library at `path` into a child process. Errors name `path`.
    pub(crate) fn start(path: &Path, copy: &Path, limits: &Limits, worker: &Worker) -> Result<Self, Error> {
        let paths = Paths { library: path.into(), copy: copy.into() };
        let (child, roles) = start_child(&paths, limits, worker, START_TIMEOUT)
            .map_err(|source| Error::Load { path: path.into(), source })?;
        let child = Mutex::new(Some(child));
        Ok(Self { worker: worker.clone(), paths, limits: limits.clone(), roles, child })
    }

    fn request<R: for<'a> Deserialize<'a>>(
        &self,
        request: &LibraryRequest<'_>,
        deadline: Deadline,
    ) -> Result<R, Failure> {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        // A child that fails is not put back.
        let mut process = match child.take() {
            Some(process) => process,
            None => {
                start_child(&self.paths, &self.limits, &self.worker, deadline.remaining()).map_err(restart_failure)?.0
            }
        };
        let reply = process.request(encode(request), deadline.remaining());
        let reply = reply.and_then(|reply| Ok(decode(&reply)?)).map_err(|error| self.failure(error, deadline))?;
        *child = Some(process);
        Ok(reply)
    }

    fn failure(&self, error: WorkerError, deadline: Deadline) -> Failure {
        match error {
            WorkerError::Deadline => deadline.exceeded(),
            WorkerError::ReplyTooLarge { bytes } => {
                let detail = format!("returned {bytes} bytes; `limits.output` is {}", self.limits.output);
                Failure::new(FailureKind::Output, detail)
            }
            WorkerError::Died { status, stderr } if stderr.is_empty() => {
                Failure::new(FailureKind::Crash, format!("its child process ended with {status}"))
            }
            WorkerError::Died { status, stderr } => {
                Failure::new(FailureKind::Crash, format!("its child process ended with {status}: {stderr}"))
            }
            error => Failure::new(FailureKind::Crash, chain(&error)),
        }
    }
}

impl Backend for ProcessBackend {
    fn form(&self) -> Form {
        Form::NativeProcess
    }

    fn roles(&self) -> Roles {
        self.roles
    }

    fn describe(&self, config: &str) -> Result<Manifest, Failure> {
        let request = LibraryRequest::Describe { config: config.into() };
        self.request::<DescribeReply>(&request, Deadline::of_batch(&self.limits))?
    }

    fn call(&self, config: &str, batch: &Batch<'_>, deadline: Deadline) -> CallResult {
        let started = Instant::now();
        let request = LibraryRequest::Call { config: config.into(), batch: batch.borrowed() };
        let (result, log) = match self.request(&request, deadline) {
            Ok(CallReply { result, log }) => (result, log),
            Err(failure) => (Err(failure), Vec::new()),
        };
        CallResult { result, usage: Usage::unmetered(started.elapsed()), log }
    }
}

fn start_child(
    paths: &Paths,
    limits: &Limits,
    worker: &Worker,
    timeout: Duration,
) -> Result<(WorkerProcess, Roles), LoadError> {
    let mut process = WorkerProcess::start(worker, LIBRARY, limits.output)?;
    let Paths { library, copy } = paths;
    let open = OpenRequest { path: library.into(), copy: copy.into(), limits: Cow::Borrowed(limits) };
    let reply = process.request(encode(&open), timeout.min(START_TIMEOUT))?;
    let opened: OpenReply = decode(&reply).map_err(WorkerError::from)?;
    Ok((process, opened.map_err(LoadError::Child)?))
}

fn restart_failure(error: LoadError) -> Failure {
    Failure::new(FailureKind::Crash, format!("cannot be started again: {}", chain(&error)))
}
