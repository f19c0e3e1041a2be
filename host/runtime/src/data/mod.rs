//! Data files: JSON lines of questions, worked examples and exact games, and the order in which a run meets them.

mod batches;
mod games;
mod lines;
mod questions;

pub(crate) use batches::{GAME_ORDER, WARM_START_ORDER, batch_indices};
pub use games::{Instance, Trace, linear_term, read_games};
pub use lines::read_lines;
pub use questions::{Question, SftExample, read_examples, read_questions};
