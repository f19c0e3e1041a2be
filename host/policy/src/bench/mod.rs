//! Measurements of a model on this machine: sampling, log-probabilities and updates, beside the limits of the machine.
//!
//! | module | holds |
//! | --- | --- |
//! | `config` | the parts and sizes of a measurement |
//! | `source` | the model to measure: a file, the tiny model, or random weights in the shape of a known model |
//! | `run` | the measurement of each part |
//! | `report` | the results, and their table |
//! | `work` | the arithmetic and the memory traffic that a part cannot avoid |
//! | `limits` | the machine's memory bandwidth and its speed at matrix products |
//! | `memory` | the peak of memory of a part |

mod config;
mod limits;
mod memory;
mod report;
mod run;
mod source;
mod work;

pub use self::{
    config::{BenchConfig, Part},
    limits::Limits,
    report::{BenchReport, PartReport},
    run::{Progress, measure},
    source::SHAPES,
};
