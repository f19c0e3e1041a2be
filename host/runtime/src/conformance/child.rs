//! One conformance test in a child process: a library that aborts, a host that dies and a test that never ends are the
//! outcome of that test, and the other tests run.
//!
//! The child is a program that calls [`serve_test`]. It reads a [`TestSetup`] and a [`Task`] from standard input, and the
//! last line of its standard output is the result.

use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use alft_conformance::{Outcome, Settings, Test, Trial, abuse, abuse_table};
use alft_plugin_host::{Engine, Limits, NativeTrust, Worker};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::subject::SubjectFile;
use crate::error::{Error, Result, chain};

/// The plugin under test, and the data of its tests.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TestSetup {
    /// The component or native library.
    pub file: PathBuf,
    /// The native library that was built from the same source.
    pub twin: Option<PathBuf>,
    /// Permission to run `file` if it is a native library.
    pub trust_native: bool,
    /// The limits of the plugin's calls.
    pub limits: Limits,
    /// The configurations, and a question that the plugin can answer.
    pub settings: Settings,
    /// The seed of every random input.
    pub seed: u64,
}

/// The task of a child.
#[derive(Debug, Serialize, Deserialize)]
enum Task {
    /// Run the test of this name. The result is an [`Outcome`].
    Test(String),
    /// Make the abuse table under this configuration. The result is an [`AbuseTable`].
    AbuseTable(String),
}

/// The rows of an abuse table, or the reason why there are none.
pub type AbuseTable = std::result::Result<Vec<abuse::Row>, String>;

/// A child that gave no result.
#[derive(Debug, thiserror::Error)]
enum ChildError {
    #[error("the child process cannot be run")]
    Io(#[from] io::Error),

    #[error("the child process did not end within {} s", .0.as_secs())]
    TimeLimit(Duration),

    #[error("the child process ended without a result ({status}), after the line {last_line:?}")]
    Died { status: ExitStatus, last_line: String },
}

/// Performs the task on standard input and returns the line that the program must print. `worker` compiles components and
/// runs native libraries.
///
/// # Errors
/// The input is no task, or the engine does not start.
pub fn serve_test(worker: Worker) -> Result<String> {
    let (setup, task): (TestSetup, Task) = serde_json::from_reader(io::stdin().lock())
        .map_err(|error| Error::io("read a task from", "standard input".as_ref())(error.into()))?;
    // The library may have printed half a line.
    Ok(format!(
        "
{}",
        setup.perform(&task, worker)?
    ))
}

impl TestSetup {
    /// Runs a test in a child process, which is killed at the time limit. A child without a result is a crash. `child` is
    /// a program that calls [`serve_test`].
    pub fn run_test(&self, child: &Worker, test: Test, time_limit: Duration) -> Outcome {
        let task = Task::Test(test.name.into());
        run(child, self, &task, time_limit).unwrap_or_else(|error| Outcome::Crashed(chain(&error)))
    }

    /// Makes the abuse table under a configuration in a child process.
    pub fn abuse_table(&self, child: &Worker, config: &str, time_limit: Duration) -> AbuseTable {
        let task = Task::AbuseTable(config.into());
        run(child, self, &task, time_limit).unwrap_or_else(|error| Err(chain(&error)))
    }

    /// Performs a task in this process and returns the result as JSON.
    fn perform(&self, task: &Task, worker: Worker) -> Result<String> {
        let engine = Engine::new(&self.limits, worker)?;
        let config = serde_json::to_string(&self.settings.configs[0]).expect("a map is plain data");
        let open =
            |file: &PathBuf, native| SubjectFile::new(&engine, file.clone(), native, &self.limits, config.clone());
        let native = if self.trust_native { NativeTrust::Process } else { NativeTrust::Refused };
        let subject = open(&self.file, native);
        let result = match task {
            Task::Test(name) => {
                let test = Test::named(name).expect("the parent names a test of the same program");
                // The user trusts the twin's project, because building the project runs its build scripts.
                let twin = self.twin.as_ref().map(|file| open(file, NativeTrust::Process));
                let twin = twin.as_ref().map(|twin| twin as _);
                let trial = Trial { subject: &subject, twin, settings: &self.settings, seed: self.seed };
                serde_json::to_string(&test.run(&trial))
            }
            Task::AbuseTable(config) => {
                let table: AbuseTable =
                    abuse_table(&subject, &self.settings, config).map_err(|fault| fault.to_string());
                serde_json::to_string(&table)
            }
        };
        Ok(result.expect("a result is plain data"))
    }
}

/// Performs a task in a child process, which is killed at the time limit.
fn run<T: DeserializeOwned>(
    child: &Worker,
    setup: &TestSetup,
    task: &Task,
    time_limit: Duration,
) -> Result<T, ChildError> {
    let request = serde_json::to_vec(&(setup, task)).expect("a task is plain data");
    let mut command = Command::new(&child.program);
    command.args(&child.arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let stdout = read_to_end(child.stdout.take());
    let stderr = read_to_end(child.stderr.take());
    // If the child is dead, its status says so.
    let _ = child.stdin.take().expect("standard input is piped").write_all(&request);
    let status = wait(&mut child, time_limit)?.ok_or(ChildError::TimeLimit(time_limit))?;
    serde_json::from_str(&last_line(&stdout)).map_err(|_| ChildError::Died { status, last_line: last_line(&stderr) })
}

/// Waits for the end of a child. Kills the child at the time limit, and returns `None`.
fn wait(child: &mut Child, time_limit: Duration) -> io::Result<Option<ExitStatus>> {
    let started = Instant::now();
    loop {
        match child.try_wait()? {
            Some(status) => return Ok(Some(status)),
            None if started.elapsed() < time_limit => thread::sleep(Duration::from_millis(5)),
            None => {
                child.kill()?;
                child.wait()?;
                return Ok(None);
            }
        }
    }
}

/// Reads a pipe on another thread: a full pipe would stop the child.
fn read_to_end(pipe: Option<impl Read + Send + 'static>) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.map(|mut pipe| pipe.read_to_end(&mut bytes));
        let _ = sender.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    receiver
}

/// Returns the last line that is not blank. A process that the library started may keep the pipe open, so the wait for the
/// text is bounded.
fn last_line(text: &Receiver<String>) -> String {
    let text = text.recv_timeout(Duration::from_secs(5)).unwrap_or_default();
    text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default().trim().to_owned()
}
