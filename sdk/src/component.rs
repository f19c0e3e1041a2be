//! The WebAssembly side of [`export!`](crate::export!): bindings of `wit/objective.wit`. Each interface is bound by a
//! world of its own, so that a plugin exports exactly the roles that its author names; those of the roles are bound in
//! `roles`.

use std::sync::Once;

use crate::dispatch;
use crate::level::Level;
use crate::plugin::Plugin;
use crate::roles::Function;

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
pub fn describe<P: Plugin>(config: &str) -> Reply<about::exports::alft::objective::about::Manifest> {
    use about::exports::alft::objective::about::{Interval, Manifest};
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

/// Implements the function of a role for `P`, over the records of the bindings.
///
/// # Errors
/// As [`dispatch::call`].
pub fn batch<P: Plugin, F, E, R>(config: &str, batch: Vec<E>) -> Reply<Vec<R>>
where
    F: Function<P>,
    F::Entry: From<E>,
    R: From<F::Reply>,
{
    let batch: Vec<F::Entry> = batch.into_iter().map(F::Entry::from).collect();
    Ok(call(|| dispatch::call::<P, F>(config, &batch))?.into_iter().map(R::from).collect())
}
