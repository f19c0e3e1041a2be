//! The ledger: every scoring call of a run, so that anyone can make the calls again and see that they give the same.
//!
//! A file of frames that is only appended to. A frame is the length of its body (4 bytes, little-endian), the first 16
//! bytes of BLAKE3 over the frame before's 16 and the body, and the body: a [`Record`] in postcard's encoding,
//! compressed by LZ4. So floats keep their bits, a changed byte breaks the chain where it stands, and a frame that a
//! killed process left half-written is told from one that was tampered with.

use std::borrow::Cow;
use std::fs::{File, OpenOptions};
use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use alft_sdk::batch::PromptTexts;
use alft_sdk::bundle::Bundle;
use serde::{Deserialize, Serialize};

use crate::engine::WASMTIME;
use crate::isolate::Call;
use crate::plugin::{Form, Plugin, Role};
use crate::{Limits, NativeTrust, Source, file};

/// The version of the file's format.
const FORMAT: u32 = 1;

/// Bytes of a frame before its body.
const HEAD: usize = 4 + 16;

/// A frame's body is no longer than this: what says otherwise is no ledger.
const MOST_BODY: usize = 1 << 30;

type Link = [u8; 16];

/// What a frame holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Record<'a> {
    /// The first record: what wrote the ledger.
    Begin {
        /// Of the file.
        format: u32,
        /// Version of this crate.
        alft: Cow<'a, str>,
        /// wasmtime's major version: fuel may differ under another.
        wasmtime: u32,
        /// The machine, as in `x86_64-unknown-linux-gnu`.
        target: Cow<'a, str>,
    },
    /// A plugin, before its first call. Later records name it by its place among these.
    Plugin(Entrant<'a>),
    /// What a plugin was asked in a step, and its calls.
    Play {
        /// Step of the run, from 1; 0 before the first.
        step: u64,
        /// Which plugin.
        plugin: usize,
        /// The whole batch.
        input: Input<'a>,
        /// The calls that it took, each on a part of the batch.
        calls: Cow<'a, [Call]>,
    },
}

/// A plugin as a run had it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entrant<'a> {
    /// What the run called it.
    pub name: Cow<'a, str>,
    /// BLAKE3 of the file, in hexadecimal.
    pub hash: Cow<'a, str>,
    /// What it was loaded as.
    pub form: Form,
    /// Its configuration, a JSON object.
    pub config: Cow<'a, str>,
    /// What one of its calls could use.
    pub limits: Cow<'a, Limits>,
}

impl Entrant<'_> {
    /// To open the same plugin in the same form, from its file at `path` now.
    pub fn source(&self, path: PathBuf) -> Source {
        let native = match self.form {
            Form::Component => NativeTrust::Refused,
            Form::NativeProcess => NativeTrust::Process,
            Form::Native => NativeTrust::InProcess,
        };
        Source {
            path,
            pin: Some(self.hash.clone().into_owned()),
            native,
            config: self.config.clone().into_owned(),
            limits: self.limits.clone().into_owned(),
        }
    }
}

/// A batch, and what was asked of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Input<'a> {
    /// To read completions.
    Read(Cow<'a, [PromptTexts]>),
    /// To score answers.
    Score(Cow<'a, [PromptTexts]>),
    /// To price bundles.
    Evaluate(Cow<'a, [Bundle]>),
}

impl Input<'_> {
    /// The role that is asked.
    pub fn role(&self) -> Role {
        match self {
            Self::Read(_) => Role::Reader,
            Self::Score(_) => Role::Verifier,
            Self::Evaluate(_) => Role::Objective,
        }
    }

    fn borrowed(&self) -> Input<'_> {
        match self {
            Self::Read(batch) => Input::Read(Cow::Borrowed(batch)),
            Self::Score(batch) => Input::Score(Cow::Borrowed(batch)),
            Self::Evaluate(batch) => Input::Evaluate(Cow::Borrowed(batch)),
        }
    }
}

/// Why a ledger cannot be written or read.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum Error {
    #[error("the ledger {}: {reason}", path.display())]
    Io { path: PathBuf, reason: std::io::Error },

    #[error("the ledger {}, frame {frame} (at byte {offset}): {reason}", path.display())]
    Broken { path: PathBuf, frame: u64, offset: u64, reason: String },
}

/// A ledger that is being written.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    file: BufWriter<File>,
    length: u64,
    link: Link,
    entrants: Vec<Entrant<'static>>,
}

