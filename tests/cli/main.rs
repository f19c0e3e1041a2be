//! The binary as a user runs it.
//!
//! | module | shows |
//! | --- | --- |
//! | `accuracy` | the README's first command reaches the results that the README names |
//! | `games` | exact games are solved with a certificate, or refused with their line |
//! | `random` | (random games, for the tests of exact games) |
//! | `simulate` | exact games are played from samples; estimators are as good as they claim |
//! | `reproducible` | the same seed gives the same metrics, and a finished run can be made longer |
//! | `killed` | a run that is killed again and again equals one left alone |
//! | `ledger` | every plugin call is on record, can be repeated, and can be made with another plugin |
//! | `score` | stored completions are rewarded as in a training step |
//! | `serve` | other trainers get their rewards over HTTP |
//! | `lock` | a run starts only with the plugins that were approved |
//! | `registry` | a plugin is published, fetched, pinned and run offline, and what a registry could do wrong is refused |
//! | `misbehaving` | a plugin's failures are named and counted, and have the consequence that the run file names |
//! | `tools` | authors' tools: check, inspect, bench |
//! | `bench` | every part of a model's work is measured |
//! | `doctor` | the machine is shown, and a device that cannot be used is named |
//! | `new` | a new plugin in every language, from nothing to the host |
//! | `newcomers` | mistakes of new users: the message names the place and a remedy, which works when it is followed |
//! | `strangers` | text of a stranger cannot steer a terminal, pass for a line of alft's or fill the screen |
//! | `mistakes` | wrong input gets an error that names the place, and its exit code |
//! | `support` | (scratch folders, and what is built or trained once for all tests) |

// Tests run in the order of their names. This one takes longest, so its name comes first.
mod accuracy;
mod bench;
mod doctor;
mod games;
mod killed;
mod ledger;
mod lock;
mod misbehaving;
mod mistakes;
mod new;
mod newcomers;
mod random;
mod registry;
mod reproducible;
mod score;
mod serve;
mod simulate;
mod strangers;
mod support;
mod tools;
