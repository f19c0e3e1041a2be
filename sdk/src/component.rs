//! The WebAssembly side of [`export!`](crate::export!): bindings of `wit/objective.wit`, one world for each interface
//! so that a plugin exports exactly the roles its author names.

use std::sync::Once;

use crate::batch::PromptTexts;
use crate::diagnostics::Level;
use crate::dispatch;
use crate::roles::{Objective, Plugin, Reader, Verifier};

/// Where the bindings take the records of `alft:objective/types` from.
pub mod types {
    pub use crate::bundle::Prompt;

    /// `types.transcript`.
    #[derive(Debug, Clone)]
    pub struct Transcript {
        /// The prompt that the completions belong to.
        pub prompt: Prompt,
        /// Completions.
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

/// Bindings of the `reader` interface.
#[allow(missing_docs, clippy::all)]
pub mod reader {
    wit_bindgen::generate!({
        path: "wit",
        world: "reader-alone",
        with: { "alft:objective/types@1.0.0": crate::component::types },
        pub_export_macro: true,
        export_macro_name: "export_reader",
        default_bindings_module: "alft_sdk::component::reader",
    });
}

/// Bindings of the `verifier` interface.
#[allow(missing_docs, clippy::all)]
pub mod verifier {
    wit_bindgen::generate!({
        path: "wit",
        world: "verifier-alone",
        with: { "alft:objective/types@1.0.0": crate::component::types },
        pub_export_macro: true,
        export_macro_name: "export_verifier",
        default_bindings_module: "alft_sdk::component::verifier",
    });
}

/// Bindings of the `objective` interface.
#[allow(missing_docs, clippy::all)]
pub mod objective {
    wit_bindgen::generate!({
        path: "wit",
        world: "objective-alone",
        with: { "alft:objective/types@1.0.0": crate::component::types },
        pub_export_macro: true,
        export_macro_name: "export_objective",
        default_bindings_module: "alft_sdk::component::objective",
    });
}

/// The generated records and traits, by interface.
pub mod wit {
    pub use super::about::exports::alft::objective::about;
    pub use super::objective::exports::alft::objective::objective;
    pub use super::reader::exports::alft::objective::reader;
    pub use super::verifier::exports::alft::objective::verifier;
}

/// What every call of the contract returns.
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

/// A panic becomes a trap, of which the host sees only that it happened: its text must go out first.
fn speak_before_trapping() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| std::panic::set_hook(Box::new(|info| log(Level::Error, &info.to_string()))));
}

/// `about.describe` of `P`.
///
/// # Errors
/// As [`dispatch::describe`].
pub fn describe<P: Plugin>(config: &str) -> Reply<wit::about::Manifest> {
    use wit::about::{Interval, Manifest};
    speak_before_trapping();
    let manifest = dispatch::describe::<P>(config).map_err(|error| error.to_string())?;
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

/// `reader.read` of `P`.
///
/// # Errors
/// As [`dispatch::read`].
pub fn read<P: Reader>(config: &str, batch: Vec<wit::reader::Transcript>) -> Reply<Vec<Vec<Option<String>>>> {
    speak_before_trapping();
    let batch: Vec<_> = batch.into_iter().map(|t| PromptTexts { prompt: t.prompt, texts: t.completions }).collect();
    dispatch::read::<P>(config, &batch).map_err(|error| error.to_string())
}

/// `verifier.score` of `P`.
///
/// # Errors
/// As [`dispatch::score`].
pub fn score<P: Verifier>(config: &str, batch: Vec<wit::verifier::Question>) -> Reply<Vec<Vec<f64>>> {
    speak_before_trapping();
    let batch: Vec<_> = batch.into_iter().map(|q| PromptTexts { prompt: q.prompt, texts: q.answers }).collect();
    dispatch::score::<P>(config, &batch).map_err(|error| error.to_string())
}

/// `objective.evaluate` of `P`.
///
/// # Errors
/// As [`dispatch::evaluate`].
pub fn evaluate<P: Objective>(
    config: &str,
    batch: Vec<wit::objective::Bundle>,
) -> Reply<Vec<wit::objective::Valuation>> {
    use crate::bundle::{Answer, Bundle, Group};
    use wit::objective as wit;
    speak_before_trapping();
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
    let valuations = dispatch::evaluate::<P>(config, &batch).map_err(|error| error.to_string())?;
    let valuation =
        |v: crate::bundle::Valuation| wit::Valuation { utility: v.utility, rewards: v.rewards, violation: v.violation };
    Ok(valuations.into_iter().map(valuation).collect())
}