impl Ledger {
    /// Opens a ledger and cuts it to `length` bytes, the end of a frame: what came later belongs to steps that will be
    /// made again. With a length of 0 it is begun anew.
    ///
    /// # Errors
    /// The file cannot be opened, or is not whole up to there.
    pub fn open(path: &Path, length: u64) -> Result<Self, Error> {
        let io = |reason| Error::Io { path: path.into(), reason };
        file::regular_if_any(path).map_err(io)?;
        let mut file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path).map_err(io)?;
        let (mut link, mut entrants, mut end) = (Link::default(), Vec::new(), 0);
        if length > 0 {
            let mut frames = Frames::new(path, BufReader::new(&mut file));
            while end < length {
                let Some(record) = frames.next().transpose()? else { break };
                if let Record::Plugin(entrant) = record {
                    entrants.push(entrant);
                }
                (end, link) = (frames.offset, frames.link);
            }
            if end != length {
                let reason = format!("the saved state counts on {length} bytes, which is the end of no frame");
                return Err(Error::Broken { path: path.into(), frame: frames.count, offset: end, reason });
            }
        }
        file.set_len(length).and_then(|()| file.seek(SeekFrom::Start(length))).map_err(io)?;
        let mut ledger = Self { path: path.into(), file: BufWriter::new(file), length, link, entrants };
        if length == 0 {
            ledger.append(&Record::Begin {
                format: FORMAT,
                alft: env!("CARGO_PKG_VERSION").into(),
                wasmtime: WASMTIME,
                target: alft_sdk::abi::TARGET.into(),
            })?;
        }
        Ok(ledger)
    }

    /// Records what a plugin was asked and how it answered.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn record(
        &mut self,
        step: u64,
        name: &str,
        plugin: &Plugin,
        input: &Input<'_>,
        calls: &[Call],
    ) -> Result<(), Error> {
        let Source { config, limits, .. } = plugin.source();
        let entrant = Entrant {
            name: name.into(),
            hash: plugin.hash().into(),
            form: plugin.form(),
            config: config.into(),
            limits: Cow::Borrowed(limits),
        };
        let known = self.entrants.iter().position(|known| *known == entrant);
        let plugin = match known {
            Some(at) => at,
            None => {
                self.append(&Record::Plugin(entrant.clone()))?;
                self.entrants.push(Entrant {
                    name: Cow::Owned(name.to_owned()),
                    hash: Cow::Owned(entrant.hash.into_owned()),
                    form: entrant.form,
                    config: Cow::Owned(config.clone()),
                    limits: Cow::Owned(limits.clone()),
                });
                self.entrants.len() - 1
            }
        };
        self.append(&Record::Play { step, plugin, input: input.borrowed(), calls: calls.into() })
    }

    fn append(&mut self, record: &Record<'_>) -> Result<(), Error> {
        let body = lz4_flex::compress_prepend_size(&postcard::to_stdvec(record).expect("plain data encodes"));
        let link = chain(&self.link, &body);
        let length = u32::try_from(body.len()).expect("a step's calls are below 4 GiB").to_le_bytes();
        for part in [&length[..], &link, &body] {
            self.file.write_all(part).map_err(|reason| self.io(reason))?;
        }
        self.length += (HEAD + body.len()) as u64;
        self.link = link;
        Ok(())
    }

    /// Hands all frames to the system: they outlive this process.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn flush(&mut self) -> Result<(), Error> {
        self.file.flush().map_err(|reason| self.io(reason))
    }

    /// Makes sure that all frames are on disk, and says how many bytes they are.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn sync(&mut self) -> Result<u64, Error> {
        self.flush()?;
        self.file.get_ref().sync_data().map_err(|reason| self.io(reason))?;
        Ok(self.length)
    }

    fn io(&self, reason: std::io::Error) -> Error {
        Error::Io { path: self.path.clone(), reason }
    }
}

fn chain(before: &Link, body: &[u8]) -> Link {
    let mut hasher = blake3::Hasher::new();
    hasher.update(before).update(body);
    hasher.finalize().as_bytes()[..16].try_into().expect("16 of 32 bytes")
}

/// The records of a ledger, in order.
#[derive(Debug)]
pub struct Frames<R> {
    path: PathBuf,
    from: R,
    /// Frames read.
    count: u64,
    /// Where the next frame begins.
    offset: u64,
    link: Link,
    ended: bool,
    /// Bytes of a frame that was begun and not ended.
    cut_off: u64,
}

/// Reads a ledger from its beginning.
///
/// # Errors
/// The file cannot be opened.
pub fn read(path: &Path) -> Result<Frames<BufReader<File>>, Error> {
    let file = file::regular_if_any(path).and_then(|()| File::open(path));
    let file = file.map_err(|reason| Error::Io { path: path.into(), reason })?;
    Ok(Frames::new(path, BufReader::new(file)))
}

impl<R: Read> Frames<R> {
    fn new(path: &Path, from: R) -> Self {
        Self { path: path.into(), from, count: 0, offset: 0, link: Link::default(), ended: false, cut_off: 0 }
    }

    /// Bytes at the end that a killed process left of a frame; to be looked at after the last record.
    pub fn cut_off(&self) -> u64 {
        self.cut_off
    }

