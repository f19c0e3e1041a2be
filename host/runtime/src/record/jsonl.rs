//! JSON-lines files that are only appended to.

use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::PathBuf;

use serde::Serialize;

use crate::error::{Error, Result};

/// A JSON-lines file that is only appended to.
#[derive(Debug)]
pub struct JsonlWriter {
    path: PathBuf,
    file: BufWriter<File>,
    length: u64,
}

impl JsonlWriter {
    /// Opens the file and cuts it to `length` bytes: what came later belongs to steps that will be made again.
    ///
    /// # Errors
    /// The file cannot be opened or cut, or is shorter than `length`.
    pub fn open(path: PathBuf, length: u64) -> Result<Self> {
        let mut file = alft_fs::open_to_change(&path).map_err(Error::io("open", &path))?;
        let found = file.metadata().map_err(Error::io("look at", &path))?.len();
        if found < length {
            let reason = format!(
                "the file has {found} bytes, but the saved state counts {length}; the run cannot go on from it"
            );
            return Err(Error::Resume { path, reason });
        }
        let cut = file.set_len(length).and_then(|()| file.seek(SeekFrom::Start(length)));
        cut.map_err(Error::io("cut", &path))?;
        Ok(Self { path, file: BufWriter::new(file), length })
    }

    /// Appends one line.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn append(&mut self, record: &impl Serialize) -> Result<()> {
        let mut line = serde_json::to_vec(record).expect("records are plain data");
        line.push(b'\n');
        self.file.write_all(&line).map_err(Error::io("append to", &self.path))?;
        self.length += line.len() as u64;
        Ok(())
    }

    /// Hands all lines to the system, so that readers of the file see them.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn flush(&mut self) -> Result<()> {
        self.file.flush().map_err(Error::io("append to", &self.path))
    }

    /// Waits until all lines are on disk, and returns the file's bytes.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn sync(&mut self) -> Result<u64> {
        self.flush()?;
        self.file.get_ref().sync_data().map_err(Error::io("append to", &self.path))?;
        Ok(self.length)
    }

    /// Closes the file without the lines that were not handed to the system yet: after an error the file may be cut already.
    pub(crate) fn discard(self) {
        drop(self.file.into_parts());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_to_the_length_that_the_state_counted() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("m.jsonl");
        let mut writer = JsonlWriter::open(path.clone(), 0).unwrap();
        writer.append(&1).unwrap();
        let length = writer.sync().unwrap();
        writer.append(&"half a st").unwrap();
        drop(writer);
        let mut writer = JsonlWriter::open(path.clone(), length).unwrap();
        writer.append(&2).unwrap();
        drop(writer);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "1\n2\n");
        assert!(matches!(JsonlWriter::open(path, 99), Err(Error::Resume { .. })));
    }
}
