//! Type operators: `$convert` and its shorthands, `$type`, `$isNumber`.

mod text;

use super::Expr;
use super::node::{Call, Operator};
use super::ops::{Named, Op, optional, required};
use super::parse::Parser;
use super::scope::{Operand, Scope, truthy};
use super::text::to_text;
use crate::value::{BsonType, Decimal, Number, Value, ValueRef};
use crate::{Error, ErrorCode, Result};

pub(super) const OPS: &[Op] = &[
    Op::parsed("$convert", Convert::parse),
    Op::function("$isNumber", 1..=1, |call| {
        Ok(Value::Bool(call.arg(0)?.as_ref().is_number()))
    }),
    Op::one("$toBool", 50723, |call| to(call, BsonType::Bool)),
    Op::one("$toDate", 50723, |call| to(call, BsonType::DateTime)),
    Op::one("$toDecimal", 50723, |call| to(call, BsonType::Decimal128)),
    Op::one("$toDouble", 50723, |call| to(call, BsonType::Double)),
    Op::one("$toInt", 50723, |call| to(call, BsonType::Int32)),
    Op::one("$toLong", 50723, |call| to(call, BsonType::Int64)),
    Op::one("$toObjectId", 50723, |call| to(call, BsonType::ObjectId)),
    Op::one("$toString", 50723, |call| to(call, BsonType::String)),
    Op::function("$type", 1..=1, |call| {
        let name = call.arg(0)?.as_ref().type_name();
        Ok(Value::String(bytes::Bytes::from_static(name.as_bytes())))
    }),
];

fn to(call: &Call<'_>, kind: BsonType) -> Result<Value> {
    let input = call.arg(0)?;
    if input.is_nullish() {
        return Ok(Value::Null);
    }
    convert(&input, kind)
}

#[derive(Debug)]
struct Convert {
    input: Expr,
    to: Expr,
    on_error: Expr,
    on_null: Expr,
}

impl Convert {
    fn parse(operand: ValueRef<'_>, parser: &Parser<'_>) -> Result<Expr> {
        let code = ErrorCode::FailedToParse.number();
        let args = Named {
            not_an_object: code,
            unknown: code,
            fields: const {
                &[
                    required("input", ErrorCode::FailedToParse.number()),
                    required("to", ErrorCode::FailedToParse.number()),
                    optional("onError"),
                    optional("onNull"),
                ]
            },
        };
        let args = args.parse("$convert", operand, parser)?;
        Ok(Expr::operator(Convert {
            input: args[0].clone(),
            to: args[1].clone(),
            on_error: args[2].clone(),
            on_null: args[3].clone(),
        }))
    }
}

impl Operator for Convert {
    fn eval<'s>(&'s self, scope: &Scope<'s>) -> Result<Operand<'s>> {
        let to = self.to.operand(scope)?;
        let input = self.input.operand(scope)?;
        let kind = match to.as_ref() {
            kind if kind.is_nullish() => None,
            kind => Some(type_of(kind)?),
        };
        if input.is_nullish() {
            return if self.on_null.is_absent() {
                Ok(Operand::NULL)
            } else {
                self.on_null.operand(scope)
            };
        }
        let Some(kind) = kind else {
            return Ok(Operand::NULL);
        };
        match convert(&input, kind) {
            Ok(value) => Ok(value.into()),
            Err(error)
                if error.code() == ErrorCode::ConversionFailure && !self.on_error.is_absent() =>
            {
                self.on_error.operand(scope)
            }
            Err(error) => Err(error),
        }
    }

    fn each(&self, visit: &mut dyn FnMut(&Expr)) {
        [&self.input, &self.to, &self.on_error, &self.on_null]
            .into_iter()
            .for_each(visit);
    }

    fn each_mut(&mut self, visit: &mut dyn FnMut(&mut Expr) -> Result<()>) -> Result<()> {
        [
            &mut self.input,
            &mut self.to,
            &mut self.on_error,
            &mut self.on_null,
        ]
        .into_iter()
        .try_for_each(visit)
    }

    fn fold(&mut self) -> Result<Option<Expr>> {
        let known = |expr: &Expr| expr.is_constant() || expr.is_absent();
        if ![&self.input, &self.to, &self.on_error, &self.on_null]
            .into_iter()
            .all(known)
        {
            return Ok(None);
        }
        super::fold::eval_constant(self).map(|value| Some(Expr::constant(value)))
    }
}

/// The type that `to` names, by its name or number.
fn type_of(to: ValueRef<'_>) -> Result<BsonType> {
    if let ValueRef::String(name) = to {
        return BSON_TYPES
            .iter()
            .map(|&(_, kind)| kind)
            .find(|kind| kind.name().as_bytes() == &**name)
            .ok_or_else(|| Error::bad_value(format!("Unknown type name: {name}")));
    }
    let number = Number::from_value(to).ok_or_else(|| {
        Error::failed_to_parse(format!(
            "$convert's 'to' argument must be a string or number, but is {}",
            to.type_name()
        ))
    })?;
    let code = number.to_i64().ok_or_else(|| {
        Error::failed_to_parse("In $convert, numeric 'to' argument is not an integer")
    })?;
    BSON_TYPES
        .iter()
        .find(|row| row.0 == code)
        .map(|row| row.1)
        .ok_or_else(|| {
            Error::failed_to_parse(format!(
                "In $convert, numeric value for 'to' does not correspond to a BSON type: {code}"
            ))
        })
}

