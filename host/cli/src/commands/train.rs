//! `alft train`: the loop.
//!
//! Sample a group of completions for each phrasing of some questions; have the plugins read and price the answers;
//! turn prices into advantages; take a GRPO step. Before and after: a measurement on questions kept out.
//!
//! Every random choice is a function of the seed and the step, so a run has no hidden state: what a step needs is the
//! weights, the optimiser, the multipliers, the plugins in force and the step's number. That is what is saved, and why a
//! resumed run gives the same as one left alone.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use alft_plugin_host::lock::Lock;
use alft_policy::{Device, KlPenalty, OptimiserConfig, Policy, Schedule, Sequence, Trainer, Tuning, device, state};

use crate::account::{account, record_samples};
use crate::args::TrainArgs;
use crate::averages::Averages;
use crate::change::{Change, Changes, Lineup, Watch};
use crate::error::{Error, Result};
use crate::evaluate::{draw, evaluate, measured};
use crate::folder::{Folder, Journal};
use crate::identity::Identity;
use crate::metrics::{GameLine, TargetLine, TimeLine, WarmStartLine, plugin_lines};
use crate::order::{GAME_ORDER, WARM_START_ORDER, chosen};
use crate::panel::{Approval, Panel};
use crate::play::{Memory, Penalty, play};
use crate::plugin::lock_folder;
use crate::position::{Phase, Position};
use crate::progress::Progress;
use crate::questions::{self, Asked, Worked};
use crate::reference;
use crate::report::{self, BillLine, Summary};
use crate::runfile::{Embedded, RunFile};

/// During warm start the state is saved every so many steps.
const WARM_START_SAVE: u64 = 100;

/// All that a run is made of. Its plugins and limits are those in force: a change of the run file may put others in
/// their place.
struct Setting {
    run: RunFile,
    panel: Panel,
    /// Where the run file's lock would lie.
    lock_folder: PathBuf,
    train: Vec<Asked>,
    eval: Vec<Asked>,
    worked: Vec<Worked>,
    folder: Folder,
}

