//! Reading files that a user or a stranger named. A name proves nothing: it may lead to a pipe without a writer, to a
//! device, or to a file of the kernel's that looks like any other and is never at its end. None of them is waited for.

use std::{
    fs::{File, FileType, OpenOptions},
    io::{self, Read},
    path::Path,
};

/// Bytes that a file of settings may have: a run file, a lock, an adapter's configuration.
pub const MAX_SETTINGS: u64 = 16 << 20;

/// Bytes that a file in JSON which describes a model may have. The largest are tokenizers, of some 40 MB.
pub const MAX_DESCRIPTION: u64 = 256 << 20;

/// Bytes that a file of data may have which is read as a whole: questions, completions, records of a run.
pub const MAX_DATA: u64 = 4 << 30;

/// Opens a regular file for reading. Neither opening nor reading it waits for anyone else.
///
/// # Errors
/// Fails if the file cannot be opened, or is a folder, a pipe, a socket or a device.
pub fn open(path: &Path) -> io::Result<File> {
    // Opening a device can have effects, so the path is looked at first. What it leads to may change in between, so the
    // opened file is looked at again.
    require_regular(std::fs::metadata(path)?.file_type())?;
    let file = without_waiting(OpenOptions::new().read(true)).open(path)?;
    require_regular(file.metadata()?.file_type())?;
    Ok(file)
}

/// Opens a regular file for reading and writing, and creates it if there is none. Nothing is cut off.
///
/// # Errors
/// Fails as [`open`] does.
pub fn open_to_change(path: &Path) -> io::Result<File> {
    require_regular_if_exists(path)?;
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).read(true).write(true);
    let file = without_waiting(&mut options).open(path)?;
    require_regular(file.metadata()?.file_type())?;
    Ok(file)
}

/// Reads a regular file of at most `max_bytes` bytes.
///
/// # Errors
/// Fails as [`open`] does, if the file cannot be read or is larger, and if its next bytes would have to be waited for.
pub fn read(path: &Path, max_bytes: u64) -> io::Result<Vec<u8>> {
    let file = open(path)?;
    let too_large = || io::Error::new(io::ErrorKind::FileTooLarge, format!("the file has more than {max_bytes} bytes"));
    let size = file.metadata()?.len();
    if size > max_bytes {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    // A sparse file can claim more than there is memory.
    bytes.try_reserve_exact(size as usize)?;
    // The file may grow while it is read.
    file.take(max_bytes.saturating_add(1)).read_to_end(&mut bytes).map_err(named)?;
    if bytes.len() as u64 > max_bytes { Err(too_large()) } else { Ok(bytes) }
}

/// Reads a text file of at most `max_bytes` bytes.
///
/// # Errors
/// Fails as [`read`] does, and if the file is not UTF-8.
pub fn read_to_string(path: &Path, max_bytes: u64) -> io::Result<String> {
    String::from_utf8(read(path, max_bytes)?).map_err(|error| {
        let place = error.utf8_error().valid_up_to();
        io::Error::new(io::ErrorKind::InvalidData, format!("the file is not UTF-8 text: see its byte {}", place + 1))
    })
}

/// Checks that a path does not lead to a folder, a pipe, a socket or a device, if it leads anywhere.
///
/// # Errors
/// Returns an error if the path exists and is not a regular file, or if its metadata cannot be read.
pub fn require_regular_if_exists(path: &Path) -> io::Result<()> {
    match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        found => require_regular(found?.file_type()),
    }
}

/// Gives the error of a read that would have to wait a reason that says so.
fn named(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock => io::Error::new(
            io::ErrorKind::InvalidInput,
            "it has no end: its next bytes would have to be waited for; name a regular file",
        ),
        _ => error,
    }
}

