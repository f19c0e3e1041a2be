//! Author's tools: `alft plugin …`.
//!
//! | module | holds |
//! | --- | --- |
//! | `check` | `alft plugin check`: the conformance kit |
//! | `inspect` | `alft plugin inspect`: what a plugin is, before it is trusted |
//! | `bench` | `alft plugin bench`: what a call costs |
//! | `given` | the plugin that a command names: a file, or a project that is built first |
//! | `loaded` | a loaded plugin as what the kit tests |
//! | `child` | one test in a process of its own |

pub(crate) mod bench;
pub(crate) mod check;
pub(crate) mod child;
mod given;
pub(crate) mod inspect;
mod loaded;
