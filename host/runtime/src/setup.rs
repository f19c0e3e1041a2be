//! [`Setup`]: the beginning of a run, in which everything that it needs is read and checked.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Instant;

use alft_plugin_host::lock::Lock;
use alft_plugin_host::source;
use alft_plugin_host::{Error as PluginHostError, Worker};
use alft_policy::{Device, Policy, Sequence, Trainer, Tuning, device, doctor};
use alft_sdk::roles::Role;

use crate::config::{ConfigFingerprint, Embedded, Model, QuestionOrder, RunFile, WarmStart};
use crate::data::{Question, SftExample, read_examples, read_questions};
use crate::error::{Error, Result, chain};
use crate::event::{Observer, RunEvent};
use crate::exports;
use crate::golds;
use crate::memory::{sample_memory, update_memory};
use crate::plugins::{ActiveConfig, PinSource, PluginError, PluginSet, may_use_kept};
use crate::record::RunDir;
use crate::session::RunData;
use crate::special;
use crate::template::PromptTemplate;
use crate::warning::Warning;

/// Everything of a run that is read before its folder is touched.
pub(crate) struct Setup {
    pub(crate) config: RunFile,
    pub(crate) plugins: PluginSet,
    pub(crate) opener: Option<PluginOpener>,
    pub(crate) data: RunData,
    pub(crate) trainer: Trainer,
    pub(crate) fingerprint: ConfigFingerprint,
    pub(crate) observer: Observer,
    pub(crate) begun: Instant,
}

impl Setup {
    pub(crate) fn open(config: RunFile, source: PluginSource, mut observer: Observer) -> Result<Self> {
        let begun = Instant::now();
        let device = config.model.device.open()?;
        observer(&RunEvent::Device(&describe_checked(&device)));
        let train = read_questions(&config.prompts.train)?;
        let eval = config.prompts.eval.as_deref().map(read_questions).transpose()?.unwrap_or_default();
        let warm_start = config.warm_start.as_ref();
        let examples = warm_start.map(|warm_start| read_examples(&warm_start.data)).transpose()?.unwrap_or_default();
        prepare_estimator(&config, &train, &eval)?;
        let (plugins, opener) = match source {
            PluginSource::RunFile(opener) => (opener.open(&config, &mut observer)?, Some(opener)),
            PluginSource::Linked(plugins) => (plugins, None),
        };
        check_order(&config, &plugins)?;
        let fetched = match config.model.hub()? {
            Some(model) => Some(model.fetch(&mut |download| observer(&RunEvent::Download(download)))?),
            None => None,
        };
        let policy = match (&config.model.embedded, fetched.as_ref().or(config.model.path.as_ref())) {
            (Some(Embedded::Tiny), _) => Policy::tiny(config.seed, &device)?.quantised(config.model.quantisation)?,
            (None, Some(path)) => Policy::open_quantised(path, &device, config.model.quantisation)?,
            (None, None) => unreachable!("the run file was checked"),
        };
        let policy = policy.in_precision(config.model.dtype)?;
        exports::check(&policy, config.export)?;
        let template = PromptTemplate::open(&config.prompts, &policy)?;
        let longest_prompt = check_questions(&policy, &config, &template, &train, &eval)?;
        let tuning = match (&config.model.lora, &config.model.adapter) {
            (Some(lora), _) => Tuning::Lora(lora.clone()),
            (None, Some(folder)) => Tuning::Adapter(folder.clone()),
            (None, None) => Tuning::Full,
        };
        let lora = tuning.lora()?;
        let memory = sample_memory(&policy, &config, &plugins, (&train, &eval), longest_prompt, lora.as_ref())?;
        if let Some(memory) = memory {
            observer(&RunEvent::SampleMemory(&memory));
        }
        let warnings = special::check(&policy, &config, &[&train, &eval], &examples);
        let examples = encode_examples(&policy, &template, warm_start, &examples)?;
        let trainer = Trainer::new(policy, &tuning, config.first_optimiser(), config.train.token_budget, config.seed)?
            .with_activation_checkpointing(config.train.activation_checkpointing);
        if let Some(memory) = update_memory(&trainer, &config, &train, longest_prompt) {
            observer(&RunEvent::UpdateMemory(&memory));
        }
        let model = Model { path: fetched.or_else(|| config.model.path.clone()), ..config.model.clone() };
        let mut fingerprint = ConfigFingerprint::new(&RunFile { model, ..config.clone() })?;
        if let Some(source) = template.chat_source() {
            fingerprint = fingerprint.with_text("prompts.template", source);
        }
        for warning in warnings.into_iter().chain(golds::check(&[&train, &eval], &plugins)) {
            observer(&RunEvent::Warning(&warning));
        }
        let data = RunData { template, train, eval, examples };
        let shared = data.trained_eval_questions();
        if shared > 0 {
            observer(&RunEvent::Warning(&Warning::EvalIsTrained { shared, total: data.eval.len() }));
        }
        Ok(Self { config, plugins, opener, data, trainer, fingerprint, observer, begun })
    }
}

