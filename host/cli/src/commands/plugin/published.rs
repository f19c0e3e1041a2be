//! The facts about a plugin in a registry, which are read from its manifest and its config, without its code.

use alft_plugin_host::inspect::is_allowed_import;
use alft_plugin_host::lock::Conformance;
use alft_registry::{Artifact, Digest, Facts, Reference};
use alft_text::Foreign;
use serde::Serialize;

use crate::error::chain;

/// A plugin in a registry.
#[derive(Debug, Serialize)]
pub(super) struct PublishedPlugin {
    /// With the digest: the text for a run file's `path`.
    reference: Reference,
    digest: Digest,
    /// The digest of the component.
    component: Digest,
    bytes: u64,
    imports: Vec<Foreign>,
    exports: Vec<Foreign>,
    /// The publisher's words.
    #[serde(flatten)]
    facts: Facts,
    /// The results of the conformance tests that the publisher attached.
    conformance: Option<Conformance>,
}

impl PublishedPlugin {
    /// Reads the facts, with the report if the registry gives it.
    pub(super) fn of(artifact: &Artifact) -> Self {
        let conformance = artifact.report().unwrap_or_else(|error| {
            tell!("the report of its tests cannot be read: {}", chain(&error));
            None
        });
        Self {
            reference: artifact.reference().clone(),
            digest: artifact.digest().clone(),
            component: artifact.layer().clone(),
            bytes: artifact.size(),
            imports: artifact.imports().to_vec(),
            exports: artifact.exports().to_vec(),
            facts: artifact.facts().clone(),
            conformance,
        }
    }

    /// Prints the facts for people.
    pub(super) fn print(&self) {
        let Self { reference, component, bytes, imports, exports, facts, conformance, .. } = self;
        let Facts { name, version, summary, contract, roles, claims, blake3 } = facts;
        let line = |label: &str, text: &str| say!("{label:<10} {text}");
        let said = |label: &str, fact: &Option<Foreign>| {
            if let Some(fact) = fact {
                line(label, &fact.to_string());
            }
        };
        line("reference", &reference.to_string());
        line("component", &format!("{component}, {:.1} kB", *bytes as f64 / 1e3));
        said("blake3", blake3);
        said("contract", contract);
        said("roles", roles);
        line("imports", &list(imports));
        line("exports", &list(exports));
        if let Some(name) = name {
            let version = version.as_ref().map_or_else(String::new, |version| format!(" {version}"));
            line("name", &format!("{name}{version}"));
        }
        said("summary", summary);
        said("claims", claims);
        line("tests", &conformance.map_or_else(|| "no report".into(), |conformance| verdict(&conformance)));
    }
}

/// Returns names with commas between. A name outside the contract stands in quotes, so that one with the name `none` is not
/// read as that word.
fn list(names: &[Foreign]) -> String {
    let quoted = |name: &Foreign| match is_allowed_import(name.raw()) || name.raw().starts_with("alft:objective/") {
        true => name.to_string(),
        false => format!("{name:?}"),
    };
    match names {
        [] => "none".into(),
        names => names.iter().map(quoted).collect::<Vec<_>>().join(", "),
    }
}

/// Returns the results of conformance tests in words.
pub(super) fn verdict(conformance: &Conformance) -> String {
    let Conformance { passed, failed, crashed, skipped, version } = conformance;
    format!("{passed} passed, {failed} failed, {crashed} crashed, {skipped} skipped (tests of version {version})")
}
