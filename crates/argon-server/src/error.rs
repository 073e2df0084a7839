//! The one place where a failure becomes a code, a name and labels for the client.

use argon_engine::Error as EngineError;
use argon_mql::{Doc, ErrorCode};
use argon_wire::{DocumentError, SectionError};
use bytes::Bytes;

/// The result of a command.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// What a failed command answers.
#[derive(Clone, Debug)]
pub(crate) struct Error {
    pub(crate) code: ErrorCode,
    pub(crate) message: String,
    /// Fields beside the code, as a BSON document (`keyPattern`, `keyValue`, `errInfo`).
    pub(crate) details: Option<Bytes>,
    /// Error labels that tell the driver what to do.
    pub(crate) labels: Vec<&'static str>,
}

/// Codes after which a driver may send a retryable write again.
///
/// Source: specification "Retryable Writes", "Determining Retryable Errors". A mongos labels them itself for drivers
/// since 4.4, which add nothing to a server's error.
const RETRYABLE: &[ErrorCode] = &[
    ErrorCode::HostUnreachable,
    ErrorCode::HostNotFound,
    ErrorCode::NetworkTimeout,
    ErrorCode::ShutdownInProgress,
    ErrorCode::PrimarySteppedDown,
    ErrorCode::ExceededTimeLimit,
    ErrorCode::SocketException,
    ErrorCode::NotWritablePrimary,
    ErrorCode::InterruptedAtShutdown,
    ErrorCode::InterruptedDueToReplStateChange,
    ErrorCode::NotPrimaryNoSecondaryOk,
    ErrorCode::NotPrimaryOrSecondary,
];

/// Marks a failure without a code: its answer has neither `code` nor `codeName`.
pub(crate) const UNCODED: ErrorCode = ErrorCode::location(0);

impl Error {
    #[cold]
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Error {
        Error {
            code,
            message: message.into(),
            details: None,
            labels: Vec::new(),
        }
    }

    /// A failure whose code MongoDB gives only a number.
    #[cold]
    pub(crate) fn location(code: i32, message: impl Into<String>) -> Error {
        Error::new(ErrorCode::location(code), message)
    }

    /// A failure for which MongoDB gives no code at all.
    #[cold]
    pub(crate) fn uncoded(message: impl Into<String>) -> Error {
        Error::new(UNCODED, message)
    }

    #[cold]
    pub(crate) fn bad_value(message: impl Into<String>) -> Error {
        Error::new(ErrorCode::BadValue, message)
    }

    #[cold]
    pub(crate) fn failed_to_parse(message: impl Into<String>) -> Error {
        Error::new(ErrorCode::FailedToParse, message)
    }

    /// Labels the failure for the driver, given whether the command was a retryable write.
    pub(crate) fn labelled(mut self, retryable_write: bool) -> Error {
        if retryable_write && RETRYABLE.contains(&self.code) {
            self.labels.push("RetryableWriteError");
        }
        self
    }

    /// Whether the whole command ends with it, not one of its statements.
    pub(crate) fn is_interruption(&self) -> bool {
        matches!(
            self.code,
            ErrorCode::MaxTimeMSExpired
                | ErrorCode::Interrupted
                | ErrorCode::InterruptedAtShutdown
                | ErrorCode::StaleConfig
        )
    }

    pub(crate) fn details(&self) -> Option<Doc<'_>> {
        self.details.as_ref().map(|details| Doc::new(details))
    }
}

impl From<argon_mql::Error> for Error {
    fn from(error: argon_mql::Error) -> Error {
        Error {
            code: error.code(),
            message: error.message().to_owned(),
            details: error.details().cloned(),
            labels: Vec::new(),
        }
    }
}

impl From<&SectionError> for Error {
    /// Source: what mongod 6.0.5 answers; `argon-wire`, `tests/it/mongod`.
    fn from(error: &SectionError) -> Error {
        let code = match error {
            SectionError::MissingBody => ErrorCode::location(40587),
            SectionError::DuplicateBody { .. } => ErrorCode::location(40430),
            SectionError::UnknownKind { kind: 2, .. } => ErrorCode::Unauthorized,
            SectionError::UnknownKind { .. } => ErrorCode::location(40432),
            SectionError::DuplicateSequence { .. } => ErrorCode::location(40431),
            SectionError::SequenceSize { .. } => ErrorCode::Overflow,
            SectionError::IdentifierEncoding { .. } => ErrorCode::location(40415),
            SectionError::TooManyDocuments { .. } => ErrorCode::InvalidLength,
            SectionError::ChecksumMissing => ErrorCode::location(51252),
            SectionError::Document {
                error: DocumentError::TooLarge { .. },
                ..
            } => ErrorCode::BSONObjectTooLarge,
            SectionError::Document { .. } | SectionError::ReplyCount { .. } => {
                ErrorCode::InvalidBSON
            }
        };
        Error::new(code, error.to_string())
    }
}

