//! Operators that compute with numbers or compare: `$bit`, `$inc`, `$max`, `$min`, `$mul`.
//!
//! Source: MongoDB manual, "Field Update Operators", "Bitwise Update Operator".

use std::cmp::Ordering;
use std::sync::Arc;

use bstr::ByteSlice;

use super::modifier::{Modifier, Operand, Outcome, Parsed, Place, Trail};
use super::show;
use crate::collation::Collation;
use crate::value::{Number, ValueRef, compare_with};
use crate::{Error, ErrorCode, Result, Value};

/// `$inc` and `$mul`.
#[derive(Debug)]
struct Arithmetic {
    name: &'static str,
    /// What a missing field becomes.
    initial: Value,
    operand: Number,
    combine: fn(Number, Number) -> Option<Number>,
}

pub(super) fn inc(operand: &Operand<'_>, out: &mut Parsed) -> Result<()> {
    let number = number(operand, "increment")?;
    operand.add(
        Arithmetic {
            name: operand.name,
            initial: number.to_value(),
            operand: number,
            combine: Number::checked_add,
        },
        out,
    );
    Ok(())
}

pub(super) fn mul(operand: &Operand<'_>, out: &mut Parsed) -> Result<()> {
    let number = number(operand, "multiply")?;
    operand.add(
        Arithmetic {
            name: operand.name,
            // MongoDB manual, "$mul": a missing field becomes zero of the operand's type.
            initial: Number::Int32(0).multiply(number).to_value(),
            operand: number,
            combine: Number::checked_multiply,
        },
        out,
    );
    Ok(())
}

fn number(operand: &Operand<'_>, verb: &str) -> Result<Number> {
    Number::from_value(operand.value).ok_or_else(|| {
        Error::type_mismatch(format!(
            "Cannot {verb} with non-numeric argument: {{{}}}",
            operand.text()
        ))
    })
}

impl Modifier for Arithmetic {
    fn apply<'v>(
        &'v self,
        current: Option<ValueRef<'v>>,
        place: &Place<'v>,
        trail: &Trail<'_>,
    ) -> Result<Outcome<'v>> {
        let Some(current) = current else {
            return Ok(Outcome::Put(self.initial.as_ref()));
        };
        let Some(present) = Number::from_value(current) else {
            return Err(Error::type_mismatch(format!(
                "Cannot apply {} to a value of non-numeric type. {{{}}} has the field '{}' of non-numeric type {}",
                self.name,
                place.id_text(),
                trail.field(),
                current.type_name()
            )));
        };
        match (self.combine)(present, self.operand) {
            // The change is judged by number: 0.0 and -0.0 are the same, and what is not a number equals nothing.
            Some(result) if result.is_nan() => Ok(Outcome::Force(result.to_value())),
            Some(result)
                if result.to_ref().kind() == current.kind() && result.compare(present).is_eq() =>
            {
                Ok(Outcome::Keep)
            }
            Some(result) => Ok(Outcome::Put(result.to_ref())),
            None => Err(Error::bad_value(format!(
                "Failed to apply {} operations to current value ((NumberLong){}) for document {{{}}}",
                self.name,
                show::value(current),
                place.id_text()
            ))),
        }
    }
}

/// `$max` and `$min`.
#[derive(Debug)]
struct Extreme {
    value: Value,
    /// How the operand has to stand to the present value to replace it.
    replaces: Ordering,
    collation: Option<Arc<Collation>>,
}

pub(super) fn max(operand: &Operand<'_>, out: &mut Parsed) -> Result<()> {
    extreme(operand, Ordering::Greater, out);
    Ok(())
}

pub(super) fn min(operand: &Operand<'_>, out: &mut Parsed) -> Result<()> {
    extreme(operand, Ordering::Less, out);
    Ok(())
}

fn extreme(operand: &Operand<'_>, replaces: Ordering, out: &mut Parsed) {
    let extreme = Extreme {
        value: Value::copy_of(operand.value),
        replaces,
        collation: operand.cx.collation.clone(),
    };
    operand.add(extreme, out);
}

