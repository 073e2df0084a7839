//! Sets of values as intervals of MongoDB's order: what a condition lets an index scan pass.

use std::cmp::Ordering;
use std::fmt::{self, Display as _};

use smallvec::{SmallVec, smallvec};

use crate::value::{Value, compare};

/// Values between two ends.
#[derive(Clone, Debug)]
pub(super) struct Interval {
    pub(super) low: Value,
    pub(super) low_in: bool,
    pub(super) high: Value,
    pub(super) high_in: bool,
}

impl Interval {
    pub(super) fn new(low: Value, low_in: bool, high: Value, high_in: bool) -> Interval {
        Interval {
            low,
            low_in,
            high,
            high_in,
        }
    }

    pub(super) fn point(value: Value) -> Interval {
        Interval::new(value.clone(), true, value, true)
    }

    pub(super) fn is_point(&self) -> bool {
        self.low_in && self.high_in && order(&self.low, &self.high).is_eq()
    }

    pub(super) fn is_full(&self) -> bool {
        self.low_in
            && self.high_in
            && matches!((&self.low, &self.high), (Value::MinKey, Value::MaxKey))
    }

    fn is_empty(&self) -> bool {
        match order(&self.low, &self.high) {
            Ordering::Less => false,
            Ordering::Equal => !(self.low_in && self.high_in),
            Ordering::Greater => true,
        }
    }

    fn contains(&self, value: &Value) -> bool {
        let above = match order(&self.low, value) {
            Ordering::Less => true,
            Ordering::Equal => self.low_in,
            Ordering::Greater => false,
        };
        above
            && match order(value, &self.high) {
                Ordering::Less => true,
                Ordering::Equal => self.high_in,
                Ordering::Greater => false,
            }
    }
}

fn order(a: &Value, b: &Value) -> Ordering {
    compare(a.as_ref(), b.as_ref())
}

/// The order of two lower ends: what is included starts earlier.
fn order_lows(a: &Interval, b: &Interval) -> Ordering {
    order(&a.low, &b.low).then(b.low_in.cmp(&a.low_in))
}

fn order_highs(a: &Interval, b: &Interval) -> Ordering {
    order(&a.high, &b.high).then(a.high_in.cmp(&b.high_in))
}

/// Intervals in ascending order that do not touch.
#[derive(Clone, Debug)]
pub(super) struct Intervals(SmallVec<[Interval; 1]>);

impl Intervals {
    pub(super) fn none() -> Intervals {
        Intervals(SmallVec::new())
    }

    /// All values.
    pub(super) fn full() -> Intervals {
        Intervals(smallvec![Interval::new(
            Value::MinKey,
            true,
            Value::MaxKey,
            true
        )])
    }

    pub(super) fn point(value: Value) -> Intervals {
        Intervals(smallvec![Interval::point(value)])
    }

    pub(super) fn of(intervals: impl IntoIterator<Item = Interval>) -> Intervals {
        let mut all: SmallVec<[Interval; 1]> = intervals
            .into_iter()
            .filter(|interval| !interval.is_empty())
            .collect();
        all.sort_by(order_lows);
        let mut merged: SmallVec<[Interval; 1]> = SmallVec::new();
        for next in all {
            let Some(last) = merged.last_mut() else {
                merged.push(next);
                continue;
            };
            let touching = match order(&last.high, &next.low) {
                Ordering::Greater => true,
                Ordering::Equal => last.high_in || next.low_in,
                Ordering::Less => false,
            };
            if !touching {
                merged.push(next);
            } else if order_highs(last, &next).is_lt() {
                (last.high, last.high_in) = (next.high, next.high_in);
            }
        }
        Intervals(merged)
    }

    pub(super) fn iter(&self) -> std::slice::Iter<'_, Interval> {
        self.0.iter()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_full(&self) -> bool {
        matches!(self.0.as_slice(), [only] if only.is_full())
    }

    /// Whether there is exactly one value in it.
    pub(super) fn is_point(&self) -> bool {
        matches!(self.0.as_slice(), [only] if only.is_point())
    }

    /// Whether it consists of single values.
    pub(super) fn is_points(&self) -> bool {
        self.0.iter().all(Interval::is_point)
    }

    pub(super) fn contains(&self, value: &Value) -> bool {
        self.0.iter().any(|interval| interval.contains(value))
    }

    /// Whether a value of it is null, or stands for a missing one.
    pub(super) fn has_null(&self) -> bool {
        self.contains(&Value::Null) || self.contains(&Value::Undefined)
    }

