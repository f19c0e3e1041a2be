//! A run of a client's: the targets of its questions, the ledger of its calls, and the journal of its steps, in a folder.
//!
//! Requests about different questions are answered at once. Two about the same question are answered one after the other, and
//! so are two with the same `Idempotency-Key`: the second gets the answer of the first.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use alft_game::{Target, TargetConfig};
use alft_plugin_host::ledger::Ledger;
use alft_runtime::data::AnsweredQuestion;
use alft_runtime::record::{RunDir, ScoreLine};
use alft_runtime::reward::{self, RewardConfig, TargetState};
use alft_runtime::rollout::Rollout;
use alft_runtime::stats::StepStats;

use crate::active::Active;
use crate::error::Result;
use crate::journal::{Entry, Journal, Snapshot};
use crate::refusal::Refusal;
use crate::remembered::{Answer, Remembered};

/// A run of a client's.
#[derive(Debug)]
pub(crate) struct Run {
    dir: RunDir,
    /// False for requests that stand alone: their calls are recorded, and no target moves.
    moves: bool,
    /// Bytes of answers that are remembered.
    remembered: usize,
    state: Mutex<State>,
    /// Tells that a request was answered.
    answered: Condvar,
}

#[derive(Debug)]
struct State {
    /// `None` after an error of a record, until the records were opened again.
    records: Option<Records>,
    /// The questions and keys of the requests that are being answered.
    busy: BTreeSet<Claim>,
}

/// The state of a run and the records that agree with it.
#[derive(Debug)]
struct Records {
    steps: u64,
    reader: String,
    targets: TargetState,
    answers: Remembered,
    ledger: Ledger,
    journal: Journal,
    /// The plugins' files that the folder is known to have.
    kept: BTreeSet<String>,
}

/// Something that one request has at a time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Claim {
    Question(String),
    Key(String),
}

/// A request to a run.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) questions: Vec<AnsweredQuestion>,
    /// Steps of the client's training that are done: scheduled weights depend on them.
    pub(crate) step: u64,
    pub(crate) key: Option<Key>,
}

/// A request's `Idempotency-Key`.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub(crate) text: String,
    /// BLAKE3 of the request's body, in hexadecimal.
    pub(crate) request: String,
}

/// The answer to a request.
#[derive(Debug)]
pub(crate) enum Reply {
    /// A new one, made by `body` from the scores.
    New { body: Arc<str>, stats: StepStats },
    /// The one that an earlier request with the same key got.
    Replayed(Arc<str>),
}

/// The state of a run, for people.
#[derive(Debug, Clone)]
pub(crate) struct Status {
    pub(crate) steps: u64,
    pub(crate) questions: usize,
    pub(crate) multipliers: BTreeMap<String, f64>,
}

impl Run {
    /// Opens a run's folder, or makes it. `remembered` is the size of the answers that are remembered, in bytes.
    pub(crate) fn open(dir: RunDir, moves: bool, remembered: usize) -> Result<Self> {
        std::fs::create_dir_all(&dir.path).map_err(crate::error::Error::io("create the folder", &dir.path))?;
        dir.sweep();
        let records = Some(Records::open(&dir, remembered)?);
        let state = Mutex::new(State { records, busy: BTreeSet::new() });
        Ok(Self { dir, moves, remembered, state, answered: Condvar::new() })
    }

