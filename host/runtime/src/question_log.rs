//! The state's file of questions: targets, reference marginals and pass rates, written as they change.
//!
//! `state/questions-N.jsonl` is appended to: a line has what changed of a question, and later lines replace earlier ones. The
//! saved state counts its bytes, as those of the run's records, so a resumed run cuts off what came after. A file that has
//! grown to several times what it holds is written again under the next N, complete before the state names it; the old
//! one is removed after that.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use alft_game::Target;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::record::JsonlWriter;
use crate::reward::TargetState;
use crate::sampler::{PassRate, QuestionSampler};

/// The file of questions, open for appending.
#[derive(Debug)]
pub(crate) struct QuestionLog {
    folder: PathBuf,
    /// The number in the file's name.
    number: u64,
    /// Bytes of the file when it was written as a whole.
    whole: u64,
    file: JsonlWriter,
    /// The questions whose reference marginals are in the file: they never change.
    references: BTreeSet<String>,
}

/// The file of questions as a saved state counts on it.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct QuestionLogPosition {
    number: u64,
    whole: u64,
    length: u64,
}

/// A change of a question.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    question: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    target: Option<Target>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reference: Option<Vec<BTreeMap<String, f64>>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rate: Option<PassRate>,
}

/// A file is written again once it has this factor of the bytes that it was begun with, and `SLACK` more.
const GROWTH: u64 = 4;
const SLACK: u64 = 1 << 20;

impl QuestionLog {
    /// Opens the file that a saved state counts on, and reads it into `targets` and `sampler`. Files of other numbers, which
    /// a killed process left, are removed. A state of a run that begins has an empty file.
    pub(crate) fn open(
        folder: &Path,
        position: QuestionLogPosition,
        targets: &mut TargetState,
        sampler: &mut QuestionSampler,
    ) -> Result<Self> {
        let QuestionLogPosition { number, whole, length } = position;
        let path = path(folder, number);
        if length == 0 {
            alft_fs::write(&path, b"")?;
        }
        let file = JsonlWriter::open(path.clone(), length)?;
        let bytes = alft_fs::read(&path, alft_fs::MAX_DATA).map_err(Error::io("read", &path))?;
        for (place, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
            let wrong = |error| Error::Resume {
                path: path.clone(),
                reason: format!("line {} is nothing that this alft wrote: {error}; start a new run", place + 1),
            };
            let Line { question, target, reference, rate } = serde_json::from_slice(line).map_err(wrong)?;
            targets.targets.extend(target.map(|target| (question.clone(), target)));
            targets.references.extend(reference.map(|reference| (question.clone(), reference)));
            sampler.rates.extend(rate.map(|rate| (question, rate)));
        }
        let references = targets.references.keys().cloned().collect();
        let log = Self { folder: folder.to_owned(), number, whole, file, references };
        log.remove_others();
        Ok(log)
    }

    /// Appends what a step has changed of its questions.
    pub(crate) fn append<'q>(
        &mut self,
        questions: impl Iterator<Item = &'q str>,
        targets: &TargetState,
        sampler: &QuestionSampler,
    ) -> Result<()> {
        for question in questions {
            let reference = targets.references.get(question);
            let new = reference.is_some() && self.references.insert(question.to_owned());
            self.file.append(&Line::new(question, targets, sampler, new))?;
        }
        self.file.flush()
    }

    /// Puts all lines on disk. The file is written again if it has grown, or if the run `forgot` something.
    pub(crate) fn sync(
        &mut self,
        targets: &TargetState,
        sampler: &QuestionSampler,
        forgot: bool,
    ) -> Result<QuestionLogPosition> {
        let mut length = self.file.sync()?;
        if forgot || length > GROWTH * self.whole + SLACK {
            let questions = targets.targets.keys().chain(targets.references.keys()).chain(sampler.rates.keys());
            let questions: BTreeSet<&String> = questions.collect();
            let mut bytes = Vec::new();
            for question in questions {
                let line = Line::new(question, targets, sampler, true);
                serde_json::to_writer(&mut bytes, &line).expect("lines are plain data");
                bytes.push(b'\n');
            }
            self.number += 1;
            let path = path(&self.folder, self.number);
            alft_fs::write(&path, &bytes)?;
            length = bytes.len() as u64;
            self.whole = length;
            self.file = JsonlWriter::open(path, length)?;
            self.references = targets.references.keys().cloned().collect();
        }
        Ok(QuestionLogPosition { number: self.number, whole: self.whole, length })
    }

    /// Closes the file without the lines that were not handed to the system yet.
    pub(crate) fn discard(self) {
        self.file.discard();
    }

    /// Removes the files of other numbers: the saved state no longer names them.
    pub(crate) fn remove_others(&self) {
        let own = path(&self.folder, self.number);
        let entries = std::fs::read_dir(&self.folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let is_log = |path: &PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str());
            let number = name.and_then(|name| name.strip_prefix(PREFIX)?.strip_suffix(".jsonl"));
            number.is_some_and(|number| number.parse::<u64>().is_ok())
        };
        // A file that cannot be removed only takes space.
        entries.filter(is_log).filter(|path| *path != own).for_each(|path| drop(std::fs::remove_file(path)));
    }
}

