//! [`Ledger`]: a ledger that is being written.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use alft_sdk::roles::Batch;

use super::format::{Error, FrameError, HEAD_BYTES, Link, PluginRecord, Record, link};
use super::reader::Records;
use crate::batch::call::Call;
use crate::plugin::Plugin;
use crate::source::Source;

/// A ledger that is being written.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    file: BufWriter<File>,
    length: u64,
    link: Link,
    plugins: Vec<PluginRecord<'static>>,
}

impl Ledger {
    /// Opens a ledger and truncates it to `length` bytes, because later records belong to steps that will be repeated. With
    /// a length of 0 a new ledger is begun.
    ///
    /// # Errors
    /// Fails if the file cannot be opened, if it is broken before `length`, or if no frame ends there.
    pub fn open(path: &Path, length: u64) -> Result<Self, Error> {
        let io = |source| Error::Io { path: path.into(), source };
        let mut file = alft_fs::open_to_change(path).map_err(io)?;
        let (mut plugins, mut header) = (Vec::new(), None);
        let mut records = Records::new(path, BufReader::new(&mut file));
        while records.offset() < length {
            match records.next().transpose()? {
                Some(Record::Plugin(plugin)) => plugins.push(plugin),
                Some(found @ Record::Header { .. }) => header = Some(found),
                Some(Record::Batch { .. }) => {}
                None => break,
            }
        }
        if records.offset() != length {
            return Err(records.broken(FrameError::NotAnEnd { length }));
        }
        let link = records.link();
        file.set_len(length).and_then(|()| file.seek(SeekFrom::Start(length))).map_err(io)?;
        let mut ledger = Self { path: path.into(), file: BufWriter::new(file), length, link, plugins };
        // A run that another version of alft began goes on under this version's header.
        if header != Some(Record::header()) {
            ledger.append(&Record::header())?;
        }
        Ok(ledger)
    }

    /// Records the calls that were made for a batch. The plugin is recorded before its first batch.
    ///
    /// # Errors
    /// Fails if the file cannot be written.
    pub fn record(
        &mut self,
        step: u64,
        name: &str,
        plugin: &Plugin,
        batch: &Batch<'_>,
        calls: &[Call],
    ) -> Result<(), Error> {
        let Source { config, limits, .. } = plugin.source();
        let record = PluginRecord {
            name: name.into(),
            hash: plugin.hash().into(),
            form: plugin.form(),
            config: config.into(),
            limits: Cow::Borrowed(limits),
        };
        let plugin = match self.plugins.iter().position(|known| *known == record) {
            Some(position) => position,
            None => {
                self.append(&Record::Plugin(record.clone()))?;
                self.plugins.push(record.into_owned());
                self.plugins.len() - 1
            }
        };
        self.append(&Record::Batch { step, plugin, batch: batch.borrowed(), calls: calls.into() })
    }

    /// Hands all frames to the system. They outlive this process, but not a power failure.
    ///
    /// # Errors
    /// Fails if the file cannot be written.
    pub fn flush(&mut self) -> Result<(), Error> {
        self.file.flush().map_err(|source| self.io(source))
    }

    /// The length of the ledger in bytes, of all frames that were recorded.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Writes all frames to the disk and returns the length of the ledger in bytes.
    ///
    /// # Errors
    /// Fails if the file cannot be written.
    pub fn sync(&mut self) -> Result<u64, Error> {
        self.flush()?;
        self.file.get_ref().sync_data().map_err(|source| self.io(source))?;
        Ok(self.length)
    }

    /// Closes the ledger without the frames that were not handed to the system yet: after an error the file may be truncated
    /// already.
    pub fn discard(self) {
        drop(self.file.into_parts());
    }

    fn append(&mut self, record: &Record<'_>) -> Result<(), Error> {
        let body = postcard::to_stdvec(record).expect("plain data can be encoded");
        let body = lz4_flex::compress_prepend_size(&body);
        let length = u32::try_from(body.len()).expect("the calls of a batch have less than 4 GiB").to_le_bytes();
        let link = link(&self.link, &body);
        for part in [&length[..], &link, &body] {
            self.file.write_all(part).map_err(|source| self.io(source))?;
        }
        self.length += (HEAD_BYTES + body.len()) as u64;
        self.link = link;
        Ok(())
    }

    fn io(&self, source: io::Error) -> Error {
        Error::Io { path: self.path.clone(), source }
    }
}

#[cfg(test)]
mod tests {
    use super::super::reader::read;
    use super::*;
    use alft_sdk::call::PromptTexts;
    use std::error::Error as _;