pub(crate) fn train(args: &TrainArgs) -> Result<()> {
    let begun = Instant::now();
    let say = |line: &str| eprintln!("{line}");
    let (mut watch, run) = Watch::begin(args.run.clone(), args.all_overrides())?;
    let device = run.model.device.open()?;
    say(&format!("alft {} on {}", env!("CARGO_PKG_VERSION"), device::describe(&device)));

    // All inputs are read before anything long begins.
    let train = questions::read(&run.prompts.train)?;
    let eval = run.prompts.eval.as_deref().map(questions::read).transpose()?.unwrap_or_default();
    let worked =
        run.warm_start.as_ref().map(|warm| questions::read_worked(&warm.data)).transpose()?.unwrap_or_default();
    prepare_estimator(&run, &train, &eval)?;
    let lock_folder = lock_folder(&args.run);
    let panel = open_panel(&run, &lock_folder, &say)?;
    for seat in &panel.seats {
        say(&format!("plugin {}: {}", seat.name, seat.describe()));
    }
    let policy = open_policy(&run, &device)?;
    check_questions(&policy, &run, &train, &eval)?;
    let mut trainer = Trainer::new(
        policy,
        &run.model.lora.clone().map_or(Tuning::Full, Tuning::Lora),
        warm_start_optimiser(&run).unwrap_or_else(|| game_optimiser(&run)),
        run.train.token_budget,
        run.seed,
    )?;

    let identity = Identity::of(&run)?;
    let folder = match &args.resume {
        Some(path) => Folder { path: path.clone() },
        None => Folder::create(&run.output)?,
    };
    if args.resume.is_some() && !state::exists(&folder.state()) {
        let reason = "there is no saved state here; start the run without --resume".into();
        return Err(Error::Resume { path: folder.path, reason });
    }
    let _lock = folder.lock()?;
    folder.sweep();
    let mut position = match &args.resume {
        Some(_) => resume(&mut trainer, &folder, &identity, &run)?,
        None => Position::start(identity, Lineup::of(&run, &panel)),
    };
    say(&format!("run folder {}", folder.path.display()));
    let mut journal = Journal::open(&folder, position.lengths)?;
    let mut changes = Changes::open(&folder, position.changes)?;
    let mut setting = Setting { run, panel, lock_folder, train, eval, worked, folder };
    while let Some(change) = changes.due(position.step) {
        position.adopt(change);
    }
    if changes.ahead() {
        // The run file is heeded when the record is at its end.
        watch.forget();
        setting.put_in_force(&position.lineup, &say)?;
    } else {
        setting.panel.keep(&setting.folder)?;
        take(Lineup::of(&setting.run, &setting.panel), &mut position, &mut changes, &say)?;
    }
    setting.write_run_file()?;
    if args.resume.is_none() {
        // From here on there is something to resume, whenever it is killed.
        save(&setting, &trainer, &mut position, &mut journal)?;
    }

    if let Phase::WarmStart(done) = position.phase {
        warm_start(&setting, &mut trainer, &mut position, &mut journal, done)?;
        trainer.begin_phase(game_optimiser(&setting.run))?;
        trainer.freeze_reference()?;
        position.before = measure("before", &setting, &trainer, &mut position, &mut journal)?;
        position.phase = Phase::Game;
        save(&setting, &trainer, &mut position, &mut journal)?;
    }
    game(&mut setting, &mut trainer, &mut position, &mut journal, (&mut watch, &mut changes))?;
    let after = measure("after", &setting, &trainer, &mut position, &mut journal)?;
    journal.sync()?;

    trainer.policy().save(&setting.folder.model())?;
    let tallies = || position.tallies.iter().map(|(name, tally)| (name.clone(), tally));
    let summary = Summary {
        steps: position.step,
        seed: setting.run.seed,
        before: position.before,
        after,
        failures: tallies()
            .filter(|(_, tally)| !tally.failures.is_empty())
            .map(|(name, tally)| (name, tally.failures.clone()))
            .collect(),
        bills: tallies().map(|(name, tally)| (name, BillLine::of(tally))).collect(),
        plugin_seconds: tallies().map(|(name, tally)| (name, tally.seconds)).collect(),
        multipliers: position.memory.multipliers,
        seconds: begun.elapsed().as_secs_f64(),
    };
    let json = serde_json::to_string_pretty(&summary).expect("a summary is plain data");
    setting.folder.write("summary.json", json.as_bytes())?;
    report::draw_curves(&setting.folder.metrics(), &setting.folder.curves())?;
    if args.json {
        say!("{json}")
    } else {
        say!("{}", report::for_people(&summary, &setting.folder).trim_end())
    }
    Ok(())
}

fn open_policy(run: &RunFile, device: &Device) -> Result<Policy> {
    Ok(match (&run.model.embedded, &run.model.path) {
        (Some(Embedded::Tiny), _) => Policy::tiny(run.seed, device)?,
        (None, Some(path)) => Policy::open(path, device)?,
        (None, None) => unreachable!("the run file was checked"),
    })
}

fn warm_start_optimiser(run: &RunFile) -> Option<OptimiserConfig> {
    let warm = run.warm_start.as_ref()?;
    let schedule = Schedule { total_steps: warm.steps, ..warm.schedule.clone() };
    Some(OptimiserConfig { schedule, adamw: warm.adamw.clone() })
}

fn game_optimiser(run: &RunFile) -> OptimiserConfig {
    let schedule = Schedule { total_steps: run.train.steps, ..run.train.schedule.clone() };
    OptimiserConfig { schedule, adamw: run.train.adamw.clone() }
}

/// The tables that the run will look up: of single groups and of all a bundle's groups together.
fn prepare_estimator(run: &RunFile, train: &[Asked], eval: &[Asked]) -> Result<()> {
    let sizes = |asked: &[Asked], group: usize| -> BTreeSet<u32> {
        asked.iter().flat_map(|asked| [group as u32, (group * asked.prompts.len()) as u32]).collect()
    };
    let all = sizes(train, run.game.group).into_iter().chain(sizes(eval, run.eval.group));
    run.game.estimator.prepare(all).map_err(|error| Error::Estimator(error.to_string()))
}