/// The types by their numbers.
const BSON_TYPES: [(i64, BsonType); 22] = [
    (-1, BsonType::MinKey),
    (0, BsonType::Missing),
    (1, BsonType::Double),
    (2, BsonType::String),
    (3, BsonType::Document),
    (4, BsonType::Array),
    (5, BsonType::Binary),
    (6, BsonType::Undefined),
    (7, BsonType::ObjectId),
    (8, BsonType::Bool),
    (9, BsonType::DateTime),
    (10, BsonType::Null),
    (11, BsonType::Regex),
    (12, BsonType::DbPointer),
    (13, BsonType::JavaScript),
    (14, BsonType::Symbol),
    (15, BsonType::JavaScriptWithScope),
    (16, BsonType::Int32),
    (17, BsonType::Timestamp),
    (18, BsonType::Int64),
    (19, BsonType::Decimal128),
    (127, BsonType::MaxKey),
];

#[cold]
fn failure(text: String) -> Error {
    Error::new(ErrorCode::ConversionFailure, text)
}

#[cold]
fn unsupported(value: ValueRef<'_>, kind: BsonType) -> Error {
    failure(format!(
        "Unsupported conversion from {} to {} in $convert with no onError value",
        value.type_name(),
        kind.name()
    ))
}

/// Converts `input`, which is not null.
///
/// # Errors
/// [`ErrorCode::ConversionFailure`].
fn convert(input: &Operand<'_>, kind: BsonType) -> Result<Value> {
    let value = input.as_ref();
    match kind {
        BsonType::Bool => Ok(Value::Bool(truthy(value))),
        BsonType::Double => to_double(value),
        BsonType::Decimal128 => to_decimal(value),
        BsonType::Int32 => to_integer(value, kind).and_then(|long| {
            i32::try_from(long)
                .map(Value::Int32)
                .map_err(|_| overflow(value, kind))
        }),
        BsonType::Int64 => match value {
            ValueRef::DateTime(millis) => Ok(Value::Int64(millis)),
            value => to_integer(value, kind).map(Value::Int64),
        },
        BsonType::String => match value {
            ValueRef::String(_) => Ok(input.clone().into_value()),
            value => match to_text(value)? {
                Some(text) => Ok(Value::string(text)),
                None => Err(unsupported(value, kind)),
            },
        },
        BsonType::ObjectId => match value {
            ValueRef::ObjectId(id) => Ok(Value::ObjectId(id)),
            ValueRef::String(hex) => text::object_id(hex),
            value => Err(unsupported(value, kind)),
        },
        BsonType::DateTime => to_date(value),
        kind => Err(unsupported(value, kind)),
    }
}

#[cold]
fn overflow(value: ValueRef<'_>, kind: BsonType) -> Error {
    failure(format!(
        "Conversion of a {} would overflow target type {} in $convert with no onError value",
        value.type_name(),
        kind.name()
    ))
}

fn to_double(value: ValueRef<'_>) -> Result<Value> {
    Ok(Value::Double(match value {
        ValueRef::Bool(value) => f64::from(u8::from(value)),
        ValueRef::DateTime(millis) => Number::Int64(millis).to_f64(),
        ValueRef::String(text) => text::double(text)?,
        ValueRef::Decimal128(bytes) => {
            let decimal = Decimal::from_bytes(bytes);
            let double = decimal.to_f64();
            let lost = double == 0.0 && !decimal.is_zero();
            if lost || (double.is_infinite() && decimal.is_finite()) {
                return Err(overflow(value, BsonType::Double));
            }
            double
        }
        value => match Number::from_value(value) {
            Some(number) => number.to_f64(),
            None => return Err(unsupported(value, BsonType::Double)),
        },
    }))
}

fn to_decimal(value: ValueRef<'_>) -> Result<Value> {
    let decimal = match value {
        ValueRef::Bool(value) => Decimal::from_i64(value.into()),
        ValueRef::DateTime(millis) => Decimal::from_i64(millis),
        ValueRef::String(text) => text::decimal(text)?,
        ValueRef::Decimal128(bytes) => return Ok(Value::Decimal128(bytes)),
        value => match Number::from_value(value) {
            Some(number) => number.to_decimal(),
            None => return Err(unsupported(value, BsonType::Decimal128)),
        },
    };
    Ok(Value::Decimal128(decimal.to_bytes()))
}

fn to_integer(value: ValueRef<'_>, kind: BsonType) -> Result<i64> {
    match value {
        ValueRef::Bool(value) => Ok(value.into()),
        ValueRef::String(text) => text::integer(text, kind),
        value => match Number::from_value(value) {
            Some(number) => number
                .to_i64_truncated()
                .ok_or_else(|| overflow(value, kind)),
            None => Err(unsupported(value, kind)),
        },
    }
}

fn to_date(value: ValueRef<'_>) -> Result<Value> {
    Ok(Value::DateTime(match value {
        ValueRef::DateTime(millis) => millis,
        ValueRef::Timestamp(stamp) => i64::try_from(stamp >> 32).unwrap_or(0) * 1000,
        ValueRef::ObjectId([a, b, c, d, ..]) => {
            // The first four bytes are seconds, signed as mongod reads them.
            i64::from(i32::from_be_bytes([a, b, c, d])) * 1000
        }
        ValueRef::String(text) => super::date::parse_text(text)?,
        ValueRef::Int64(millis) => millis,
        ValueRef::Double(_) | ValueRef::Decimal128(_) => Number::from_value(value)
            .and_then(Number::to_i64_truncated)
            .ok_or_else(|| overflow(value, BsonType::DateTime))?,
        value => return Err(unsupported(value, BsonType::DateTime)),
    }))
}
