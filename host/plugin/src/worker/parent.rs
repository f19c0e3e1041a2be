//! Child processes, for work that this process must survive: compiling what a stranger wrote, and running native code.
//!
//! A worker is the same program started again, so nothing has to be installed beside it: the `alft` binary has a
//! hidden command for it, and whoever embeds this crate names a program that calls [`serve`]. Both sides speak in
//! frames: a length of four bytes, little-endian, and that many bytes.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::failure::shown;
use crate::{Limits, engine, remote};

/// The program that becomes a worker by calling [`serve`] with what follows `arguments`.
#[derive(Debug, Clone)]
pub struct Worker {
    /// The program.
    pub program: PathBuf,
    /// Arguments that make it call [`serve`].
    pub arguments: Vec<OsString>,
}

/// The jobs of a worker, as its last argument.
const COMPILE: &str = "compile";
pub(crate) const LIBRARY: &str = "library";

/// Writable memory that compiling may take: some hundred times the size of the code.
const COMPILE_MEMORY: u64 = 4 << 30;

/// Bytes kept of the end of what a worker writes to standard error.
const LAST_WORDS: usize = 2000;

/// A component to compile, and for which limits.
#[derive(Serialize, Deserialize)]
struct Order {
    limits: Limits,
    wasm: Vec<u8>,
}

impl Worker {
    /// Compiles a component within `limits.compile_ms` and returns the code.
    ///
    /// # Errors
    /// Why there is none: what the compiler says, or how it ended.
    pub(crate) fn compile(&self, wasm: &[u8], limits: &Limits) -> Result<Vec<u8>, String> {
        let order = Order { limits: limits.clone(), wasm: wasm.to_vec() };
        let patience = Duration::from_millis(limits.compile_ms);
        let code = Running::start(self, COMPILE, usize::MAX)
            .map_err(|error| format!("cannot start {}: {error}", self.program.display()))
            .and_then(|mut worker| {
                worker.ask(&encode(&order), patience).map_err(|end| match end {
                    End::Late => format!(
                        "compiling it takes longer than {} ms; raise `limits.compile_ms` if that is meant",
                        limits.compile_ms
                    ),
                    other => format!(
                        "the compiler {other}; it may take {} GiB of memory: if that is too little, smaller functions \
                         take less",
                        COMPILE_MEMORY >> 30
                    ),
                })
            })?;
        decode::<Result<Vec<u8>, String>>(&code)?
    }
}

/// A running worker. It ends when this is dropped.
pub(crate) struct Running {
    child: Child,
    /// Whether it was ended: from then on its number may be another's.
    ended: bool,
    requests: Sender<Vec<u8>>,
    replies: Receiver<Result<Vec<u8>, End>>,
    /// Comes when standard error has ended.
    last_words: Receiver<VecDeque<u8>>,
}

/// How a worker came to give no reply.
#[derive(Debug)]
pub(crate) enum End {
    /// It ran past its time.
    Late,
    /// Its reply has so many bytes.
    TooLarge(usize),
    /// It ended; this is how, and its last words.
    Died(String),
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Late => f.write_str("ran past its deadline"),
            Self::TooLarge(bytes) => write!(f, "handed back {bytes} bytes"),
            Self::Died(how) => f.write_str(how),
        }
    }
}

impl Running {
    /// Starts a worker whose replies may have `most` bytes.
    pub(crate) fn start(worker: &Worker, job: &str, most: usize) -> io::Result<Self> {
        let mut command = Command::new(&worker.program);
        command.args(&worker.arguments).arg(job);
        apart(&mut command);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let piped = "it was piped";
        let (mut input, mut output) = (child.stdin.take().expect(piped), child.stdout.take().expect(piped));
        let mut errors = child.stderr.take().expect(piped);
        // Threads, since a worker may neither read nor write nor end. Each is done when the worker is.
        let (requests, orders) = channel::<Vec<u8>>();
        std::thread::spawn(move || {
            while let Ok(request) = orders.recv()
                && write_frame(&mut input, &request).is_ok()
            {}
        });
        let (sender, replies) = channel();
        std::thread::spawn(move || {
            while let Some(reply) = read_frame(&mut output, most).transpose() {
                let last = reply.is_err();
                if sender.send(reply).is_err() || last {
                    break;
                }
            }
        });
        let (sender, last_words) = channel();
        std::thread::spawn(move || {
            let (mut words, mut some) = (VecDeque::new(), [0; 1024]);
            while let Ok(read @ 1..) = errors.read(&mut some) {
                words.extend(&some[..read]);
                let surplus = words.len().saturating_sub(LAST_WORDS);
                words.drain(..surplus);
            }
            // Nobody may want to hear them.
            let _ = sender.send(words);
        });
        Ok(Self { child, ended: false, requests, replies, last_words })
    }