/// Encodes the worked examples. The first one that the model cannot learn is an error of its line, before anything begins.
fn encode_examples(
    policy: &Policy,
    template: &PromptTemplate,
    warm_start: Option<&WarmStart>,
    examples: &[(usize, SftExample)],
) -> Result<Vec<Sequence>> {
    let Some(WarmStart { data, .. }) = warm_start else { return Ok(Vec::new()) };
    let context = policy.config().context_length;
    let encode = |(line, example): &(usize, SftExample)| {
        let help = "shorten the example, take it out, or write it with characters that the tokenizer knows";
        let wrong = |reason: String| Error::DataLine { path: data.clone(), line: *line, reason, help };
        let prompt = template.encode(&[], &example.prompt).map_err(|error| wrong(chain(&error)))?;
        refuse_tokens(policy, &prompt).map_err(|reason| wrong(format!("the prompt {reason}")))?;
        let sequence = policy.completed(prompt, &example.completion).map_err(|error| wrong(chain(&error)))?;
        refuse_tokens(policy, &sequence.completion).map_err(|reason| wrong(format!("the completion {reason}")))?;
        let length = sequence.prompt.len() + sequence.completion.len();
        if length > context {
            return Err(wrong(format!("the example has {length} tokens, and the model's context holds {context}")));
        }
        Ok(sequence)
    };
    examples.iter().map(encode).collect()
}

/// The source of a run's plugins.
#[derive(Debug)]
pub enum PluginSource {
    /// The `[[plugin]]` tables of the run file.
    RunFile(PluginOpener),
    /// Plugins that are linked into this program. The run file's tables have no part.
    Linked(PluginSet),
}

impl PluginSource {
    /// Returns the lock of the run file's folder, if there is one.
    pub(crate) fn lock(&self) -> Result<Option<Lock>> {
        match self {
            Self::RunFile(opener) => Ok(Lock::find(&opener.lock_dir)?),
            Self::Linked(_) => Ok(None),
        }
    }
}

/// The means to open the plugins of a run file.
#[derive(Debug)]
pub struct PluginOpener {
    /// The program that compiles components and runs native libraries in child processes.
    pub worker: Worker,
    /// The folder in which `alft.lock` is looked for: that of the run file.
    pub lock_dir: PathBuf,
}

impl PluginOpener {
    pub(crate) fn open(&self, config: &RunFile, observer: &mut Observer) -> Result<PluginSet> {
        let lock = Lock::find(&self.lock_dir)?;
        let pins = PinSource::Lock(lock.as_ref(), &self.lock_dir);
        let RunFile { plugins, limits, .. } = config;
        PluginSet::open(plugins, limits, pins, &self.worker, &mut |event| observer(&RunEvent::Plugin(event)))
    }

    /// Opens the plugins that a run had in force, from the files that its folder kept.
    pub(crate) fn open_recorded(
        &self,
        active: &ActiveConfig,
        dir: &RunDir,
        observer: &mut Observer,
    ) -> Result<PluginSet> {
        let ActiveConfig { plugins, limits, hashes, .. } = active;
        let pins = PinSource::Record(hashes, dir);
        PluginSet::open(plugins, limits, pins, &self.worker, &mut |event| observer(&RunEvent::Plugin(event)))
    }
}

/// Returns the configuration with the run's own copies in the place of plugins whose files are gone, and of those that would
/// be fetched.
pub(crate) fn with_kept_plugins(
    mut config: RunFile,
    saved: &ActiveConfig,
    lock: Option<&Lock>,
    dir: &RunDir,
    observer: &mut Observer,
) -> Result<RunFile> {
    for plugin in &mut config.plugins {
        let Some(hash) = saved.hashes.get(&plugin.name) else { continue };
        let kept = dir.plugins().join(hash);
        if !kept.is_file() {
            continue;
        }
        if plugin.is_in_registry() {
            let recorded = saved.plugins.iter().find(|recorded| recorded.name == plugin.name);
            if recorded.is_some_and(|recorded| may_use_kept(plugin, recorded, hash, lock)) {
                plugin.kept = Some(kept);
            }
            continue;
        }
        let Some(path) = plugin.path.as_mut().filter(|path| !path.exists()) else { continue };
        let wrong = |source: PluginError| Error::Plugin { name: plugin.name.clone(), source: source.into() };
        if source::hash_file(&kept, &config.limits).map_err(|error| wrong(error.into()))? != *hash {
            return Err(wrong(PluginError::Kept { path: path.clone(), kept }));
        }
        observer(&RunEvent::Warning(&Warning::PluginIsGone { plugin: plugin.name.clone(), path: path.clone() }));
        *path = kept;
    }
    Ok(config)
}

