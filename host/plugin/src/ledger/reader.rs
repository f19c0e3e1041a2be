//! [`read`]: the records of a ledger.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use super::format::{Error, FORMAT, FrameError, HEAD_BYTES, Link, MAX_BODY_BYTES, Record, link};

/// Reads a ledger.
///
/// # Errors
/// Fails if the file cannot be opened or is not a regular file.
pub fn read(path: &Path) -> Result<Records<BufReader<File>>, Error> {
    let file = alft_fs::open(path).map_err(|source| Error::Io { path: path.into(), source })?;
    Ok(Records::new(path, BufReader::new(file)))
}

/// An iterator over the records of a ledger. It ends after the first broken frame.
#[derive(Debug)]
pub struct Records<R> {
    path: PathBuf,
    from: R,
    frames: u64,
    offset: u64,
    link: Link,
    incomplete_bytes: u64,
    ended: bool,
    /// The format of the header that was read last.
    format: u32,
}

impl<R: Read> Records<R> {
    pub(super) fn new(path: &Path, from: R) -> Self {
        let link = Link::default();
        Self { path: path.into(), from, frames: 0, offset: 0, link, incomplete_bytes: 0, ended: false, format: FORMAT }
    }

    /// Returns the number of the frame that was read last, from 1.
    pub fn frame(&self) -> u64 {
        self.frames
    }

    /// Returns the number of bytes after the last complete frame, which a killed process left of another. Known after the
    /// last record was read.
    pub fn incomplete_bytes(&self) -> u64 {
        self.incomplete_bytes
    }

    /// Returns the offset of the byte after the frame that was read last.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Returns the link of the frame that was read last.
    pub(super) fn link(&self) -> Link {
        self.link
    }

    /// Returns the error about the frame at the current offset.
    pub(super) fn broken(&self, source: FrameError) -> Error {
        Error::Broken { path: self.path.clone(), frame: self.frames + 1, offset: self.offset, source }
    }

    fn next_record(&mut self) -> Result<Option<Record<'static>>, Error> {
        let head = self.read_bytes(HEAD_BYTES)?;
        if head.len() < HEAD_BYTES {
            self.incomplete_bytes = head.len() as u64;
            return Ok(None);
        }
        let (length, expected) = head.split_at(4);
        let length = u32::from_le_bytes(length.try_into().expect("4 bytes")) as usize;
        if length > MAX_BODY_BYTES {
            return Err(self.broken(FrameError::TooLong { bytes: length }));
        }
        let body = self.read_bytes(length)?;
        if body.len() < length {
            self.incomplete_bytes = (HEAD_BYTES + body.len()) as u64;
            return Ok(None);
        }
        let link = link(&self.link, &body);
        if link != *expected {
            return Err(self.broken(FrameError::Changed));
        }
        // The hash is right, so alft wrote the body, if perhaps another version of alft.
        let record = decode(&body, self.format).ok_or_else(|| self.broken(FrameError::OtherVersion))?;
        match (&record, self.frames) {
            (Record::Header { format: format @ 1..=FORMAT, .. }, _) => self.format = *format,
            (Record::Header { format, .. }, _) => {
                return Err(self.broken(FrameError::OtherFormat { found: *format }));
            }
            (_, 0) => return Err(self.broken(FrameError::NoHeader)),
            _ => {}
        }
        self.link = link;
        self.offset += (HEAD_BYTES + length) as u64;
        self.frames += 1;
        Ok(Some(record))
    }

    /// Reads `count` bytes, or fewer at the end of the file.
    fn read_bytes(&mut self, count: usize) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        let read: io::Result<usize> = self.from.by_ref().take(count as u64).read_to_end(&mut bytes);
        read.map_err(|source| Error::Io { path: self.path.clone(), source })?;
        Ok(bytes)
    }
}

/// The most bytes that a byte of LZ4 stands for.
const MOST_COMPRESSED: usize = 255;

fn decode(body: &[u8], format: u32) -> Option<Record<'static>> {
    // The first four bytes are the size before compression, which is checked before that much memory is allocated: anyone can
    // make a short frame that claims a gigabyte.
    let (size, compressed) = body.split_first_chunk()?;
    let size = u32::from_le_bytes(*size) as usize;
    let possible = size <= MAX_BODY_BYTES && size <= compressed.len().saturating_mul(MOST_COMPRESSED);
    let bytes = possible.then(|| lz4_flex::decompress(compressed, size).ok())??;
    Record::decode(bytes, format)
}

impl<R: Read> Iterator for Records<R> {
    type Item = Result<Record<'static>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let record = self.next_record().transpose();
        self.ended = !matches!(record, Some(Ok(_)));
        record
    }
}