    /// Asks and waits for the reply. After any [`End`] the worker is of no more use.
    pub(crate) fn ask(&mut self, request: &[u8], patience: Duration) -> Result<Vec<u8>, End> {
        // A worker that is gone is noticed at its reply.
        let _ = self.requests.send(request.to_vec());
        match self.replies.recv_timeout(patience) {
            Ok(reply) => reply,
            Err(RecvTimeoutError::Timeout) => Err(End::Late),
            Err(RecvTimeoutError::Disconnected) => {
                // Its output is closed, but it may go on living.
                let how = self.end().map_or_else(|error| error.to_string(), |status| status.to_string());
                // A process that it started may hold the pipe open for ever.
                let words = self.last_words.recv_timeout(Duration::from_secs(1)).unwrap_or_default();
                let words: Vec<u8> = words.into_iter().collect();
                let words = shown(String::from_utf8_lossy(&words).into_owned(), 3 * LAST_WORDS);
                let colon = if words.trim().is_empty() { "" } else { ": " };
                Err(End::Died(format!("ended with {how}{colon}{}", words.trim())))
            }
        }
    }

    /// Ends the worker, and whatever is left of its group.
    fn end(&mut self) -> io::Result<ExitStatus> {
        #[cfg(unix)]
        if !self.ended {
            let _ = rustix::process::kill_process_group(
                rustix::process::Pid::from_child(&self.child),
                rustix::process::Signal::KILL,
            );
        }
        self.ended = true;
        let _ = self.child.kill();
        self.child.wait()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

/// Gives a worker a process group of its own, so that what it starts in turn ends with it. (A library may leave the
/// group: it is trusted with all the rights of this user, and the group catches oversights.)
#[cfg(unix)]
fn apart(command: &mut Command) {
    std::os::unix::process::CommandExt::process_group(command, 0);
}

#[cfg(not(unix))]
fn apart(_: &mut Command) {}

/// Ends this worker and what it has started.
fn end_here() -> ! {
    #[cfg(unix)]
    if rustix::process::getpgrp() == rustix::process::getpid() {
        let _ = rustix::process::kill_current_process_group(rustix::process::Signal::KILL);
    }
    // Not by way of exit handlers: the library may have left some, or be in the middle of an endless loop.
    std::process::abort();
}

/// Does a worker's job: the last of `arguments`. Returns when the work is done; ends the process at once when whoever
/// started it is gone.
pub fn serve(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let job = arguments.into_iter().last().unwrap_or_default();
    let (mut input, mut output) = match private_streams() {
        Ok(streams) => streams,
        Err(error) => {
            eprintln!("a worker has no input or output: {error}");
            return ExitCode::FAILURE;
        }
    };
    let (sender, requests) = channel();
    std::thread::spawn(move || {
        while let Ok(Some(request)) = read_frame(&mut input, usize::MAX) {
            if sender.send(request).is_err() {
                return;
            }
        }
        end_here();
    });
    let own = std::process::id();
    // A library that forks returns twice. The twin has no more business here, and its reply would pass for the next.
    let mut reply = |bytes: &[u8]| match std::process::id() == own {
        true => write_frame(&mut output, bytes).is_ok(),
        false => std::process::abort(),
    };
    match job.to_str() {
        Some(COMPILE) => {
            hold(COMPILE_MEMORY);
            if let Ok(order) = requests.recv() {
                reply(&encode(&compile(&order)));
            }
            ExitCode::SUCCESS
        }
        Some(LIBRARY) => {
            remote::serve(&requests, &mut reply);
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("a worker has no job {}", job.display());
            ExitCode::FAILURE
        }
    }
}

fn compile(order: &[u8]) -> Result<Vec<u8>, String> {
    let order: Order = decode(order)?;
    let engine = wasmtime::Engine::new(&engine::config(&order.limits)).map_err(|error| error.to_string())?;
    engine.precompile_component(&order.wasm).map_err(|error| format!("{error:#}"))
}

/// Caps this process's writable memory, where the system can, and keeps its crashes off the disk.
#[cfg(target_os = "linux")]
pub(crate) fn hold(memory: u64) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    for (resource, wanted) in [(Resource::Data, memory), (Resource::Core, 0)] {
        let maximum = getrlimit(resource).maximum;
        let current = maximum.map_or(wanted, |maximum| maximum.min(wanted));
        // What the system refuses it refuses: the deadline is there all the same.
        let _ = setrlimit(resource, Rlimit { current: Some(current), maximum });
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn hold(_: u64) {}

/// Input and output for frames alone. What a library reads finds nothing, and what it prints goes where errors go.
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

fn write_frame(to: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    let length = u32::try_from(bytes.len()).map_err(|_| io::Error::other("a frame of 4 GiB"))?;
    to.write_all(&length.to_le_bytes())?;
    to.write_all(bytes)?;
    to.flush()
}

/// The next frame, or `None` at the end of the stream.
fn read_frame(from: &mut impl Read, most: usize) -> Result<Option<Vec<u8>>, End> {
    let mut length = [0; 4];
    if from.read_exact(&mut length).is_err() {
        return Ok(None);
    }
    let length = u32::from_le_bytes(length) as usize;
    if length > most {
        return Err(End::TooLarge(length));
    }
    let mut bytes = Vec::new();
    match from.take(length as u64).read_to_end(&mut bytes) {
        Ok(read) if read == length => Ok(Some(bytes)),
        _ => Ok(None),
    }
}

pub(crate) fn encode<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    postcard::to_stdvec(value).expect("plain data encodes")
}

pub(crate) fn decode<T: for<'a> Deserialize<'a>>(bytes: &[u8]) -> Result<T, String> {
    postcard::from_bytes(bytes).map_err(|error| format!("a reply that cannot be read: {error}"))
}
