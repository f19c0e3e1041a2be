//! [`Scorer`]: a plugin as the rewards see it, loaded into a sandbox or linked into the program.

use alft_builtin::{Configured, Handler};
use alft_plugin_host::{BatchResult, Failure, FailureKind};
use alft_sdk::batch::{Batch, Item, PromptTexts, Role, Roles};
use alft_sdk::{Grader, Manifest, Objective, Prompt, Reader, Valuation, Verifier, dispatch};

/// A plugin that can be called with a batch of one of its roles.
pub trait Scorer: std::fmt::Debug + Send {
    /// The plugin's name, version and promises.
    fn manifest(&self) -> &Manifest;

    /// The roles that the plugin has.
    fn roles(&self) -> Roles;

    /// Asks the plugin about a batch: a result for each item.
    fn call(&self, batch: &Batch<'_>) -> BatchResult;

    /// The loaded plugin behind the scorer; `None` for one that is linked in.
    fn loaded(&self) -> Option<&alft_plugin_host::Plugin> {
        None
    }
}

impl Scorer for alft_plugin_host::Plugin {
    fn manifest(&self) -> &Manifest {
        self.manifest()
    }

    fn roles(&self) -> Roles {
        Role::ALL.into_iter().filter(|role| self.has(*role)).collect()
    }

    fn call(&self, batch: &Batch<'_>) -> BatchResult {
        self.call(batch)
    }

    fn loaded(&self) -> Option<&alft_plugin_host::Plugin> {
        Some(self)
    }
}

/// A plugin of type `P`, linked into the program: called directly, without sandbox, fuel or ledger.
///
/// Name the roles that it plays: `Linked::<Mine>::new("{}")?.reader().verifier()`.
pub struct Linked<P> {
    plugin: P,
    manifest: Manifest,
    read: Option<ReadFn<P>>,
    grade: Option<ScoreFn<P>>,
    verify: Option<ScoreFn<P>>,
    evaluate: Option<EvaluateFn<P>>,
}

type ReadFn<P> = fn(&P, &Prompt, &str) -> alft_sdk::Result<Option<String>>;
type ScoreFn<P> = fn(&P, &Prompt, &str) -> alft_sdk::Result<f64>;
type EvaluateFn<P> = fn(&P, &alft_sdk::Bundle) -> alft_sdk::Result<Valuation>;

impl<P: alft_sdk::Plugin> Linked<P> {
    /// Configures the plugin by a JSON object.
    ///
    /// # Errors
    /// The plugin refuses the configuration.
    pub fn new(config: &str) -> alft_sdk::Result<Self> {
        let plugin: P = dispatch::configure(config)?;
        let manifest = plugin.manifest();
        Ok(Self { plugin, manifest, read: None, grade: None, verify: None, evaluate: None })
    }

    /// Lets the plugin read answers.
    #[must_use]
    pub fn reader(self) -> Self
    where
        P: Reader,
    {
        Self { read: Some(P::read), ..self }
    }

    /// Lets the plugin grade completions.
    #[must_use]
    pub fn grader(self) -> Self
    where
        P: Grader,
    {
        Self { grade: Some(P::grade), ..self }
    }

    /// Lets the plugin score answers.
    #[must_use]
    pub fn verifier(self) -> Self
    where
        P: Verifier,
    {
        Self { verify: Some(P::score), ..self }
    }

    /// Lets the plugin price distributions of answers.
    #[must_use]
    pub fn objective(self) -> Self
    where
        P: Objective,
    {
        Self { evaluate: Some(P::evaluate), ..self }
    }
}

impl<P> std::fmt::Debug for Linked<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Linked").field("manifest", &self.manifest).finish_non_exhaustive()
    }
}

impl<P: Send> Scorer for Linked<P> {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn roles(&self) -> Roles {
        let played = [
            (Role::Reader, self.read.is_some()),
            (Role::Grader, self.grade.is_some()),
            (Role::Verifier, self.verify.is_some()),
            (Role::Objective, self.evaluate.is_some()),
        ];
        played.into_iter().filter(|(_, plays)| *plays).map(|(role, _)| role).collect()
    }

    fn call(&self, batch: &Batch<'_>) -> BatchResult {
        let missing = || alft_sdk::Error::new(format!("the linked plugin does not play the role {}", batch.role()));
        match batch {
            Batch::Reader(entries) => results(texts(entries), |(prompt, text)| {
                Ok(Item::Key(self.read.ok_or_else(missing)?(&self.plugin, prompt, text)?))
            }),
            Batch::Grader(entries) => results(texts(entries), |(prompt, text)| {
                finite(self.grade.ok_or_else(missing)?(&self.plugin, prompt, text)?).map(Item::Score)
            }),
            Batch::Verifier(entries) => results(texts(entries), |(prompt, text)| {
                finite(self.verify.ok_or_else(missing)?(&self.plugin, prompt, text)?).map(Item::Score)
            }),
            Batch::Objective(bundles) => results(bundles.iter(), |bundle| {
                finite_valuation(self.evaluate.ok_or_else(missing)?(&self.plugin, bundle)?).map(Item::Valuation)
            }),
        }
    }
}

/// A builtin plugin of an exact game. Its reader takes the whole completion for the answer, as the traces of a tabular
/// policy are.
impl Scorer for Configured {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn roles(&self) -> Roles {
        Roles::default().with(Role::Reader).with(self.handler.role())
    }

    fn call(&self, batch: &Batch<'_>) -> BatchResult {
        match (batch, &self.handler) {
            (Batch::Reader(entries), _) => results(texts(entries), |(_, text)| Ok(Item::Key(Some(text.to_owned())))),
            (Batch::Verifier(entries), Handler::Verifier(score)) | (Batch::Grader(entries), Handler::Grader(score)) => {
                results(texts(entries), |(prompt, text)| finite(score(prompt, text)?).map(Item::Score))
            }
            (Batch::Objective(bundles), Handler::Objective(evaluate)) => {
                results(bundles.iter(), |bundle| finite_valuation(evaluate(bundle)?).map(Item::Valuation))
            }
            (batch, _) => unreachable!("a game does not ask this plugin as {}", batch.role()),
        }
    }
}

fn texts(entries: &[PromptTexts]) -> impl Iterator<Item = (&Prompt, &str)> {
    entries.iter().flat_map(|entry| entry.texts.iter().map(move |text| (&entry.prompt, text.as_str())))
}

/// Refuses a number that is not finite, as the host does for a loaded plugin.
fn finite(number: f64) -> alft_sdk::Result<f64> {
    if number.is_finite() {
        Ok(number)
    } else {
        Err(format!("it returned {number}, where a finite number is needed").into())
    }
}

fn finite_valuation(valuation: Valuation) -> alft_sdk::Result<Valuation> {
    let numbers = valuation.rewards.iter().flatten().chain([&valuation.utility]).chain(&valuation.violation);
    numbers.copied().try_for_each(|number| finite(number).map(drop))?;
    Ok(valuation)
}

fn results<T>(inputs: impl Iterator<Item = T>, call: impl Fn(T) -> alft_sdk::Result<Item>) -> BatchResult {
    let failed = |error: alft_sdk::Error| Failure::new(FailureKind::Error, error.to_string());
    BatchResult { items: inputs.map(|input| call(input).map_err(failed)).collect(), ..BatchResult::default() }
}