/// A question that the policy cannot read, or that leaves no room for an answer, is found now rather than at its step.
fn check_questions(policy: &Policy, run: &RunFile, train: &[Asked], eval: &[Asked]) -> Result<()> {
    let of = |asked, path| std::iter::repeat(path).zip::<&[Asked]>(asked);
    let eval_path = run.prompts.eval.as_ref().unwrap_or(&run.prompts.train);
    let context = policy.config().context;
    for (path, asked) in of(train, &run.prompts.train).chain(of(eval, eval_path)) {
        for prompt in &asked.prompts {
            let wrong = |reason: String| Error::Data { path: path.clone(), reason };
            let tokens = policy
                .encode(&run.prompts.template.replace("{prompt}", &prompt.text))
                .map_err(|error| wrong(format!("the policy cannot read question {}: {error}", prompt.id)))?;
            let needed = tokens.len() + run.sampling.max_new_tokens;
            if needed > context {
                return Err(wrong(format!(
                    "question {} has {} tokens and leaves no room for {} more in the policy's context of {context}; \
                     shorten it, or lower sampling.max_new_tokens",
                    prompt.id,
                    tokens.len(),
                    run.sampling.max_new_tokens,
                )));
            }
        }
    }
    Ok(())
}

impl Setting {
    /// Puts the plugins of a recorded change in the place of those that are open.
    fn put_in_force(&mut self, lineup: &Lineup, say: &dyn Fn(&str)) -> Result<()> {
        self.run.plugins.clone_from(&lineup.plugins);
        self.run.limits.clone_from(&lineup.limits);
        let approval = Approval::Record(&lineup.hashes, &self.folder);
        self.panel = Panel::open(&self.run.plugins, &self.run.limits, approval, say)?;
        self.write_run_file()
    }

    fn write_run_file(&self) -> Result<()> {
        let text = toml::to_string(&self.run).expect("a run file prints");
        self.folder.write("run.toml", text.as_bytes())
    }
}

fn open_panel(run: &RunFile, lock_folder: &Path, say: &dyn Fn(&str)) -> Result<Panel> {
    let lock = Lock::find(lock_folder)?;
    Panel::open(&run.plugins, &run.limits, Approval::Lock(lock.as_ref(), lock_folder), say)
}

/// Records a change and adopts it, if `lineup` is one.
fn take(lineup: Lineup, position: &mut Position, changes: &mut Changes, say: &dyn Fn(&str)) -> Result<()> {
    let what = position.lineup.changes(&lineup);
    if !what.is_empty() {
        say(&format!("from step {} on: {}", position.step + 1, what.join("; ")));
        let change = Change { step: position.step, what, lineup };
        changes.record(&change)?;
        position.adopt(change);
    }
    Ok(())
}

/// Changes that are due before the next step: those that a resumed run has to make again, and then those that the run
/// file asks for.
fn heed(
    setting: &mut Setting,
    position: &mut Position,
    watch: &mut Watch,
    changes: &mut Changes,
    say: &dyn Fn(&str),
) -> Result<()> {
    while let Some(change) = changes.due(position.step) {
        say(&format!("from step {} on, as before: {}", position.step + 1, change.what.join("; ")));
        setting.put_in_force(&change.lineup, say)?;
        position.adopt(change);
    }
    if changes.ahead() {
        return Ok(());
    }
    let Some(edited) = watch.look(&setting.run) else { return Ok(()) };
    let opened = edited.and_then(|run| {
        let panel = open_panel(&run, &setting.lock_folder, say);
        let kept = panel.and_then(|panel| panel.keep(&setting.folder).map(|()| panel));
        kept.map(|panel| (run, panel)).map_err(|error| error.told())
    });
    match opened {
        Ok((run, panel)) => {
            take(Lineup::of(&run, &panel), position, changes, say)?;
            (setting.run, setting.panel) = (run, panel);
            setting.write_run_file()
        }
        Err(why) => {
            say(&watch.refusal(&why));
            Ok(())
        }
    }
}

