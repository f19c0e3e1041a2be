//! The levels of log messages.

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
