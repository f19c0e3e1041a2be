//! The target player's state between steps.

use std::collections::BTreeMap;

use alft_game::target::keep_likely;
use alft_game::{Target, dual_ascent};
use serde::{Deserialize, Serialize};

use crate::data::Question;
use crate::plugins::PluginSet;
use crate::stats::StepStats;

/// The target player's state: part of every checkpoint. Targets and references are in the state's file of questions.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct TargetState {
    /// The prices of constraints by the plugins' names, moved by dual ascent from 0.
    pub multipliers: BTreeMap<String, f64>,
    /// The targets by question; empty where targets are best responses, which remember nothing.
    #[serde(skip)]
    pub targets: BTreeMap<String, Target>,
    /// By question, for each phrasing: the reference policy's answer marginal, for plugins that ask for it.
    #[serde(skip)]
    pub references: BTreeMap<String, Vec<BTreeMap<String, f64>>>,
    /// Answers whose keys were too many bytes to remember, since somebody asked.
    #[serde(skip)]
    pub forgotten: usize,
}

impl TargetState {
    /// The price of the plugin's constraint; 0 before it was first exceeded.
    pub fn multiplier(&self, plugin: &str) -> f64 {
        self.multipliers.get(plugin).copied().unwrap_or_default()
    }

    /// The question's target; an empty one before the question was first met.
    pub(super) fn target(&self, question: &str) -> Target {
        self.targets.get(question).cloned().unwrap_or_default()
    }

    /// The answers that the question's target remembers.
    pub(super) fn answers(&self, question: &str) -> impl Iterator<Item = &str> {
        self.targets.get(question).into_iter().flat_map(Target::answers)
    }

    /// The reference policy's answer marginal for a phrasing of the question, if it was drawn.
    pub(super) fn reference_marginal(&self, question: &Question, prompt: &str) -> Option<&BTreeMap<String, f64>> {
        let phrasing = question.prompts.iter().position(|own| own.id == prompt)?;
        self.references.get(&question.id)?.get(phrasing)
    }

    /// Keeps the reference policy's answer marginals for the phrasings of a question.
    pub(crate) fn insert_reference(&mut self, question: String, mut marginals: Vec<BTreeMap<String, f64>>) {
        self.forgotten += keep_likely(&mut marginals);
        self.references.insert(question, marginals);
    }

    /// Moves the target player after a step: to the new targets of the questions that were not dropped, and by dual
    /// ascent to the next prices of the constraints that were evaluated.
    pub fn commit(&mut self, targets: Vec<(String, Target)>, plugins: &PluginSet, stats: &StepStats) {
        for (question, mut target) in targets {
            self.forgotten += target.forget_unlikely();
            self.targets.insert(question, target);
        }
        for (plugin, stats) in plugins.iter().zip(&stats.plugins) {
            if let Some(violation) = stats.violation.get() {
                let multiplier = dual_ascent::step(self.multiplier(&plugin.name), plugin.multiplier_rate, violation);
                self.multipliers.insert(plugin.name.clone(), multiplier);
            }
        }
    }
}
