//! The watch over a run: which of its steps deserve a warning.

use std::collections::{BTreeSet, VecDeque};

use alft_game::Answer;
use alft_policy::{GrpoStats, SupervisedStats};
use serde::{Deserialize, Serialize};

use crate::config::RunFile;
use crate::rollout::Rollout;
use crate::sampler::{QuestionSampler, without_spread};
use crate::stats::{Mean, SpikeDetector};
use crate::warning::{IdleCause, Warning};

/// Questions that a judgement of the groups rests on: the latest ones.
const QUESTIONS: usize = 48;
/// Fewer questions than this are no ground for a judgement.
const ENOUGH: usize = 24;
/// The least deviation of a loss that is worth a warning times 30, in units of the reward or in nats.
const LOSS_DEVIATION: f64 = 0.01;

/// The watch over a run. Checkpoints hold it, so that a resumed run tells nothing twice.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Watch {
    loss: SpikeDetector,
    grad_norm: SpikeDetector,
    latest: VecDeque<Asked>,
    /// Causes that were told.
    told: BTreeSet<IdleCause>,
    /// True once it was told that answers are forgotten.
    #[serde(default)]
    told_forgotten: bool,
}

/// A question that was asked.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Asked {
    /// The estimate of its pass rate; `None` without a verifier.
    rate: Option<f64>,
    /// Share of its groups that do not teach.
    idle: f64,
    /// Share of its samples without a readable answer.
    unreadable: f64,
    /// True if the question has a gold answer.
    gold: bool,
}

impl Watch {
    /// Forgets the losses and gradients of the phase before.
    pub(crate) fn begin_phase(&mut self) {
        (self.loss, self.grad_norm) = Default::default();
    }

    /// Watches a supervised step.
    pub(crate) fn warm_start_step(&mut self, step: u64, stats: &SupervisedStats, max_grad_norm: f64) -> Vec<Warning> {
        self.spikes(step, stats.loss, stats.grad_norm, max_grad_norm)
    }

    /// Watches a step of the game, from whose samples `sampler` has learnt.
    pub(crate) fn game_step(
        &mut self,
        step: u64,
        config: &RunFile,
        rollouts: &[Rollout<'_>],
        sampler: &QuestionSampler,
        update: &GrpoStats,
    ) -> Vec<Warning> {
        let mut warnings = Vec::new();
        // A step without anything to learn from makes no update.
        if update.tokens > 0 {
            warnings = self.spikes(step, update.loss, update.grad_norm, config.train.adamw.max_grad_norm);
        }
        self.latest.extend(rollouts.iter().map(|rollout| Asked::new(rollout, sampler)));
        self.latest.drain(..self.latest.len().saturating_sub(QUESTIONS));
        if let Some((share, cause)) = self.idle(config.game.group)
            && self.told.insert(cause)
        {
            warnings.push(Warning::FewGroupsTeach { step, share, cause });
        }
        warnings
    }

    /// Watches the answers that a step could not remember.
    pub(crate) fn forgotten(&mut self, step: u64, answers: usize) -> Option<Warning> {
        let told = self.told_forgotten;
        self.told_forgotten |= answers > 0;
        (answers > 0 && !told).then_some(Warning::AnswersForgotten { step, answers })
    }

    fn spikes(&mut self, step: u64, loss: f64, grad_norm: f64, max_grad_norm: f64) -> Vec<Warning> {
        // A norm that is not even clipped moves the weights as it should.
        let told = [
            ("loss", loss, self.loss.add(loss, LOSS_DEVIATION)),
            ("grad_norm", grad_norm, self.grad_norm.add(grad_norm, max_grad_norm / 30.0)),
        ];
        let spike = |(quantity, value, median): (_, _, Option<f64>)| {
            Some(Warning::Spike { step, quantity, value, median: median? })
        };
        told.into_iter().filter_map(spike).collect()
    }

    /// The share of the latest groups that did not teach, with the cause, if that is most of them: counted, and with a
    /// verifier also by the pass rates, from which it follows that it will stay so. A verifier of some other scale, or
    /// another plugin's rewards, may give equal accuracies a spread.
    fn idle(&self, group: usize) -> Option<(f64, IdleCause)> {
        let latest = || self.latest.iter();
        let mean = |value: fn(&Asked) -> f64| latest().map(value).collect::<Mean>().get().unwrap_or(0.0);
        let share = mean(|asked| asked.idle);
        if self.latest.len() < ENOUGH || share <= 0.5 {
            return None;
        }
        let rates = || latest().filter_map(|asked| asked.rate).map(|rate| without_spread(rate, group));
        let right = rates().map(|(right, _)| right).collect::<Mean>().get();
        let wrong = rates().map(|(_, wrong)| wrong).collect::<Mean>().get();
        let (Some(right), Some(wrong)) = (right, wrong) else { return Some((share, IdleCause::NoVerifier)) };
        if right + wrong <= 0.5 {
            return None;
        }
        let cause = if right > wrong {
            IdleCause::AllRight
        } else if mean(|asked| f64::from(u8::from(asked.gold))) < 0.5 {
            IdleCause::NoGold
        } else if mean(|asked| asked.unreadable) > 0.5 {
            IdleCause::Unreadable
        } else {
            IdleCause::AllWrong
        };
        Some((share, cause))
    }
}

impl Asked {
    fn new(rollout: &Rollout<'_>, sampler: &QuestionSampler) -> Self {
        let share = |values: &mut dyn Iterator<Item = bool>| {
            values.map(|value| f64::from(u8::from(value))).collect::<Mean>().get().unwrap_or(0.0)
        };
        let verified = rollout.samples().any(|sample| sample.accuracy.is_some());
        let rate = sampler.rates.get(&rollout.question.id).filter(|_| verified);
        Self {
            rate: rate.map(|rate| rate.estimate()),
            idle: share(&mut rollout.groups.iter().map(|group| !group.teaches())),
            unreadable: share(&mut rollout.samples().map(|sample| sample.answer == Answer::Unreadable)),
            gold: rollout.question.prompts.iter().any(|prompt| prompt.gold.is_some()),
        }
    }
}

#[cfg(test)]
mod tests {
    use alft_policy::Completion;
    use alft_sdk::Prompt;

