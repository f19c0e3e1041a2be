//! One test in a process of its own: a library that aborts, a host that dies and a test that never ends are outcomes of
//! that test, and the kit goes on.
//!
//! The child is this program with a hidden command. It reads a [`Job`] from its standard input, and the last line of its
//! standard output is the [`Answer`].

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use alft_conformance::{Outcome, Settings, Test, Trial, abuse};
use alft_plugin_host::Limits;
use serde::{Deserialize, Serialize};

use super::loaded::Loaded;
use crate::engine;
use crate::error::{Error, Result};

/// The hidden command's name.
pub(crate) const COMMAND: &str = "kit-child";

/// What a child is to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Job {
    pub(super) file: PathBuf,
    pub(super) twin: Option<PathBuf>,
    pub(super) trust_native: bool,
    pub(super) limits: Limits,
    pub(super) settings: Settings,
    pub(super) seed: u64,
    pub(super) task: Task,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Task {
    /// The test of this name.
    Test(String),
    /// The abuse table under this configuration.
    Abuse(String),
}

/// What came of it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    Test(Outcome),
    Abuse(Vec<abuse::Row>),
    /// The plugin does not judge even an honest answer.
    NoAbuse(String),
}

/// Does the job on standard input.
pub(crate) fn serve() -> Result<()> {
    let job: Job = serde_json::from_reader(std::io::stdin().lock())
        .map_err(|error| Error::Data { path: "standard input".into(), reason: error.to_string() })?;
    let answer = job.done()?;
    // A line of its own, whatever a library has printed.
    say!("\n{}", serde_json::to_string(&answer).expect("an answer is plain data"));
    Ok(())
}

impl Job {
    fn done(&self) -> Result<Answer> {
        let engine = engine::start(&self.limits)?;
        let config = serde_json::to_string(&self.settings.configs[0]).expect("a map is plain data");
        let load = |file: &PathBuf, trust| Loaded::new(&engine, file.clone(), trust, &self.limits, config.clone());
        let subject = load(&self.file, self.trust_native);
        // It comes from a project that was built for this check: building it was trust enough.
        let twin = self.twin.as_ref().map(|file| load(file, true));
        Ok(match &self.task {
            Task::Test(name) => {
                let test = Test::named(name).ok_or_else(|| super::check::unknown(name))?;
                let twin = twin.as_ref().map(|twin| twin as _);
                let trial = Trial { subject: &subject, twin, settings: &self.settings, seed: self.seed };
                Answer::Test(test.run(&trial))
            }
            Task::Abuse(config) => match abuse::table(&subject, &self.settings, config) {
                Ok(rows) => Answer::Abuse(rows),
                Err(fault) => Answer::NoAbuse(fault.to_string()),
            },
        })
    }

    /// Does the job in a child, for so long at most.
    ///
    /// # Errors
    /// How the child ended, if not with an answer.
    pub(super) fn run(&self, limit: Duration) -> std::result::Result<Answer, String> {
        let job = serde_json::to_vec(self).expect("a job is plain data");
        let spawned = std::env::current_exe().and_then(|alft| {
            let mut command = Command::new(alft);
            command.args(["plugin", COMMAND]);
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
        });
        let mut child = spawned.map_err(|error| format!("cannot start a process: {error}"))?;
        let out = text(child.stdout.take());
        let err = text(child.stderr.take());
        // A child that is dead already shows in its status.
        let _ = child.stdin.take().expect("piped").write_all(&job);
        let Some(status) = wait(&mut child, limit).map_err(|error| error.to_string())? else {
            return Err(format!("it did not end within {} s", limit.as_secs()));
        };
        let said = last_line(&out);
        serde_json::from_str(&said).map_err(|_| died(status, &last_line(&err)))
    }
}

/// `None`: the limit is over, and the child is killed.
fn wait(child: &mut Child, limit: Duration) -> std::io::Result<Option<ExitStatus>> {
    let begun = Instant::now();
    loop {
        match child.try_wait()? {
            Some(status) => return Ok(Some(status)),
            None if begun.elapsed() < limit => thread::sleep(Duration::from_millis(5)),
            None => {
                child.kill()?;
                child.wait()?;
                return Ok(None);
            }
        }
    }
}

fn died(status: ExitStatus, last_words: &str) -> String {
    match last_words {
        "" => format!("its process ended by itself ({status})"),
        words => format!("its process ended by itself ({status}): {words}"),
    }
}

/// All that comes out of a pipe, read beside the waiting: a full pipe would stop the child.
fn text(pipe: Option<impl Read + Send + 'static>) -> Receiver<String> {
    let (send, receive) = channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.map(|mut pipe| pipe.read_to_end(&mut bytes));
        let _ = send.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    receive
}

/// A library may have left a process that holds the pipe open: it is not waited for.
fn last_line(text: &Receiver<String>) -> String {
    let text = text.recv_timeout(Duration::from_secs(5)).unwrap_or_default();
    text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default().trim().to_owned()
}
