//! Data files: JSON lines of questions, worked examples, stored completions and exact games, and the order in which a run meets them.

mod completions;
mod games;
mod lines;
mod object;
mod order;
mod questions;

pub use completions::{AnsweredQuestion, AnsweredQuestions, read_completions};
pub use games::{Instance, Trace, linear_term, read_games};
pub use lines::read_lines;
pub(crate) use order::{GAME_ORDER, Order, WARM_START_ORDER, asks};
pub use questions::{Question, SftExample, read_examples, read_questions};