    use super::*;
    use crate::data::Question;
    use crate::rollout::Group;

    /// The causes that are told in ten steps of three questions, each with four samples: the accuracy and the reward of
    /// the first sample, and those of the others.
    fn told(gold: Option<&str>, answer: &Answer, accuracies: Option<[f64; 2]>, rewards: [f64; 2]) -> Vec<IdleCause> {
        let text = "output = \"x\"\nmodel = { embedded = \"tiny\" }\nprompts = { train = \"t\" }\ntrain = { steps = 3 }\n\
                    game = { group = 4 }";
        let config = RunFile::parse(std::path::Path::new("run.toml"), text, &[]).unwrap();
        let prompt = Prompt { id: "q".into(), gold: gold.map(str::to_owned), ..Prompt::default() };
        let question = Question::of_texts("q".into(), vec![prompt]);
        let completion = Completion { tokens: Vec::new(), log_probs: Vec::new(), text: String::new(), finished: true };
        let mut group = Group::new(&question.prompts[0], Vec::new(), vec![completion; 4]);
        for (number, sample) in group.samples.iter_mut().enumerate() {
            let place = usize::from(number > 0);
            sample.answer = answer.clone();
            sample.accuracy = accuracies.map(|accuracies| accuracies[place]);
            sample.reward = Some(rewards[place]);
            sample.advantage = Some(rewards[place] - rewards[1]);
        }
        let rollouts = vec![Rollout { question: &question, groups: vec![group] }; 3];
        let (mut watch, mut sampler) = (Watch::default(), QuestionSampler::default());
        let mut causes = Vec::new();
        for step in 1..=10 {
            sampler.learn(3 * step, &rollouts);
            // A watch that was saved and restored tells nothing twice.
            watch = serde_json::from_str(&serde_json::to_string(&watch).unwrap()).unwrap();
            for warning in watch.game_step(step, &config, &rollouts, &sampler, &GrpoStats::default()) {
                let Warning::FewGroupsTeach { step, share, cause } = warning else { panic!("{warning}") };
                assert_eq!((step, share), (8, 1.0), "as soon as 24 questions were asked");
                causes.push(cause);
            }
        }
        causes
    }

    #[test]
    fn forgotten_answers_are_told_once() {
        let mut watch = Watch::default();
        assert_eq!(watch.forgotten(1, 0), None);
        assert_eq!(watch.forgotten(2, 7), Some(Warning::AnswersForgotten { step: 2, answers: 7 }));
        watch = serde_json::from_str(&serde_json::to_string(&watch).unwrap()).unwrap();
        assert_eq!(watch.forgotten(3, 7), None);
    }

    #[test]
    fn groups_that_teach_nothing_are_told_once_with_their_cause() {
        let key = Answer::Key("1".into());
        assert_eq!(told(Some("1"), &key, Some([1.0, 1.0]), [1.0, 1.0]), [IdleCause::AllRight]);
        assert_eq!(told(Some("1"), &key, Some([0.0, 0.0]), [0.0, 0.0]), [IdleCause::AllWrong]);
        assert_eq!(told(None, &key, Some([0.0, 0.0]), [0.0, 0.0]), [IdleCause::NoGold]);
        assert_eq!(told(Some("1"), &Answer::Unreadable, Some([0.0, 0.0]), [0.0, 0.0]), [IdleCause::Unreadable]);
        assert_eq!(told(None, &key, None, [0.3, 0.3]), [IdleCause::NoVerifier]);
        // Answers that differ in being right, and answers that are all wrong but otherwise rewarded, do teach.
        assert_eq!(told(Some("1"), &key, Some([1.0, 0.0]), [1.0, 0.0]), []);
        assert_eq!(told(Some("1"), &key, Some([0.0, 0.0]), [0.3, 0.1]), []);
    }
}