    /// Answers a request: asks the plugins, records their calls, and moves the targets. `body` makes the answer.
    pub(crate) fn reward(
        &self,
        active: &Active,
        request: &Request,
        body: impl FnOnce(&[ScoreLine], &[Rollout<'_>]) -> Result<String, Refusal>,
    ) -> Result<Reply, Refusal> {
        let sizes: BTreeSet<u32> = request.questions.iter().flat_map(AnsweredQuestion::sample_sizes).collect();
        active.estimator.prepare(sizes).map_err(|error| Refusal::Unprocessable(error.to_string()))?;

        let (claims, targets) = match self.claim(active, request)? {
            Claimed::Replayed(body) => return Ok(Reply::Replayed(body)),
            Claimed::New(claims, targets) => (claims, targets),
        };
        let target = if self.moves { active.target } else { TargetConfig::default() };
        let config = RewardConfig {
            step: request.step,
            estimator: &active.estimator,
            target,
            advantage: active.advantage,
            kl_penalty: None,
        };
        let mut rollouts: Vec<Rollout<'_>> = request.questions.iter().map(AnsweredQuestion::rollout).collect();
        let (stats, moved) = reward::evaluate(&mut rollouts, &active.plugins, &targets, &config);
        let aborted = active.count(&stats);
        let groups = rollouts.iter().flat_map(|rollout| &rollout.groups);
        let lines: Vec<ScoreLine> = groups.map(|group| ScoreLine::new(group, &active.plugins)).collect();
        let body = match aborted {
            Some(failure) => Err(Refusal::PluginFailed(failure)),
            None => body(&lines, &rollouts).map(Arc::from),
        };
        let moved = if body.is_ok() && self.moves { moved } else { Vec::new() };
        self.record(active, request, &stats, moved, body.as_ref().ok())?;
        drop(claims);
        body.map(|body| Reply::New { body, stats })
    }

    /// The state of the run, for people.
    pub(crate) fn status(&self) -> Result<Status> {
        let mut state = self.lock();
        let records = self.records(&mut state)?;
        Ok(Status {
            steps: records.steps,
            questions: records.targets.targets.len(),
            multipliers: records.targets.multipliers.clone(),
        })
    }

    /// Writes everything to the disk.
    pub(crate) fn sync(&self) -> Result<()> {
        let mut state = self.lock();
        let Some(records) = &mut state.records else { return Ok(()) };
        records.ledger.sync()?;
        records.journal.sync()
    }

    /// Returns true if no request is being answered.
    pub(crate) fn is_idle(&self) -> bool {
        self.lock().busy.is_empty()
    }

    /// Waits until no other request has the questions and the key of this one, and takes them. The answer to an earlier
    /// request with the same key is returned at once.
    fn claim(&self, active: &Active, request: &Request) -> Result<Claimed<'_>, Refusal> {
        let questions = request.questions.iter().map(|asked| Claim::Question(asked.question.id.clone()));
        let questions = questions.filter(|_| self.moves);
        let claims: BTreeSet<Claim> =
            questions.chain(request.key.iter().map(|key| Claim::Key(key.text.clone()))).collect();
        let state = self.lock();
        let taken = |state: &mut State| !state.busy.is_disjoint(&claims);
        let mut state = self.answered.wait_while(state, taken).unwrap_or_else(PoisonError::into_inner);
        let records = self.records(&mut state).map_err(Refusal::of)?;
        if let Some(key) = &request.key
            && let Some(answer) = records.answers.get(&key.text)
        {
            return match answer.request == key.request {
                true => Ok(Claimed::Replayed(Arc::clone(&answer.body))),
                false => Err(Refusal::Unprocessable(
                    "this `Idempotency-Key` was used with another body; take a new key for each request".into(),
                )),
            };
        }
        // Keys of another reader mean other answers.
        if records.reader != active.reader {
            records.targets.targets.clear();
            records.reader.clone_from(&active.reader);
        }
        let own = |question: &AnsweredQuestion| {
            let target = records.targets.targets.get(&question.question.id)?;
            Some((question.question.id.clone(), target.clone()))
        };
        let targets = if self.moves { request.questions.iter().filter_map(own).collect() } else { BTreeMap::new() };
        let multipliers = records.targets.multipliers.clone();
        state.busy.extend(claims.iter().cloned());
        let targets = TargetState { multipliers, targets, ..TargetState::default() };
        Ok(Claimed::New(Claims { run: self, claims }, targets))
    }

    /// Records the calls and the step, and moves the targets. After an error everything is as it was before the request.
    fn record(
        &self,
        active: &Active,
        request: &Request,
        stats: &StepStats,
        moved: Vec<(String, Target)>,
        body: Option<&Arc<str>>,
    ) -> Result<(), Refusal> {
        let mut state = self.lock();
        let records = self.records(&mut state).map_err(Refusal::of)?;
        let answer = request.key.as_ref().zip(body).map(|(key, body)| Answer {
            key: key.text.clone(),
            request: key.request.clone(),
            body: Arc::clone(body),
        });
        let recorded = records.record(self, active, stats, moved, answer);
        if recorded.is_err()
            && let Some(records) = state.records.take()
        {
            records.ledger.discard();
        }
        recorded.map_err(Refusal::of)
    }

    /// The records, opened again if there was an error.
    fn records<'s>(&self, state: &'s mut MutexGuard<'_, State>) -> Result<&'s mut Records> {
        if state.records.is_none() {
            state.records = Some(Records::open(&self.dir, self.remembered)?);
        }
        Ok(state.records.as_mut().expect("they were opened"))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while the lock is held leaves records that a later step would disagree with.
        self.state.lock().unwrap_or_else(|poisoned| {
            let mut state = poisoned.into_inner();
            if let Some(records) = state.records.take() {
                records.ledger.discard();
            }
            self.state.clear_poison();
            state
        })
    }
}

/// The result of [`Run::claim`].
enum Claimed<'a> {
    New(Claims<'a>, TargetState),
    Replayed(Arc<str>),
}

/// The questions and the key of a request that is being answered, given back when this is dropped.
struct Claims<'a> {
    run: &'a Run,
    claims: BTreeSet<Claim>,
}

