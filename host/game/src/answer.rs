//! The answer of one sample.

/// The answer read from one sample of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The key of the answer.
    Key(String),
    /// ⊥: no answer can be read. The sample counts in its group.
    Unreadable,
    /// A plugin failed on the sample. It counts nowhere, so that a failure does not become a verdict.
    Dropped,
}

impl Answer {
    /// Returns the answer's key, if there is one.
    pub fn key(&self) -> Option<&str> {
        match self {
            Self::Key(key) => Some(key),
            Self::Unreadable | Self::Dropped => None,
        }
    }
}
