//! The plugins of `plugins/` by name, linked into the program: the same sources that are built into components and
//! libraries, called without a sandbox. An exact game names its objectives by these names.

use alft_sdk::{Linked, Result, linked};

/// A function from a plugin's configuration, a JSON object, to the configured plugin.
type Configure = fn(&str) -> Result<Linked>;

/// Every kind with its aliases.
const KINDS: [(&str, &[&str], Configure); 16] = [
    ("correctness", &[], linked!(alft_correctness::Correctness: Verifier)),
    ("entropy", &[], linked!(alft_entropy::Entropy: Objective)),
    ("gini", &[], linked!(alft_gini::Gini: Objective)),
    ("tsallis", &[], linked!(alft_tsallis::Tsallis: Objective)),
    ("pass@k", &["pass-at-k"], linked!(alft_pass_at_k::PassAtK: Objective)),
    ("maximum-likelihood", &["max-rl", "maxrl"], linked!(alft_maximum_likelihood::MaximumLikelihood: Objective)),
    ("target", &[], linked!(alft_target::Target: Objective)),
    ("coherence", &[], linked!(alft_coherence::Coherence: Objective)),
    ("pairwise", &[], linked!(alft_pairwise::Pairwise: Objective)),
    ("marginal", &[], linked!(alft_marginal::Marginal: Objective)),
    ("parity", &[], linked!(alft_parity::Parity: Objective)),
    ("constraint", &[], linked!(alft_constraint::Constraint: Objective)),
    ("majority", &[], linked!(alft_majority::Majority: Objective)),
    (
        "semantic-entropy",
        &["semantic-entropy-minimisation"],
        linked!(alft_semantic_entropy::SemanticEntropy: Objective),
    ),
    ("format", &[], linked!(alft_format::Format: Grader)),
    ("length", &[], linked!(alft_length::Length: Grader)),
];

/// Iterates over the names of all kinds, without their aliases.
pub fn kinds() -> impl Iterator<Item = &'static str> {
    KINDS.iter().map(|(name, ..)| *name)
}

/// Configures the plugin of a kind by `config`, a JSON object. Returns `None` if there is no plugin of this name.
///
/// # Errors
/// Fails if the plugin refuses the configuration.
pub fn open(kind: &str, config: &str) -> Option<Result<Linked>> {
    let (.., configure) = KINDS.iter().find(|(name, aliases, _)| *name == kind || aliases.contains(&kind))?;
    Some(configure(config))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alft_sdk::roles::{Role, Roles};
    use std::collections::BTreeSet;
    use std::path::Path;

    /// The folders of `plugins/` with a role in a game, each with its role and a valid configuration.
    const PLUGINS: [(&str, Role, &str); 16] = [
        ("coherence", Role::Objective, "{}"),
        ("constraint", Role::Objective, r#"{"cost": {"A": 1.0}, "limit": 0.5}"#),
        ("correctness", Role::Verifier, "{}"),
        ("entropy", Role::Objective, "{}"),
        ("format", Role::Grader, "{}"),
        ("gini", Role::Objective, "{}"),
        ("length", Role::Grader, r#"{"max": 9, "buffer": 3}"#),
        ("majority", Role::Objective, "{}"),
        ("marginal", Role::Objective, r#"{"attribute": {"A": "p", "B": "q"}, "target": {"p": 0.5, "q": 0.5}}"#),
        ("maximum-likelihood", Role::Objective, r#"{"reward": {"A": 1.0}}"#),
        ("pairwise", Role::Objective, "{}"),
        ("parity", Role::Objective, r#"{"attribute": {"A": "p"}}"#),
        ("pass-at-k", Role::Objective, r#"{"k": 2, "reward": {"A": 1.0}}"#),
        ("semantic-entropy", Role::Objective, "{}"),
        ("target", Role::Objective, r#"{"target": {"A": 1.0}}"#),
        ("tsallis", Role::Objective, r#"{"order": 3}"#),
    ];

    /// Folders without a role in a game, whose answers no reader reads: readers with their verifiers, and the plugin that
    /// fails for tests.
    const LEFT_OUT: [&str; 8] =
        ["arithmetic", "exact-match", "json-schema", "math", "misbehave", "multiple-choice", "numeric", "regex"];

    #[test]
    fn every_plugin_with_a_role_in_a_game_is_opened_by_the_name_of_its_folder() {
        let plugins = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins");
        let folders: BTreeSet<String> = std::fs::read_dir(plugins)
            .unwrap()
            .map(|entry| entry.unwrap())
            .filter(|entry| entry.path().join("Cargo.toml").is_file())
            .map(|entry| entry.file_name().into_string().unwrap())
            .collect();
        let listed = PLUGINS.iter().map(|(folder, ..)| *folder).chain(LEFT_OUT);
        assert_eq!(folders, listed.map(str::to_owned).collect(), "list a new plugin above, and give it a kind");

        for (folder, role, config) in PLUGINS {
            let plugin = open(folder, config).unwrap_or_else(|| panic!("there is no kind {folder}")).unwrap();
            assert_eq!(plugin.manifest().name, format!("alft-{folder}"));
            assert_eq!(plugin.roles(), Roles::default().with(role));
        }
        assert_eq!(kinds().count(), PLUGINS.len());
    }

    #[test]
    fn an_alias_opens_the_same_plugin() {
        for (alias, folder) in [
            ("pass@k", "pass-at-k"),
            ("max-rl", "maximum-likelihood"),
            ("maxrl", "maximum-likelihood"),
            ("semantic-entropy-minimisation", "semantic-entropy"),
        ] {
            let (.., config) = PLUGINS.into_iter().find(|(name, ..)| *name == folder).unwrap();
            let plugin = open(alias, config).unwrap_or_else(|| panic!("there is no kind {alias}")).unwrap();
            assert_eq!(plugin.manifest().name, format!("alft-{folder}"));
        }
    }

    #[test]
    fn unknown_kinds_and_keys_are_told_apart() {
        assert!(open("entropi", "{}").is_none());
        assert!(open("entropy", r#"{"typo": 1}"#).unwrap().unwrap_err().to_string().contains("typo"));
    }
}
