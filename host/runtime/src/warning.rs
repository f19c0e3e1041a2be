//! Warnings of a run that goes on, but not as it should.

use std::fmt;
use std::path::PathBuf;

use alft_text::Foreign;
use serde::{Deserialize, Serialize};

/// A warning, with its reason and the remedy.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Warning {
    /// Most groups have no spread in reward. Told once for each cause.
    FewGroupsTeach {
        /// The step, from 1.
        step: u64,
        /// The share of groups without spread, lately.
        share: f64,
        /// The cause of most of them.
        cause: IdleCause,
    },
    /// The file of a resumed run's plugin is gone, and the run's own copy of it is used.
    PluginIsGone {
        /// The plugin's name in the run file.
        plugin: String,
        /// The file that was there.
        path: PathBuf,
    },
    /// Questions of the evaluation are asked in training too.
    EvalIsTrained {
        /// Questions of the evaluation whose text is that of a question to train on.
        shared: usize,
        /// Questions of the evaluation.
        total: usize,
    },
    /// The model has no end-of-sequence token, and the run file no stop texts.
    NothingEndsCompletions {
        /// The tokens after which every completion is cut.
        max_new_tokens: usize,
    },
    /// Questions quote special tokens, which the policy reads as letters.
    SpecialTokensAreText {
        /// Questions that do so.
        questions: usize,
        /// The name of the first.
        question: String,
        /// The special token in it.
        token: String,
    },
    /// Worked examples quote special tokens, which the policy learns as letters.
    SpecialTokensInExamples {
        /// Examples that do so.
        examples: usize,
        /// The line of the first.
        line: usize,
        /// The special token in it.
        token: String,
    },
    /// A verifier cannot judge answers to some questions, whose gold answer is missing or cannot be read.
    GoldAnswers {
        /// The verifier's name in the run file.
        verifier: String,
        /// Prompts that it failed on.
        failed: usize,
        /// Prompts that it was asked about.
        checked: usize,
        /// All prompts.
        total: usize,
        /// Its first error.
        first: String,
    },
    /// The answer keys of a question are too many bytes to be remembered. Told once.
    AnswersForgotten {
        /// The step, from 1.
        step: u64,
        /// Answers that the step's questions do not remember.
        answers: usize,
    },
    /// A number of an update is far above its usual size.
    Spike {
        /// The step of the phase, from 1.
        step: u64,
        /// The number: `loss` or `grad_norm`, as in `metrics.jsonl`.
        quantity: &'static str,
        /// Its value.
        value: f64,
        /// Its median over the steps before.
        median: f64,
    },
}

/// The cause for which groups have no spread in reward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IdleCause {
    /// Every answer is right.
    AllRight,
    /// Every answer is wrong.
    AllWrong,
    /// No answer can be read.
    Unreadable,
    /// The questions have no gold answer, and the verifier finds no answer right.
    NoGold,
    /// No verifier tells right from wrong, and what else rewards gives all samples the same.
    NoVerifier,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FewGroupsTeach { step, share, cause } => {
                write!(
                    f,
                    "step {step}: {:.0}% of the latest groups have equal rewards and teach nothing: ",
                    100.0 * share
                )?;
                f.write_str(cause.reason())
            }
            Self::PluginIsGone { plugin, path } => {
                write!(
                    f,
                    "plugin {plugin}: {} is gone, and the run goes on with its own copy",
                    Foreign::path(&path),
                    plugin = Foreign::new(&plugin)
                )
            }
            Self::EvalIsTrained { shared, total } => write!(
                f,
                "{shared} of {total} questions of prompts.eval are in prompts.train too, so the evaluation shows how well they are \
                 learnt by heart; keep other questions for it"
            ),
            Self::NothingEndsCompletions { max_new_tokens } => write!(
                f,
                "the model has no end-of-sequence token, so every completion is cut at {max_new_tokens} tokens; name it as \
                 `eos_token_id` in the model's generation_config.json (of a GGUF file: `tokenizer.ggml.eos_token_id`), or write \
                 texts into sampling.stop"
            ),
            Self::SpecialTokensAreText { questions, question, token } => write!(
                f,
                "{questions} of the questions quote special tokens, such as {token} in question {question}; the policy reads \
                 their letters, not the tokens; a conversation belongs into a list of messages, and marks around the question \
                 into prompts.template"
            ),
            Self::SpecialTokensInExamples { examples, line, token } => write!(
                f,
                "{examples} of the worked examples quote special tokens, such as {token} in line {line}; the policy learns their \
                 letters, not the tokens; an end of sequence follows each completion by itself"
            ),
            Self::GoldAnswers { verifier, failed, checked, total, first } => {
                write!(f, "plugin {verifier} cannot judge {failed} of ", verifier = Foreign::new(&verifier))?;
                if checked < total {
                    write!(f, "the first {checked} of ")?;
                }
                write!(
                    f,
                    "{total} prompts, whose samples it fails on; the first: {first}",
                    first = Foreign::new(&first)
                )
            }
            Self::AnswersForgotten { step, answers } => write!(
                f,
                "step {step}: {answers} answers of its questions are forgotten, the least likely ones, because a target and the \
                 reference's marginals remember 64 KiB of keys of a question; let the reader give shorter keys"
            ),
            Self::Spike { step, quantity, value, median } => write!(
                f,
                "step {step}: {quantity} is {value:.3e}, and its median over the steps before {median:.3e}; if that comes \
                 again, lower the learning rate"
            ),
        }
    }
}

impl IdleCause {
    /// The reason and the remedy.
    fn reason(self) -> &'static str {
        match self {
            Self::AllRight => {
                "nearly all answers are right; take harder questions, or set game.questions = \"adaptive\" and \
                 game.dynamic_sampling"
            }
            Self::AllWrong => {
                "nearly all answers are wrong; take easier questions, a larger game.group or a warm start, or check the \
                 verifier on a completion in samples.jsonl"
            }
            Self::Unreadable => {
                "no answer can be read from most completions; check the reader's configuration, prompts.template and \
                 sampling.max_new_tokens on completions in samples.jsonl"
            }
            Self::NoGold => {
                "the verifier finds no answer right, and most questions have no gold answer; add `gold` to the questions, \
                 or take an objective that needs none"
            }
            Self::NoVerifier => {
                "no verifier tells right from wrong, and the other plugins reward all samples of a group alike; add a \
                 verifier, or raise sampling.temperature"
            }
        }
    }
}
