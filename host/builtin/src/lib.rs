//! The plugins of `plugins/` by name, linked into the program: the same sources that are built into components and
//! libraries, called without a sandbox. An exact game names its objectives by these names.

use alft_sdk::batch::Role;
use alft_sdk::bundle::{Bundle, Prompt, Valuation};
use alft_sdk::dispatch::configure;
use alft_sdk::{Grader, Manifest, Objective, Plugin, Result, Verifier};

/// A plugin with its configuration.
pub struct Configured {
    /// The plugin's promises under this configuration.
    pub manifest: Manifest,
    /// The plugin's function.
    pub handler: Handler,
}

/// The function of a configured plugin, by its role.
pub enum Handler {
    /// Scores a completion.
    Grader(Box<Score>),
    /// Scores an answer.
    Verifier(Box<Score>),
    /// Evaluates a distribution of answers.
    Objective(Box<Evaluate>),
}

/// A function from a prompt and a text to a score.
pub type Score = dyn Fn(&Prompt, &str) -> Result<f64> + Send + Sync;

/// A function from a bundle to its utility and rewards.
pub type Evaluate = dyn Fn(&Bundle) -> Result<Valuation> + Send + Sync;

impl Handler {
    /// Returns the role that the function plays.
    pub fn role(&self) -> Role {
        match self {
            Self::Grader(_) => Role::Grader,
            Self::Verifier(_) => Role::Verifier,
            Self::Objective(_) => Role::Objective,
        }
    }
}

impl std::fmt::Debug for Configured {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Configured").field("manifest", &self.manifest).finish_non_exhaustive()
    }
}

/// A function from a plugin's configuration, a JSON object, to the configured plugin.
type Configure = fn(&str) -> Result<Configured>;

/// Every kind with its aliases.
const KINDS: [(&str, &[&str], Configure); 16] = [
    ("correctness", &[], verifier::<alft_correctness::Correctness>),
    ("entropy", &[], objective::<alft_entropy::Entropy>),
    ("gini", &[], objective::<alft_gini::Gini>),
    ("tsallis", &[], objective::<alft_tsallis::Tsallis>),
    ("pass@k", &["pass-at-k"], objective::<alft_pass_at_k::PassAtK>),
    ("maximum-likelihood", &["max-rl", "maxrl"], objective::<alft_maximum_likelihood::MaximumLikelihood>),
    ("target", &[], objective::<alft_target::Target>),
    ("coherence", &[], objective::<alft_coherence::Coherence>),
    ("pairwise", &[], objective::<alft_pairwise::Pairwise>),
    ("marginal", &[], objective::<alft_marginal::Marginal>),
    ("parity", &[], objective::<alft_parity::Parity>),
    ("constraint", &[], objective::<alft_constraint::Constraint>),
    ("majority", &[], objective::<alft_majority::Majority>),
    ("semantic-entropy", &["semantic-entropy-minimisation"], objective::<alft_semantic_entropy::SemanticEntropy>),
    ("format", &[], grader::<alft_format::Format>),
    ("length", &[], grader::<alft_length::Length>),
];

/// Iterates over the names of all kinds, without their aliases.
pub fn kinds() -> impl Iterator<Item = &'static str> {
    KINDS.iter().map(|(name, ..)| *name)
}

/// Configures the plugin of a kind by `config`, a JSON object. Returns `None` if there is no plugin of this name.
///
/// # Errors
/// Fails if the plugin refuses the configuration.
pub fn open(kind: &str, config: &str) -> Option<Result<Configured>> {
    let (.., configure) = KINDS.iter().find(|(name, aliases, _)| *name == kind || aliases.contains(&kind))?;
    Some(configure(config))
}

fn grader<P: Plugin + Grader + Send + Sync + 'static>(config: &str) -> Result<Configured> {
    let plugin: P = configure(config)?;
    let manifest = plugin.manifest();
    let score = move |prompt: &Prompt, completion: &str| plugin.grade(prompt, completion);
    Ok(Configured { manifest, handler: Handler::Grader(Box::new(score)) })
}

fn verifier<P: Plugin + Verifier + Send + Sync + 'static>(config: &str) -> Result<Configured> {
    let plugin: P = configure(config)?;
    let manifest = plugin.manifest();
    let score = move |prompt: &Prompt, answer: &str| plugin.score(prompt, answer);
    Ok(Configured { manifest, handler: Handler::Verifier(Box::new(score)) })
}

fn objective<P: Plugin + Objective + Send + Sync + 'static>(config: &str) -> Result<Configured> {
    let plugin: P = configure(config)?;
    let manifest = plugin.manifest();
    let evaluate = move |bundle: &Bundle| plugin.evaluate(bundle);
    Ok(Configured { manifest, handler: Handler::Objective(Box::new(evaluate)) })
}

#[cfg(test)]
mod tests {
    use super::*;
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

    /// Folders without a role in a game: the answers of a game need no reader, and tests alone need a plugin that fails.
    const LEFT_OUT: [&str; 2] = ["arithmetic", "misbehave"];

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
            assert_eq!((plugin.manifest.name, plugin.handler.role()), (format!("alft-{folder}"), role));
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
            assert_eq!(plugin.manifest.name, format!("alft-{folder}"));
        }
    }

    #[test]
    fn unknown_kinds_and_keys_are_told_apart() {
        assert!(open("entropi", "{}").is_none());
        assert!(open("entropy", r#"{"typo": 1}"#).unwrap().unwrap_err().to_string().contains("typo"));
    }
}
