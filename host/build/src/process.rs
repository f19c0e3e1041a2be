//! Runs other programs: in a clean environment, with a time limit, telling what they say as they say it.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Error, Failed};

/// How many lines of standard error a failure carries.
const TAIL: usize = 60;

/// A command of the Rust toolchain, run in `dir` (whose rust-toolchain.toml and .cargo/config.toml count).
///
/// An outer `cargo run` or `cargo test` leaves variables behind that describe *its* package, and its flags and
/// profile; they would end up in the plugin, or make cargo build it anew each time. Variables that say where and how
/// to fetch (CARGO_HOME, CARGO_NET_*, RUSTUP_TOOLCHAIN) and RUSTC_WRAPPER stay.
pub(crate) fn clean(program: impl AsRef<OsStr>, dir: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(dir).env("CARGO_TERM_PROGRESS_WHEN", "never").env("CARGO_TERM_COLOR", "never");
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(disturbs) {
            command.env_remove(name);
        }
    }
    command
}

fn disturbs(name: &str) -> bool {
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

/// A `--remap-path-prefix` flag.
pub(crate) fn remap(from: &Path, to: &str) -> OsString {
    let mut flag = OsString::from("--remap-path-prefix=");
    flag.push(from);
    flag.push("=");
    flag.push(to);
    flag
}

/// Runs a command to its end and returns what it wrote to standard output. Every line of standard error goes to
/// `say` at once, and the last of them into the failure. Past `limit` the command is stopped.
pub(crate) fn run(command: &mut Command, limit: Option<Duration>, say: &dyn Fn(&str)) -> Result<String, Failed> {
    let line = command_line(command);
    let fail = |reason: String, tail: &VecDeque<String>| Failed {
        command: line.clone(),
        reason,
        tail: tail.iter().map(String::as_str).collect::<Vec<_>>().join("\n"),
    };
    let (mut output, mut tail) = (String::new(), VecDeque::new());
    let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = spawned.map_err(|error| fail(not_started(command, &error), &tail))?;

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
                say(text);
                tail.push_back(text.to_owned());
                if tail.len() > TAIL {
                    tail.pop_front();
                }
            }
            Err(RecvTimeoutError::Disconnected) => break,
            // A daemon that the command left behind (a compiler cache's server) may hold the pipes open for ever.
            Err(RecvTimeoutError::Timeout) if exited => break,
            Err(RecvTimeoutError::Timeout) => exited = matches!(child.try_wait(), Ok(Some(_))),
        }
        if !exited && limit.is_some_and(|limit| started.elapsed() > limit) {
            // Not being able to stop it changes nothing for the caller: it is given up.
            let _ = child.kill().and_then(|()| child.wait());
            return Err(fail(format!("no end after {} s, stopped", started.elapsed().as_secs()), &tail));
        }
    }
    match child.wait() {
        Ok(status) if status.success() => Ok(output),
        Ok(status) => Err(fail(status.to_string(), &tail)),
        Err(error) => Err(fail(error.to_string(), &tail)),
    }
}

#[derive(Clone, Copy)]
enum Stream {
    Out,
    Err,
}

/// Sends the lines of a pipe on, from a thread of its own.
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

fn not_started(command: &Command, error: &std::io::Error) -> String {
    let program = command.get_program().to_string_lossy();
    match error.kind() {
        ErrorKind::NotFound if matches!(&*program, "cargo" | "rustc") => {
            format!("{program} is not on PATH; install Rust, or add its bin folder to PATH")
        }
        ErrorKind::NotFound => format!("{program} is not on this machine"),
        _ => format!("cannot be started: {error}"),
    }
}

/// Does one long step of a work, and says how long it took.
pub(crate) fn step<T, E>(say: &dyn Fn(&str), what: &str, work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    let started = Instant::now();
    say(&format!("{what}…"));
    let done = work()?;
    say(&format!("{what}… {} s", started.elapsed().as_secs()));
    Ok(done)
}

/// For `map_err`: an input or output error, with what was being done to which file.
pub(crate) fn io(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.into();
    move |source| Error::Io { doing, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    #[test]
    fn what_describes_the_outer_package_goes_and_how_to_fetch_stays() {
        for name in ["CARGO_PKG_NAME", "CARGO_MANIFEST_DIR", "RUSTFLAGS", "CARGO_PROFILE_RELEASE_LTO", "OUT_DIR"] {
            assert!(disturbs(name), "{name}");
        }
        for name in ["CARGO_HOME", "CARGO_NET_OFFLINE", "CARGO_TARGET_DIR", "RUSTC_WRAPPER", "RUSTUP_TOOLCHAIN", "PATH"]
        {
            assert!(!disturbs(name), "{name}");
        }
    }

    #[test]
    fn a_missing_program_is_named() {
        let failed = run(&mut Command::new("alft-no-such-program"), None, &|_| {}).unwrap_err();
        assert!(failed.to_string().contains("alft-no-such-program is not on this machine"), "{failed}");
    }

    #[cfg(unix)]
    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[cfg(unix)]
    #[test]
    fn output_is_returned_and_talk_is_passed_on() {
        let said = RefCell::new(Vec::new());
        let output = run(&mut shell("echo data; echo talk >&2"), None, &|line| said.borrow_mut().push(line.to_owned()));
        assert_eq!(output.unwrap(), "data\n");
        assert_eq!(*said.borrow(), ["talk"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_failure_carries_the_end_of_the_talk() {
        let failed = run(&mut shell("seq 1 100 >&2; exit 3"), None, &|_| {}).unwrap_err();
        assert!(failed.reason.contains('3') && failed.command.starts_with("sh -c"), "{failed}");
        assert!(failed.tail.starts_with("41\n") && failed.tail.ends_with("\n100"), "{failed}");
    }

    #[cfg(unix)]
    #[test]
    fn a_command_without_end_is_stopped() {
        let failed = run(&mut shell("exec sleep 60"), Some(Duration::from_millis(200)), &|_| {}).unwrap_err();
        assert!(failed.reason.contains("stopped"), "{failed}");
    }

    #[cfg(unix)]
    #[test]
    fn a_daemon_left_behind_is_not_waited_for() {
        let started = Instant::now();
        let output = run(&mut shell("sleep 20 & echo data"), None, &|_| {}).unwrap();
        assert_eq!(output, "data\n");
        assert!(started.elapsed() < Duration::from_secs(10));
    }
}
