//! The parent's side of a worker: starting the process, waiting for its replies and ending it.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, Read};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use alft_text::Foreign;

use super::protocol::{FrameTooLarge, read_frame, write_frame};
use crate::foreign::{indent, sanitize};

/// Bytes that are kept of the end of a worker's standard error.
const STDERR_BYTES: usize = 2000;

/// Time between two looks at a worker that does not reply.
const EXIT_POLL: Duration = Duration::from_millis(50);

/// Time for which the last reply of a dead worker is awaited.
const LAST_REPLY_WAIT: Duration = Duration::from_millis(200);

/// Time for which the standard error of a dead worker is awaited. A process that the worker started may keep it open.
const STDERR_WAIT: Duration = Duration::from_secs(1);

/// The program that workers run.
#[derive(Debug, Clone)]
pub struct Worker {
    /// Path of the program.
    pub program: PathBuf,
    /// Arguments with which the program calls [`serve`](super::serve).
    pub arguments: Vec<OsString>,
}

/// A worker that gave no reply.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum WorkerError {
    #[error("the path of the running program cannot be determined")]
    CurrentExe(#[source] io::Error),

    #[error("the worker {} cannot be started", Foreign::path(program))]
    Start { program: PathBuf, source: io::Error },

    #[error("the worker ran past its deadline")]
    Deadline,

    #[error("the worker returned {bytes} bytes")]
    ReplyTooLarge { bytes: usize },

    #[error("the worker ended with {status}{}{}", if stderr.is_empty() { "" } else { ": " }, indent(stderr))]
    Died { status: String, stderr: String },

    #[error("the worker's reply cannot be decoded")]
    Decode(#[from] postcard::Error),
}

impl Worker {
    /// Returns the running program as the worker program.
    ///
    /// # Errors
    /// Fails if the system does not know the program's path.
    pub fn current_exe(arguments: Vec<OsString>) -> Result<Self, WorkerError> {
        Ok(Self { program: std::env::current_exe().map_err(WorkerError::CurrentExe)?, arguments })
    }
}

/// A running worker. Dropping it ends the process and its process group.
pub(crate) struct WorkerProcess {
    child: Child,
    /// True once the child was reaped. Its pid may be reused after that and must not be signalled.
    reaped: bool,
    requests: Sender<Vec<u8>>,
    replies: Receiver<Result<Vec<u8>, FrameTooLarge>>,
    /// The end of standard error, as far as it was read.
    stderr: Arc<Mutex<VecDeque<u8>>>,
    /// Disconnected once standard error is closed.
    stderr_open: Receiver<()>,
}

impl WorkerProcess {
    /// Starts a worker for a job. Its replies may have `max_reply_bytes` bytes each.
    pub(crate) fn start(worker: &Worker, job: &str, max_reply_bytes: usize) -> Result<Self, WorkerError> {
        let mut command = Command::new(&worker.program);
        command.args(&worker.arguments).arg(job);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        own_process_group(&mut command);
        let start = |source| WorkerError::Start { program: worker.program.clone(), source };
        let mut child = command.spawn().map_err(start)?;
        let piped = "the stream is piped";
        let (mut stdin, mut stdout) = (child.stdin.take().expect(piped), child.stdout.take().expect(piped));
        let mut stderr = child.stderr.take().expect(piped);
        // Threads, because a worker may neither read nor write nor end. Each ends with the worker.
        let (requests, requested) = channel::<Vec<u8>>();
        std::thread::spawn(move || {
            while let Ok(request) = requested.recv()
                && write_frame(&mut stdin, &request).is_ok()
            {}
        });
        let (replied, replies) = channel();
        std::thread::spawn(move || {
            while let Some(reply) = read_frame(&mut stdout, max_reply_bytes).transpose() {
                let last = reply.is_err();
                if replied.send(reply).is_err() || last {
                    break;
                }
            }
        });
        let stderr_end = Arc::new(Mutex::new(VecDeque::new()));
        let (open, stderr_open) = channel::<()>();
        let end = Arc::clone(&stderr_end);
        std::thread::spawn(move || {
            let _open = open;
            let mut buffer = [0; 1024];
            while let Ok(read @ 1..) = stderr.read(&mut buffer) {
                let mut end = end.lock().unwrap_or_else(PoisonError::into_inner);
                end.extend(&buffer[..read]);
                let surplus = end.len().saturating_sub(STDERR_BYTES);
                end.drain(..surplus);
            }
        });
        Ok(Self { child, reaped: false, requests, replies, stderr: stderr_end, stderr_open })
    }

    /// Sends a request and waits for the reply. After an error the worker must not be used again.
    pub(crate) fn request(&mut self, request: Vec<u8>, timeout: Duration) -> Result<Vec<u8>, WorkerError> {
        // If the worker is dead, there will be no reply either.
        let _ = self.requests.send(request);
        self.next_reply(timeout)
    }

    /// Waits for a further reply to the last request.
    pub(crate) fn next_reply(&mut self, timeout: Duration) -> Result<Vec<u8>, WorkerError> {
        let started = Instant::now();
        let mut wait = EXIT_POLL;
        loop {
            let left = timeout.saturating_sub(started.elapsed());
            match self.replies.recv_timeout(wait.min(left)) {
                Ok(Ok(reply)) => return Ok(reply),
                Ok(Err(FrameTooLarge(bytes))) => return Err(WorkerError::ReplyTooLarge { bytes }),
                Err(RecvTimeoutError::Disconnected) => return Err(self.died()),
                // The worker has ended, and what it replied before that has had time to arrive.
                Err(RecvTimeoutError::Timeout) if wait == LAST_REPLY_WAIT => return Err(self.died()),
                Err(RecvTimeoutError::Timeout) if self.has_ended() => wait = LAST_REPLY_WAIT,
                Err(RecvTimeoutError::Timeout) if left <= wait => return Err(WorkerError::Deadline),
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// Returns true if the worker has ended, also if a process that it started keeps its streams open.
    #[cfg(unix)]
    fn has_ended(&mut self) -> bool {
        use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
        // The worker is not reaped yet: its pid, which is that of its process group too, must not be reused before the group
        // was ended.
        let ended = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        matches!(waitid(WaitId::Pid(Pid::from_child(&self.child)), ended), Ok(Some(_)))
    }

    #[cfg(not(unix))]
    fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    /// Returns the error of a worker that has closed its output. The process may still run.
    fn died(&mut self) -> WorkerError {
        let status = self.end().map_or_else(|error| error.to_string(), |status| status.to_string());
        // Nothing is ever sent: this waits for the end of the stream.
        let _ = self.stderr_open.recv_timeout(STDERR_WAIT);
        let stderr: Vec<u8> = self.stderr.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect();
        // Escapes make the text longer.
        let stderr = sanitize(String::from_utf8_lossy(&stderr).into_owned(), 3 * STDERR_BYTES);
        WorkerError::Died { status, stderr: stderr.trim().into() }
    }

    /// Kills the worker and its process group, and reaps the worker.
    fn end(&mut self) -> io::Result<ExitStatus> {
        #[cfg(unix)]
        if !self.reaped {
            let _ = rustix::process::kill_process_group(
                rustix::process::Pid::from_child(&self.child),
                rustix::process::Signal::KILL,
            );
        }
        self.reaped = true;
        let _ = self.child.kill();
        self.child.wait()
    }
}

impl Drop for WorkerProcess {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

/// Starts the worker in a new process group, so that processes which a library starts end with it. A library can leave the
/// group: it has all the rights of the user, and the group only catches oversights.
#[cfg(unix)]
fn own_process_group(command: &mut Command) {
    std::os::unix::process::CommandExt::process_group(command, 0);
}

#[cfg(not(unix))]
fn own_process_group(_: &mut Command) {}
