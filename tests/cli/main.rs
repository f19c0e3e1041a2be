//! The binary as a user runs it.
//!
//! | module | shows |
//! | --- | --- |
//! | `games` | exact games are solved with a proof |
//! | `random` | (random games, for the tests of exact ones) |
//! | `simulate` | they are played from samples, with estimators as good as they say |
//! | `quickstart` | the README's first command learns what it says it learns |
//! | `reproducible` | same seed, same metrics; killed and resumed, the same as left alone |
//! | `ledger` | every scoring call is on file, and gives the same again |
//! | `lock` | a run starts only with the plugins that were approved |
//! | `killed` | killed fifty times, the same as left alone |
//! | `misbehaving` | bad plugins are named and counted, and the run goes on |
//! | `tools` | authors' tools: check, inspect, bench |
//! | `new` | a new plugin in every language, from nothing to the host |
//! | `mistakes` | bad input gets a clear error and its exit code |

mod games;
mod killed;
mod ledger;
mod lock;
mod misbehaving;
mod mistakes;
mod new;
mod quickstart;
mod random;
mod reproducible;
mod simulate;
mod support;
mod tools;
