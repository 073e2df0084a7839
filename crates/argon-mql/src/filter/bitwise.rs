//! Bitwise: `$bitsAllClear`, `$bitsAllSet`, `$bitsAnyClear`, `$bitsAnySet`.
//!
//! Numbers count as 64-bit two's complement, sign-extended to any position; binary data as little-endian bits,
//! zero-extended.

use dec::Rounding;

use crate::value::{Decimal, ValueRef};
use crate::{Error, Result};

use super::number::{NotInteger, exact_integer};
use super::parse::{FieldOp, Operand};
use super::tree::{Node, Predicate};

pub(super) const OPS: &[FieldOp] = &[
    FieldOp::new("$bitsAllClear", |operand| bits(BitTest::AllClear, operand)),
    FieldOp::new("$bitsAllSet", |operand| bits(BitTest::AllSet, operand)),
    FieldOp::new("$bitsAnyClear", |operand| bits(BitTest::AnyClear, operand)),
    FieldOp::new("$bitsAnySet", |operand| bits(BitTest::AnySet, operand)),
];

/// What is asked of the bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the names are the operators'")]
pub enum BitTest {
    AllClear,
    AllSet,
    AnyClear,
    AnySet,
}

/// A condition on some bits of a number or of binary data.
#[derive(Clone, Debug)]
pub struct Bits {
    test: BitTest,
    /// As given.
    positions: Vec<u32>,
    /// The positions below 64; all higher ones read the sign of a number.
    mask: u64,
    beyond: bool,
}

impl Bits {
    fn new(test: BitTest, positions: Vec<u32>) -> Bits {
        let low = positions.iter().filter(|&&position| position < 64);
        Bits {
            test,
            mask: low.fold(0, |mask, &position| mask | 1 << position),
            beyond: positions.iter().any(|&position| position >= 64),
            positions,
        }
    }

    /// What is asked.
    pub fn test(&self) -> BitTest {
        self.test
    }

    /// Of which bits, from the least significant.
    pub fn positions(&self) -> &[u32] {
        &self.positions
    }

    pub(super) fn holds(&self, value: ValueRef<'_>) -> bool {
        if let ValueRef::Binary { bytes, .. } = value {
            return self.holds_bytes(bytes);
        }
        let number = match value {
            ValueRef::Decimal128(bytes) => decimal_bits(Decimal::from_bytes(bytes)),
            // A double with a fraction, or beyond 64 bits, never matches.
            _ => match exact_integer(value) {
                Ok(number) => number,
                Err(_) => return false,
            },
        };
        let negative = number < 0;
        let set = number.cast_unsigned() & self.mask;
        match self.test {
            BitTest::AllSet => set == self.mask && (!self.beyond || negative),
            BitTest::AllClear => set == 0 && (!self.beyond || !negative),
            BitTest::AnySet => set != 0 || (self.beyond && negative),
            BitTest::AnyClear => set != self.mask || (self.beyond && !negative),
        }
    }

    fn holds_bytes(&self, bytes: &[u8]) -> bool {
        let is_set = |&position: &u32| {
            usize::try_from(position / 8)
                .ok()
                .and_then(|at| bytes.get(at))
                .is_some_and(|byte| byte & (1 << (position % 8)) != 0)
        };
        let mut positions = self.positions.iter();
        match self.test {
            BitTest::AllSet => positions.all(is_set),
            BitTest::AllClear => !positions.any(is_set),
            BitTest::AnySet => positions.any(is_set),
            BitTest::AnyClear => !positions.all(is_set),
        }
    }
}

/// The bits of a decimal: of the nearest integer, ties to even. What is beyond 64 bits, NaN included, counts as the
/// lowest integer.
fn decimal_bits(value: Decimal) -> i64 {
    let nearest = if value.is_finite() {
        value.quantize(0, Rounding::HalfEven)
    } else {
        value
    };
    nearest
        .to_i64()
        .or_else(|| value.to_i64())
        .unwrap_or(i64::MIN)
}

fn bits(test: BitTest, operand: &Operand<'_>) -> Result<Node> {
    let positions = match operand.value {
        ValueRef::Array(array) => array
            .iter()
            .map(|item| position(item.key(), item.value()))
            .collect::<Result<Vec<u32>>>()?,
        ValueRef::Binary { bytes, .. } => positions_of(bytes),
        value if value.is_number() => positions_of(&mask(operand)?.to_le_bytes()),
        value => {
            return Err(Error::bad_value(format!(
                "{} takes an Array, a number, or a BinData but received: {}: {value:?}",
                operand.path, operand.name
            )));
        }
    };
    Ok(operand.leaf(Predicate::Bits(Bits::new(test, positions))))
}

fn mask(operand: &Operand<'_>) -> Result<i64> {
    let complain = |what: &str| {
        Err(Error::failed_to_parse(format!(
            "{what}: {}: {:?}",
            operand.name, operand.value
        )))
    };
    match exact_integer(operand.value) {
        Ok(mask) if mask < 0 => complain("Expected a non-negative number in"),
        Ok(mask) => Ok(mask),
        Err(NotInteger::Nan) => complain("Expected an integer, but found NaN in"),
        Err(NotInteger::Range) => complain("Cannot represent as a 64-bit integer"),
        Err(NotInteger::Type | NotInteger::Fraction) => complain("Expected an integer"),
    }
}

fn position(key: &bstr::BStr, value: ValueRef<'_>) -> Result<u32> {
    let complain = |what: &str| {
        Error::bad_value(format!(
            "Failed to parse bit position. {what}: {key}: {value:?}"
        ))
    };
    match exact_integer(value) {
        Ok(position) if position < 0 => Err(complain("Expected a non-negative number in")),
        Ok(position) => i32::try_from(position)
            .ok()
            .and_then(|position| u32::try_from(position).ok())
            .ok_or_else(|| complain("Cannot represent as an int")),
        Err(NotInteger::Type) => Err(complain("Expected a number in")),
        Err(_) => Err(complain("Expected an integer")),
    }
}

fn positions_of(bytes: &[u8]) -> Vec<u32> {
    let mut positions = Vec::new();
    for (at, byte) in (0u32..).step_by(8).zip(bytes) {
        positions.extend(
            (0..8)
                .filter(|bit| byte & (1 << bit) != 0)
                .map(|bit| at + bit),
        );
    }
    positions
}
