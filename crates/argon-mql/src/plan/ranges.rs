//! Intervals per field of an index as ranges of its keys.
//!
//! Strings in the intervals of a condition with a collation are sort keys already, so they are written as they are.

use std::ops::Bound;

use super::interval::{Interval, Intervals};
use crate::value::{Value, key};

/// Most ranges that one scan is split into; beyond, later fields are left to the filter.
const RANGES_MAX: usize = 10_000;

/// Keys between two bounds.
///
/// A bound may be the beginning of keys (a compound index has more fields than the plan has conditions), so the upper
/// one excludes what begins with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRange {
    /// Where the keys start.
    pub low: Bound<Vec<u8>>,
    /// Before what the keys end.
    pub high: Bound<Vec<u8>>,
}

/// A field's intervals, and whether its keys are in descending order.
pub(super) struct FieldRange<'a> {
    pub(super) intervals: &'a Intervals,
    pub(super) descending: bool,
}

/// Ranges of keys that hold all combinations of the fields' intervals, and whether they hold nothing else. Ascending,
/// not overlapping. All keys begin with `prefix`.
pub(super) fn of(prefix: &[u8], fields: &[FieldRange<'_>]) -> (Vec<KeyRange>, bool) {
    // All that is fixed so far: the combinations of values of the fields before.
    let mut starts: Vec<Vec<u8>> = vec![prefix.to_vec()];
    for (at, field) in fields.iter().enumerate() {
        let rest_is_full = || fields[at..].iter().all(|field| field.intervals.is_full());
        if field.intervals.is_full() {
            return (
                starts.iter().map(|start| within(start)).collect(),
                rest_is_full(),
            );
        }
        let many = starts.len().saturating_mul(field.intervals.len()) > RANGES_MAX;
        if many && at > 0 {
            return (starts.iter().map(|start| within(start)).collect(), false);
        }
        if !field.intervals.is_points() {
            let ranges = starts
                .iter()
                .flat_map(|start| in_order(field).map(|interval| range(start, interval, field)))
                .collect();
            let exact = fields[at + 1..]
                .iter()
                .all(|field| field.intervals.is_full());
            return (ranges, exact);
        }
        starts = starts
            .iter()
            .flat_map(|start| in_order(field).map(|interval| extended(start, &interval.low, field)))
            .collect();
    }
    (starts.iter().map(|start| within(start)).collect(), true)
}

fn in_order<'a>(field: &FieldRange<'a>) -> Box<dyn Iterator<Item = &'a Interval> + 'a> {
    if field.descending {
        Box::new(field.intervals.iter().rev())
    } else {
        Box::new(field.intervals.iter())
    }
}

fn extended(start: &[u8], value: &Value, field: &FieldRange<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(start.len() + 16);
    out.extend_from_slice(start);
    key::append(&mut out, value.as_ref(), field.descending);
    out
}

fn range(start: &[u8], interval: &Interval, field: &FieldRange<'_>) -> KeyRange {
    let low = extended(start, &interval.low, field);
    let high = extended(start, &interval.high, field);
    let ((first, first_in), (last, last_in)) = if field.descending {
        ((high, interval.high_in), (low, interval.low_in))
    } else {
        ((low, interval.low_in), (high, interval.high_in))
    };
    let low = if first_in {
        Bound::Included(first)
    } else {
        past(first).map_or(Bound::Unbounded, Bound::Included)
    };
    let high = if last_in {
        past(last).map_or(Bound::Unbounded, Bound::Excluded)
    } else {
        Bound::Excluded(last)
    };
    KeyRange { low, high }
}

/// All keys that begin with `start`.
pub(super) fn within(start: &[u8]) -> KeyRange {
    if start.is_empty() {
        return KeyRange {
            low: Bound::Unbounded,
            high: Bound::Unbounded,
        };
    }
    KeyRange {
        low: Bound::Included(start.to_vec()),
        high: past(start.to_vec()).map_or(Bound::Unbounded, Bound::Excluded),
    }
}

/// The least bytes after all that begin with `start`. `None` if there are none, which no key's beginning has.
pub fn past(mut start: Vec<u8>) -> Option<Vec<u8>> {
    while let Some(last) = start.pop() {
        if let Some(next) = last.checked_add(1) {
            start.push(next);
            return Some(start);
        }
    }
    None
}
