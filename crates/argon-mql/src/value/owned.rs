//! An owned BSON value that shares the buffer it came from.

use bstr::BStr;
use bytes::Bytes;

use super::doc::Doc;
use super::reference::ValueRef;

/// An owned BSON value: scalars by value, everything else a counted slice of a buffer, so a clone costs next to nothing.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the names are the BSON specification's")]
pub enum Value {
    MinKey,
    /// No value at all, see [`ValueRef::Missing`].
    Missing,
    Undefined,
    Null,
    Double(f64),
    Int32(i32),
    Int64(i64),
    Decimal128([u8; 16]),
    Symbol(Bytes),
    String(Bytes),
    /// A whole document's bytes.
    Document(Bytes),
    /// A whole array's bytes.
    Array(Bytes),
    Binary {
        subtype: u8,
        bytes: Bytes,
    },
    ObjectId([u8; 12]),
    Bool(bool),
    DateTime(i64),
    Timestamp(u64),
    Regex(Box<(Bytes, Bytes)>),
    DbPointer(Box<(Bytes, [u8; 12])>),
    JavaScript(Bytes),
    JavaScriptWithScope(Box<(Bytes, Bytes)>),
    MaxKey,
}

impl Value {
    /// A string.
    pub fn string(text: impl Into<String>) -> Value {
        Value::String(Bytes::from(text.into()))
    }

    /// Copies `value` out of the document it stands in.
    pub fn copy_of(value: ValueRef<'_>) -> Value {
        Value::from_ref(value, &|slice| Bytes::copy_from_slice(slice))
    }

    /// Takes `value`, which borrows from `buffer`, sharing that buffer instead of copying.
    ///
    /// # Panics
    /// If `value` does not borrow from `buffer`.
    pub fn share(value: ValueRef<'_>, buffer: &Bytes) -> Value {
        Value::from_ref(value, &|slice| buffer.slice_ref(slice))
    }

    fn from_ref(value: ValueRef<'_>, own: &dyn Fn(&[u8]) -> Bytes) -> Value {
        match value {
            ValueRef::MinKey => Value::MinKey,
            ValueRef::Missing => Value::Missing,
            ValueRef::Undefined => Value::Undefined,
            ValueRef::Null => Value::Null,
            ValueRef::Double(v) => Value::Double(v),
            ValueRef::Int32(v) => Value::Int32(v),
            ValueRef::Int64(v) => Value::Int64(v),
            ValueRef::Decimal128(v) => Value::Decimal128(v),
            ValueRef::Symbol(v) => Value::Symbol(own(v)),
            ValueRef::String(v) => Value::String(own(v)),
            ValueRef::Document(v) => Value::Document(own(v.as_bytes())),
            ValueRef::Array(v) => Value::Array(own(v.as_bytes())),
            ValueRef::Binary { subtype, bytes } => Value::Binary {
                subtype,
                bytes: own(bytes),
            },
            ValueRef::ObjectId(v) => Value::ObjectId(v),
            ValueRef::Bool(v) => Value::Bool(v),
            ValueRef::DateTime(v) => Value::DateTime(v),
            ValueRef::Timestamp(v) => Value::Timestamp(v),
            ValueRef::Regex { pattern, options } => {
                Value::Regex(Box::new((own(pattern), own(options))))
            }
            ValueRef::DbPointer { namespace, id } => {
                Value::DbPointer(Box::new((own(namespace), id)))
            }
            ValueRef::JavaScript(v) => Value::JavaScript(own(v)),
            ValueRef::JavaScriptWithScope { code, scope } => {
                Value::JavaScriptWithScope(Box::new((own(code), own(scope.as_bytes()))))
            }
            ValueRef::MaxKey => Value::MaxKey,
        }
    }

    /// A borrowed view of it.
    #[inline]
    pub fn as_ref(&self) -> ValueRef<'_> {
        match self {
            Value::MinKey => ValueRef::MinKey,
            Value::Missing => ValueRef::Missing,
            Value::Undefined => ValueRef::Undefined,
            Value::Null => ValueRef::Null,
            Value::Double(v) => ValueRef::Double(*v),
            Value::Int32(v) => ValueRef::Int32(*v),
            Value::Int64(v) => ValueRef::Int64(*v),
            Value::Decimal128(v) => ValueRef::Decimal128(*v),
            Value::Symbol(v) => ValueRef::Symbol(BStr::new(v)),
            Value::String(v) => ValueRef::String(BStr::new(v)),
            Value::Document(v) => ValueRef::Document(Doc::new(v)),
            Value::Array(v) => ValueRef::Array(Doc::new(v)),
            Value::Binary { subtype, bytes } => ValueRef::Binary {
                subtype: *subtype,
                bytes,
            },
            Value::ObjectId(v) => ValueRef::ObjectId(*v),
            Value::Bool(v) => ValueRef::Bool(*v),
            Value::DateTime(v) => ValueRef::DateTime(*v),
            Value::Timestamp(v) => ValueRef::Timestamp(*v),
            Value::Regex(v) => ValueRef::Regex {
                pattern: BStr::new(&v.0),
                options: BStr::new(&v.1),
            },
            Value::DbPointer(v) => ValueRef::DbPointer {
                namespace: BStr::new(&v.0),
                id: v.1,
            },
            Value::JavaScript(v) => ValueRef::JavaScript(BStr::new(v)),
            Value::JavaScriptWithScope(v) => ValueRef::JavaScriptWithScope {
                code: BStr::new(&v.0),
                scope: Doc::new(&v.1),
            },
            Value::MaxKey => ValueRef::MaxKey,
        }
    }
}
