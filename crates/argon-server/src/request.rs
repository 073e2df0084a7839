//! A command as it arrived: name, database, arguments, and what every command may carry.

use std::time::{Duration, Instant};

use argon_mql::value::Element;
use argon_mql::{Doc, ErrorCode, ValueRef};
use argon_wire::{OpMsg, Sequence};
use bytes::Bytes;

use crate::error::{Error, Result};
use crate::session::NOBODY;

/// A command.
pub(crate) struct Request {
    /// The command document; it was validated.
    pub(crate) body: Bytes,
    /// Document sequences beside it; their documents were validated.
    pub(crate) sequences: Vec<Sequence>,
    /// The database it is sent to.
    pub(crate) database: String,
    /// The logical session's identity: the UUID and the user's digest, 16 or 48 bytes.
    pub(crate) lsid: Option<Bytes>,
    /// The number of a retryable write or transaction.
    pub(crate) txn_number: Option<i64>,
    /// The first statement's number (`stmtId`).
    stmt_id: i32,
    /// The statements' numbers where they do not simply follow each other (`stmtIds`).
    stmt_ids: Vec<i32>,
    /// Whether it belongs to a multi-document transaction.
    pub(crate) in_transaction: bool,
    /// When it has to be given up (`maxTimeMS`).
    pub(crate) deadline: Option<Instant>,
    /// Whether the client takes further answers without asking (exhaust).
    pub(crate) exhaust_allowed: bool,
    /// The `$clusterTime` that the client has seen.
    pub(crate) cluster_time: Option<u64>,
    /// Whether it has parameters of the Stable API.
    pub(crate) has_api_parameters: bool,
}

/// Fields that any command may carry beside its own arguments.
///
/// Source: what mongod 6.0.5 takes with every command; MongoDB manual, "Database Commands"; specification "OP_MSG".
const GENERIC: &[&str] = &[
    "$audit",
    "$client",
    "$clusterTime",
    "$configServerState",
    "$configTime",
    "$db",
    "$oplogQueryData",
    "$queryOptions",
    "$readPreference",
    "$replData",
    "$topologyTime",
    "allowImplicitCollectionCreation",
    "apiDeprecationErrors",
    "apiStrict",
    "apiVersion",
    "autocommit",
    "clientOperationKey",
    "comment",
    "coordinator",
    "databaseVersion",
    "help",
    "lsid",
    "maxTimeMS",
    "maxTimeMSOpOnly",
    "readConcern",
    "shardVersion",
    "startOrContinueTransaction",
    "startTransaction",
    "stmtId",
    "stmtIds",
    "tracking_info",
    "txnNumber",
    "txnRetryCounter",
    "writeConcern",
];

/// Whether any command may carry a field called `key`.
pub(crate) fn is_generic(key: &[u8]) -> bool {
    GENERIC
        .binary_search_by(|generic| generic.as_bytes().cmp(key))
        .is_ok()
}

