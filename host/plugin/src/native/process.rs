//! A native library in a child process of its own: a crash, an abort or a hang costs the child, never the run.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use alft_sdk::Manifest;
use alft_sdk::batch::PromptTexts;
use alft_sdk::bundle::{Bundle, Valuation};
use serde::{Deserialize, Serialize};

use crate::batch::deadline::Deadline;
use crate::batch::bisect::{Attempt, Bill};
use crate::native::library::Library;
use crate::plugin::{Code, Roles};
use crate::worker::{self, End, Running, Worker};
use crate::{Error, Failure, FailureKind, Limits};

/// Starting a child and loading the library into it may take so long; within a call, no longer than its deadline leaves.
const START: Duration = Duration::from_secs(30);

/// Writable memory that a worker needs for itself.
const OWN_MEMORY: u64 = 256 << 20;

/// A library that lives elsewhere.
pub(crate) struct Remote {
    worker: Worker,
    path: PathBuf,
    limits: Limits,
    roles: Roles,
    /// `None` after it has died: the next call starts another.
    child: Mutex<Option<Running>>,
}

#[derive(Serialize, Deserialize)]
struct Open<'a> {
    path: Cow<'a, Path>,
    limits: Cow<'a, Limits>,
}

#[derive(Serialize, Deserialize)]
enum Request<'a> {
    Describe { config: Cow<'a, str> },
    Read { config: Cow<'a, str>, batch: Cow<'a, [PromptTexts]> },
    Score { config: Cow<'a, str>, batch: Cow<'a, [PromptTexts]> },
    Evaluate { config: Cow<'a, str>, batch: Cow<'a, [Bundle]> },
}

#[derive(Serialize, Deserialize)]
struct Reply<T> {
    result: Result<Vec<T>, Failure>,
    log: Vec<String>,
}

impl Remote {
    /// Loads the library at `path` into a child.
    pub(crate) fn open(path: &Path, limits: &Limits, worker: &Worker) -> Result<Self, Error> {
        let (child, roles) = start(path, limits, worker, START).map_err(|reason| Error::Load {
            path: path.into(),
            reason: format!("in a process of its own, it {reason}"),
        })?;
        let child = Mutex::new(Some(child));
        Ok(Self { worker: worker.clone(), path: path.into(), limits: limits.clone(), roles, child })
    }

    fn call<T: for<'a> Deserialize<'a>>(&self, request: &Request<'_>, deadline: Deadline) -> Attempt<T> {
        let begun = Instant::now();
        let (result, log) = match self.reply(&worker::encode(request), deadline) {
            Ok(Reply { result, log }) => (result, log),
            Err(failure) => (Err(failure), Vec::new()),
        };
        let bill = Bill { calls: 1, time: begun.elapsed(), ..Bill::default() };
        Attempt { result, bill, log }
    }

    fn reply<T: for<'a> Deserialize<'a>>(&self, request: &[u8], deadline: Deadline) -> Result<Reply<T>, Failure> {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        // Taken out: a child that fails is not put back.
        let mut running = match child.take() {
            Some(running) => running,
            None => {
                let crash = |reason| Failure::new(FailureKind::Crash, format!("its new process {reason}"));
                start(&self.path, &self.limits, &self.worker, deadline.left()).map_err(crash)?.0
            }
        };
        let reply = running.ask(request, deadline.left()).map_err(|end| match end {
            End::Late => deadline.missed(),
            End::TooLarge(bytes) => {
                let detail = format!("handed back {bytes} bytes; `limits.output` is {}", self.limits.output);
                Failure::new(FailureKind::Output, detail)
            }
            End::Died(how) => Failure::new(FailureKind::Crash, format!("its process {how}")),
        })?;
        let reply = worker::decode(&reply).map_err(|reason| Failure::new(FailureKind::Crash, reason))?;
        *child = Some(running);
        Ok(reply)
    }
}

fn start(path: &Path, limits: &Limits, worker: &Worker, patience: Duration) -> Result<(Running, Roles), String> {
    let mut child = Running::start(worker, worker::LIBRARY, limits.output)
        .map_err(|error| format!("cannot be started: {}: {error}", worker.program.display()))?;
    let open = Open { path: path.into(), limits: Cow::Borrowed(limits) };
    let roles = child.ask(&worker::encode(&open), patience.min(START)).map_err(|end| end.to_string())?;
    let roles =
        worker::decode::<Result<Roles, String>>(&roles)?.map_err(|reason| format!("does not load: {reason}"))?;
    Ok((child, roles))
}

impl Code for Remote {
    fn roles(&self) -> Roles {
        self.roles
    }

    fn describe(&self, config: &str) -> Attempt<Manifest> {
        self.call(&Request::Describe { config: config.into() }, Deadline::begin(&self.limits))
    }

    fn read(&self, config: &str, batch: &[PromptTexts], deadline: Deadline) -> Attempt<Vec<Option<String>>> {
        self.call(&Request::Read { config: config.into(), batch: batch.into() }, deadline)
    }

    fn score(&self, config: &str, batch: &[PromptTexts], deadline: Deadline) -> Attempt<Vec<f64>> {
        self.call(&Request::Score { config: config.into(), batch: batch.into() }, deadline)
    }

    fn evaluate(&self, config: &str, batch: &[Bundle], deadline: Deadline) -> Attempt<Valuation> {
        self.call(&Request::Evaluate { config: config.into(), batch: batch.into() }, deadline)
    }
}

/// The child's side: loads a library and makes the calls that are asked for.
pub(crate) fn serve(requests: &Receiver<Vec<u8>>, reply: &mut dyn FnMut(&[u8]) -> bool) {
    let Ok(Ok(open)) = requests.recv().map(|bytes| worker::decode::<Open<'_>>(&bytes)) else { return };
    worker::hold(OWN_MEMORY + open.limits.memory as u64);
    let library = match Library::load(&open.path, &open.limits) {
        Ok(library) => library,
        Err(error) => {
            reply(&worker::encode(&Err::<Roles, _>(error.to_string())));
            return;
        }
    };
    reply(&worker::encode(&Ok::<_, String>(library.roles())));
    while let Ok(Ok(request)) = requests.recv().map(|bytes| worker::decode::<Request<'_>>(&bytes)) {
        // The parent keeps the time.
        let deadline = Deadline::begin(&open.limits);
        let done = match request {
            Request::Describe { config } => answer(library.describe(&config)),
            Request::Read { config, batch } => answer(library.read(&config, &batch, deadline)),
            Request::Score { config, batch } => answer(library.score(&config, &batch, deadline)),
            Request::Evaluate { config, batch } => answer(library.evaluate(&config, &batch, deadline)),
        };
        if !reply(&done) {
            return;
        }
    }
}

fn answer<T: Serialize>(attempt: Attempt<T>) -> Vec<u8> {
    worker::encode(&Reply { result: attempt.result, log: attempt.log })
}