fn resume(trainer: &mut Trainer, folder: &Folder, identity: &Identity, run: &RunFile) -> Result<Position> {
    let wrong = |reason: String| Error::Resume { path: folder.path.clone(), reason };
    let note = state::note(&folder.state()).map_err(|error| wrong(error.to_string()))?;
    let position: Position = serde_json::from_str(&note)
        .map_err(|error| wrong(format!("its state is of another version of alft: {error}")))?;
    let changed = position.identity.changes(identity);
    if !changed.is_empty() {
        return Err(wrong(format!(
            "the run has changed since it was saved ({}); put that back, or start a new run",
            changed.join(", ")
        )));
    }
    if position.phase == Phase::Game {
        // Each phase has an optimiser of its own settings.
        trainer.begin_phase(game_optimiser(run))?;
    }
    state::restore(trainer, &folder.state()).map_err(|error| wrong(error.to_string()))?;
    Ok(position)
}

fn save(setting: &Setting, trainer: &Trainer, position: &mut Position, journal: &mut Journal) -> Result<()> {
    position.lengths = journal.sync()?;
    let note = serde_json::to_string(position).expect("a position is plain data");
    Ok(state::save(trainer, &setting.folder.state(), &note)?)
}

/// The measurement on questions kept out of training, if there are any.
fn measure(
    name: &'static str,
    setting: &Setting,
    trainer: &Trainer,
    position: &mut Position,
    journal: &mut Journal,
) -> Result<Option<Averages>> {
    if setting.eval.is_empty() {
        return Ok(None);
    }
    let (run, panel) = (&setting.run, &setting.panel);
    // Other questions than those of training, though they may have the same names.
    let mut memory = Memory { multipliers: position.memory.multipliers.clone(), ..Memory::default() };
    let asked: Vec<&Asked> = setting.eval.iter().take(run.eval.bundles).collect();
    let asking = reference::ask(panel, trainer, &asked, run, &mut memory)?;
    account(panel, &asking, position, journal, &|line| eprintln!("{line}"))?;
    let (averages, deeds) = evaluate(name, trainer.policy(), panel, &setting.eval, run, position.step, &memory)?;
    for deeds in deeds {
        account(panel, &deeds, position, journal, &|line| eprintln!("{line}"))?;
    }
    Ok(Some(averages))
}

fn warm_start(
    setting: &Setting,
    trainer: &mut Trainer,
    position: &mut Position,
    journal: &mut Journal,
    done: u64,
) -> Result<()> {
    let Some(warm) = &setting.run.warm_start else { return Ok(()) };
    let examples: Vec<Sequence> = setting
        .worked
        .iter()
        .map(|worked| {
            trainer
                .policy()
                .example(&setting.run.prompts.template.replace("{prompt}", &worked.prompt), &worked.completion)
        })
        .collect::<Result<_, _>>()?;
    let mut progress = Progress::begin("warm start", done, warm.steps);
    for step in done..warm.steps {
        let batch: Vec<Sequence> = chosen(setting.run.seed, WARM_START_ORDER, step, warm.batch, examples.len())
            .map(|at| examples[at].clone())
            .collect();
        let report = trainer.supervised_step(&batch)?;
        journal.metrics.append(&WarmStartLine {
            phase: "warm-start",
            step: step + 1,
            loss: report.loss,
            grad_norm: report.grad_norm,
            learning_rate: report.learning_rate,
        })?;
        progress.at(step + 1, &format!("loss {:.3}", report.loss));
        if (step + 1) % WARM_START_SAVE == 0 {
            position.phase = Phase::WarmStart(step + 1);
            save(setting, trainer, position, journal)?;
        }
    }
    progress.end();
    Ok(())
}

fn game(
    setting: &mut Setting,
    trainer: &mut Trainer,
    position: &mut Position,
    journal: &mut Journal,
    (watch, changes): (&mut Watch, &mut Changes),
) -> Result<()> {
    let steps = setting.run.train.steps;
    let mut progress = Progress::begin("game", position.step, steps);
    while position.step < steps {
        heed(setting, position, watch, changes, &|line| progress.say(line))?;
        let line = step(setting, trainer, position, journal, &progress)?;
        journal.metrics.append(&line)?;
        journal.flush()?;
        position.step += 1;
        progress.at(position.step, &message(&line));
        // Before the state: a run killed in between makes the step and its checkpoint once more.
        let every = setting.run.train.checkpoint_every;
        if every > 0 && position.step.is_multiple_of(every) {
            trainer.policy().save(&setting.folder.checkpoint(position.step))?;
        }
        if position.step.is_multiple_of(setting.run.train.save_every) || position.step == steps {
            save(setting, trainer, position, journal)?;
        }
    }
    progress.end();
    Ok(())
}

