//! The WebAssembly side of [`export!`](crate::export!): bindings of `wit/objective.wit`. Each interface is bound by a
//! world of its own, so that a plugin exports exactly the roles that its author names.

use std::sync::Once;

use crate::batch::PromptTexts;
use crate::dispatch;
use crate::level::Level;
use crate::roles::{Grader, Objective, Plugin, Reader, Verifier};

/// The records of `alft:objective/types`, shared by all bindings.
pub mod types {
    pub use crate::bundle::Prompt;

    /// `types.transcript`.
    #[derive(Debug, Clone)]
    pub struct Transcript {
        /// The prompt that the completions belong to.
        pub prompt: Prompt,
        /// Completions of the prompt.
        pub completions: Vec<String>,
    }
}

/// Bindings of the `about` interface.
#[allow(missing_docs, clippy::all)]
pub mod about {
    wit_bindgen::generate!({
        path: "wit",
        world: "about-alone",
        pub_export_macro: true,
        export_macro_name: "export_about",
        default_bindings_module: "alft_sdk::component::about",
    });
}

/// Binds the interface of a role. The names are literals because `generate!` reads them as text.
macro_rules! bindings {
    ($(#[$doc:meta])* $interface:ident, $world:tt, $export:tt, $module:tt) => {
        $(#[$doc])*
        #[allow(missing_docs, clippy::all)]
        pub mod $interface {
            wit_bindgen::generate!({
                path: "wit",
                world: $world,
                with: { "alft:objective/types@1.0.0": crate::component::types },
                pub_export_macro: true,
                export_macro_name: $export,
                default_bindings_module: $module,
            });
        }
    };
}

bindings! {
    /// Bindings of the `reader` interface.
    reader, "reader-alone", "export_reader", "alft_sdk::component::reader"
}
bindings! {
    /// Bindings of the `grader` interface.
    grader, "grader-alone", "export_grader", "alft_sdk::component::grader"
}
bindings! {
    /// Bindings of the `verifier` interface.
    verifier, "verifier-alone", "export_verifier", "alft_sdk::component::verifier"
}
bindings! {
    /// Bindings of the `objective` interface.
    objective, "objective-alone", "export_objective", "alft_sdk::component::objective"
}

/// The generated records and traits, by interface.
pub mod wit {
    pub use super::about::exports::alft::objective::about;
    pub use super::grader::exports::alft::objective::grader;
    pub use super::objective::exports::alft::objective::objective;
    pub use super::reader::exports::alft::objective::reader;
    pub use super::verifier::exports::alft::objective::verifier;
}

/// The result of every function of the contract.
pub type Reply<T> = Result<T, String>;

pub(crate) fn log(level: Level, message: &str) {
    use about::alft::objective::diagnostics as host;
    let level = match level {
        Level::Error => host::Level::Error,
        Level::Warn => host::Level::Warn,
        Level::Info => host::Level::Info,
        Level::Debug => host::Level::Debug,
    };
    host::log(level, message);
}

/// Runs one call. A panic becomes a trap, and the host sees no more than that a trap happened: the hook logs the
/// panic's message before.
fn call<T>(call: impl FnOnce() -> crate::Result<T>) -> Reply<T> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| std::panic::set_hook(Box::new(|info| log(Level::Error, &info.to_string()))));
    call().map_err(|error| error.to_string())
}

/// Implements `about.describe` for `P`.
///
/// # Errors
/// As [`dispatch::describe`].
pub fn describe<P: Plugin>(config: &str) -> Reply<wit::about::Manifest> {
    use wit::about::{Interval, Manifest};
    let manifest = call(|| dispatch::describe::<P>(config))?;
    Ok(Manifest {
        name: manifest.name,
        version: manifest.version,
        summary: manifest.summary,
        score_range: manifest.score_range.map(|(low, high)| Interval { low, high }),
        concave: manifest.concave,
        gradient: manifest.gradient,
        needs_reference: manifest.needs_reference,
    })
}

/// Implements `reader.read` for `P`.
///
/// # Errors
/// As [`dispatch::read`].
pub fn read<P: Reader>(config: &str, batch: Vec<types::Transcript>) -> Reply<Vec<Vec<Option<String>>>> {
    call(|| dispatch::read::<P>(config, &prompt_texts(batch)))
}

/// Implements `grader.grade` for `P`.
///
/// # Errors
/// As [`dispatch::grade`].
pub fn grade<P: Grader>(config: &str, batch: Vec<types::Transcript>) -> Reply<Vec<Vec<f64>>> {
    call(|| dispatch::grade::<P>(config, &prompt_texts(batch)))
}

/// Implements `verifier.score` for `P`.
///
/// # Errors
/// As [`dispatch::score`].
pub fn score<P: Verifier>(config: &str, batch: Vec<wit::verifier::Question>) -> Reply<Vec<Vec<f64>>> {
    let batch: Vec<_> = batch.into_iter().map(|q| PromptTexts { prompt: q.prompt, texts: q.answers }).collect();
    call(|| dispatch::score::<P>(config, &batch))
}

/// Implements `objective.evaluate` for `P`.
///
/// # Errors
/// As [`dispatch::evaluate`].
pub fn evaluate<P: Objective>(
    config: &str,
    batch: Vec<wit::objective::Bundle>,
) -> Reply<Vec<wit::objective::Valuation>> {
    use crate::bundle::{Answer, Bundle, Group};
    use wit::objective as wit;
    let answer = |a: wit::Answer| Answer {
        key: a.key,
        count: a.count,
        scores: a.scores,
        frequency: a.frequency,
        leave_one_out: a.leave_one_out,
        surprisal: a.surprisal,
        pooled_surprisal: a.pooled_surprisal,
        reference_probability: a.reference_probability,
        pooled_reference_probability: a.pooled_reference_probability,
    };
    let group =
        |g: wit::Group| Group { prompt: g.prompt, size: g.size, answers: g.answers.into_iter().map(answer).collect() };
    let bundle = |b: wit::Bundle| Bundle {
        id: b.id,
        verifiers: b.verifiers,
        multiplier: b.multiplier,
        exact: b.exact,
        groups: b.groups.into_iter().map(group).collect(),
    };
    let batch: Vec<_> = batch.into_iter().map(bundle).collect();
    let valuations = call(|| dispatch::evaluate::<P>(config, &batch))?;
    let valuation =
        |v: crate::bundle::Valuation| wit::Valuation { utility: v.utility, rewards: v.rewards, violation: v.violation };
    Ok(valuations.into_iter().map(valuation).collect())
}

fn prompt_texts(batch: Vec<types::Transcript>) -> Vec<PromptTexts> {
    batch.into_iter().map(|t| PromptTexts { prompt: t.prompt, texts: t.completions }).collect()
}
