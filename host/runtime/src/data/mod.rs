//! Data files: JSON lines of questions, worked examples, stored completions and exact games, and the order in which a run meets them.

mod batches;
mod completions;
mod games;
mod lines;
mod questions;

pub(crate) use batches::{GAME_ORDER, WARM_START_ORDER, batch_indices};
pub use completions::{AnsweredQuestion, read_completions};
pub use games::{Instance, Trace, linear_term, read_games};
pub use lines::read_lines;
pub use questions::{Question, SftExample, read_examples, read_questions};
