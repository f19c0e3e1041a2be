//! `alft score --rescore`: asks another plugin what a run asked its own, and shows what would have changed.

use std::path::PathBuf;

use alft_plugin_host::ledger::{self, Input, Record};
use alft_plugin_host::replay::{self, Item};
use alft_plugin_host::{Failure, Limits, NativeTrust, Plugin, Role, Source, file};
use serde::Serialize;

use crate::engine;
use crate::error::{Error, Result};
use crate::folder::Folder;

/// Score stored samples of a run with another plugin
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: alft score --rescore runs/quickstart --plugin stricter.wasm --config '{\"marker\": \"=\"}'\n\n\
Everything that the run asked its plugins of the same role is asked of the new one: completions for a reader, answers \
for a verifier, bundles for an objective. Nothing is trained and nothing in the run's folder changes.")]
pub(crate) struct ScoreArgs {
    /// The run's folder
    #[arg(long, value_name = "RUN_DIR", required = true)]
    pub(crate) rescore: PathBuf,
    /// The new plugin: a component or a native library
    #[arg(long, value_name = "FILE", required = true)]
    pub(crate) plugin: PathBuf,
    /// Its configuration
    #[arg(long, value_name = "JSON", default_value = "{}")]
    pub(crate) config: String,
    /// Compare with this plugin of the run alone, by its name there
    #[arg(long, value_name = "NAME")]
    pub(crate) with: Option<String>,
    /// How many changes to show of each plugin
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(crate) show: usize,
    /// Let a native library run, with all the rights of this program
    #[arg(long)]
    pub(crate) trust_native: bool,
    /// Print one JSON object for each plugin of the run
    #[arg(long)]
    pub(crate) json: bool,
}

/// The new plugin against one of the run's.
#[derive(Debug, Serialize)]
struct Comparison {
    /// The run's plugin.
    with: String,
    role: String,
    items: u64,
    changed: u64,
    /// Items on which only the one or the other failed.
    failed_before: u64,
    failed_now: u64,
    /// Mean score or utility of the items that both gave one to.
    mean_before: Option<f64>,
    mean_now: Option<f64>,
    changes: Vec<Change>,
    #[serde(skip)]
    sums: (f64, f64, u64),
}

#[derive(Debug, Serialize)]
struct Change {
    step: u64,
    item: String,
    before: String,
    now: String,
}

pub(crate) fn run(args: &ScoreArgs) -> Result<()> {
    let path = Folder { path: args.rescore.clone() }.ledger();
    let plugin = open(args)?;
    let name = args.plugin.display().to_string();
    let mut names: Vec<String> = Vec::new();
    let mut comparisons: Vec<Comparison> = Vec::new();
    for record in ledger::read(&path)? {
        match record? {
            Record::Begin { .. } => {}
            Record::Plugin(entrant) => names.push(entrant.name.into_owned()),
            Record::Play { step, plugin: at, input, calls } => {
                let with = names.get(at).map_or("?", String::as_str);
                if !plugin.has(input.role()) || args.with.as_ref().is_some_and(|wanted| wanted != with) {
                    continue;
                }
                let before = replay::items(&input, &calls);
                let now =
                    replay::ask(&plugin, &input).map_err(|reason| Error::Plugin { name: name.clone(), reason })?;
                comparison(&mut comparisons, with, input.role()).add(step, &input, &before, &now, args.show);
            }
        }
    }
    if comparisons.is_empty() {
        let roles = Role::ALL.iter().filter(|role| plugin.has(**role)).map(ToString::to_string).collect::<Vec<_>>();
        let with = args.with.as_ref().map_or(String::new(), |with| format!(" of \"{with}\""));
        let reason =
            format!("the ledger of {} has no calls{with} for a {}", args.rescore.display(), roles.join(" or a "));
        return Err(Error::Plugin { name, reason });
    }
    for comparison in &mut comparisons {
        comparison.conclude();
        match args.json {
            true => say!("{}", serde_json::to_string(comparison).expect("a comparison is plain data")),
            false => comparison.show(),
        }
    }
    Ok(())
}