/// One step: sample, play, learn, record.
fn step(
    setting: &Setting,
    trainer: &mut Trainer,
    position: &mut Position,
    journal: &mut Journal,
    progress: &Progress,
) -> Result<GameLine> {
    let (run, panel) = (&setting.run, &setting.panel);
    let begun = Instant::now();
    let asked: Vec<&Asked> =
        chosen(run.seed, GAME_ORDER, position.step, run.game.bundles_per_step, setting.train.len())
            .map(|at| &setting.train[at])
            .collect();
    let seed = (run.seed, position.step);
    let (answered, drawn) = draw(trainer.policy(), &asked, &run.prompts.template, run.game.group, &run.sampling, seed)?;
    let asking = reference::ask(panel, trainer, &asked, run, &mut position.memory)?;
    account(panel, &asking, position, journal, &|line| progress.say(line))?;
    let sampling = begun.elapsed();

    let mut loss = run.train.loss.clone();
    loss.max_completion_tokens = run.sampling.max_new_tokens;
    loss.temperature = run.sampling.temperature;
    let log_ratios = match loss.kl {
        KlPenalty::Loss => None,
        KlPenalty::Reward => Some(trainer.log_ratios(&drawn.sequences, loss.temperature)?),
    };
    let penalty = log_ratios.as_ref().map(|log_ratios| Penalty { beta: loss.beta, log_ratios });
    let (played, deeds) = play(panel, &answered, run.rules(position.step), penalty, &mut position.memory);
    account(panel, &deeds, position, journal, &|line| progress.say(line))?;

    let learning = Instant::now();
    let advantages = || played.iter().flat_map(|p| &p.advantages).flatten();
    let (batch, advantages): (Vec<Sequence>, Vec<f64>) = drawn
        .sequences
        .iter()
        .zip(advantages())
        .filter_map(|(sequence, advantage)| advantage.map(|advantage| (sequence.clone(), advantage)))
        .unzip();
    let report = trainer.grpo_step(&batch, &advantages, &loss)?;
    let update = learning.elapsed();

    record_samples(position.step + 1, panel, &answered, &played, &deeds, &mut journal.samples)?;
    let count = drawn.sequences.len() as f64;
    Ok(GameLine {
        phase: "game",
        step: position.step + 1,
        changes: std::mem::take(&mut position.news),
        averages: Averages::over(&played),
        // In the reward it is the policy's own estimate, without a k3 to make it positive.
        kl: log_ratios.map_or(report.kl, |ratios| {
            let tokens: usize = drawn.sequences.iter().map(|sequence| sequence.completion.len()).sum();
            ratios.iter().sum::<f64>() / tokens as f64
        }),
        loss: report.loss,
        grad_norm: report.grad_norm,
        clip_fraction: report.clip_fraction,
        token_entropy: report.entropy,
        learning_rate: report.learning_rate,
        completion_tokens: drawn.sequences.iter().map(|s| s.completion.len()).sum::<usize>() as f64 / count,
        truncated: drawn.truncated as f64 / count,
        plugins: plugin_lines(panel, &deeds, position.step, &position.memory),
        target: TargetLine::of(&position.memory, &answered, &played),
        time: TimeLine {
            step: begun.elapsed().as_secs_f64(),
            sampling: sampling.as_secs_f64(),
            plugins: deeds.iter().map(|deeds| deeds.time.as_secs_f64()).sum(),
            update: update.as_secs_f64(),
        },
    })
}

fn message(line: &GameLine) -> String {
    let failures: u64 = line.plugins.values().flat_map(|plugin| plugin.failures.values()).sum();
    format!(
        "reward {:.3}  {}  KL {:.4}  plugins {:.1}%  failures {failures}",
        line.averages.reward,
        measured(&line.averages),
        line.kl,
        100.0 * line.time.plugins / line.time.step,
    )
}
