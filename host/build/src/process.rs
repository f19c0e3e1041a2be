//! Runs other programs in a clean environment, with a time limit, and passes on their output line by line.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fmt;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use alft_text::Foreign;

/// The number of lines of standard error that a [`CommandError`] keeps.
const TAIL: usize = 60;

/// A program that did not start, failed, or took too long.
#[derive(Debug, thiserror::Error)]
#[error("`{command}` {outcome}{}{stderr}", if stderr.is_empty() { "" } else { "\n" })]
pub struct CommandError {
    /// The command line.
    pub command: String,
    /// The end of the program.
    pub outcome: Outcome,
    /// The last lines that the program wrote to standard error.
    pub stderr: String,
    /// The system's reason, if the program did not start or could not be waited for.
    pub source: Option<std::io::Error>,
}

/// The end of a program that did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// There is no program of this name.
    NotFound(String),
    /// The system refused to start the program, or lost it.
    NotRun,
    /// The program failed.
    Failed(ExitStatus),
    /// The program was stopped after this time.
    TimedOut(Duration),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound(program) if matches!(program.as_str(), "cargo" | "rustc") => {
                write!(f, "cannot run: {program} is not on PATH; install Rust, or add its bin folder to PATH")
            }
            Self::NotFound(program) => write!(f, "cannot run: {program} is not installed"),
            Self::NotRun => f.write_str("cannot run"),
            Self::Failed(status) => write!(f, "failed: {status}"),
            Self::TimedOut(limit) => write!(f, "was stopped after {} s", limit.as_secs()),
        }
    }
}

/// Returns a command that runs in `dir`, so that the rust-toolchain.toml and .cargo/config.toml there apply.
///
/// An outer `cargo run` or `cargo test` sets variables that describe *its* package, flags and profile. They are removed:
/// they would get into the plugin, or make cargo build the plugin anew each time. Variables that say where and how to
/// download (CARGO_HOME, CARGO_NET_*, RUSTUP_TOOLCHAIN) and RUSTC_WRAPPER stay.
pub(crate) fn command(program: impl AsRef<OsStr>, dir: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(dir).env("CARGO_TERM_PROGRESS_WHEN", "never").env("CARGO_TERM_COLOR", "never");
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(describes_outer_package) {
            command.env_remove(name);
        }
    }
    command
}