impl Request {
    /// Reads what every command may carry out of `msg`, whose documents have been validated.
    ///
    /// # Errors
    /// MongoDB's errors for generic fields of a wrong type.
    pub(crate) fn new(msg: OpMsg) -> Result<Request> {
        let exhaust_allowed = msg.flags.contains(argon_wire::MsgFlags::EXHAUST_ALLOWED);
        let mut request = Request {
            body: msg.body,
            sequences: msg.sequences,
            database: String::new(),
            lsid: None,
            txn_number: None,
            stmt_id: 0,
            stmt_ids: Vec::new(),
            in_transaction: false,
            deadline: None,
            exhaust_allowed,
            cluster_time: None,
            has_api_parameters: false,
        };
        let body = request.body.clone();
        let mut database = None;
        let (mut autocommit, mut start) = (false, false);
        for element in Doc::new(&body).iter() {
            let key: &[u8] = element.key();
            match key {
                b"$db" => match element.value() {
                    ValueRef::String(name) => database = Some(name.to_string()),
                    value => {
                        let kind = value.type_name();
                        let message = format!("wrong type for field ($db) {kind} != string");
                        return Err(Error::location(13111, message));
                    }
                },
                b"lsid" => request.lsid = Some(session_id(&element)?),
                b"txnNumber" => match element.value() {
                    ValueRef::Int64(number) => request.txn_number = Some(number),
                    value => {
                        return Err(wrong_type("OperationSessionInfo.txnNumber", &value, "long"));
                    }
                },
                b"stmtId" => request.stmt_id = int(&element)?,
                b"stmtIds" => {
                    let ids = element.value().as_array();
                    request.stmt_ids = ids
                        .into_iter()
                        .flat_map(|ids| ids.values())
                        .filter_map(|id| match id {
                            ValueRef::Int32(id) => Some(id),
                            _ => None,
                        })
                        .collect();
                }
                b"apiVersion" | b"apiStrict" | b"apiDeprecationErrors" => {
                    request.has_api_parameters = true;
                }
                b"writeConcern" => check_write_concern(&element)?,
                b"autocommit" => autocommit = true,
                b"startTransaction" => start = true,
                b"$readPreference" => check_read_preference(&element)?,
                b"readConcern" if element.value().as_document().is_none() => {
                    let message = "readConcern field should be an object";
                    return Err(Error::failed_to_parse(message));
                }
                b"maxTimeMS" | b"maxTimeMSOpOnly" => {
                    let ms = max_time_ms(&element)?;
                    if ms > 0 {
                        request.deadline = Some(Instant::now() + Duration::from_millis(ms));
                    }
                }
                b"$clusterTime" => {
                    let time = element
                        .value()
                        .as_document()
                        .and_then(|doc| doc.get("clusterTime"));
                    if let Some(ValueRef::Timestamp(time)) = time {
                        request.cluster_time = Some(time);
                    }
                }
                _ => {}
            }
        }
        let missing = match (request.txn_number, autocommit, start) {
            (None, true, _) => Some("'autocommit' field requires a transaction number"),
            (_, false, true) => Some("'startTransaction' field requires 'autocommit' field"),
            _ => None,
        };
        if let Some(missing) = missing {
            let message = format!("{missing} to also be specified");
            return Err(Error::new(ErrorCode::InvalidOptions, message));
        }
        request.in_transaction = autocommit;
        if let Some(number) = request.txn_number {
            if request.lsid.is_none() {
                return Err(Error::new(
                    ErrorCode::InvalidOptions,
                    "Transaction number requires a session ID to also be specified",
                ));
            }
            if number < 0 {
                return Err(Error::new(
                    ErrorCode::InvalidOptions,
                    "Transaction number cannot be negative",
                ));
            }
        }
        request.database = database
            .ok_or_else(|| Error::location(40571, "OP_MSG requests require a $db argument"))?;
        Ok(request)
    }

    /// The same request with another command document: what a streaming client asks by not asking.
    pub(crate) fn with_body(&self, body: Bytes) -> Request {
        Request {
            body,
            sequences: Vec::new(),
            database: self.database.clone(),
            lsid: None,
            txn_number: None,
            stmt_id: 0,
            stmt_ids: Vec::new(),
            in_transaction: false,
            deadline: None,
            exhaust_allowed: self.exhaust_allowed,
            cluster_time: None,
            has_api_parameters: false,
        }
    }

    /// The command's name as it was sent: the first field's.
    pub(crate) fn name(&self) -> String {
        let first = self.doc().iter().next();
        first
            .map(|element| element.key().to_string())
            .unwrap_or_default()
    }

