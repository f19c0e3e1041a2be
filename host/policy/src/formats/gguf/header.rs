//! A check of a file's header before the tensor library reads it, which divides by the alignment as it comes.

use std::{
    io::{BufReader, Read, Seek},
    path::Path,
};

use crate::error::{Error, Result};

/// The first bytes of a file.
const MAGIC: u32 = u32::from_le_bytes(*b"GGUF");
const ALIGNMENT: &[u8] = b"general.alignment";

/// The numbers of types in the format: of texts, of lists, and the bytes of the others.
const STRING: u32 = 8;
const ARRAY: u32 = 9;
const SIZES: [u64; 13] = [1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8];

/// Lists within lists that the library reads.
const MOST_NESTED: usize = 64;

/// The versions of the format that the library reads.
const VERSIONS: std::ops::RangeInclusive<u32> = 1..=3;

/// Fails for another version or byte order, and for an alignment of 0. A header that cannot be read to its end is left to the library, whose errors name the fault.
pub(super) fn check<R: Read + Seek>(reader: &mut BufReader<R>, path: &Path) -> Result<()> {
    let (magic, version) = (Header { reader }.u32(), Header { reader }.u32());
    reader.rewind().map_err(Error::read(path))?;
    if let (Some(MAGIC), Some(version)) = (magic, version)
        && !VERSIONS.contains(&version)
    {
        return Err(Error::content(
            path,
            match VERSIONS.contains(&version.swap_bytes()) {
                true => {
                    "the numbers of the file are big-endian, for other processors; fetch or convert a little-endian one"
                        .to_owned()
                }
                false => format!(
                    "the file has version {version} of GGUF; versions {} to {} are read: convert the model again",
                    VERSIONS.start(),
                    VERSIONS.end()
                ),
            },
        ));
    }
    let aligned = Header { reader }.alignment();
    reader.rewind().map_err(Error::read(path))?;
    match aligned {
        Some(bytes) if bytes.iter().all(|byte| *byte == 0) => {
            Err(Error::content(path, "`general.alignment` in the metadata is 0; it must be a power of two"))
        }
        _ => Ok(()),
    }
}

struct Header<'r, R> {
    reader: &'r mut BufReader<R>,
}

impl<R: Read + Seek> Header<'_, R> {
    /// Returns the bytes of the alignment, which stands last where it comes twice; `None` if there is none.
    fn alignment(&mut self) -> Option<Vec<u8>> {
        let _magic = self.u32()?;
        let wide = self.u32()? != 1;
        let _tensors = self.length(wide)?;
        let mut alignment = None;
        for _ in 0..self.length(wide)? {
            let length = self.length(wide)?;
            let is_alignment = match length == ALIGNMENT.len() as u64 {
                true => self.bytes(length)? == ALIGNMENT,
                false => self.skip(length).map(|()| false)?,
            };
            let kind = self.u32()?;
            match SIZES.get(kind as usize) {
                Some(size @ 1..) if is_alignment => alignment = Some(self.bytes(*size)?),
                _ => self.skip_value(kind, wide, 0)?,
            }
        }
        alignment
    }

    fn skip_value(&mut self, kind: u32, wide: bool, depth: usize) -> Option<()> {
        match kind {
            STRING => {
                let length = self.length(wide)?;
                self.skip(length)
            }
            ARRAY if depth <= MOST_NESTED => {
                let kind = self.u32()?;
                let length = self.length(wide)?;
                match kind {
                    STRING | ARRAY => (0..length).try_for_each(|_| self.skip_value(kind, wide, depth + 1)),
                    _ => self.skip(SIZES.get(kind as usize)?.checked_mul(length)?),
                }
            }
            ARRAY => None,
            _ => self.skip(*SIZES.get(kind as usize)?),
        }
    }

    fn length(&mut self, wide: bool) -> Option<u64> {
        let bytes = self.bytes(if wide { 8 } else { 4 })?;
        Some(bytes.iter().rev().fold(0, |length, byte| length << 8 | u64::from(*byte)))
    }

    fn u32(&mut self) -> Option<u32> {
        self.bytes(4)?.try_into().ok().map(u32::from_le_bytes)
    }

    /// Reads a few bytes.
    fn bytes(&mut self, count: u64) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        let read = self.reader.by_ref().take(count).read_to_end(&mut bytes).ok()?;
        (read as u64 == count).then_some(bytes)
    }

    /// Skips bytes, also beyond the end of the file, where nothing can be read.
    fn skip(&mut self, count: u64) -> Option<()> {
        self.reader.seek_relative(count.try_into().ok()?).ok()
    }
}