/// Returns true for environment variables that an outer cargo sets for the package it builds.
fn describes_outer_package(name: &str) -> bool {
    const PREFIXES: [&str; 6] =
        ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CFG_", "CARGO_FEATURE_", "CARGO_PROFILE_"];
    const NAMES: [&str; 11] = [
        "CARGO",
        "CARGO_CRATE_NAME",
        "CARGO_ENCODED_RUSTFLAGS",
        "CARGO_MAKEFLAGS",
        "CARGO_PRIMARY_PACKAGE",
        "CARGO_TARGET_TMPDIR",
        "OUT_DIR",
        "RUSTC_WORKSPACE_WRAPPER",
        "RUSTFLAGS",
        // Counts nested rustup proxies, and stops at a depth that nested cargos reach.
        "RUST_RECURSION_COUNT",
        "RUSTDOCFLAGS",
    ];
    NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Runs a command to its end and returns its standard output. `on_line` gets every line of standard error as it is
/// written; a failure carries the last of them. The command is stopped after `limit`.
pub(crate) fn run_with(
    command: &mut Command,
    limit: Option<Duration>,
    on_line: &dyn Fn(&str),
) -> Result<String, CommandError> {
    let line = command_line(command);
    let fail = |outcome, source, tail: &VecDeque<String>| CommandError {
        command: line.clone(),
        outcome,
        stderr: tail.iter().map(String::as_str).collect::<Vec<_>>().join("\n"),
        source,
    };
    let (mut output, mut tail) = (String::new(), VecDeque::new());
    let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = spawned.map_err(|error| match error.kind() {
        ErrorKind::NotFound => fail(Outcome::NotFound(Foreign::path(&command.get_program()).to_string()), None, &tail),
        _ => fail(Outcome::NotRun, Some(error), &tail),
    })?;

    let started = Instant::now();
    let (sender, lines) = channel();
    forward(child.stdout.take(), sender.clone(), Stream::Out);
    forward(child.stderr.take(), sender, Stream::Err);
    let mut exited = false;
    loop {
        match lines.recv_timeout(Duration::from_millis(100)) {
            Ok((Stream::Out, text)) => output.push_str(&text),
            Ok((Stream::Err, text)) => {
                let text = text.trim_end();
                on_line(text);
                tail.push_back(text.to_owned());
                if tail.len() > TAIL {
                    tail.pop_front();
                }
            }
            Err(RecvTimeoutError::Disconnected) => break,
            // A daemon that the command started (the server of a compiler cache) may hold the pipes open for ever.
            Err(RecvTimeoutError::Timeout) if exited => break,
            Err(RecvTimeoutError::Timeout) => exited = matches!(child.try_wait(), Ok(Some(_))),
        }
        if !exited && limit.is_some_and(|limit| started.elapsed() > limit) {
            // A child that cannot be killed is abandoned: the caller can do no more about it.
            let _ = child.kill().and_then(|()| child.wait());
            return Err(fail(Outcome::TimedOut(started.elapsed()), None, &tail));
        }
    }
    match child.wait() {
        Ok(status) if status.success() => Ok(output),
        Ok(status) => Err(fail(Outcome::Failed(status), None, &tail)),
        Err(error) => Err(fail(Outcome::NotRun, Some(error), &tail)),
    }
}

/// Runs a command to its end and returns its standard output.
pub(crate) fn run(command: &mut Command) -> Result<String, CommandError> {
    run_with(command, None, &|_| {})
}

#[derive(Clone, Copy)]
enum Stream {
    Out,
    Err,
}

/// Sends the lines of a pipe to a channel, from a new thread.
fn forward(pipe: Option<impl Read + Send + 'static>, sender: Sender<(Stream, String)>, stream: Stream) {
    let Some(pipe) = pipe else { return };
    thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        let mut bytes = Vec::new();
        while pipe.read_until(b'\n', &mut bytes).is_ok_and(|read| read > 0) {
            if sender.send((stream, String::from_utf8_lossy(&bytes).into_owned())).is_err() {
                break;
            }
            bytes.clear();
        }
    });
}

fn command_line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    #[test]
    fn variables_of_an_outer_build_are_removed_and_download_settings_stay() {
        for name in ["CARGO_PKG_NAME", "CARGO_MANIFEST_DIR", "RUSTFLAGS", "CARGO_PROFILE_RELEASE_LTO", "OUT_DIR"] {
            assert!(describes_outer_package(name), "{name}");
        }
        for name in ["CARGO_HOME", "CARGO_NET_OFFLINE", "CARGO_TARGET_DIR", "RUSTC_WRAPPER", "RUSTUP_TOOLCHAIN", "PATH"]
        {
            assert!(!describes_outer_package(name), "{name}");
        }
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = run(&mut Command::new("alft-no-such-program")).unwrap_err();
        assert!(error.to_string().contains("alft-no-such-program is not installed"), "{error}");
    }

    #[cfg(unix)]
    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[cfg(unix)]
    #[test]
    fn stdout_is_returned_and_stderr_is_passed_on() {
        let lines = RefCell::new(Vec::new());
        let on_line = |line: &str| lines.borrow_mut().push(line.to_owned());
        let output = run_with(&mut shell("echo data; echo talk >&2"), None, &on_line);
        assert_eq!(output.unwrap(), "data\n");
        assert_eq!(*lines.borrow(), ["talk"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_failure_carries_the_status_and_the_end_of_stderr() {
        let error = run(&mut shell("seq 1 100 >&2; exit 3")).unwrap_err();
        assert!(matches!(error.outcome, Outcome::Failed(status) if status.code() == Some(3)), "{error}");
        assert!(error.command.starts_with("sh -c"), "{error}");
        assert!(error.stderr.starts_with("41\n") && error.stderr.ends_with("\n100"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_command_is_stopped_at_its_limit() {
        let error = run_with(&mut shell("exec sleep 60"), Some(Duration::from_millis(200)), &|_| {}).unwrap_err();
        assert!(matches!(error.outcome, Outcome::TimedOut(_)), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_daemon_that_holds_the_pipes_is_not_waited_for() {
        let started = Instant::now();
        let output = run(&mut shell("sleep 20 & echo data")).unwrap();
        assert_eq!(output, "data\n");
        assert!(started.elapsed() < Duration::from_secs(10));
    }
}
