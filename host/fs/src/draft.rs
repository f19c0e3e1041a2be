//! Drafts: where a file or folder is written before it is renamed into place.

use std::{
    ffi::OsString,
    fmt, fs, io,
    path::{Path, PathBuf},
    process,
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

/// Stands between the destination's name and the [`Writer`] in the name of a draft.
const MARK: &str = ".draft-";

/// A hidden folder beside the destination. It holds the new file or folder while that is being written, under the name
/// of the destination, and a replaced folder until the new one is in place. Dropping a draft removes it.
///
/// One folder holds everything, so that the temporary files of other libraries (safetensors writes through `.tmp…`
/// beside its target) are removed along with the draft.
pub(crate) struct Draft {
    folder: PathBuf,
    path: PathBuf,
}

impl Draft {
    /// Creates an empty draft for the file or folder `destination`, and the parent folder if there is none.
    pub(crate) fn create(destination: &Path) -> io::Result<Self> {
        let name = destination.file_name().ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, "the path ends in no name that a file or folder could have")
        })?;
        fs::create_dir_all(parent(destination))?;
        let mut hidden = OsString::from(".");
        hidden.push(name);
        hidden.push(format!("{MARK}{}", Writer::next()));
        let folder = destination.with_file_name(hidden);
        fs::create_dir(&folder)?;
        Ok(Self { path: folder.join(name), folder })
    }

    /// Returns the path at which the new file or folder is written.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the path to which a replaced folder is moved.
    pub(crate) fn replaced(&self) -> PathBuf {
        replaced(&self.path)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // A draft that cannot be removed only occupies space; the outcome of the write matters more.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Returns the folder that holds the name of `path`.
pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Returns the path to which the draft `path` of a folder moves the folder that it replaces.
pub(crate) fn replaced(path: &Path) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(".replaced");
    path.into()
}

/// Splits the name of a draft's folder into the name of its destination and its writer.
pub(crate) fn parse(hidden: &str) -> Option<(&str, Writer)> {
    let (name, writer) = hidden.strip_prefix('.')?.rsplit_once(MARK)?;
    Some((name, Writer::parse(writer)?))
}

/// The writer of a draft, as its name says: `PID-START-NUMBER`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Writer {
    /// The process.
    pid: u32,
    /// The time of the process's first draft, in nanoseconds since 1970. It tells this process from an earlier one of
    /// the same pid, which is common in containers, where the first process always has the same one.
    start: u128,
    /// A number for each draft of the process, so that its threads do not share one.
    number: u64,
}

static START: LazyLock<u128> =
    LazyLock::new(|| SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos()));

impl Writer {
    fn next() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        Self { pid: process::id(), start: *START, number: NUMBER.fetch_add(1, Ordering::Relaxed) }
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '-');
        Some(Self {
            pid: parts.next()?.parse().ok()?,
            start: parts.next()?.parse().ok()?,
            number: parts.next()?.parse().ok()?,
        })
    }

    /// Returns true if the process that writes the draft may still be running.
    pub(crate) fn is_alive(self) -> bool {
        if self.pid == process::id() { self.start == *START } else { is_alive(self.pid) }
    }
}

impl fmt::Display for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.pid, self.start, self.number)
    }
}

/// Returns true if there is a process of this id. Signal 0 is delivered to nobody: sending it only asks whether the
/// process exists. A process of another user answers with a refusal (EPERM), and so is alive.
#[cfg(unix)]
fn is_alive(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    pid.is_some_and(|pid| rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}

/// Returns true: elsewhere there is no portable way to ask, and a draft that is kept only occupies space.
#[cfg(not(unix))]
fn is_alive(_pid: u32) -> bool {
    true
}
