//! The one error type of the language: a MongoDB code, a text for people, and details.

use bytes::Bytes;

use crate::ErrorCode;

/// The result of parsing or evaluating a part of the language.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure that MongoDB has a code for.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    code: ErrorCode,
    message: String,
    details: Option<Box<Bytes>>,
}

impl Error {
    /// A failure with MongoDB's `code` and a `message` for people.
    #[cold]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Error {
        Error {
            code,
            message: message.into(),
            details: None,
        }
    }

    /// [`ErrorCode::BadValue`] with `message`.
    #[cold]
    pub fn bad_value(message: impl Into<String>) -> Error {
        Error::new(ErrorCode::BadValue, message)
    }

    /// [`ErrorCode::FailedToParse`] with `message`.
    #[cold]
    pub fn failed_to_parse(message: impl Into<String>) -> Error {
        Error::new(ErrorCode::FailedToParse, message)
    }

    /// [`ErrorCode::TypeMismatch`] with `message`.
    #[cold]
    pub fn type_mismatch(message: impl Into<String>) -> Error {
        Error::new(ErrorCode::TypeMismatch, message)
    }

    /// A failure whose code MongoDB gives only a number.
    #[cold]
    pub fn location(number: i32, message: impl Into<String>) -> Error {
        Error::new(ErrorCode::location(number), message)
    }

    /// Adds the fields that the reply carries beside the code (`keyPattern`, `errInfo`, …), as a BSON document.
    #[must_use]
    pub fn with_details(mut self, details: Bytes) -> Error {
        self.details = Some(Box::new(details));
        self
    }

    /// Prefixes the text, where MongoDB says which part of a command failed.
    #[must_use]
    pub fn context(mut self, prefix: &str) -> Error {
        self.message = format!("{prefix}{}", self.message);
        self
    }

    /// MongoDB's code.
    pub fn code(&self) -> ErrorCode {
        self.code
    }

    /// The text for people (`errmsg`).
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The fields that the reply carries beside the code, if any.
    pub fn details(&self) -> Option<&Bytes> {
        self.details.as_deref()
    }
}
