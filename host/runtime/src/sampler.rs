//! The choice of the questions of a step, and the pass rates that it goes by.
//!
//! A run goes through its questions in passes, each in another order. With `game.questions = "adaptive"` a question is
//! asked with a probability that follows from its pass rate p: of a group of K completions, all are right or all wrong with
//! the probability p^K + (1 − p)^K, and then the verifier teaches nothing. A question that is passed over waits for the
//! next pass.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::config::{QuestionOrder, RunFile};
use crate::data::{GAME_ORDER, Order, Question, asks};
use crate::rollout::Rollout;

/// The least probability with which the adaptive order asks a question: no question is lost.
const LEAST: f64 = 0.1;

/// The place in the order of the questions, and what is known of them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct QuestionSampler {
    /// Places of the order that are behind the run, over all passes.
    pub(crate) place: u64,
    /// The pass rates by question; in the state's file of questions.
    #[serde(skip)]
    pub(crate) rates: BTreeMap<String, PassRate>,
}

/// The share of right answers to a question lately: whenever it is asked, what was seen before counts half.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct PassRate {
    /// Sum of the samples' accuracies, each from 0 to 1.
    right: f64,
    /// Number of samples.
    samples: f64,
}

/// The weight of what was seen before a question is asked again.
const DECAY: f64 = 0.5;

impl PassRate {
    /// The estimate: half a right and half a wrong sample more than were seen.
    pub(crate) fn estimate(&self) -> f64 {
        (self.right + 0.5) / (self.samples + 1.0)
    }
}

/// The probability that a group of `group` completions is all right or all wrong.
pub(crate) fn without_spread(rate: f64, group: usize) -> (f64, f64) {
    (rate.powi(group as i32), (1.0 - rate).powi(group as i32))
}

impl QuestionSampler {
    /// The indices of the `count` questions from `place` on, which moves past them. `excluded` are left out, and a question
    /// comes a second time only where no other is left.
    pub(crate) fn choose(
        &self,
        place: &mut u64,
        count: usize,
        config: &RunFile,
        questions: &[Question],
        excluded: &BTreeSet<usize>,
    ) -> Vec<usize> {
        let mut order = Order::new(config.seed, GAME_ORDER, questions.len());
        let mut chosen = Vec::with_capacity(count);
        while chosen.len() < count {
            let index = order.at(*place);
            let asked = match config.game.questions {
                QuestionOrder::Shuffled => true,
                QuestionOrder::Adaptive => {
                    asks(config.seed, *place, self.share(&questions[index].id, config.game.group))
                }
            };
            *place += 1;
            let others_left = chosen.len() + excluded.len() < questions.len();
            if asked && !excluded.contains(&index) && !(others_left && chosen.contains(&index)) {
                chosen.push(index);
            }
        }
        chosen
    }

    /// The probability with which a question is asked in a pass.
    fn share(&self, question: &str, group: usize) -> f64 {
        let spread = |rate: f64| {
            let (right, wrong) = without_spread(rate, group);
            1.0 - right - wrong
        };
        let rate = self.rates.get(question).map_or(0.5, PassRate::estimate);
        LEAST + (1.0 - LEAST) * spread(rate) / spread(0.5)
    }

    /// Goes on from `place`, and learns from the accuracies of samples. A question without a verifier has none.
    pub(crate) fn learn(&mut self, place: u64, rollouts: &[Rollout<'_>]) {
        self.place = place;
        for rollout in rollouts {
            let accuracies = || rollout.samples().filter_map(|sample| sample.accuracy);
            if accuracies().next().is_none() {
                continue;
            }
            let rate = self.rates.entry(rollout.question.id.clone()).or_default();
            let right: f64 = accuracies().map(|accuracy| accuracy.clamp(0.0, 1.0)).sum();
            rate.right = DECAY * rate.right + right;
            rate.samples = DECAY * rate.samples + accuracies().count() as f64;
        }
    }
}
