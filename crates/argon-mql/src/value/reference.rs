//! A borrowed BSON value.

use bstr::BStr;

use super::doc::Doc;
use super::place::PLACE;

/// A BSON type, by the order in which MongoDB sorts them.
///
/// Source: MongoDB manual, "Comparison/Sort Order".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[expect(missing_docs, reason = "the names are the BSON specification's")]
pub enum BsonType {
    MinKey,
    Missing,
    Undefined,
    Null,
    Double,
    Int32,
    Int64,
    Decimal128,
    Symbol,
    String,
    Document,
    Array,
    Binary,
    ObjectId,
    Bool,
    DateTime,
    Timestamp,
    Regex,
    DbPointer,
    JavaScript,
    JavaScriptWithScope,
    MaxKey,
}

impl BsonType {
    /// The name by which `$type` and error texts call it.
    pub fn name(self) -> &'static str {
        match self {
            BsonType::MinKey => "minKey",
            BsonType::Missing => "missing",
            BsonType::Undefined => "undefined",
            BsonType::Null => "null",
            BsonType::Double => "double",
            BsonType::Int32 => "int",
            BsonType::Int64 => "long",
            BsonType::Decimal128 => "decimal",
            BsonType::Symbol => "symbol",
            BsonType::String => "string",
            BsonType::Document => "object",
            BsonType::Array => "array",
            BsonType::Binary => "binData",
            BsonType::ObjectId => "objectId",
            BsonType::Bool => "bool",
            BsonType::DateTime => "date",
            BsonType::Timestamp => "timestamp",
            BsonType::Regex => "regex",
            BsonType::DbPointer => "dbPointer",
            BsonType::JavaScript => "javascript",
            BsonType::JavaScriptWithScope => "javascriptWithScope",
            BsonType::MaxKey => "maxKey",
        }
    }
}