    /// The number of the frame that was read last, from 1.
    pub fn number(&self) -> u64 {
        self.count
    }

    fn broken(&self, reason: impl Into<String>) -> Error {
        Error::Broken { path: self.path.clone(), frame: self.count + 1, offset: self.offset, reason: reason.into() }
    }

    fn frame(&mut self) -> Result<Option<Record<'static>>, Error> {
        let io = |reason| Error::Io { path: self.path.clone(), reason };
        let mut head = Vec::new();
        self.from.by_ref().take(HEAD as u64).read_to_end(&mut head).map_err(io)?;
        if head.len() < HEAD {
            self.cut_off = head.len() as u64;
            return Ok(None);
        }
        let (length, link) = head.split_at(4);
        let length = u32::from_le_bytes(length.try_into().expect("4 bytes")) as usize;
        if length > MOST_BODY {
            return Err(self.broken(format!("it would have {length} bytes; this is no ledger, or it was changed")));
        }
        let mut body = Vec::new();
        self.from.by_ref().take(length as u64).read_to_end(&mut body).map_err(io)?;
        if body.len() < length {
            self.cut_off = (HEAD + body.len()) as u64;
            return Ok(None);
        }
        if chain(&self.link, &body) != *link {
            return Err(self.broken("its bytes are not those that were written"));
        }
        // The hash is right, so these were written by us, if by another version.
        let size = body.get(..4).map_or(0, |size| u32::from_le_bytes(size.try_into().expect("4 bytes")) as usize);
        let record = (size <= MOST_BODY).then(|| lz4_flex::decompress_size_prepended(&body).ok()).flatten();
        let record = record.and_then(|bytes| postcard::from_bytes::<Record<'static>>(&bytes).ok());
        let record = record.ok_or_else(|| self.broken("it is of another version of alft"))?;
        match (&record, self.count) {
            (Record::Begin { format: FORMAT, .. }, 0) => {}
            (Record::Begin { format, .. }, 0) => {
                return Err(self.broken(format!("it has the format {format}; this alft reads {FORMAT}")));
            }
            (_, 0) => return Err(self.broken("a ledger begins in another way")),
            _ => {}
        }
        self.link.copy_from_slice(link);
        self.offset += (HEAD + length) as u64;
        self.count += 1;
        Ok(Some(record))
    }
}

impl<R: Read> Iterator for Frames<R> {
    type Item = Result<Record<'static>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let record = self.frame().transpose();
        // Behind a broken frame nothing can be trusted.
        self.ended = !matches!(record, Some(Ok(_)));
        record
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn play(step: u64) -> Record<'static> {
        let question = PromptTexts { prompt: Default::default(), texts: vec!["a".into(); 3] };
        Record::Play { step, plugin: 0, input: Input::Score(Cow::Owned(vec![question])), calls: Cow::Owned(Vec::new()) }
    }

    /// A ledger of three plays: its bytes, and the length after the second.
    fn written(path: &Path) -> (Vec<u8>, u64) {
        let mut ledger = Ledger::open(path, 0).unwrap();
        ledger.append(&play(1)).unwrap();
        ledger.append(&play(2)).unwrap();
        let length = ledger.sync().unwrap();
        ledger.append(&play(3)).unwrap();
        ledger.sync().unwrap();
        (std::fs::read(path).unwrap(), length)
    }

    #[test]
    fn what_is_written_is_read_and_a_cut_one_goes_on_alike() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        let (bytes, length) = written(&path);
        let records: Vec<Record<'_>> = read(&path).unwrap().map(Result::unwrap).collect();
        assert_eq!(records[1..], [play(1), play(2), play(3)]);
        let mut ledger = Ledger::open(&path, length).unwrap();
        ledger.append(&play(3)).unwrap();
        ledger.sync().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
        assert!(Ledger::open(&path, length - 1).unwrap_err().to_string().contains("the end of no frame"));
    }

    #[test]
    fn a_frame_cut_off_at_any_byte_is_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        let (bytes, length) = written(&path);
        for cut in length as usize + 1..bytes.len() {
            std::fs::write(&path, &bytes[..cut]).unwrap();
            let mut frames = read(&path).unwrap();
            assert_eq!(frames.by_ref().map(Result::unwrap).count(), 3);
            assert_eq!(frames.cut_off(), cut as u64 - length);
        }
    }

    #[test]
    fn every_changed_byte_is_found_and_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        let (bytes, _) = written(&path);
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0x10;
            std::fs::write(&path, &changed).unwrap();
            let mut frames = read(&path).unwrap();
            let error = frames.by_ref().find_map(Result::err);
            // A longer length looks like a frame that was cut off: it is not whole either way.
            assert!(error.is_some() || frames.cut_off() > 0, "byte {at}");
            if let Some(error) = error {
                assert!(error.to_string().contains("frame"), "{error}");
            }
        }
    }
}
