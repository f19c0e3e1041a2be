//! The reference plugins, linked in: the same sources that are built into components and libraries, called without a
//! sandbox between. A game names an objective by its kind; this is what it means.

use alft_sdk::bundle::{Bundle, Prompt, Valuation};
use alft_sdk::dispatch::configure;
use alft_sdk::{Manifest, Objective, Plugin, Result, Verifier};

/// A plugin with its configuration.
pub struct Configured {
    /// What it promises under this configuration.
    pub manifest: Manifest,
    /// Its role.
    pub role: Role,
}

/// What a configured plugin does.
#[allow(clippy::type_complexity, reason = "a name would say no more")]
pub enum Role {
    /// Prices an answer.
    Verifier(Box<dyn Fn(&Prompt, &str) -> Result<f64> + Send + Sync>),
    /// Prices a distribution of answers.
    Objective(Box<dyn Fn(&Bundle) -> Result<Valuation> + Send + Sync>),
}

impl std::fmt::Debug for Configured {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Configured").field("manifest", &self.manifest).finish_non_exhaustive()
    }
}

/// Makes a plugin from its configuration, a JSON object.
type Make = fn(&str) -> Result<Configured>;

/// Every kind by its name, with other names that it goes by.
const KINDS: [(&str, &[&str], Make); 14] = [
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
];

/// The names of all kinds.
pub fn kinds() -> impl Iterator<Item = &'static str> {
    KINDS.iter().map(|(name, ..)| *name)
}

/// The plugin of a kind under `config`, a JSON object; `None` for an unknown kind.
///
/// # Errors
/// What the plugin says of its configuration.
pub fn open(kind: &str, config: &str) -> Option<Result<Configured>> {
    let (.., make) = KINDS.iter().find(|(name, others, _)| *name == kind || others.contains(&kind))?;
    Some(make(config))
}

fn verifier<P: Plugin + Verifier + Send + Sync + 'static>(config: &str) -> Result<Configured> {
    let plugin: P = configure(config)?;
    let manifest = plugin.manifest();
    Ok(Configured { manifest, role: Role::Verifier(Box::new(move |prompt, answer| plugin.score(prompt, answer))) })
}

fn objective<P: Plugin + Objective + Send + Sync + 'static>(config: &str) -> Result<Configured> {
    let plugin: P = configure(config)?;
    let manifest = plugin.manifest();
    Ok(Configured { manifest, role: Role::Objective(Box::new(move |bundle| plugin.evaluate(bundle))) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_a_plugin_and_unknown_ones_are_not() {
        for kind in kinds() {
            // Whatever the configuration lacks is said, by a plugin that was found.
            assert!(open(kind, "{}").is_some(), "{kind}");
        }
        assert!(open("entropy", "{}").unwrap().unwrap().manifest.concave);
        assert!(open("entropi", "{}").is_none());
        assert!(open("entropy", r#"{"typo": 1}"#).unwrap().unwrap_err().to_string().contains("typo"));
    }
}
