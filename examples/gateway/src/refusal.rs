use std::{fmt, path::Path};

use crate::Failure;

/// What is wrong with a gateway file: the key, and what was expected there.
///
/// It never holds a value: a key of an API may have been put into the wrong place.
#[derive(Debug)]
pub(crate) struct Refusal {
    key: String,
    expected: String,
}

impl Refusal {
    pub(crate) fn new(key: impl Into<String>, expected: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            expected: expected.into(),
        }
    }

    /// The whole message, with the file in front.
    pub(crate) fn within(&self, file: &Path) -> Failure {
        format!("{}: {self}", file.display()).into()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: expected {}", self.key, self.expected)
    }
}
