//! The runtime as a library: runs that are held, stepped and reconfigured by a program.
//!
//! | module | shows |
//! | --- | --- |
//! | `changes` | plugins change while a run goes on, and a resumed run makes the same changes again |
//! | `resumed` | a resumed run equals one left alone |
//! | `dropped` | a sample that a plugin fails on has no part in anything that a step computes |
//! | `exported` | the model of a run in the formats of its run file |
//! | `graders` | graders reward completions beside their answers |

mod changes;
mod dropped;
mod exported;
mod graders;
mod resumed;
mod support;
