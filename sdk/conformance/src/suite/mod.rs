//! The tests. Each is a function of a [`Case`](crate::case::Case) that returns the reason if the plugin does not pass.

pub(crate) mod fuel;
pub(crate) mod general;
pub(crate) mod grader;
pub(crate) mod hostile;
pub(crate) mod objective;
pub(crate) mod reader;
pub(crate) mod score_range;
pub(crate) mod tolerance;
pub(crate) mod twins;
pub(crate) mod verifier;
