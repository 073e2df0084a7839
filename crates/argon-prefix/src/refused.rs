//! Why a command is not passed on.

use argon_mql::ErrorCode;

/// A command that is refused: what to answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refused {
    /// MongoDB's code for it.
    pub code: ErrorCode,
    /// The text for people.
    pub message: String,
}

impl Refused {
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Refused {
        Refused {
            code,
            message: message.into(),
        }
    }

    /// What exists in MongoDB, but not on a prefix branch.
    pub(crate) fn unsupported(what: impl std::fmt::Display) -> Refused {
        Refused::new(
            ErrorCode::CommandNotSupported,
            format!("{what} is not supported on a project of the prefix engine"),
        )
    }

    pub(crate) fn namespace(message: impl Into<String>) -> Refused {
        Refused::new(ErrorCode::InvalidNamespace, message)
    }
}