    /// The command document.
    pub(crate) fn doc(&self) -> Doc<'_> {
        Doc::new(&self.body)
    }

    /// The command's arguments: every field but the generic ones, the command's own name included.
    pub(crate) fn arguments(&self) -> impl Iterator<Item = Element<'_>> {
        self.doc()
            .iter()
            .filter(|element| !is_generic(element.key()))
    }

    /// Refuses arguments other than `known`, as MongoDB's stricter commands do.
    ///
    /// # Errors
    /// 40415 for the first argument that is not known.
    pub(crate) fn refuse_unknown(&self, command: &str, known: &[&str]) -> Result<()> {
        let stranger = self
            .arguments()
            .skip(1)
            .find(|element| !known.iter().any(|known| element.key() == *known));
        stranger.map_or(Ok(()), |element| Err(unknown_field(command, element.key())))
    }

    /// The value of the command's first field: usually the collection.
    pub(crate) fn subject(&self) -> ValueRef<'_> {
        self.doc()
            .iter()
            .next()
            .map_or(ValueRef::Missing, |element| element.value())
    }

    /// The time up to which the client wants to see every write: `readConcern.afterClusterTime`.
    pub(crate) fn after_cluster_time(&self) -> Option<argon_engine::ClusterTime> {
        let concern = self.doc().get("readConcern")?.as_document()?;
        match concern.get("afterClusterTime")? {
            ValueRef::Timestamp(time) => Some(argon_engine::ClusterTime(time)),
            _ => None,
        }
    }

    /// The collection that the command names in its first field.
    ///
    /// # Errors
    /// MongoDB's errors for a name that is no string or no collection name.
    pub(crate) fn collection(&self) -> Result<&str> {
        let name = match self.subject() {
            ValueRef::String(name) => {
                std::str::from_utf8(name).map_err(|_| self.invalid_namespace(""))?
            }
            value => {
                let message = format!("collection name has invalid type {}", value.type_name());
                return Err(Error::bad_value(message));
            }
        };
        if name.is_empty() || name.starts_with('.') || name.contains('\0') {
            return Err(self.invalid_namespace(name));
        }
        Ok(name)
    }

    fn invalid_namespace(&self, name: &str) -> Error {
        let message = format!("Invalid namespace specified '{}.{name}'", self.database);
        Error::new(ErrorCode::InvalidNamespace, message)
    }

    /// The place of statement `index` in its session, if the command is a retryable write.
    pub(crate) fn retry(&self, index: usize) -> Option<argon_engine::Retry> {
        let following = i32::try_from(index)
            .unwrap_or(i32::MAX)
            .saturating_add(self.stmt_id);
        Some(argon_engine::Retry {
            lsid: self.lsid.clone()?,
            txn_number: self.txn_number?,
            stmt_id: self.stmt_ids.get(index).copied().unwrap_or(following),
        })
    }
}

/// The identity of a session: its UUID, followed by the user's digest if it has one.
fn session_id(element: &Element<'_>) -> Result<Bytes> {
    let doc = match element.value() {
        ValueRef::Document(doc) => doc,
        value => return Err(wrong_type("OperationSessionInfo.lsid", &value, "object")),
    };
    let mut identity = Vec::with_capacity(48);
    match doc.get("id") {
        Some(ValueRef::Binary { subtype: 4, bytes }) if bytes.len() == 16 => {
            identity.extend_from_slice(bytes)
        }
        Some(ValueRef::Binary { subtype: 4, .. }) => {
            let message = "uuid must be a 16-byte binary field with UUID (4) subtype";
            return Err(Error::new(ErrorCode::InvalidUUID, message));
        }
        Some(value) => {
            return Err(wrong_type(
                "OperationSessionInfo.lsid.id",
                &value,
                "binData",
            ));
        }
        None => return Err(missing_field("OperationSessionInfo.lsid.id")),
    }
    match doc.get("uid") {
        None => {}
        // Said or not, it is the same session.
        Some(ValueRef::Binary { bytes, .. }) if *bytes == NOBODY => {}
        Some(ValueRef::Binary { bytes, .. }) if bytes.len() == NOBODY.len() => {
            identity.extend_from_slice(bytes);
        }
        Some(ValueRef::Binary { bytes, .. }) => {
            let message = format!("Unsupported SHA256Block hash length: {}", bytes.len());
            return Err(Error::new(ErrorCode::UnsupportedFormat, message));
        }
        Some(value) => {
            return Err(wrong_type(
                "OperationSessionInfo.lsid.uid",
                &value,
                "binData",
            ));
        }
    }
    if let Some(stranger) = doc
        .iter()
        .find(|field| field.key() != "id" && field.key() != "uid")
    {
        return Err(unknown_field("OperationSessionInfo.lsid", stranger.key()));
    }
    Ok(Bytes::from(identity))
}

