//! The one thing a plugin can call: a line to its author. The host caps how much it keeps.

/// How loud a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Level {
    /// Something is wrong with the plugin. A panic's message goes out at this level.
    Error = 0,
    /// Something looks wrong with the input.
    Warn = 1,
    /// Worth knowing.
    Info = 2,
    /// For the author.
    Debug = 3,
}

/// Says `message` to whoever runs the plugin. Does nothing in a plugin that is linked in.
pub fn log(level: Level, message: &str) {
    #[cfg(target_arch = "wasm32")]
    crate::component::log(level, message);
    #[cfg(not(target_arch = "wasm32"))]
    crate::native::log(level, message);
}