impl Drop for Claims<'_> {
    fn drop(&mut self) {
        let mut state = self.run.lock();
        state.busy.retain(|claim| !self.claims.contains(claim));
        self.run.answered.notify_all();
    }
}

impl Records {
    fn open(dir: &RunDir, remembered: usize) -> Result<Self> {
        let (journal, snapshot, entries) = Journal::open(dir)?;
        let Snapshot { entry, answers } = snapshot;
        let ledger = entries.last().unwrap_or(&entry).ledger;
        let mut records = Self {
            steps: 0,
            reader: String::new(),
            targets: TargetState::default(),
            answers: Remembered::default(),
            ledger: Ledger::open(&dir.ledger(), ledger)?,
            journal,
            kept: BTreeSet::new(),
        };
        answers.into_iter().for_each(|answer| records.answers.add(answer, remembered));
        [entry].into_iter().chain(entries).for_each(|entry| records.adopt(entry, remembered));
        Ok(records)
    }

    /// Goes on from the state after a step.
    fn adopt(&mut self, entry: Entry, remembered: usize) {
        let Entry { step, reader, targets, multipliers, answer, .. } = entry;
        self.steps = step;
        if reader != self.reader {
            self.targets.targets.clear();
            self.reader = reader;
        }
        self.targets.targets.extend(targets);
        self.targets.multipliers = multipliers;
        answer.into_iter().for_each(|answer| self.answers.add(answer, remembered));
    }

    /// Records a step, and then goes on from it.
    fn record(
        &mut self,
        run: &Run,
        active: &Active,
        stats: &StepStats,
        moved: Vec<(String, Target)>,
        answer: Option<Answer>,
    ) -> Result<()> {
        if active.plugins.iter().any(|plugin| !self.kept.contains(&plugin.hash)) {
            active.plugins.keep_files(&run.dir)?;
            self.kept.extend(active.plugins.iter().map(|plugin| plugin.hash.clone()));
        }
        let step = self.steps + 1;
        for (plugin, stats) in active.plugins.iter().zip(&stats.plugins) {
            let loaded = plugin.scorer.loaded().expect("the plugins of a run file are loaded");
            for (batch, calls) in &stats.calls {
                self.ledger.record(step, &plugin.name, loaded, batch, calls)?;
            }
        }
        self.ledger.flush()?;
        // While the plugins were asked, an edit may have brought another reader.
        let same_reader = self.reader == active.reader;
        let moved = if same_reader && run.moves { moved } else { Vec::new() };
        let mut next = TargetState { multipliers: self.targets.multipliers.clone(), ..TargetState::default() };
        if run.moves {
            next.commit(moved, &active.plugins, stats);
        }
        let entry = Entry {
            step,
            ledger: self.ledger.length(),
            reader: self.reader.clone(),
            targets: next.targets,
            multipliers: next.multipliers,
            answer,
        };
        self.journal.append(&entry)?;
        self.adopt(entry, run.remembered);
        if self.journal.is_long() {
            self.ledger.sync()?;
            self.journal.write(&run.dir, &self.snapshot())?;
        }
        Ok(())
    }

    fn snapshot(&self) -> Snapshot {
        let entry = Entry {
            step: self.steps,
            ledger: self.ledger.length(),
            reader: self.reader.clone(),
            targets: self.targets.targets.clone(),
            multipliers: self.targets.multipliers.clone(),
            answer: None,
        };
        Snapshot { entry, answers: self.answers.iter().cloned().collect() }
    }
}
