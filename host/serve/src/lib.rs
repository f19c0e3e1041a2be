//! The reward service: the plugins, estimators, targets and ledger of `alft train` for other trainers, over HTTP.
//!
//! [`serve`] answers requests until the process is told to end. All that is asynchronous is in `http`, `server` and `body`; a request is
//! answered on a thread of its own by `service`, which calls plugins as a training step does.
//!
//! | module | holds |
//! | --- | --- |
//! | `service` | the service without its network: read it first |
//! | `active` | the plugins and settings in force |
//! | `run` | a client's run: which requests wait for each other; the records of a step |
//! | `journal`, `remembered` | the steps of a run on disk; answers to repeated requests |
//! | `wire`, `openrlhf` | bodies of requests and answers |
//! | `refusal` | why a request is not answered |
//! | `http` | routes, tokens, request ids, the queue |
//! | `body` | bodies that are read within bounds |
//! | `server` | connections, signals, the end |
//! | `metrics`, `event` | what is told about it |

mod active;
mod body;
mod error;
mod event;
mod http;
mod journal;
mod metrics;
mod openrlhf;
mod refusal;
mod remembered;
mod run;
mod server;
mod service;
mod wire;

pub use error::Error;
pub use event::{Observer, RequestLine, ServeEvent};
pub use server::{ServeOptions, serve};