fn open(args: &ScoreArgs) -> Result<Plugin> {
    let name = args.plugin.display().to_string();
    let limits = Limits::default();
    let unusable = |error: alft_plugin_host::Error| Error::Plugin { name: name.clone(), reason: error.to_string() };
    let source = Source {
        path: args.plugin.clone(),
        // Whoever names a file and trusts it on the same command line means the file that is there now.
        pin: args.trust_native.then(|| file::hash(&args.plugin, &limits)).transpose().map_err(unusable)?,
        native: if args.trust_native { NativeTrust::Process } else { NativeTrust::Refused },
        config: args.config.clone(),
        limits: limits.clone(),
    };
    Plugin::open(&source, &engine::start(&limits)?).map_err(unusable)
}

fn comparison<'a>(all: &'a mut Vec<Comparison>, with: &str, role: Role) -> &'a mut Comparison {
    let role = role.to_string();
    let at = all.iter().position(|one| one.with == with && one.role == role).unwrap_or_else(|| {
        all.push(Comparison {
            with: with.into(),
            role,
            items: 0,
            changed: 0,
            failed_before: 0,
            failed_now: 0,
            mean_before: None,
            mean_now: None,
            changes: Vec::new(),
            sums: (0.0, 0.0, 0),
        });
        all.len() - 1
    });
    &mut all[at]
}

impl Comparison {
    fn add(
        &mut self,
        step: u64,
        input: &Input<'_>,
        before: &[std::result::Result<Item, Failure>],
        now: &[std::result::Result<Item, Failure>],
        most: usize,
    ) {
        for ((before, now), item) in before.iter().zip(now).zip(names(input)) {
            self.items += 1;
            self.failed_before += u64::from(before.is_err() && now.is_ok());
            self.failed_now += u64::from(now.is_err() && before.is_ok());
            if let (Some(a), Some(b)) = (number(before), number(now)) {
                self.sums = (self.sums.0 + a, self.sums.1 + b, self.sums.2 + 1);
            }
            if before.as_ref().ok() != now.as_ref().ok() {
                self.changed += 1;
                if self.changes.len() < most {
                    self.changes.push(Change { step, item, before: shown(before), now: shown(now) });
                }
            }
        }
    }

    fn conclude(&mut self) {
        let (before, now, count) = self.sums;
        if count > 0 {
            (self.mean_before, self.mean_now) = (Some(before / count as f64), Some(now / count as f64));
        }
    }

    fn show(&self) {
        let share = 100.0 * self.changed as f64 / self.items as f64;
        say!("{} as {}: {} of {} items would change ({share:.1}%)", self.with, self.role, self.changed, self.items);
        if let (Some(before), Some(now)) = (self.mean_before, self.mean_now) {
            say!("  mean {before:.4} before, {now:.4} now");
        }
        if self.failed_before + self.failed_now > 0 {
            say!("  failed on {} items then and not now, on {} now and not then", self.failed_before, self.failed_now);
        }
        for Change { step, item, before, now } in &self.changes {
            say!("  step {step:<6}{item}: {before} → {now}");
        }
        let more = self.changed - self.changes.len() as u64;
        if more > 0 && !self.changes.is_empty() {
            say!("  and {more} more (--show)");
        }
    }
}

/// What each item of a batch is, for people.
fn names(input: &Input<'_>) -> Vec<String> {
    let brief = |text: &str| match text.char_indices().nth(60) {
        Some((at, _)) => format!("{:?}…", &text[..at]),
        None => format!("{text:?}"),
    };
    match input {
        Input::Read(batch) | Input::Score(batch) => batch
            .iter()
            .flat_map(|question| {
                question.texts.iter().map(move |text| format!("prompt {}, {}", question.prompt.id, brief(text)))
            })
            .collect(),
        Input::Evaluate(batch) => batch.iter().map(|bundle| format!("bundle {}", bundle.id)).collect(),
    }
}

fn number(item: &std::result::Result<Item, Failure>) -> Option<f64> {
    match item {
        Ok(Item::Score(score)) => Some(*score),
        Ok(Item::Valuation(valuation)) => Some(valuation.utility),
        Ok(Item::Key(_)) | Err(_) => None,
    }
    .filter(|number| number.is_finite())
}

fn shown(item: &std::result::Result<Item, Failure>) -> String {
    match item {
        Ok(Item::Key(Some(key))) => format!("{key:?}"),
        Ok(Item::Key(None)) => "no answer".into(),
        Ok(Item::Score(score)) => score.to_string(),
        Ok(Item::Valuation(valuation)) => format!("utility {:.6}", valuation.utility),
        Err(failure) => format!("failed ({})", failure.kind),
    }
}
