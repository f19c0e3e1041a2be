//! Files that a stranger may have put there: a plugin's, read within its limit and known by its hash, and a run's.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::path::Path;

use crate::{Error, Limits};

/// The file's bytes, of which there may be no more than `limits.component_size`.
///
/// # Errors
/// It cannot be read, is too large, or is no regular file: a pipe or a device may have no end, or none that comes.
pub fn read(path: &Path, limits: &Limits) -> Result<Vec<u8>, Error> {
    let error = |reason| Error::Read { path: path.into(), reason };
    let (metadata, limit) = (std::fs::metadata(path).map_err(error)?, limits.component_size);
    regular(&metadata).map_err(error)?;
    let too_large = |size| Error::TooLarge { path: path.into(), size, limit };
    if metadata.len() > limit {
        return Err(too_large(metadata.len()));
    }
    let mut bytes = Vec::new();
    // It may grow while it is read.
    File::open(path).and_then(|file| file.take(limit.saturating_add(1)).read_to_end(&mut bytes)).map_err(error)?;
    match bytes.len() as u64 {
        size if size > limit => Err(too_large(size)),
        _ => Ok(bytes),
    }
}

/// Refuses a folder, and a pipe or a device, which may have no end, or none that comes.
fn regular(metadata: &Metadata) -> io::Result<()> {
    match metadata.is_file() {
        true => Ok(()),
        false => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file")),
    }
}

/// Refuses what is there and is not a regular file; what is not there may be made.
///
/// # Errors
/// It is not, or nothing can be known of it.
pub fn regular_if_any(path: &Path) -> io::Result<()> {
    match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        found => regular(&found?),
    }
}

/// The BLAKE3 of the file as it is now, in hexadecimal: the pin of whoever names a file and trusts it in one breath.
///
/// # Errors
/// As [`read`].
pub fn hash(path: &Path, limits: &Limits) -> Result<String, Error> {
    Ok(hash_of(&read(path, limits)?))
}

/// The BLAKE3 of a plugin's bytes, in hexadecimal.
pub fn hash_of(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_file_or_too_large_is_not_read() {
        let limits = Limits { component_size: 4, ..Limits::default() };
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "four").unwrap();
        assert_eq!(read(file.path(), &limits).unwrap(), b"four");
        std::fs::write(file.path(), "fives").unwrap();
        assert!(matches!(read(file.path(), &limits), Err(Error::TooLarge { size: 5, limit: 4, .. })));
        for path in ["/", "/dev/zero", "/no/such/file"] {
            assert!(matches!(hash(path.as_ref(), &limits), Err(Error::Read { .. })), "{path}");
        }
    }
}
