//! The table of MongoDB's error codes: number and `codeName`.
//!
//! Source: what a mongod 6.0.5 answered (`code`, `codeName`) in recordings; MongoDB manual, "Error Codes".
//! Codes without a name in MongoDB (`Location40353`) are [`ErrorCode::location`].

macro_rules! error_codes {
    ($($number:literal $name:ident,)*) => {
        impl ErrorCode {
            $(
                #[doc = concat!("Code ", stringify!($number), ".")]
                #[expect(non_upper_case_globals, reason = "the name is MongoDB's codeName, letter for letter")]
                pub const $name: ErrorCode = ErrorCode($number);
            )*

            /// The rows of the table: number and name, sorted by number.
            pub const NAMED: &[(i32, &str)] = &[$(($number, stringify!($name)),)*];
        }
    };
}

/// An error code of MongoDB.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ErrorCode(i32);

error_codes! {
    1 InternalError,
    2 BadValue,
    4 NoSuchKey,
    5 GraphContainsCycle,
    6 HostUnreachable,
    7 HostNotFound,
    8 UnknownError,
    9 FailedToParse,
    10 CannotMutateObject,
    11 UserNotFound,
    12 UnsupportedFormat,
    13 Unauthorized,
    14 TypeMismatch,
    15 Overflow,
    16 InvalidLength,
    17 ProtocolError,
    18 AuthenticationFailed,
    20 IllegalOperation,
    22 InvalidBSON,
    24 LockTimeout,
    26 NamespaceNotFound,
    27 IndexNotFound,
    28 PathNotViable,
    29 NonExistentPath,
    34 CannotBackfillArray,
    39 FileStreamFailed,
    40 ConflictingUpdateOperators,
    43 CursorNotFound,
    46 LockBusy,
    48 NamespaceExists,
    50 MaxTimeMSExpired,
    51 DollarPrefixedEmptyFieldName,
    52 DollarPrefixedFieldName,
    53 InvalidIdField,
    54 NotSingleValueField,
    55 InvalidDBRef,
    56 EmptyFieldName,
    57 DottedFieldName,
    59 CommandNotFound,
    61 ShardKeyNotFound,
    66 ImmutableField,
    67 CannotCreateIndex,
    68 IndexAlreadyExists,
    72 InvalidOptions,
    73 InvalidNamespace,
    76 NoReplicationEnabled,
    79 UnknownReplWriteConcern,
    85 IndexOptionsConflict,
    86 IndexKeySpecsConflict,
    89 NetworkTimeout,
    91 ShutdownInProgress,
    96 OperationFailed,
    100 UnsatisfiableWriteConcern,
    112 WriteConflict,
    115 CommandNotSupported,
    116 DocTooLargeForCapped,
    117 ConflictingOperationInProgress,
    121 DocumentValidationFailure,
    125 CommandFailed,
    126 RPCProtocolNegotiationFailed,
    133 FailedToSatisfyReadPreference,
    136 CappedPositionLost,
    146 ExceededMemoryLimit,
    159 DurationOverflow,
    161 IncompatibleCollationVersion,
    165 ViewDepthLimitExceeded,
    166 CommandNotSupportedOnView,
    167 OptionNotSupportedOnView,
    168 InvalidPipelineOperator,
    171 CannotIndexParallelArrays,
    175 QueryPlanKilled,
    181 AmbiguousIndexKeyPattern,
    183 ClientMetadataMissingField,
    184 ClientMetadataAppNameTooLarge,
    185 ClientMetadataDocumentTooLarge,
    186 ClientMetadataCannotBeMutated,
    189 PrimarySteppedDown,
    197 InvalidIndexSpecificationOption,
    203 ShardingStateNotInitialized,
    206 NoSuchSession,
    207 InvalidUUID,
    211 KeyNotFound,
    217 IncompleteTransactionHistory,
    224 QueryFeatureNotAllowed,
    225 TransactionTooOld,
    232 MaxSubPipelineDepthExceeded,
    234 RetryChangeStream,
    236 CursorKilled,
    237 CursorInUse,
    238 IncompatibleServerVersion,
    241 ConversionFailure,
    246 SnapshotUnavailable,
    251 NoSuchTransaction,
    257 TransactionTooLarge,
    262 ExceededTimeLimit,
    263 OperationNotSupportedInTransaction,
    286 ChangeStreamHistoryLost,
    291 NoQueryExecutionPlans,
    292 QueryExceededMemoryLimitNoDiskUseAllowed,
    310 IndexBuildAborted,
    322 APIVersionError,
    323 APIStrictError,
    334 MechanismUnavailable,
    352 UnsupportedOpQueryCommand,
    462 IngressRequestRateLimitExceeded,
    9001 SocketException,
    10003 CannotGrowDocumentInCappedNamespace,
    10107 NotWritablePrimary,
    10334 BSONObjectTooLarge,
    11000 DuplicateKey,
    11600 InterruptedAtShutdown,
    11601 Interrupted,
    11602 InterruptedDueToReplStateChange,
    13113 MergeStageNoMatchingDocument,
    13388 StaleConfig,
    13435 NotPrimaryNoSecondaryOk,
    13436 NotPrimaryOrSecondary,
    14031 OutOfDiskSpace,
}

impl ErrorCode {
    /// A code that MongoDB gives only a number; its name is `Location<number>`.
    pub const fn location(number: i32) -> ErrorCode {
        ErrorCode(number)
    }

    /// The number, as in a reply's `code`.
    pub const fn number(self) -> i32 {
        self.0
    }

    /// The name, as in a reply's `codeName`.
    pub fn name(self) -> String {
        match Self::NAMED.binary_search_by_key(&self.0, |row| row.0) {
            Ok(at) => Self::NAMED[at].1.to_owned(),
            Err(_) => format!("Location{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_sorted_and_unique() {
        assert!(
            ErrorCode::NAMED
                .windows(2)
                .all(|pair| pair[0].0 < pair[1].0)
        );
    }

    #[test]
    fn a_code_without_a_name_is_a_location() {
        assert_eq!(ErrorCode::location(40353).name(), "Location40353");
        assert_eq!(ErrorCode::DuplicateKey.name(), "DuplicateKey");
    }
}
