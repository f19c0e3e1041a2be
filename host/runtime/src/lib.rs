//! The training runtime of alft: everything of a run but the command line.
//!
//! [`Run`] is the whole of it: started from a [`RunFile`](config::RunFile) or resumed from a folder, stepped, given
//! another configuration between steps, finished. Nothing is printed: progress and messages are [`RunEvent`]s.
//!
//! ```
//! use alft_runtime::config::RunFile;
//! use alft_runtime::plugins::{PluginSet, RunPlugin};
//! use alft_runtime::{PluginSource, Run, RunEvent};
//! use alft_sdk::{Bundle, Manifest, Objective, Plugin, Prompt, Reader, Result, Valuation, linked, manifest};
//!
//! /// Reads a completion's first character, and rewards rare answers by their surprisal.
//! #[derive(alft_sdk::serde::Deserialize)]
//! #[serde(crate = "alft_sdk::serde")]
//! struct Explore {}
//!
//! impl Plugin for Explore {
//!     fn manifest(&self) -> Manifest {
//!         manifest!("Reads one character and rewards rare answers.")
//!     }
//! }
//!
//! impl Reader for Explore {
//!     fn read(&self, _: &Prompt, completion: &str) -> Result<Option<String>> {
//!         Ok(completion.chars().next().map(String::from))
//!     }
//! }
//!
//! impl Objective for Explore {
//!     fn evaluate(&self, bundle: &Bundle) -> Result<Valuation> {
//!         Ok(Valuation {
//!             utility: bundle.mean(|group| group.answers.iter().map(|a| a.frequency * a.surprisal).sum()),
//!             rewards: bundle.rewards(|_, answer| answer.surprisal),
//!             violation: None,
//!         })
//!     }
//! }
//!
//! # fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
//! let dir = tempfile::tempdir()?;
//! std::fs::write(dir.path().join("questions.jsonl"), r#"{"prompt": "Name a letter:"}"#)?;
//! let text = format!(
//!     r#"
//!     output = {:?}
//!     model = {{ embedded = "tiny" }}
//!     prompts = {{ train = "questions.jsonl" }}
//!     sampling = {{ max_new_tokens = 4 }}
//!     train = {{ steps = 3 }}
//!     "#,
//!     dir.path().join("run"),
//! );
//! let config = RunFile::parse(&dir.path().join("run.toml"), &text, &[])?;
//! let explore = linked!(Explore: Reader + Objective)("{}")?;
//! let plugins = PluginSet::new(vec![RunPlugin::linked("explore", 1.0, explore)])?;
//!
//! let observer = Box::new(|event: &RunEvent<'_>| {
//!     if let RunEvent::GameStep(line) = event {
//!         println!("step {}: reward {:.3}, entropy {:.3}", line.step, line.averages.reward, line.averages.entropy);
//!     }
//! });
//! let mut run = Run::start(config, PluginSource::Linked(plugins), observer)?;
//! while run.step()?.is_some() {}
//! let summary = run.finish()?;
//! assert_eq!(summary.steps, 3);
//! # Ok(())
//! # }
//! ```
//!
//! Where things live:
//!
//! | module | holds |
//! | --- | --- |
//! | [`run`](Run) | `Run`: start, resume, step, apply, finish |
//! | `step` | the training step: read it first |
//! | `setup` | everything that a run reads and checks before it begins |
//! | `golds` | the check that verifiers can judge the questions |
//! | `draws`, `sampler` | the questions of a step, drawn until enough of them teach; their order and pass rates |
//! | [`rollout`] | the record of a sample, and sampling |
//! | [`PromptTemplate`] | the template around a question |
//! | [`reward`] | from completions to advantages: the plugins' part of a step |
//! | [`plugins`] | the plugins of a run, and changes of them |
//! | [`config`] | the run file |
//! | [`data`] | questions, worked examples, games |
//! | [`stats`] | statistics of a step and of a run |
//! | [`record`] | the run's folder and the records in it |
//! | `session` | the parts of a run that its steps work on |
//! | `checkpoint`, `question_log` | the state that a resumed run goes on from; its file of questions |
//! | `evaluate`, `reference` | the evaluation before, after and while training; the reference policy's answers |
//! | `exports`, [`BestCheckpoint`] | the models that a run exports, and their formats; the best of them |
//! | [`Warning`], `watch` | warnings of a run that goes on, but not as it should |
//! | `memory` | the memory that sampling needs, told before the run starts |
//! | [`conformance`] | the conformance tests on a plugin's file |
//! | [`rescore()`] | another plugin on the recorded batches of a run |
//! | [`simulate()`] | exact games played from samples |
//! | [`RunEvent`] | progress and messages |
//! | [`Error`] | everything that can end a run |

mod best;
mod checkpoint;
pub mod config;
pub mod conformance;
pub mod data;
mod draws;
mod error;
mod evaluate;
mod event;
mod exports;
mod golds;
mod memory;
pub mod plugins;
mod question_log;
pub mod record;
mod reference;
mod rescore;
pub mod reward;
pub mod rollout;
mod run;
mod sampler;
mod session;
mod setup;
mod simulate;
mod special;
pub mod stats;
mod step;
mod template;
mod warning;
mod watch;

pub use best::BestCheckpoint;
pub use error::{Error, Result, chain};
pub use event::{Observer, Phase, RunEvent};
pub use rescore::{Comparison, ItemChange, rescore};
pub use run::{Run, StepLine};
pub use setup::{PluginOpener, PluginSource};
pub use simulate::{Outcome, SimulationConfig, SimulationProgress, simulate};
pub use template::PromptTemplate;
pub use warning::{IdleCause, Warning};