/// Checks where a read may go. There is one copy of everything, so it goes there whatever is preferred.
fn check_read_preference(element: &Element<'_>) -> Result<()> {
    const MODES: &[&str] = &[
        "primary",
        "primaryPreferred",
        "secondary",
        "secondaryPreferred",
        "nearest",
    ];
    let value = element.value();
    let Some(preference) = value.as_document() else {
        let kind = value.type_name();
        let message = format!("$readPreference has incorrect type: expected object but got {kind}");
        return Err(Error::new(ErrorCode::TypeMismatch, message));
    };
    match preference.get("mode") {
        Some(ValueRef::String(mode)) if !MODES.iter().any(|known| mode == *known) => {
            Err(Error::bad_value(format!(
                "Could not parse $readPreference mode '{mode}'. Only the modes 'primary', 'primaryPreferred', \
                 'secondary', 'secondaryPreferred', and 'nearest' are supported. :: caused by :: Enumeration value \
                 '{mode}' for field 'mode' is not a valid value."
            )))
        }
        _ => Ok(()),
    }
}

/// Checks what a write has to wait for. Every write here is durable when it is answered, and there is one copy of it, so
/// all that can be asked for is met.
fn check_write_concern(element: &Element<'_>) -> Result<()> {
    let ValueRef::Document(concern) = element.value() else {
        let message = format!(
            "\"writeConcern\" had the wrong type. Expected object, found {}",
            element.value().type_name()
        );
        return Err(Error::new(ErrorCode::TypeMismatch, message));
    };
    let w = match concern.get("w") {
        Some(ValueRef::Int32(w)) => i64::from(w),
        Some(ValueRef::Int64(w)) => w,
        Some(ValueRef::Double(w)) => whole(w).unwrap_or(-1),
        _ => return Ok(()),
    };
    if (0..=50).contains(&w) {
        return Ok(());
    }
    Err(Error::failed_to_parse(format!(
        "w has to be a non-negative number and not greater than 50; found: {w}"
    )))
}

fn max_time_ms(element: &Element<'_>) -> Result<u64> {
    let name = element.key();
    let number = match element.value() {
        ValueRef::Int32(number) => i64::from(number),
        ValueRef::Int64(number) => number,
        ValueRef::Double(number) => whole(number)
            .ok_or_else(|| Error::bad_value(format!("{name} has non-integral value")))?,
        _ => return Err(Error::bad_value(format!("{name} must be a number"))),
    };
    u64::try_from(number)
        .ok()
        .filter(|ms| *ms <= i32::MAX.unsigned_abs().into())
        .ok_or_else(|| Error::bad_value(format!("{number} value for {name} is out of range")))
}

/// A double as an integer, if it is one.
#[expect(
    clippy::cast_possible_truncation,
    reason = "checked to be integral and in range"
)]
pub(crate) fn whole(number: f64) -> Option<i64> {
    (number.fract() == 0.0 && number.abs() < 9.2e18).then_some(number as i64)
}

// ---- typed arguments, with MongoDB's errors -------------------------------------------------------------------------

/// A field of a wrong type: `path` is `command.field`.
#[cold]
pub(crate) fn wrong_type(path: &str, value: &ValueRef<'_>, expected: &str) -> Error {
    let message = format!(
        "BSON field '{path}' is the wrong type '{}', expected type '{expected}'",
        value.type_name()
    );
    Error::new(ErrorCode::TypeMismatch, message)
}

