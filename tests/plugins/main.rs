//! Plugins through the host, the real things: components and libraries built from `plugins/`.
//!
//! | module | shows |
//! | --- | --- |
//! | `twins` | one source gives the same bits linked in, as a library and as a component |
//! | `hostile` | what a plugin does wrong is named, counted and contained |
//! | `refused` | files that are no plugin of ours are refused, each with its reason |

mod hostile;
mod refused;
mod support;
mod twins;