    fn batch(step: u64) -> Record<'static> {
        let entry = PromptTexts { prompt: Default::default(), texts: vec!["a".into(); 3] };
        Record::Batch {
            step,
            plugin: 0,
            batch: Batch::Verifier(Cow::Owned(vec![entry])),
            calls: Cow::Owned(Vec::new()),
        }
    }

    /// Writes a ledger of three batches, and returns its bytes and the length after the second batch.
    fn write_ledger(path: &Path) -> (Vec<u8>, u64) {
        let mut ledger = Ledger::open(path, 0).unwrap();
        ledger.append(&batch(1)).unwrap();
        ledger.append(&batch(2)).unwrap();
        let length = ledger.sync().unwrap();
        ledger.append(&batch(3)).unwrap();
        ledger.sync().unwrap();
        (std::fs::read(path).unwrap(), length)
    }

    #[test]
    fn a_truncated_ledger_continues_with_the_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        let (bytes, length) = write_ledger(&path);
        let records: Vec<Record<'_>> = read(&path).unwrap().map(Result::unwrap).collect();
        assert_eq!(records[1..], [batch(1), batch(2), batch(3)]);
        let mut ledger = Ledger::open(&path, length).unwrap();
        ledger.append(&batch(3)).unwrap();
        ledger.sync().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
        let error = Ledger::open(&path, length - 1).unwrap_err();
        assert!(error.source().unwrap().to_string().contains("where no frame ends"), "{error}");
    }

    /// Writes a ledger as alft did in format 1: without the fields that format 2 added at the ends of records.
    fn write_format_1(path: &Path, plugin: &PluginRecord<'_>) -> u64 {
        let mut header = postcard::to_stdvec(&Record::header()).unwrap();
        assert_eq!((header[..2].to_vec(), header.pop()), (vec![0, 2], Some(2)), "format and prices are one byte each");
        header[1] = 1;
        let mut named = postcard::to_stdvec(&Record::Plugin(plugin.clone())).unwrap();
        named.truncate(named.len() - postcard::to_stdvec(&plugin.limits.compiled_size).unwrap().len());
        let (mut file, mut previous) = (Vec::new(), Link::default());
        for record in [header, named, postcard::to_stdvec(&batch(1)).unwrap()] {
            let body = lz4_flex::compress_prepend_size(&record);
            previous = link(&previous, &body);
            file.extend((body.len() as u32).to_le_bytes());
            file.extend(previous);
            file.extend(body);
        }
        std::fs::write(path, &file).unwrap();
        file.len() as u64
    }

    #[test]
    fn a_ledger_of_format_1_is_read_and_continued() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        let plugin = PluginRecord {
            name: "a".into(),
            hash: "b".into(),
            form: crate::source::Form::Component,
            config: "{}".into(),
            limits: Cow::Owned(crate::limits::Limits { fuel_base: 7, ..Default::default() }),
        };
        let length = write_format_1(&path, &plugin);
        let mut ledger = Ledger::open(&path, length).unwrap();
        ledger.append(&Record::Plugin(plugin.clone())).unwrap();
        ledger.append(&batch(2)).unwrap();
        ledger.sync().unwrap();
        let records: Vec<Record<'_>> = read(&path).unwrap().map(Result::unwrap).collect();
        let header = |record: &Record<'_>| match record {
            Record::Header { format, fuel_rules, .. } => Some((*format, *fuel_rules)),
            _ => None,
        };
        assert_eq!(header(&records[0]), Some((1, 1)), "the prices of format 1 are those of version 1");
        assert_eq!(records[1..3], [Record::Plugin(plugin.clone()), batch(1)]);
        assert_eq!(records[3..], [Record::header(), Record::Plugin(plugin), batch(2)]);
    }

    #[test]
    fn a_ledger_keeps_its_encoding() {
        let record = Record::Batch {
            step: 7,
            plugin: 1,
            batch: Batch::Verifier(Cow::Owned(Vec::new())),
            calls: Cow::Owned(Vec::new()),
        };
        assert_eq!(postcard::to_stdvec(&record).unwrap(), [2, 7, 1, 1, 0, 0]);
    }

    #[test]
    fn a_frame_that_is_cut_off_at_any_byte_is_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        let (bytes, length) = write_ledger(&path);
        for cut in length as usize + 1..bytes.len() {
            std::fs::write(&path, &bytes[..cut]).unwrap();
            let mut records = read(&path).unwrap();
            assert_eq!(records.by_ref().map(Result::unwrap).count(), 3);
            assert_eq!(records.incomplete_bytes(), cut as u64 - length);
        }
    }

    #[test]
    fn a_frame_that_claims_more_than_it_can_have_takes_no_memory() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        Ledger::open(&path, 0).unwrap().sync().unwrap();
        let whole = std::fs::read(&path).unwrap();
        let header = whole[HEAD_BYTES..].to_vec();
        let error_of = |length: u32, body: &[u8]| {
            let hash = link(&link(&Link::default(), &header), body);
            let claim = [&whole[..], &length.to_le_bytes(), &hash, body].concat();
            std::fs::write(&path, claim).unwrap();
            read(&path).unwrap().find_map(Result::err).unwrap().source().unwrap().to_string()
        };
        assert_eq!(error_of(u32::MAX, b"a"), FrameError::TooLong { bytes: u32::MAX as usize }.to_string());
        // Four bytes of LZ4 that stand for almost 4 GiB, or for a gigabyte.
        for size in [u32::MAX, 1 << 30] {
            let body = [&size.to_le_bytes()[..], &[0x1f, 0, 0, 0]].concat();
            assert_eq!(error_of(8, &body), FrameError::OtherVersion.to_string());
        }
    }

    #[test]
    fn every_changed_byte_is_found_and_its_frame_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        let (bytes, _) = write_ledger(&path);
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0x10;
            std::fs::write(&path, &changed).unwrap();
            let mut records = read(&path).unwrap();
            let error = records.by_ref().find_map(Result::err);
            // A longer length looks like a frame that was cut off, which is reported too.
            assert!(error.is_some() || records.incomplete_bytes() > 0, "byte {at}");
            if let Some(error) = error {
                assert!(error.to_string().contains("frame"), "{error}");
            }
        }
    }
}
