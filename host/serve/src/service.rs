//! The service without its network: plugins in force, runs by name, and the answers to requests.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use alft_plugin_host::Worker;
use alft_runtime::config::{Serve, ServeFile};
use alft_runtime::plugins::PluginEvent;
use alft_runtime::record::RunDir;

use crate::active::Active;
use crate::error::{Error, Result};
use crate::metrics::Metrics;
use crate::openrlhf;
use crate::refusal::Refusal;
use crate::run::{Key, Reply, Request, Run};
use crate::wire::{self, Questions, RunStatus};

/// The service without its network.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) settings: Serve,
    pub(crate) metrics: Metrics,
    active: RwLock<Arc<Active>>,
    /// Requests that stand alone.
    alone: Run,
    runs: Mutex<BTreeMap<String, Arc<Run>>>,
    runs_dir: PathBuf,
    worker: Worker,
    lock_dir: PathBuf,
    /// Keeps other processes out of the folder.
    _lock: File,
}

/// The answer to a request with its questions' scores.
#[derive(Debug)]
pub(crate) struct Scored {
    pub(crate) body: Arc<str>,
    /// True for the answer to an earlier request with the same key.
    pub(crate) replayed: bool,
}

impl Service {
    /// Opens the plugins and the folder of a run file.
    pub(crate) fn open(
        file: &ServeFile,
        lock_dir: PathBuf,
        worker: Worker,
        observer: &mut dyn FnMut(PluginEvent<'_>),
    ) -> Result<Self> {
        let active = Active::open(file, &lock_dir, &worker, observer)?;
        let dir = RunDir { path: file.output.join("serve") };
        let runs_dir = dir.path.join("runs");
        std::fs::create_dir_all(&runs_dir).map_err(Error::io("create the folder", &runs_dir))?;
        let lock = dir.lock()?;
        let alone = Run::open(RunDir { path: dir.path.join("scores") }, false, 0)?;
        Ok(Self {
            settings: file.serve.clone(),
            metrics: Metrics::new(),
            active: RwLock::new(Arc::new(active)),
            alone,
            runs: Mutex::default(),
            runs_dir,
            worker,
            lock_dir,
            _lock: lock,
        })
    }

    /// Takes over an edit of the run file: its plugins are opened, and requests that come from now on are answered by them.
    pub(crate) fn reload(&self, file: &ServeFile, observer: &mut dyn FnMut(PluginEvent<'_>)) -> Result<()> {
        let active = Arc::new(Active::open(file, &self.lock_dir, &self.worker, observer)?);
        *self.active.write().unwrap_or_else(PoisonError::into_inner) = active;
        Ok(())
    }

    /// The plugins that fail too often, each with the reason.
    pub(crate) fn failing(&self) -> Vec<String> {
        self.active().failing()
    }

    /// Scores questions that stand alone.
    pub(crate) fn score(&self, body: &[u8]) -> Result<Scored, Refusal> {
        self.answer(&self.alone, body, None)
    }

    /// Scores questions of a run, whose targets move.
    pub(crate) fn reward(&self, run: &str, body: &[u8], key: Option<String>) -> Result<Scored, Refusal> {
        let run = self.run(run, true)?;
        let key = key.map(|text| Key { text, request: blake3::hash(body).to_hex().to_string() });
        self.answer(&run, body, key)
    }

    /// Answers a request of OpenRLHF.
    pub(crate) fn openrlhf(&self, body: &[u8]) -> Result<Scored, Refusal> {
        let samples: openrlhf::Samples = wire::parse(body)?;
        if samples.is_empty() {
            return Ok(Scored { body: openrlhf::nothing().into(), replayed: false });
        }
        let request = Request { questions: samples.answered()?, step: 0, key: None };
        let active = self.active();
        let reply = self.alone.reward(&active, &request, openrlhf::rewards)?;
        Ok(self.counted(&active, &request, reply))
    }

    /// The state of a run.
    pub(crate) fn status(&self, name: &str) -> Result<String, Refusal> {
        let status = self.run(name, false)?.status().map_err(Refusal::of)?;
        let status = RunStatus {
            run: name.to_owned(),
            steps: status.steps,
            questions: status.questions,
            multipliers: status.multipliers,
        };
        Ok(serde_json::to_string(&status).expect("a status is plain data"))
    }

    /// Writes all records to the disk.
    pub(crate) fn sync(&self) -> Result<()> {
        let runs: Vec<Arc<Run>> = self.runs().values().cloned().collect();
        runs.iter().try_for_each(|run| run.sync())?;
        self.alone.sync()
    }

    fn answer(&self, run: &Run, body: &[u8], key: Option<Key>) -> Result<Scored, Refusal> {
        let questions: Questions = wire::parse(body)?;
        let request = Request { questions: questions.answered()?, step: questions.step, key };
        let active = self.active();
        let reply = run.reward(&active, &request, |lines, _| Ok(wire::results(&request.questions, lines)))?;
        Ok(self.counted(&active, &request, reply))
    }

    fn counted(&self, active: &Active, request: &Request, reply: Reply) -> Scored {
        match reply {
            Reply::New { body, stats } => {
                let samples = request.questions.iter().flat_map(|asked| &asked.completions).map(Vec::len).sum();
                self.metrics.scored(samples, &active.plugins, &stats);
                Scored { body, replayed: false }
            }
            Reply::Replayed(body) => Scored { body, replayed: true },
        }
    }

    fn active(&self) -> Arc<Active> {
        Arc::clone(&self.active.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn runs(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Run>>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The run of this name, opened or made if it is not in memory. The one that is needed least gives way to it.
    fn run(&self, name: &str, create: bool) -> Result<Arc<Run>, Refusal> {
        let named = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if name.is_empty() || name.len() > 64 || !name.chars().all(named) || name.starts_with('.') {
            let reason =
                "the name of a run has 1 to 64 letters, digits, hyphens, underscores and dots, and begins with no dot";
            return Err(Refusal::Unprocessable(reason.into()));
        }
        let mut runs = self.runs();
        if let Some(run) = runs.get(name) {
            return Ok(Arc::clone(run));
        }
        let path = self.runs_dir.join(name);
        if !create && !path.is_dir() {
            return Err(Refusal::NotFound(format!("there is no run \"{name}\"")));
        }
        if runs.len() >= self.settings.runs {
            let idle = |(name, run): (&String, &Arc<Run>)| {
                (Arc::strong_count(run) == 1 && run.is_idle()).then(|| name.clone())
            };
            let Some(idle) = runs.iter().find_map(idle) else {
                let reason = format!("all {} runs of `serve.runs` are being answered", self.settings.runs);
                return Err(Refusal::Busy(reason));
            };
            if let Some(run) = runs.remove(&idle) {
                run.sync().map_err(Refusal::of)?;
            }
        }
        let run = Run::open(RunDir { path }, true, self.settings.remembered).map_err(Refusal::of)?;
        let run = Arc::new(run);
        runs.insert(name.to_owned(), Arc::clone(&run));
        Ok(run)
    }
}
