//! MongoDB's hash of a value: what a hashed index stores and `$toHashedIndexKey` shows.

use md5::{Digest, Md5};

use crate::value::{DocBuf, Number, ValueRef};

/// The hash of `value`: the first eight bytes of an MD5 over a seed, the type's place in the order, and the bytes.
///
/// Numbers of all types hash as longs, without their fraction, so that equal ones have equal hashes. The steps were
/// found by comparing with what mongod 6.0.5 answers for `$toHashedIndexKey`.
pub(crate) fn hash(value: ValueRef<'_>) -> i64 {
    const SEED: i32 = 0;
    let mut digest = Md5::new();
    digest.update(SEED.to_le_bytes());
    feed(&mut digest, value);
    let bytes = digest.finalize();
    bytes
        .first_chunk::<8>()
        .map_or(0, |first| i64::from_le_bytes(*first))
}

/// The class of what stands behind the last element of a document.
const END: [u8; 4] = [0; 4];

fn feed(digest: &mut Md5, value: ValueRef<'_>) {
    digest.update(class(&value).to_le_bytes());
    feed_contents(digest, value);
}

/// Feeds a value with its name between class and contents, as elements of documents are.
fn feed_element(digest: &mut Md5, name: &[u8], value: ValueRef<'_>) {
    digest.update(class(&value).to_le_bytes());
    digest.update(name);
    digest.update([0]);
    feed_contents(digest, value);
}

fn feed_contents(digest: &mut Md5, value: ValueRef<'_>) {
    match value {
        ValueRef::Document(doc) | ValueRef::Array(doc) => {
            for element in doc.iter() {
                feed_element(digest, element.key(), element.value());
            }
            digest.update(END);
        }
        ValueRef::JavaScriptWithScope { code, scope } => {
            digest.update(&**code);
            digest.update([0]);
            for element in scope.iter() {
                feed_element(digest, element.key(), element.value());
            }
            digest.update(END);
        }
        value => match Number::from_value(value) {
            Some(number) => digest.update(long(number).to_le_bytes()),
            None => {
                let mut doc = DocBuf::new();
                doc.append("", value);
                let bytes = doc.finish();
                // Length, type and empty name stand before the value, a zero behind it.
                digest.update(bytes.get(6..bytes.len() - 1).unwrap_or_default());
            }
        },
    }
}

/// The long that a number hashes as: a double loses its fraction, a decimal is rounded, and both stay within range.
fn long(number: Number) -> i64 {
    // The first double beyond the longs is the one exception, since mongod casts it.
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    match number {
        Number::Double(value) if value == LIMIT => i64::MIN,
        Number::Decimal(value) => Number::Decimal(value.quantize(0, dec::Rounding::HalfEven))
            .to_i64()
            .unwrap_or_else(|| number.to_i64_saturated()),
        number => number.to_i64_saturated(),
    }
}

/// The number by which the hash knows a type; those that compare with one another share one.
fn class(value: &ValueRef<'_>) -> i32 {
    match value {
        ValueRef::MinKey => -1,
        ValueRef::Undefined => 0,
        // A missing value is indexed as null.
        ValueRef::Missing | ValueRef::Null => 5,
        ValueRef::Double(_) | ValueRef::Int32(_) | ValueRef::Int64(_) | ValueRef::Decimal128(_) => {
            10
        }
        ValueRef::Symbol(_) | ValueRef::String(_) => 15,
        ValueRef::Document(_) => 20,
        ValueRef::Array(_) => 25,
        ValueRef::Binary { .. } => 30,
        ValueRef::ObjectId(_) => 35,
        ValueRef::Bool(_) => 40,
        ValueRef::DateTime(_) => 45,
        ValueRef::Timestamp(_) => 47,
        ValueRef::Regex { .. } => 50,
        ValueRef::DbPointer { .. } => 55,
        ValueRef::JavaScript(_) => 60,
        ValueRef::JavaScriptWithScope { .. } => 65,
        ValueRef::MaxKey => 127,
    }
}
