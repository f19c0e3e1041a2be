//! The conformance tests of `alft-conformance` on a plugin's file, each in a child process.

mod child;
mod subject;
mod suite;

pub use child::{AbuseTable, TestSetup, serve_test};
pub use suite::{TestRun, count_outcomes, run_tests};
