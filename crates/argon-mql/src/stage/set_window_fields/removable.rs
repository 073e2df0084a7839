//! Running results from which a value can be taken out again, for frames that move on.

use std::collections::{BTreeMap, VecDeque};

use crate::Result;
use crate::accumulator::{Sum, to_f64};
use crate::value::{Decimal, DocBuf, Number, Value, ValueRef};

/// A value inside the frame.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) value: Value,
    /// By what it is ordered, where that matters; ends with its arrival, so that no two are the same.
    pub(super) key: Vec<u8>,
}

/// A result over the values inside the frame.
pub(super) trait Removable: Send {
    /// A value comes in.
    fn add(&mut self, entry: &Entry);

    /// The first value goes out.
    fn remove(&mut self, entry: &Entry);

    /// The result, given all values inside in their order.
    fn value(&self, inside: &VecDeque<Entry>) -> Result<Value>;
}

/// A sum from which numbers can be taken out again. The type of the result is that of the widest number still inside.
#[derive(Clone, Debug, Default)]
pub(super) struct RemovableSum {
    doubles: i64,
    decimals: i64,
    /// Everything finite that ever came in, less what went out: with the rounding that the order gives.
    all: Sum,
    nans: i64,
    infinities: i64,
    negative_infinities: i64,
}

impl RemovableSum {
    pub(super) fn add(&mut self, value: ValueRef<'_>) -> bool {
        self.apply(value, 1)
    }

    pub(super) fn remove(&mut self, value: ValueRef<'_>) -> bool {
        self.apply(value, -1)
    }

    fn apply(&mut self, value: ValueRef<'_>, sign: i64) -> bool {
        let Some(number) = Number::from_value(value) else {
            return false;
        };
        match number {
            Number::Int32(_) | Number::Int64(_) => {}
            Number::Double(_) => self.doubles += sign,
            Number::Decimal(_) => self.decimals += sign,
        }
        if !number.is_finite() {
            self.count_special(number.to_f64(), sign);
            return true;
        }
        match number {
            // Its negative is none of 64 bits.
            Number::Int64(i64::MIN) if sign < 0 => {
                self.all.add_value(ValueRef::Int64(i64::MAX));
                self.all.add_value(ValueRef::Int64(1));
            }
            _ if sign < 0 => drop(self.all.add_value(number.negate().to_ref())),
            _ => drop(self.all.add_value(number.to_ref())),
        }
        true
    }

    /// Counts a value that could not be taken out of a sum again.
    fn count_special(&mut self, value: f64, sign: i64) {
        if value.is_nan() {
            self.nans += sign;
        } else if value > 0.0 {
            self.infinities += sign;
        } else {
            self.negative_infinities += sign;
        }
    }

    pub(super) fn value(&self) -> Value {
        let special = if self.nans > 0 || (self.infinities > 0 && self.negative_infinities > 0) {
            Some(f64::NAN)
        } else if self.infinities > 0 {
            Some(f64::INFINITY)
        } else if self.negative_infinities > 0 {
            Some(f64::NEG_INFINITY)
        } else {
            None
        };
        if let Some(special) = special {
            return if self.decimals > 0 {
                Value::Decimal128(Decimal::from_f64(special).to_bytes())
            } else {
                Value::Double(special)
            };
        }
        if self.decimals > 0 {
            return Value::Decimal128(self.all.to_decimal().to_bytes());
        }
        // Once a decimal was part of it, the sum is a decimal that is only shown as something else.
        let decimal = self.all.is_decimal().then(|| self.all.to_decimal());
        let integer = match decimal {
            Some(sum) => sum.to_i64_truncated(),
            None => self.all.to_i64(),
        };
        match integer {
            // An integer, with what the doubles that were inside have left behind.
            Some(integer) if self.doubles == 0 => Number::narrow(integer).to_value(),
            _ => Value::Double(decimal.map_or_else(|| self.all.to_f64(), Decimal::to_f64)),
        }
    }
}

/// `$sum`, and `$avg`.
#[derive(Default)]
pub(super) struct SumOf {
    average: bool,
    sum: RemovableSum,
    count: i64,
}

impl SumOf {
    pub(super) fn average() -> SumOf {
        SumOf {
            average: true,
            ..SumOf::default()
        }
    }
}

impl Removable for SumOf {
    fn add(&mut self, entry: &Entry) {
        self.count += i64::from(self.sum.add(entry.value.as_ref()));
    }

    fn remove(&mut self, entry: &Entry) {
        self.count -= i64::from(self.sum.remove(entry.value.as_ref()));
    }