/// A BSON value that borrows from the document it stands in.
///
/// Strings are bytes that are UTF-8 by convention: like mongod, Argon stores what a client sends and lets only those
/// operators complain that need characters.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the names are the BSON specification's")]
pub enum ValueRef<'a> {
    MinKey,
    /// No value at all: what an expression gives for a field that is not there. Never stored: appending it to a
    /// document appends nothing, pushing it to an array pushes null.
    Missing,
    Undefined,
    Null,
    Double(f64),
    Int32(i32),
    Int64(i64),
    /// Sixteen bytes, IEEE 754-2008 binary integer decimal, little-endian.
    Decimal128([u8; 16]),
    Symbol(&'a BStr),
    String(&'a BStr),
    Document(Doc<'a>),
    Array(Doc<'a>),
    Binary {
        subtype: u8,
        bytes: &'a [u8],
    },
    ObjectId([u8; 12]),
    Bool(bool),
    /// Milliseconds since the epoch.
    DateTime(i64),
    /// Seconds << 32 | increment.
    Timestamp(u64),
    Regex {
        pattern: &'a BStr,
        options: &'a BStr,
    },
    DbPointer {
        namespace: &'a BStr,
        id: [u8; 12],
    },
    JavaScript(&'a BStr),
    JavaScriptWithScope {
        code: &'a BStr,
        scope: Doc<'a>,
    },
    MaxKey,
}

impl<'a> ValueRef<'a> {
    /// Reads the value of type byte `kind` from `bytes`. Bytes that are no such value read as `Undefined`: documents
    /// are validated where they come in, so this is not reached from a stored document.
    #[inline]
    pub fn decode(kind: u8, bytes: &'a [u8]) -> ValueRef<'a> {
        Self::try_decode(kind, bytes).unwrap_or(ValueRef::Undefined)
    }

    #[inline]
    fn try_decode(kind: u8, bytes: &'a [u8]) -> Option<ValueRef<'a>> {
        Some(match kind {
            0x01 => ValueRef::Double(f64::from_le_bytes(*bytes.first_chunk()?)),
            0x02 => ValueRef::String(text(bytes)?),
            0x03 => ValueRef::Document(Doc::new(bytes)),
            0x04 => ValueRef::Array(Doc::new(bytes)),
            0x05 => ValueRef::Binary {
                subtype: *bytes.get(4)?,
                bytes: bytes.get(5..)?,
            },
            0x06 => ValueRef::Undefined,
            0x07 => ValueRef::ObjectId(*bytes.first_chunk()?),
            0x08 => ValueRef::Bool(*bytes.first()? != 0),
            0x09 => ValueRef::DateTime(i64::from_le_bytes(*bytes.first_chunk()?)),
            0x0A => ValueRef::Null,
            0x0B => {
                let end = bytes.iter().position(|&byte| byte == 0)?;
                let options = bytes.get(end + 1..bytes.len().checked_sub(1)?)?;
                ValueRef::Regex {
                    pattern: BStr::new(&bytes[..end]),
                    options: BStr::new(options),
                }
            }
            0x0C => {
                let (name, id) = bytes.split_last_chunk::<12>()?;
                ValueRef::DbPointer {
                    namespace: text(name)?,
                    id: *id,
                }
            }
            0x0D => ValueRef::JavaScript(text(bytes)?),
            0x0E => ValueRef::Symbol(text(bytes)?),
            0x0F => {
                let rest = bytes.get(4..)?;
                let len = usize::try_from(i32::from_le_bytes(*rest.first_chunk()?)).ok()?;
                let (code, scope) = rest.split_at_checked(len.checked_add(4)?)?;
                ValueRef::JavaScriptWithScope {
                    code: text(code)?,
                    scope: Doc::new(scope),
                }
            }
            0x10 => ValueRef::Int32(i32::from_le_bytes(*bytes.first_chunk()?)),
            0x11 => ValueRef::Timestamp(u64::from_le_bytes(*bytes.first_chunk()?)),
            0x12 => ValueRef::Int64(i64::from_le_bytes(*bytes.first_chunk()?)),
            0x13 => ValueRef::Decimal128(*bytes.first_chunk()?),
            PLACE => ValueRef::Missing,
            0x7F => ValueRef::MaxKey,
            0xFF => ValueRef::MinKey,
            _ => return None,
        })
    }

    /// The BSON type byte.
    pub fn kind(&self) -> u8 {
        match self {
            ValueRef::Double(_) => 0x01,
            ValueRef::String(_) => 0x02,
            ValueRef::Document(_) => 0x03,
            ValueRef::Array(_) => 0x04,
            ValueRef::Binary { .. } => 0x05,
            ValueRef::Undefined => 0x06,
            ValueRef::ObjectId(_) => 0x07,
            ValueRef::Bool(_) => 0x08,
            ValueRef::DateTime(_) => 0x09,
            ValueRef::Null => 0x0A,
            ValueRef::Regex { .. } => 0x0B,
            ValueRef::DbPointer { .. } => 0x0C,
            ValueRef::JavaScript(_) => 0x0D,
            ValueRef::Symbol(_) => 0x0E,
            ValueRef::JavaScriptWithScope { .. } => 0x0F,
            ValueRef::Int32(_) => 0x10,
            ValueRef::Timestamp(_) => 0x11,
            ValueRef::Int64(_) => 0x12,
            ValueRef::Decimal128(_) => 0x13,
            ValueRef::MaxKey => 0x7F,
            ValueRef::Missing => 0x00,
            ValueRef::MinKey => 0xFF,
        }
    }

    /// Its type.
    pub fn bson_type(&self) -> BsonType {
        match self {
            ValueRef::MinKey => BsonType::MinKey,
            ValueRef::Missing => BsonType::Missing,
            ValueRef::Undefined => BsonType::Undefined,
            ValueRef::Null => BsonType::Null,
            ValueRef::Double(_) => BsonType::Double,
            ValueRef::Int32(_) => BsonType::Int32,
            ValueRef::Int64(_) => BsonType::Int64,
            ValueRef::Decimal128(_) => BsonType::Decimal128,
            ValueRef::Symbol(_) => BsonType::Symbol,
            ValueRef::String(_) => BsonType::String,
            ValueRef::Document(_) => BsonType::Document,
            ValueRef::Array(_) => BsonType::Array,
            ValueRef::Binary { .. } => BsonType::Binary,
            ValueRef::ObjectId(_) => BsonType::ObjectId,
            ValueRef::Bool(_) => BsonType::Bool,
            ValueRef::DateTime(_) => BsonType::DateTime,
            ValueRef::Timestamp(_) => BsonType::Timestamp,
            ValueRef::Regex { .. } => BsonType::Regex,
            ValueRef::DbPointer { .. } => BsonType::DbPointer,
            ValueRef::JavaScript(_) => BsonType::JavaScript,
            ValueRef::JavaScriptWithScope { .. } => BsonType::JavaScriptWithScope,
            ValueRef::MaxKey => BsonType::MaxKey,
        }
    }

    /// The name by which `$type` and error texts call its type.
    pub fn type_name(&self) -> &'static str {
        self.bson_type().name()
    }

    /// The document, if it is one.
    pub fn as_document(&self) -> Option<Doc<'a>> {
        match *self {
            ValueRef::Document(doc) => Some(doc),
            _ => None,
        }
    }

    /// The array, if it is one.
    pub fn as_array(&self) -> Option<Doc<'a>> {
        match *self {
            ValueRef::Array(array) => Some(array),
            _ => None,
        }
    }

    /// The string's text, if it is a string of valid UTF-8.
    pub fn as_str(&self) -> Option<&'a str> {
        match *self {
            ValueRef::String(text) => std::str::from_utf8(text).ok(),
            _ => None,
        }
    }

    /// Whether it is an int, long, double or decimal.
    pub fn is_number(&self) -> bool {
        matches!(
            self,
            ValueRef::Double(_) | ValueRef::Int32(_) | ValueRef::Int64(_) | ValueRef::Decimal128(_)
        )
    }

    /// Whether it is null, undefined or missing, which most operators treat alike.
    pub fn is_nullish(&self) -> bool {
        matches!(
            self,
            ValueRef::Null | ValueRef::Undefined | ValueRef::Missing
        )
    }
}

/// A length-prefixed string without its closing zero.
#[inline]
fn text(bytes: &[u8]) -> Option<&BStr> {
    bytes.get(4..bytes.len().checked_sub(1)?).map(BStr::new)
}
