//! `$stdDevPop` and `$stdDevSamp`.

use super::State;
use crate::Result;
use crate::collation::Collation;
use crate::expr::Operand;
use crate::value::decimal::Decimal;
use crate::value::{Value, ValueRef};

/// Count, mean and sum of squared distances from the mean, kept up per value (Welford's method).
#[derive(Clone, Debug, Default)]
pub(crate) struct StdDev {
    count: i64,
    mean: f64,
    squares: f64,
}

/// A number as a double.
#[expect(
    clippy::cast_precision_loss,
    reason = "deviations are computed in doubles"
)]
pub(crate) fn to_f64(value: ValueRef<'_>) -> Option<f64> {
    Some(match value {
        ValueRef::Int32(v) => f64::from(v),
        ValueRef::Int64(v) => v as f64,
        ValueRef::Double(v) => v,
        ValueRef::Decimal128(bytes) => Decimal::from_bytes(bytes).to_f64(),
        _ => return None,
    })
}

impl StdDev {
    /// Adds a value.
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    pub(crate) fn add(&mut self, value: f64) {
        self.count += 1;
        let delta = value - self.mean;
        if delta != 0.0 {
            self.mean += delta / self.count as f64;
            self.squares += delta * (value - self.mean);
        }
    }

    /// The deviation of a whole population, or of a sample of one; null for too few values.
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    pub(crate) fn value(&self, sample: bool) -> Value {
        let divisor = self.count - i64::from(sample);
        if divisor <= 0 {
            return Value::Null;
        }
        Value::Double((self.squares / divisor as f64).sqrt())
    }
}

/// `$stdDevPop`.
#[derive(Debug, Default)]
pub(super) struct Population(StdDev);

/// `$stdDevSamp`.
#[derive(Debug, Default)]
pub(super) struct Sample(StdDev);

impl State for Population {
    fn add(&mut self, value: Operand<'_>, _: Option<&Collation>) -> Result<usize> {
        if let Some(value) = to_f64(value.as_ref()) {
            self.0.add(value);
        }
        Ok(0)
    }

    fn value(&self) -> Result<Value> {
        Ok(self.0.value(false))
    }
}

impl State for Sample {
    fn add(&mut self, value: Operand<'_>, _: Option<&Collation>) -> Result<usize> {
        if let Some(value) = to_f64(value.as_ref()) {
            self.0.add(value);
        }
        Ok(0)
    }

    fn value(&self) -> Result<Value> {
        Ok(self.0.value(true))
    }
}
