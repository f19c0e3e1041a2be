//! Components and libraries, built from `plugins/` and called through the host.
//!
//! | module | shows |
//! | --- | --- |
//! | `twins` | one source gives the same bits linked in, as a library and as a component |
//! | `hostile` | a plugin's faults are named, counted and confined to their items |
//! | `forged` | so are the faults that only a component written by hand can have |
//! | `replayed` | recorded calls are repeated, and a bit that differs is named |
//! | `fixtures` | components of the first published contract still load |
//! | `languages` | a third party's plugin in Rust, Python, JavaScript and C |
//! | `programs` | programs that are right, wrong, endless and hostile get their verdicts from `python-tests` |
//! | `refused` | files that are not plugins of the contract are refused, each with its reason |

mod budgets;
mod fixtures;
mod forged;
mod hostile;
mod languages;
mod programs;
mod refused;
mod replayed;
mod support;
mod twins;
