//! The plugins of a run: opened, given their roles, and replaced while the run goes on.

mod changes;
mod error;
mod open;
mod registry;
mod scorer;
mod set;

pub(crate) use changes::ChangeLog;
pub use changes::{ActiveConfig, ConfigChange};
pub use error::PluginError;
pub use open::{UNTRUSTED, open_file};
pub(crate) use registry::may_use_kept;
pub use scorer::Scorer;
pub use set::{PinSource, PluginEvent, PluginSet, RunPlugin};