fn require_regular(found: FileType) -> io::Result<()> {
    if found.is_file() {
        return Ok(());
    }
    let kind = if found.is_dir() { io::ErrorKind::IsADirectory } else { io::ErrorKind::InvalidInput };
    Err(io::Error::new(kind, format!("it is {}; name a regular file", name(found))))
}

#[cfg(unix)]
fn name(found: FileType) -> &'static str {
    use std::os::unix::fs::FileTypeExt;
    match () {
        () if found.is_dir() => "a folder",
        () if found.is_fifo() => "a pipe",
        () if found.is_socket() => "a socket",
        () => "a device",
    }
}

#[cfg(not(unix))]
fn name(found: FileType) -> &'static str {
    if found.is_dir() { "a folder" } else { "a device" }
}

#[cfg(unix)]
fn without_waiting(options: &mut OpenOptions) -> &OpenOptions {
    use rustix::fs::OFlags;
    use std::os::unix::fs::OpenOptionsExt;
    options.custom_flags((OFlags::NONBLOCK | OFlags::NOCTTY).bits() as i32)
}

#[cfg(not(unix))]
fn without_waiting(options: &mut OpenOptions) -> &OpenOptions {
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_limit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, "four").unwrap();
        assert_eq!(read(&path, 4).unwrap(), b"four");
        assert_eq!(read_to_string(&path, u64::MAX).unwrap(), "four");
        let error = read(&path, 3).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(error.to_string(), "the file has more than 3 bytes");
        std::fs::write(&path, b"ab\xff").unwrap();
        let error = read_to_string(&path, 100).unwrap_err().to_string();
        assert!(error.contains("not UTF-8") && error.contains("byte 3"), "{error}");
        assert_eq!(read(&dir.path().join("no-such"), 4).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    /// Reads a path in a thread of its own: a read that blocks fails the test in place of hanging it.
    #[cfg(unix)]
    fn error_of(path: &Path) -> String {
        let (done, result) = std::sync::mpsc::channel();
        let name = path.to_owned();
        std::thread::spawn(move || done.send(read(&name, 1000)));
        let read = result.recv_timeout(std::time::Duration::from_secs(20));
        read.unwrap_or_else(|_| panic!("{} blocks", path.display())).unwrap_err().to_string()
    }

    #[cfg(unix)]
    #[test]
    fn pipes_sockets_devices_and_folders_are_refused_for_what_they_are() {
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        mknodat(CWD, at("pipe"), FileType::Fifo, Mode::RWXU, 0).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        for (link, target) in [("to-pipe", at("pipe")), ("to-device", "/dev/zero".into())] {
            std::os::unix::fs::symlink(target, at(link)).unwrap();
        }
        for (path, kind) in [
            (dir.path().to_owned(), "a folder"),
            (at("pipe"), "a pipe"),
            (at("to-pipe"), "a pipe"),
            (at("socket"), "a socket"),
            (at("to-device"), "a device"),
        ] {
            assert_eq!(error_of(&path), format!("it is {kind}; name a regular file"), "{}", path.display());
            assert!(require_regular_if_exists(&path).is_err());
        }
        assert!(require_regular_if_exists(&at("nothing")).is_ok());
    }

    /// The kernel's log has the type of a regular file, and a reader waits for its next message.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_file_without_an_end_is_not_waited_for() {
        let log = Path::new("/proc/kmsg");
        // Only an administrator can open it.
        if open(log).is_ok() {
            let error = error_of(log);
            assert!(error.contains("no end") || error.contains("more than 1000 bytes"), "{error}");
        }
    }

    /// A name can lead elsewhere between the look and the opening.
    #[cfg(unix)]
    #[test]
    fn opening_a_pipe_without_a_writer_does_not_block() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
        let (done, result) = std::sync::mpsc::channel();
        std::thread::spawn(move || done.send(without_waiting(OpenOptions::new().read(true)).open(path).is_ok()));
        assert_eq!(result.recv_timeout(std::time::Duration::from_secs(20)), Ok(true));
    }
}
