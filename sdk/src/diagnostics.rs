//! Log messages, the only import of a plugin. The host caps how many it keeps.

/// The level of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Level {
    /// A fault of the plugin. A panic is logged at this level.
    Error = 0,
    /// A doubtful input.
    Warn = 1,
    /// Information for the user.
    Info = 2,
    /// Information for the author.
    Debug = 3,
}

/// Logs `message` on the host. Does nothing in a plugin that is linked into a program.
pub fn log(level: Level, message: &str) {
    #[cfg(target_arch = "wasm32")]
    crate::component::log(level, message);
    #[cfg(not(target_arch = "wasm32"))]
    crate::native::log(level, message);
}
