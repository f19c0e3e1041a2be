//! Log messages, the only import of a plugin. The host caps how many it keeps.

pub use crate::level::Level;

/// Logs `message` on the host. Does nothing in a plugin that is linked into a program.
pub fn log(level: Level, message: &str) {
    #[cfg(target_arch = "wasm32")]
    crate::component::log(level, message);
    #[cfg(not(target_arch = "wasm32"))]
    crate::native::log(level, message);
}
