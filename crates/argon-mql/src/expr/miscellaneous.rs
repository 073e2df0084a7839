//! Operators of no larger category: sizes, timestamps, randomness, metadata, and functions in JavaScript.

use super::Expr;
use super::node::{Call, Operator};
use super::ops::{Args, Fold, Function, Op};
use super::parse::Parser;
use super::scope::{Operand, Scope};
use super::string::int;
use crate::accumulator::JAVASCRIPT_DISABLED;
use crate::value::{Value, ValueRef};
use crate::{Error, Result};

pub(super) const OPS: &[Op] = &[
    Op::function("$binarySize", 1..=1, binary_size),
    Op::function("$bsonSize", 1..=1, bson_size),
    Op::refused("$function", JAVASCRIPT_DISABLED, function),
    Op::parsed("$meta", meta),
    Op::parsed("$rand", rand),
    Op::parsed("$toHashedIndexKey", |operand, parser| {
        parser.unary(&TO_HASHED_INDEX_KEY, operand)
    }),
    Op::function("$tsIncrement", 1..=1, |call| {
        timestamp(call, 5_687_302, |stamp| stamp & 0xFFFF_FFFF)
    }),
    Op::function("$tsSecond", 1..=1, |call| {
        timestamp(call, 5_687_301, |stamp| stamp >> 32)
    }),
];

fn binary_size(call: &Call<'_>) -> Result<Value> {
    match call.arg(0)?.as_ref() {
        ValueRef::String(text) => Ok(int(text.len())),
        ValueRef::Binary { bytes, .. } => Ok(int(bytes.len())),
        value if value.is_nullish() => Ok(Value::Null),
        other => Err(Error::location(
            51276,
            format!(
                "$binarySize requires a string or BinData argument, found: {}",
                other.type_name()
            ),
        )),
    }
}

fn bson_size(call: &Call<'_>) -> Result<Value> {
    match call.arg(0)?.as_ref() {
        ValueRef::Document(doc) => Ok(int(doc.byte_len())),
        value if value.is_nullish() => Ok(Value::Null),
        other => Err(Error::location(
            31393,
            format!(
                "$bsonSize requires a document input, found: {}",
                other.type_name()
            ),
        )),
    }
}

fn timestamp(call: &Call<'_>, code: i32, part: fn(u64) -> u64) -> Result<Value> {
    match call.arg(0)?.as_ref() {
        ValueRef::Timestamp(stamp) => Ok(Value::Int64(i64::try_from(part(stamp)).unwrap_or(0))),
        value if value.is_nullish() => Ok(Value::Null),
        other => Err(Error::location(
            code,
            format!(
                " Argument to {} must be a timestamp, but is {}",
                call.name,
                other.type_name()
            ),
        )),
    }
}

#[derive(Debug)]
struct Rand;

fn rand(operand: ValueRef<'_>, _: &Parser<'_>) -> Result<Expr> {
    let (ValueRef::Document(args) | ValueRef::Array(args)) = operand else {
        return Err(Error::location(
            10065,
            "invalid parameter: expected an object ($rand)",
        ));
    };
    if !args.is_empty() {
        return Err(Error::location(
            3_040_501,
            "$rand does not currently accept arguments",
        ));
    }
    Ok(Expr::operator(Rand))
}

impl Operator for Rand {
    /// A double of 53 random bits, below one.
    #[expect(clippy::cast_precision_loss, reason = "53 bits are a double's own")]
    fn eval<'s>(&'s self, scope: &Scope<'s>) -> Result<Operand<'s>> {
        let bits = scope.env().next_random() >> 11;
        Ok(Value::Double(bits as f64 / (1_u64 << 53) as f64).into())
    }

    fn each(&self, _: &mut dyn FnMut(&Expr)) {}

    fn each_mut(&mut self, _: &mut dyn FnMut(&mut Expr) -> Result<()>) -> Result<()> {
        Ok(())
    }
}

/// Metadata that a query has to produce, which those that do are not served: an error at once.
const UNAVAILABLE: [&str; 3] = ["geoNearDistance", "geoNearPoint", "textScore"];

/// The metadata that `$meta` may ask for. None of it exists outside text search, geo and Atlas Search,
/// but for record ids, which are places in mongod's own storage: always missing.
const METADATA: [&str; 12] = [
    "geoNearDistance",
    "geoNearPoint",
    "indexKey",
    "randVal",
    "recordId",
    "searchHighlights",
    "searchScore",
    "searchScoreDetails",
    "sortKey",
    "textScore",
    "timeseriesBucketMaxTime",
    "timeseriesBucketMinTime",
];

fn meta(operand: ValueRef<'_>, parser: &Parser<'_>) -> Result<Expr> {
    let ValueRef::String(name) = operand else {
        return Err(Error::location(
            17307,
            "$meta only supports string arguments",
        ));
    };
    if !METADATA.iter().any(|known| known.as_bytes() == &**name) {
        return Err(Error::location(
            17308,
            format!("Unsupported argument to $meta: {name}"),
        ));
    }
    if UNAVAILABLE.iter().any(|known| known.as_bytes() == &**name) {
        return Err(Error::location(
            40218,
            format!("query requires {name} metadata, but it is not available"),
        ));
    }
    parser.parse(ValueRef::String("$$REMOVE".into()))
}

/// `$function` is read, so that its own errors come first, and then refused as by a server without JavaScript.
fn function(operand: ValueRef<'_>, _: &Parser<'_>) -> Result<Expr> {
    let error = |code, text: &str| Err(Error::location(code, text));
    let Some(doc) = operand.as_document() else {
        return error(31260, "$function requires an object as an argument");
    };
    let Some(body) = doc.get("body") else {
        return error(31261, "The body function must be specified.");
    };
    if !matches!(body, ValueRef::String(_) | ValueRef::JavaScript(_)) {
        return error(
            31262,
            "The body function must evaluate to type string or code",
        );
    }
    if doc.get("args").is_none() {
        return error(31263, "The args field must be specified.");
    }
    let Some(lang) = doc.get("lang") else {
        return error(31418, "The lang field must be specified.");
    };
    if lang.as_str() != Some("js") {
        return error(
            31419,
            "Currently the only supported language specifier is 'js'.",
        );
    }
    Err(Error::new(
        JAVASCRIPT_DISABLED,
        "Cannot run server-side javascript without the javascript engine enabled",
    ))
}

/// Not a row itself: it takes an array for its value, not for its arguments.
static TO_HASHED_INDEX_KEY: Function = Function {
    name: "$toHashedIndexKey",
    args: Args::Positional(1..=1),
    eval: to_hashed_index_key,
    fold: Fold::Opaque,
    check: None,
    check_each_argument: false,
};

/// The hash that a hashed index stores: the first half of the MD5 of the value's canonical bytes.
fn to_hashed_index_key(call: &Call<'_>) -> Result<Value> {
    Ok(Value::Int64(super::hash::hash(call.arg(0)?.as_ref())))
}