const PREFIX: &str = "questions-";

fn path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{PREFIX}{number}.jsonl"))
}

impl Line {
    /// The state of a question, its reference marginals only if asked for.
    fn new(question: &str, targets: &TargetState, sampler: &QuestionSampler, with_reference: bool) -> Self {
        Self {
            question: question.to_owned(),
            target: targets.targets.get(question).cloned(),
            reference: targets.references.get(question).filter(|_| with_reference).cloned(),
            rate: sampler.rates.get(question).copied(),
        }
    }
}

#[cfg(test)]
mod tests {
    use alft_game::Answer;

    use super::*;

    /// A state with a target, a reference and a pass rate of each question.
    fn remembered(questions: &[&str]) -> (TargetState, QuestionSampler) {
        let (mut targets, mut sampler) = (TargetState::default(), QuestionSampler::default());
        for question in questions {
            let answers = [vec![Answer::Key((*question).to_owned())]];
            let target = Target::default().next(&answers, alft_game::TargetConfig::default());
            targets.targets.insert((*question).to_owned(), target);
            targets.references.insert((*question).to_owned(), vec![[((*question).to_owned(), 0.1)].into()]);
            sampler.rates.insert((*question).to_owned(), PassRate::default());
        }
        (targets, sampler)
    }

    fn open(folder: &Path, position: QuestionLogPosition) -> (QuestionLog, TargetState, QuestionSampler) {
        let (mut targets, mut sampler) = remembered(&[]);
        let log = QuestionLog::open(folder, position, &mut targets, &mut sampler).unwrap();
        (log, targets, sampler)
    }

    fn names(folder: &Path) -> Vec<String> {
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn lines_after_the_saved_state_are_cut_off_and_the_last_line_of_a_question_counts() {
        let folder = tempfile::tempdir().unwrap();
        let (mut log, ..) = open(folder.path(), QuestionLogPosition::default());
        let (mut targets, sampler) = remembered(&["a", "b"]);
        log.append(["a", "b", "a"].into_iter(), &targets, &sampler).unwrap();
        let position = log.sync(&targets, &sampler, false).unwrap();
        let bytes = std::fs::read_to_string(path(folder.path(), 0)).unwrap();
        assert_eq!(bytes.matches("\"reference\"").count(), 2, "a reference is written once: {bytes}");
        targets.targets.insert("b".into(), Target::default());
        log.append(["b"].into_iter(), &targets, &sampler).unwrap();
        drop(log);

        let (expected, sampler) = remembered(&["a", "b"]);
        let (_, targets, rates) = open(folder.path(), position);
        assert_eq!((targets.targets, targets.references), (expected.targets, expected.references));
        assert_eq!(rates.rates, sampler.rates);
    }

    #[test]
    fn a_file_that_was_written_again_holds_the_same_and_what_was_forgotten_stays_so() {
        let folder = tempfile::tempdir().unwrap();
        let (mut log, ..) = open(folder.path(), QuestionLogPosition::default());
        let (targets, sampler) = remembered(&["a", "b"]);
        log.append(["a", "b"].into_iter(), &targets, &sampler).unwrap();
        let before = log.sync(&targets, &sampler, false).unwrap();
        let (targets, sampler) = remembered(&["b"]);
        let after = log.sync(&targets, &sampler, true).unwrap();
        assert_eq!(names(folder.path()).len(), 2, "the old file stays until the state names the new one");
        // A process that is killed here goes on from the old one.
        let (_, old, _) = open(folder.path(), before);
        assert_eq!(old.targets.len(), 2);
        assert_eq!(names(folder.path()), ["questions-0.jsonl"]);

        let mut log = open(folder.path(), before).0;
        log.sync(&targets, &sampler, true).unwrap();
        log.remove_others();
        assert_eq!(names(folder.path()), ["questions-1.jsonl"]);
        let (_, new, rates) = open(folder.path(), after);
        assert_eq!((new.targets, rates.rates), (targets.targets, sampler.rates));
    }
}
