//! `$stdDevPop` and `$stdDevSamp`.

use super::{State, saved_values};
use crate::Result;
use crate::collation::Collation;
use crate::expr::Operand;
use crate::value::decimal::Decimal;
use crate::value::{DocBuf, Value, ValueRef};

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

    fn save(&self) -> Value {
        Value::Array(DocBuf::array([
            ValueRef::Int64(self.count),
            ValueRef::Double(self.mean),
            ValueRef::Double(self.squares),
        ]))
    }

    /// Joins two groups of values (Chan's method).
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    fn load(&mut self, saved: ValueRef<'_>) {
        let mut parts = saved_values(saved);
        let (
            Some(ValueRef::Int64(count)),
            Some(ValueRef::Double(mean)),
            Some(ValueRef::Double(squares)),
        ) = (parts.next(), parts.next(), parts.next())
        else {
            return;
        };
        if self.count == 0 {
            *self = StdDev {
                count,
                mean,
                squares,
            };
        } else if count > 0 {
            let delta = mean - self.mean;
            let (ours, theirs) = (self.count as f64, count as f64);
            self.count += count;
            if delta != 0.0 {
                self.mean = (ours * self.mean + theirs * mean) / (ours + theirs);
                self.squares += squares + delta * delta * ours * theirs / (ours + theirs);
            } else {
                self.squares += squares;
            }
        }
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

    fn save(&mut self) -> Value {
        self.0.save()
    }

    fn load(&mut self, saved: ValueRef<'_>, _: Option<&Collation>) -> Result<()> {
        self.0.load(saved);
        Ok(())
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

    fn save(&mut self) -> Value {
        self.0.save()
    }

    fn load(&mut self, saved: ValueRef<'_>, _: Option<&Collation>) -> Result<()> {
        self.0.load(saved);
        Ok(())
    }
}