    pub(super) fn union(self, other: Intervals) -> Intervals {
        Intervals::of(self.0.into_iter().chain(other.0))
    }

    pub(super) fn intersect(&self, other: &Intervals) -> Intervals {
        let (mut left, mut right) = (self.0.iter().peekable(), other.0.iter().peekable());
        let mut both = SmallVec::new();
        while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
            let low = if order_lows(a, b).is_ge() { a } else { b };
            let high = if order_highs(a, b).is_le() { a } else { b };
            let common =
                Interval::new(low.low.clone(), low.low_in, high.high.clone(), high.high_in);
            if !common.is_empty() {
                both.push(common);
            }
            if order_highs(a, b).is_le() {
                left.next();
            } else {
                right.next();
            }
        }
        Intervals(both)
    }

    /// All other values.
    pub(super) fn complement(&self) -> Intervals {
        let mut rest = Vec::with_capacity(self.0.len() + 1);
        let (mut low, mut low_in) = (Value::MinKey, true);
        for interval in &self.0 {
            rest.push(Interval::new(
                low,
                low_in,
                interval.low.clone(),
                !interval.low_in,
            ));
            (low, low_in) = (interval.high.clone(), !interval.high_in);
        }
        rest.push(Interval::new(low, low_in, Value::MaxKey, true));
        Intervals::of(rest)
    }

    /// Whether every value of it is one of `other`.
    pub(super) fn is_within(&self, other: &Intervals) -> bool {
        self.0.iter().all(|interval| {
            other.0.iter().any(|outer| {
                order_lows(outer, interval).is_le() && order_highs(interval, outer).is_le()
            })
        })
    }
}

/// An interval as an explanation shows it: `(5, inf.0]`.
pub(super) struct Shown<'a> {
    pub(super) interval: &'a Interval,
    /// Whether it is walked from its high end.
    pub(super) backward: bool,
    /// Whether its strings are sort keys of a collation.
    pub(super) collated: bool,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let interval = self.interval;
        let (low, high) = (
            (&interval.low, interval.low_in),
            (&interval.high, interval.high_in),
        );
        let (first, last) = if self.backward {
            (high, low)
        } else {
            (low, high)
        };
        f.write_str(if first.1 { "[" } else { "(" })?;
        self.end(f, first.0)?;
        f.write_str(", ")?;
        self.end(f, last.0)?;
        f.write_str(if last.1 { "]" } else { ")" })
    }
}

impl Shown<'_> {
    fn end(&self, f: &mut fmt::Formatter<'_>, end: &Value) -> fmt::Result {
        match end {
            Value::String(key) if self.collated && !key.is_empty() => {
                f.write_str("CollationKey(0x")?;
                key.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
                f.write_str(")")
            }
            end => end.as_ref().fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(low: i32, low_in: bool, high: i32, high_in: bool) -> Interval {
        Interval::new(Value::Int32(low), low_in, Value::Int32(high), high_in)
    }

    fn text(intervals: &Intervals) -> String {
        let shown = |interval| Shown {
            interval,
            backward: false,
            collated: false,
        };
        let all: Vec<String> = intervals
            .iter()
            .map(|interval| shown(interval).to_string())
            .collect();
        all.join(" ")
    }

    #[test]
    fn unions_merge_what_touches() {
        let all = Intervals::of([
            range(5, false, 7, true),
            range(1, true, 3, false),
            range(3, true, 5, false),
            range(9, true, 8, true),
        ]);
        assert_eq!(text(&all), "[1, 5) (5, 7]");
        let all = all.union(Intervals::point(Value::Int32(5)));
        assert_eq!(text(&all), "[1, 7]");
    }

    #[test]
    fn intersections_and_complements() {
        let a = Intervals::of([range(1, true, 5, false), range(7, true, 9, true)]);
        let b = Intervals::of([range(2, false, 8, true)]);
        assert_eq!(text(&a.intersect(&b)), "(2, 5) [7, 8]");
        assert_eq!(text(&a.complement()), "[MinKey, 1) [5, 7) (9, MaxKey]");
        assert_eq!(text(&a.complement().complement()), text(&a));
        assert_eq!(Intervals::full().complement().len(), 0);
        assert!(Intervals::none().complement().is_full());
        assert!(Intervals::point(Value::Double(8.0)).is_within(&a));
        assert!(!b.is_within(&a));
    }
}