/// Adds the place of the run's own copy to the error about a plugin whose file was changed and cannot be opened any more.
pub(crate) fn name_kept_plugin(error: Error, saved: &ActiveConfig, dir: &RunDir) -> Error {
    let Error::Plugin { name, source } = error else { return error };
    let changed = |path: &PathBuf, hash: &String| source::hash_file(path, &saved.limits).is_ok_and(|now| now != *hash);
    let kept = saved.hashes.get(&name).map(|hash| (hash, dir.plugins().join(hash))).filter(|(_, kept)| kept.is_file());
    let source = match (*source, kept) {
        (PluginError::Open(source), Some((hash, kept)))
            if unusable_file(&source).is_some_and(|path| changed(path, hash)) =>
        {
            PluginError::Spoilt { kept, source }
        }
        (source, _) => source,
    };
    Error::Plugin { name, source: source.into() }
}

/// Returns the file that an error says to be no plugin.
fn unusable_file(error: &PluginHostError) -> Option<&PathBuf> {
    match error {
        PluginHostError::NotAPlugin { path, .. }
        | PluginHostError::CoreModule { path }
        | PluginHostError::Compile { path, .. }
        | PluginHostError::NoRole { path }
        | PluginHostError::MissingExport { path, .. } => Some(path),
        _ => None,
    }
}

/// Refuses an order of the questions that goes by a verifier's scores where there is no verifier.
pub(crate) fn check_order(config: &RunFile, plugins: &PluginSet) -> Result<()> {
    if config.game.questions == QuestionOrder::Adaptive && plugins.with_role(Role::Verifier).next().is_none() {
        let names: Vec<&str> = plugins.iter().map(|plugin| plugin.name.as_str()).collect();
        return Err(Error::Plugin { name: names.join("\", \""), source: PluginError::NoVerifier.into() });
    }
    Ok(())
}

/// Makes the estimator's tables for the sample sizes that the run will look up: of single groups, and of all groups of a
/// question together.
fn prepare_estimator(config: &RunFile, train: &[Question], eval: &[Question]) -> Result<()> {
    let sizes = |questions: &[Question], group: usize| -> BTreeSet<u32> {
        questions.iter().flat_map(|question| [group as u32, (group * question.prompts.len()) as u32]).collect()
    };
    let all = sizes(train, config.game.group).into_iter().chain(sizes(eval, config.eval.group));
    Ok(config.game.estimator.prepare(all)?)
}

/// Finds a question that the policy cannot encode, or that leaves no room for an answer, now rather than at its step.
/// Returns the number of tokens of the longest.
fn check_questions(
    policy: &Policy,
    config: &RunFile,
    template: &PromptTemplate,
    train: &[Question],
    eval: &[Question],
) -> Result<usize> {
    let mut longest = 0;
    let eval_path = config.prompts.eval.as_ref().unwrap_or(&config.prompts.train);
    let files = [(&config.prompts.train, train), (eval_path, eval)];
    let context = policy.config().context_length;
    for (path, question) in files.into_iter().flat_map(|(path, questions)| std::iter::repeat(path).zip(questions)) {
        for (history, prompt) in question.phrasings() {
            let wrong = |reason: String| Error::Data { path: path.clone(), reason };
            let tokens = template
                .encode(history, &prompt.text)
                .map_err(|error| wrong(format!("the policy cannot read question {}: {}", prompt.id, chain(&error))))?;
            refuse_tokens(policy, &tokens).map_err(|reason| wrong(format!("question {} {reason}", prompt.id)))?;
            if tokens.len() + config.sampling.max_new_tokens > context {
                return Err(wrong(format!(
                    "question {} has {} tokens and leaves no room for {} more in the policy's context of {context}; \
                     shorten it, or lower sampling.max_new_tokens",
                    prompt.id,
                    tokens.len(),
                    config.sampling.max_new_tokens,
                )));
            }
            longest = longest.max(tokens.len());
        }
    }
    Ok(longest)
}

/// Refuses a text that the model cannot compute: one without tokens, or with a token that the model has no row for.
fn refuse_tokens(policy: &Policy, tokens: &[u32]) -> std::result::Result<(), String> {
    let rows = policy.config().vocab_size;
    match tokens.iter().find(|token| **token as usize >= rows) {
        Some(token) => Err(format!(
            "has token {token}, and the model has rows for tokens below {rows}: the tokenizer is not the model's own, or has \
             tokens that were added without rows"
        )),
        None if tokens.is_empty() => {
            Err("has no tokens: it is empty, or the tokenizer knows none of its characters".into())
        }
        None => Ok(()),
    }
}

/// Checks the device's kernels, if that was not done before, and returns its description with what came out.
fn describe_checked(device: &Device) -> String {
    let name = device::describe(device);
    let distrusted = doctor::trust(device, alft_plugin_host::cache_folder("gpu").ok().as_deref());
    match distrusted.as_slice() {
        [] => name,
        kernels => format!(
            "{name}; slower operations stand in for the kernels {}, which compute wrongly on this card (see `alft doctor --gpu`)",
            kernels.join(", ")
        ),
    }
}
