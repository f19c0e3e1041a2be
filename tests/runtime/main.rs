//! The runtime as a library: runs that are held, stepped and reconfigured by a program.
//!
//! | module | shows |
//! | --- | --- |
//! | `changes` | plugins change while a run goes on, and a resumed run makes the same changes again |
//! | `resumed` | a resumed run equals one left alone |
//! | `dropped` | a sample that a plugin fails on has no part in anything that a step computes |
//! | `failed` | a step that failed is made again in the same process, and is on record once |
//! | `formats` | the model of a run in the formats of its run file |
//! | `graders` | graders reward completions beside their answers |
//! | `limited` | an item on which a plugin used up a limit is worth what the run file says |
//! | `teaching` | further draws in place of questions that teach nothing, and an order that asks such questions less often |
//! | `exported` | evaluations while training, and the exported models that are kept |
//! | `rates` | another learning rate while a run goes on, and after a step that is not finite |

mod changes;
mod dropped;
mod exported;
mod failed;
mod formats;
mod graders;
mod limited;
mod linked;
mod rates;
mod resumed;
mod support;
mod teaching;
