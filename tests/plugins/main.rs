//! Plugins through the host, the real things: components and libraries built from `plugins/`.
//!
//! | module | shows |
//! | --- | --- |
//! | `twins` | one source gives the same bits linked in, as a library and as a component |
//! | `hostile` | what a plugin does wrong is named, counted and contained |
//! | `forged` | so is what only a component that was written by hand can do |
//! | `replayed` | recorded calls are made again, and a bit that differs is named |
//! | `fixtures` | components of the first published contract go on loading |
//! | `languages` | a third party's plugin in Rust, Python, JavaScript and C |
//! | `refused` | files that are no plugin of ours are refused, each with its reason |

mod fixtures;
mod forged;
mod hostile;
mod languages;
mod refused;
mod replayed;
mod support;
mod twins;
