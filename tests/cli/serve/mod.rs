//! `alft serve`, over real connections.
//!
//! | module | shows |
//! | --- | --- |
//! | `answers` | the scores are those of `alft score`; runs move their targets, and every call can be made again |
//! | `clients` | requests of the trainers' own clients are answered |
//! | `restarts` | a service that is killed again and again ends where one left alone does |
//! | `refusals` | wrong requests get a clear refusal and cost nobody else anything |
//! | `pressure` | a hang costs its own requests; a full queue says when to come again |
//! | `reloads` | plugins change while the service runs |
//! | `server` | (a service in a scratch folder, and requests to it) |

mod answers;
mod clients;
mod pressure;
mod refusals;
mod reloads;
mod restarts;
mod server;
