//! The progress of a build, as events for whoever started it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use alft_text::Foreign;

use crate::artifact::Form;

/// A report on the progress of a build. `Display` gives one line for a terminal.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum BuildEvent {
    /// A build began. Always the first event, before any other program is run.
    Started {
        /// The project's folder.
        project: PathBuf,
        /// The form to build.
        form: Form,
    },
    /// The build waits for another process that holds a folder.
    Waiting {
        /// The folder both processes write to.
        folder: PathBuf,
    },
    /// A compiler was chosen.
    Compiler {
        /// Its name, version and origin.
        description: String,
    },
    /// A compiler is missing: one step of downloading or making it began.
    Fetching {
        /// The step, as in "downloading 5 Debian packages (137 MB)".
        step: String,
    },
    /// The step of the last [`Fetching`](Self::Fetching) succeeded.
    Fetched {
        /// The step.
        step: String,
        /// The time it took.
        elapsed: Duration,
    },
    /// One way of getting a compiler failed; the next is tried.
    FetchFailed {
        /// The name of the method, as in "rustup".
        method: String,
        /// The first line of the failure.
        failure: String,
    },
    /// The compiler runs on the plugin's sources.
    Compiling {
        /// The plugin's name.
        name: String,
        /// The form to build.
        form: Form,
        /// A reason to expect a wait, or empty.
        note: &'static str,
    },
    /// A line that a compiler wrote, warnings included.
    Line(String),
    /// The sources and the compiler are those of the last build, whose file is reused.
    Unchanged {
        /// The plugin's name.
        name: String,
    },
    /// The plugin was built.
    Finished {
        /// The plugin's name.
        name: String,
        /// The file that was built.
        file: PathBuf,
        /// The size of the file in bytes.
        size: u64,
        /// The time since [`Started`](Self::Started).
        elapsed: Duration,
    },
}

impl fmt::Display for BuildEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started { project, form } => write!(f, "building {} as a {form}", name_of(project)),
            Self::Waiting { folder } => {
                write!(f, "waiting for another process that writes to {}…", Foreign::path(&folder))
            }
            Self::Compiler { description } => write!(f, "compiler: {description}"),
            Self::Fetching { step } => write!(f, "{step}…"),
            Self::Fetched { step, elapsed } => write!(f, "{step}… {} s", elapsed.as_secs()),
            Self::FetchFailed { method, failure } => write!(f, "{method}: {failure}"),
            Self::Compiling { name, form, note: "" } => write!(f, "compiling {name} as a {form}"),
            Self::Compiling { name, form, note } => write!(f, "compiling {name} as a {form} ({note})"),
            Self::Line(line) => f.write_str(line),
            Self::Unchanged { name } => write!(f, "{name} was built from the same files before"),
            Self::Finished { name, size, elapsed, .. } => {
                write!(f, "built {name}: {:.1} kB in {} s", *size as f64 / 1e3, elapsed.as_secs())
            }
        }
    }
}

/// The last part of a path, or all of it where it has none.
fn name_of(project: &Path) -> std::path::Display<'_> {
    project.file_name().map_or(project, Path::new).display()
}

/// The receiver of a build's events.
pub(crate) type Observer<'a> = &'a dyn Fn(BuildEvent);

/// Runs one step of getting a compiler, with an event before it and one after it.
pub(crate) fn fetch<T, E>(
    step: impl Into<String>,
    observer: Observer<'_>,
    work: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    let (step, started) = (step.into(), Instant::now());
    observer(BuildEvent::Fetching { step: step.clone() });
    let done = work()?;
    observer(BuildEvent::Fetched { step, elapsed: started.elapsed() });
    Ok(done)
}