/// A field that the command does not know.
#[cold]
pub(crate) fn unknown_field(command: &str, field: impl std::fmt::Display) -> Error {
    Error::location(
        40415,
        format!("BSON field '{command}.{field}' is an unknown field."),
    )
}

/// A field that the command needs and has not got: `path` is `command.field`.
#[cold]
pub(crate) fn missing_field(path: &str) -> Error {
    Error::location(
        40414,
        format!("BSON field '{path}' is missing but a required field"),
    )
}

fn int(element: &Element<'_>) -> Result<i32> {
    match element.value() {
        ValueRef::Int32(number) => Ok(number),
        value => Err(wrong_type(&element.key().to_string(), &value, "int")),
    }
}

/// Reads one argument of a command with the type it has to have; null is taken as absent, as MongoDB does.
pub(crate) struct Argument<'a> {
    /// The command's name as error texts spell it.
    pub(crate) command: &'static str,
    /// The field.
    pub(crate) element: Element<'a>,
}

impl<'a> Argument<'a> {
    fn path(&self) -> String {
        format!("{}.{}", self.command, self.element.key())
    }

    fn mismatch(&self, expected: &str) -> Error {
        wrong_type(&self.path(), &self.element.value(), expected)
    }

    /// A document.
    pub(crate) fn document(&self) -> Result<Doc<'a>> {
        self.element
            .value()
            .as_document()
            .ok_or_else(|| self.mismatch("object"))
    }

    /// An array.
    pub(crate) fn array(&self) -> Result<Doc<'a>> {
        self.element
            .value()
            .as_array()
            .ok_or_else(|| self.mismatch("array"))
    }

    /// A string.
    pub(crate) fn string(&self) -> Result<&'a str> {
        match self.element.value() {
            ValueRef::String(text) => std::str::from_utf8(text)
                .map_err(|_| Error::bad_value(format!("'{}' is not valid UTF-8", self.path()))),
            _ => Err(self.mismatch("string")),
        }
    }

    /// A boolean; numbers count as in C.
    pub(crate) fn bool(&self) -> Result<bool> {
        match self.element.value() {
            ValueRef::Bool(value) => Ok(value),
            ValueRef::Int32(value) => Ok(value != 0),
            ValueRef::Int64(value) => Ok(value != 0),
            ValueRef::Double(value) => Ok(value != 0.0),
            _ => Err(wrong_type(
                &self.path(),
                &self.element.value(),
                "[bool, long, int, decimal, double]",
            )
            .expecting_types()),
        }
    }

    /// A whole number that is not negative.
    pub(crate) fn count(&self) -> Result<u64> {
        let number = self.integer()?;
        u64::try_from(number).map_err(|_| {
            Error::location(
                51024,
                format!(
                    "BSON field '{}' value must be >= 0, actual value '{number}'",
                    self.element.key()
                ),
            )
        })
    }

    /// A whole number.
    pub(crate) fn integer(&self) -> Result<i64> {
        match self.element.value() {
            ValueRef::Int32(value) => Ok(value.into()),
            ValueRef::Int64(value) => Ok(value),
            // MongoDB truncates here.
            #[expect(clippy::cast_possible_truncation, reason = "saturates, as in MongoDB")]
            ValueRef::Double(value) => Ok(value as i64),
            _ => Err(wrong_type(
                &self.path(),
                &self.element.value(),
                "[long, int, decimal, double]",
            )
            .expecting_types()),
        }
    }
}

impl Error {
    /// MongoDB says "expected types '[…]'" where several would do.
    fn expecting_types(mut self) -> Error {
        self.message = self
            .message
            .replace("expected type '[", "expected types '[");
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generic_fields_are_sorted() {
        assert!(GENERIC.is_sorted());
    }
}
