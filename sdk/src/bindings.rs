//! The binding of a role's interface in a component, of which `roles` has one for each role.

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

/// Binds the interface of a role. The names are literals because `generate!` reads them as text.
macro_rules! bindings {
    ($(#[$doc:meta])* $interface:ident, $world:tt, $export:tt, $module:tt) => {
        $(#[$doc])*
        #[allow(missing_docs, clippy::all)]
        pub mod $interface {
            wit_bindgen::generate!({
                path: "wit",
                world: $world,
                with: { "alft:objective/types@1.0.0": crate::bindings::types },
                pub_export_macro: true,
                export_macro_name: $export,
                default_bindings_module: $module,
            });
        }
    };
}

pub(crate) use bindings;