impl From<EngineError> for Error {
    fn from(error: EngineError) -> Error {
        let message = error.to_string();
        let code = match error {
            EngineError::Language(error) => return error.into(),
            EngineError::Storage(error) => return storage(&error),
            EngineError::Name(_) => ErrorCode::InvalidNamespace,
            EngineError::ProjectNotFound(_) | EngineError::BranchNotFound { .. } => {
                ErrorCode::NamespaceNotFound
            }
            // Drivers try once more on it, after which the command was tried for long enough.
            EngineError::Contended { .. } => ErrorCode::ExceededTimeLimit,
            EngineError::Exists(_) => ErrorCode::NamespaceExists,
            EngineError::HasChildren(..) | EngineError::MainBranch(_) => {
                ErrorCode::IllegalOperation
            }
            // Not IllegalOperation: to a write's drivers that one means a server without retryable writes, and
            // they replace the text by their own.
            EngineError::ReadOnlyPoint(_)
            | EngineError::KeptUpstream(_)
            | EngineError::KeptInLog(_)
            | EngineError::WalOff(_) => ErrorCode::CommandNotSupported,
            EngineError::Setting(_) => ErrorCode::BadValue,
            EngineError::BeyondHead { .. } => ErrorCode::BadValue,
            EngineError::TransactionTooOld { .. } => ErrorCode::TransactionTooOld,
            EngineError::Replay { .. } => ErrorCode::OperationFailed,
        };
        Error::new(code, message)
    }
}

impl From<argon_upstream::Error> for Error {
    fn from(error: argon_upstream::Error) -> Error {
        use argon_upstream::Error as Upstream;
        let mut labels = Vec::new();
        let code = match &error {
            Upstream::NoServer { .. } => ErrorCode::FailedToSatisfyReadPreference,
            Upstream::Lost { .. } => ErrorCode::HostUnreachable,
            Upstream::Slow { .. } => ErrorCode::NetworkTimeout,
            Upstream::Busy { .. } => {
                labels = vec!["SystemOverloadedError", "RetryableError"];
                ErrorCode::IngressRequestRateLimitExceeded
            }
            Upstream::Login { .. } => ErrorCode::AuthenticationFailed,
            Upstream::Uri(_) | Upstream::Frame(_) | Upstream::Malformed(_) => {
                ErrorCode::OperationFailed
            }
        };
        let mut mapped = Error::new(code, error.to_string());
        mapped.labels = labels;
        mapped
    }
}

fn storage(error: &argon_engine::StorageError) -> Error {
    use argon_engine::StorageError as Storage;
    let code = match error {
        // The command can be made again: nothing of it was stored.
        Storage::Taken { .. } | Storage::Gap { .. } => ErrorCode::WriteConflict,
        Storage::BranchGone { .. } | Storage::ProjectGone { .. } => ErrorCode::NamespaceNotFound,
        Storage::Exists { .. } => ErrorCode::NamespaceExists,
        Storage::HasChildren { .. } => ErrorCode::IllegalOperation,
        Storage::Invalid { .. } | Storage::BadUri { .. } => ErrorCode::InternalError,
        Storage::Corrupt { .. } | Storage::CorruptCatalog { .. } => ErrorCode::OperationFailed,
        Storage::QueueFull { .. } => ErrorCode::IngressRequestRateLimitExceeded,
        Storage::OutOfSpace { .. } => ErrorCode::OutOfDiskSpace,
        // What a mongos answers that cannot reach its shard; drivers retry on it, in place or on another proxy.
        Storage::Unavailable { .. } => ErrorCode::HostUnreachable,
        // A retry is safe: its statement is looked up in the log first.
        Storage::Unknown { .. } => ErrorCode::NetworkTimeout,
        Storage::Closed => ErrorCode::InterruptedAtShutdown,
        Storage::Poisoned { .. } | Storage::Io { .. } => ErrorCode::OperationFailed,
        Storage::Locked { .. } => ErrorCode::LockBusy,
        Storage::NewerFormat { .. } => ErrorCode::UnsupportedFormat,
    };
    Error::new(code, error.to_string())
}