    fn value(&self, _: &VecDeque<Entry>) -> Result<Value> {
        let sum = self.sum.value();
        if !self.average {
            return Ok(sum);
        }
        let mut average = Sum::default();
        average.add_value(sum.as_ref());
        Ok(average.average(self.count))
    }
}

/// `$stdDevPop` and `$stdDevSamp`: the sum of squared distances, brought up to date with each value.
#[derive(Default)]
pub(super) struct StdDevOf {
    sample: bool,
    sum: RemovableSum,
    squares: RemovableSum,
    count: i64,
    not_finite: i64,
}

impl StdDevOf {
    pub(super) fn sample() -> StdDevOf {
        StdDevOf {
            sample: true,
            ..StdDevOf::default()
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    fn apply(&mut self, value: ValueRef<'_>, sign: i64) {
        let Some(number) = to_f64(value) else {
            return;
        };
        if !number.is_finite() {
            self.not_finite += sign;
            return;
        }
        let before = self.count;
        self.count += sign;
        let value = ValueRef::Double(number);
        if before == 0 {
            self.sum.add(value);
            return;
        }
        let sum = to_f64(self.sum.value().as_ref()).unwrap_or(0.0);
        let distance = before as f64 * number - sum;
        if sign > 0 {
            self.sum.add(value);
        } else {
            self.sum.remove(value);
        }
        if self.count == 0 {
            self.squares = RemovableSum::default();
            return;
        }
        let change = distance * distance * sign as f64 / (self.count * before) as f64;
        self.squares.add(ValueRef::Double(change));
    }
}

impl Removable for StdDevOf {
    fn add(&mut self, entry: &Entry) {
        self.apply(entry.value.as_ref(), 1);
    }

    fn remove(&mut self, entry: &Entry) {
        self.apply(entry.value.as_ref(), -1);
    }

    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    fn value(&self, _: &VecDeque<Entry>) -> Result<Value> {
        if self.not_finite > 0 {
            return Ok(Value::Null);
        }
        let divisor = self.count - i64::from(self.sample);
        if divisor == 0 {
            return Ok(Value::Null);
        }
        if self.count == 1 {
            return Ok(Value::Int32(0));
        }
        let squares = to_f64(self.squares.value().as_ref()).unwrap_or(0.0);
        // With no value at all, a sample divides by -1: mongod 6.0.5 gives -0.0 for it.
        Ok(Value::Double((squares / divisor as f64).sqrt()))
    }
}

/// `$covariancePop` and `$covarianceSamp`, of pairs of numbers.
pub(super) struct CovarianceOf {
    sample: bool,
    count: i64,
    x: RemovableSum,
    y: RemovableSum,
    /// Of the products of the distances from the means, each taken when its pair came in.
    products: RemovableSum,
}

impl CovarianceOf {
    pub(super) fn new(sample: bool) -> CovarianceOf {
        CovarianceOf {
            sample,
            count: 0,
            x: RemovableSum::default(),
            y: RemovableSum::default(),
            products: RemovableSum::default(),
        }
    }
}

/// The two numbers of a pair.
fn pair(value: &Value) -> Option<(Number, Number)> {
    let array = value.as_ref();
    let mut items = array.as_array()?.values();
    let pair = (
        Number::from_value(items.next()?)?,
        Number::from_value(items.next()?)?,
    );
    items.next().is_none().then_some(pair)
}

fn divide(a: Number, count: i64) -> Number {
    match a {
        Number::Decimal(a) => Number::Decimal(a.divide(Decimal::from_i64(count))),
        #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
        _ => Number::Double(a.to_f64() / count as f64),
    }
}

/// The mean of `count` numbers; 0 of none.
fn mean(sum: &RemovableSum, count: i64) -> Number {
    match Number::from_value(sum.value().as_ref()) {
        Some(sum) if count > 0 => divide(sum, count),
        _ => Number::Int32(0),
    }
}

impl Removable for CovarianceOf {
    fn add(&mut self, entry: &Entry) {
        let Some((x, y)) = pair(&entry.value) else {
            return;
        };
        let from_x = x.subtract(mean(&self.x, self.count));
        self.count += 1;
        self.x.add(x.to_ref());
        self.y.add(y.to_ref());
        let from_y = y.subtract(mean(&self.y, self.count));
        self.products.add(from_x.multiply(from_y).to_ref());
    }

    fn remove(&mut self, entry: &Entry) {
        let Some((x, y)) = pair(&entry.value) else {
            return;
        };
        let from_y = y.subtract(mean(&self.y, self.count));
        self.count -= 1;
        self.x.remove(x.to_ref());
        self.y.remove(y.to_ref());
        if self.count == 0 {
            *self = CovarianceOf::new(self.sample);
            return;
        }
        let from_x = x.subtract(mean(&self.x, self.count));
        self.products.remove(from_x.multiply(from_y).to_ref());
    }

    fn value(&self, _: &VecDeque<Entry>) -> Result<Value> {
        let divisor = self.count - i64::from(self.sample);
        if divisor <= 0 {
            return Ok(Value::Null);
        }
        if self.count == 1 {
            // Exactly nothing, whatever rounding left of the values that went out.
            return Ok(Value::Double(0.0));
        }
        let products = self.products.value();
        Ok(match Number::from_value(products.as_ref()) {
            Some(products) => divide(products, divisor).to_value(),
            None => Value::Null,
        })
    }
}

/// What depends on nothing but the values inside: `$push`, `$count`, `$firstN`, `$lastN`.
pub(super) enum Inside {
    Push,
    Count,
    FirstN(usize),
    LastN(usize),
}

impl Removable for Inside {
    fn add(&mut self, _: &Entry) {}

    fn remove(&mut self, _: &Entry) {}

    fn value(&self, inside: &VecDeque<Entry>) -> Result<Value> {
        let values = inside.iter().map(|entry| entry.value.as_ref());
        Ok(match self {
            Inside::Push => Value::Array(DocBuf::array(
                values.filter(|value| !matches!(value, ValueRef::Missing)),
            )),
            Inside::Count => {
                Number::narrow(i64::try_from(inside.len()).unwrap_or(i64::MAX)).to_value()
            }
            Inside::FirstN(n) => Value::Array(DocBuf::array(values.take(*n))),
            Inside::LastN(n) => {
                let skip = inside.len().saturating_sub(*n);
                Value::Array(DocBuf::array(values.skip(skip)))
            }
        })
    }
}

/// What of the ordered values is the result.
#[derive(Clone, Copy)]
pub(super) enum Pick {
    /// `$min`, `$top`: the first.
    First,
    /// `$max`, `$bottom`: the last.
    Last,
    /// `$minN`, `$topN`: the first so many, in order.
    FirstN(usize),
    /// `$maxN`: the last so many, backwards.
    LastNBackwards(usize),
    /// `$bottomN`: the last so many, in order.
    LastN(usize),
    /// `$addToSet`: one of each.
    Distinct,
}

/// The values inside by their keys.
pub(super) struct Ordered {
    values: BTreeMap<Vec<u8>, Value>,
    pick: Pick,
    /// Whether null and missing values count.
    nulls: bool,
}

/// Bytes of the arrival at the end of a key.
pub(super) const ARRIVAL_BYTES: usize = 8;

impl Ordered {
    pub(super) fn new(pick: Pick, nulls: bool) -> Ordered {
        Ordered {
            values: BTreeMap::new(),
            pick,
            nulls,
        }
    }

    fn counts(&self, entry: &Entry) -> bool {
        self.nulls || !entry.value.as_ref().is_nullish()
    }
}

impl Removable for Ordered {
    fn add(&mut self, entry: &Entry) {
        if self.counts(entry) {
            self.values.insert(entry.key.clone(), entry.value.clone());
        }
    }

    fn remove(&mut self, entry: &Entry) {
        if self.counts(entry) {
            self.values.remove(&entry.key);
        }
    }

    fn value(&self, _: &VecDeque<Entry>) -> Result<Value> {
        let one = |found: Option<(&Vec<u8>, &Value)>| match found.map(|(_, value)| value) {
            None | Some(Value::Missing) => Value::Null,
            Some(value) => value.clone(),
        };
        let values = self.values.values().map(Value::as_ref);
        let array = match self.pick {
            Pick::First => return Ok(one(self.values.first_key_value())),
            Pick::Last => return Ok(one(self.values.last_key_value())),
            Pick::FirstN(n) => DocBuf::array(values.take(n)),
            Pick::LastNBackwards(n) => DocBuf::array(values.rev().take(n)),
            Pick::LastN(n) => {
                let skip = self.values.len().saturating_sub(n);
                DocBuf::array(values.skip(skip))
            }
            Pick::Distinct => {
                let mut last: Option<&[u8]> = None;
                let distinct = self.values.iter().filter_map(|(key, value)| {
                    let key = &key[..key.len().saturating_sub(ARRIVAL_BYTES)];
                    let is_new = last != Some(key);
                    last = Some(key);
                    (is_new && !matches!(value, Value::Missing)).then(|| value.as_ref())
                });
                DocBuf::array(distinct)
            }
        };
        Ok(Value::Array(array))
    }
}