impl Modifier for Extreme {
    fn apply<'v>(
        &'v self,
        current: Option<ValueRef<'v>>,
        _place: &Place<'v>,
        _trail: &Trail<'_>,
    ) -> Result<Outcome<'v>> {
        let value = self.value.as_ref();
        Ok(match current {
            Some(current)
                if compare_with(value, current, self.collation.as_deref()) != self.replaces =>
            {
                Outcome::Keep
            }
            _ => Outcome::Put(value),
        })
    }
}

/// `$bit`: the operations in the order in which they are given.
#[derive(Debug)]
struct Bit(Vec<(BitOp, Integer)>);

#[derive(Clone, Copy, Debug)]
enum BitOp {
    And,
    Or,
    Xor,
}

#[derive(Clone, Copy, Debug)]
enum Integer {
    Int(i32),
    Long(i64),
}

impl Integer {
    fn from_value(value: ValueRef<'_>) -> Option<Integer> {
        match value {
            ValueRef::Int32(v) => Some(Integer::Int(v)),
            ValueRef::Int64(v) => Some(Integer::Long(v)),
            _ => None,
        }
    }

    fn long(self) -> i64 {
        match self {
            Integer::Int(v) => v.into(),
            Integer::Long(v) => v,
        }
    }
}

impl BitOp {
    fn apply(self, a: Integer, b: Integer) -> Integer {
        let bits = |a: i64, b: i64| match self {
            BitOp::And => a & b,
            BitOp::Or => a | b,
            BitOp::Xor => a ^ b,
        };
        match (a, b) {
            (Integer::Int(a), Integer::Int(b)) => Integer::Int(match self {
                BitOp::And => a & b,
                BitOp::Or => a | b,
                BitOp::Xor => a ^ b,
            }),
            _ => Integer::Long(bits(a.long(), b.long())),
        }
    }
}

pub(super) fn bit(operand: &Operand<'_>, out: &mut Parsed) -> Result<()> {
    let ValueRef::Document(spec) = operand.value else {
        return Err(Error::bad_value(format!(
            "The $bit modifier is not compatible with a {}. You must pass in an embedded document: {{$bit: {{field: {{and/or/xor: #}}}}",
            operand.value.type_name()
        )));
    };
    let mut operations = Vec::new();
    for element in spec.iter() {
        let op = match element.key().as_bytes() {
            b"and" => BitOp::And,
            b"or" => BitOp::Or,
            b"xor" => BitOp::Xor,
            other => {
                return Err(Error::bad_value(format!(
                    "The $bit modifier only supports 'and', 'or', and 'xor', not '{}' which is an unknown operator: {{{}}}",
                    other.as_bstr(),
                    show::element(&element)
                )));
            }
        };
        let value = element.value();
        let Some(integer) = Integer::from_value(value) else {
            return Err(Error::bad_value(format!(
                "The $bit modifier field must be an Integer(32/64 bit); a '{}' is not supported here: {{{}}}",
                value.type_name(),
                show::element(&element)
            )));
        };
        operations.push((op, integer));
    }
    if operations.is_empty() {
        return Err(Error::bad_value(
            "You must pass in at least one bitwise operation. The format is: {$bit: {field: {and/or/xor: #}}",
        ));
    }
    operand.add(Bit(operations), out);
    Ok(())
}

impl Modifier for Bit {
    fn apply<'v>(
        &'v self,
        current: Option<ValueRef<'v>>,
        place: &Place<'v>,
        trail: &Trail<'_>,
    ) -> Result<Outcome<'v>> {
        let mut integer = match current {
            // MongoDB manual, "$bit": a missing field counts as zero.
            None => Integer::Int(0),
            Some(current) => Integer::from_value(current).ok_or_else(|| {
                Error::new(
                    ErrorCode::BadValue,
                    format!(
                        "Cannot apply $bit to a value of non-integral type.{} has the field {} of non-integer type {}",
                        place.id_text(),
                        trail.field(),
                        current.type_name()
                    ),
                )
            })?,
        };
        for (op, operand) in &self.0 {
            integer = op.apply(integer, *operand);
        }
        Ok(Outcome::Put(match integer {
            Integer::Int(v) => ValueRef::Int32(v),
            Integer::Long(v) => ValueRef::Int64(v),
        }))
    }
}
