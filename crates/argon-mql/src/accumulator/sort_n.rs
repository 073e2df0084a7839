//! `$firstN`, `$lastN`, `$minN`, `$maxN`, and `$top`, `$topN`, `$bottom`, `$bottomN`.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use super::position::{keep, size_of};
use super::{Column, Flags, GATHERED_BYTES_MAX, Spec, saved_values, too_much};
use crate::collation::Collation;
use crate::expr::{Expr, Scope};
use crate::sort::Sort;
use crate::value::decimal::Decimal;
use crate::value::{Doc, DocBuf, Value, ValueRef, key};
use crate::{Error, ParseContext, Result};

/// Which `n` values are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keep {
    First,
    Last,
    Least,
    Greatest,
    /// The first by the sort.
    Top,
    /// The last by the sort.
    Bottom,
}

#[derive(Debug)]
struct BestN {
    name: &'static str,
    keep: Keep,
    input: Expr,
    /// `None` for one bare value.
    n: Option<Expr>,
    sort: Option<SortBy>,
    collation: Option<Arc<Collation>>,
}

pub(super) fn first_n(
    name: &'static str,
    value: ValueRef<'_>,
    cx: &ParseContext,
) -> Result<Arc<dyn Spec>> {
    n_spec(name, Keep::First, value, cx)
}

pub(super) fn last_n(
    name: &'static str,
    value: ValueRef<'_>,
    cx: &ParseContext,
) -> Result<Arc<dyn Spec>> {
    n_spec(name, Keep::Last, value, cx)
}

pub(super) fn min_n(
    name: &'static str,
    value: ValueRef<'_>,
    cx: &ParseContext,
) -> Result<Arc<dyn Spec>> {
    n_spec(name, Keep::Least, value, cx)
}

pub(super) fn max_n(
    name: &'static str,
    value: ValueRef<'_>,
    cx: &ParseContext,
) -> Result<Arc<dyn Spec>> {
    n_spec(name, Keep::Greatest, value, cx)
}

pub(super) fn top(
    name: &'static str,
    value: ValueRef<'_>,
    cx: &ParseContext,
) -> Result<Arc<dyn Spec>> {
    sorted_spec(name, Keep::Top, false, value, cx)
}

pub(super) fn top_n(
    name: &'static str,
    value: ValueRef<'_>,
    cx: &ParseContext,
) -> Result<Arc<dyn Spec>> {
    sorted_spec(name, Keep::Top, true, value, cx)
}

pub(super) fn bottom(
    name: &'static str,
    value: ValueRef<'_>,
    cx: &ParseContext,
) -> Result<Arc<dyn Spec>> {
    sorted_spec(name, Keep::Bottom, false, value, cx)
}

pub(super) fn bottom_n(
    name: &'static str,
    value: ValueRef<'_>,
    cx: &ParseContext,
) -> Result<Arc<dyn Spec>> {
    sorted_spec(name, Keep::Bottom, true, value, cx)
}

fn n_spec(
    name: &'static str,
    keep: Keep,
    value: ValueRef<'_>,
    cx: &ParseContext,
) -> Result<Arc<dyn Spec>> {
    let Some(doc) = value.as_document() else {
        return Err(Error::location(
            5_787_801,
            format!("specification must be an object; found {name}"),
        ));
    };
    let (input, n) = n_arguments(doc, cx)?;
    Ok(Arc::new(BestN {
        name,
        keep,
        input,
        n: Some(n),
        sort: None,
        collation: cx.collation.clone(),
    }))
}

/// `{input, n}` as `$firstN` and its siblings take them, here and in windows.
///
/// # Errors
/// 5787901 unknown argument, 5787906 no `n`, 5787907 no `input`.
pub(crate) fn n_arguments(doc: Doc<'_>, cx: &ParseContext) -> Result<(Expr, Expr)> {
    let (mut input, mut n) = (None, None);
    for element in doc.iter() {
        match &**element.key() {
            b"input" => input = Some(Expr::parse(element.value(), cx)?),
            b"n" => n = Some(Expr::parse(element.value(), cx)?),
            other => {
                return Err(Error::location(
                    5_787_901,
                    format!(
                        "Unknown argument for 'n' operator: {}",
                        String::from_utf8_lossy(other)
                    ),
                ));
            }
        }
    }
    let n = n.ok_or_else(|| Error::location(5_787_906, "Missing value for 'n'"))?;
    let input = input.ok_or_else(|| Error::location(5_787_907, "Missing value for 'input'"))?;
    Ok((input, n))
}

/// `{output, sortBy, n}` as `$top` and its siblings take them.
pub(crate) struct SortedArguments {
    pub(crate) output: Expr,
    pub(crate) n: Option<Expr>,
    /// `None` for the empty sort, by which all documents are equal.
    pub(crate) sort: Option<SortBy>,
}

/// The order of `$top` and its siblings.
///
/// Unlike that of a `$sort`, it takes an array as a whole, but for an empty one, which comes before null.
#[derive(Clone, Debug)]
pub(crate) struct SortBy {
    /// The values to compare, and whether greater ones come first.
    fields: Vec<(Expr, bool)>,
    collation: Option<Arc<Collation>>,
}

impl SortBy {
    fn new(sort: &Sort, cx: &ParseContext) -> Result<SortBy> {
        let mut fields = Vec::new();
        for field in sort.fields() {
            // Without a path it is a random value, by which every order is right.
            if let Some(path) = &field.path {
                let path = [&b"$"[..], path.text()].concat();
                let value = Expr::parse(ValueRef::String(path[..].into()), cx)?;
                fields.push((value, field.descending));
            }
        }
        Ok(SortBy {
            fields,
            collation: cx.collation.clone(),
        })
    }

    /// Appends the bytes by which the document of `scope` compares.
    ///
    /// # Errors
    /// `BadValue` if two of the values are arrays.
    pub(crate) fn append_key(&self, out: &mut Vec<u8>, scope: &Scope<'_>) -> Result<()> {
        let mut arrays = 0;
        for (field, descending) in &self.fields {
            let value = field.operand(scope)?;
            let value = match value.as_ref() {
                ValueRef::Missing => ValueRef::Null,
                ValueRef::Array(array) => {
                    arrays += 1;
                    if array.is_empty() {
                        ValueRef::Undefined
                    } else {
                        ValueRef::Array(array)
                    }
                }
                value => value,
            };
            if arrays > 1 {
                return Err(Error::bad_value(
                    "cannot sort with keys that are parallel arrays",
                ));
            }
            key::append_with(out, value, *descending, self.collation.as_deref());
        }
        Ok(())
    }
}

/// Reads the arguments of `$top` and its siblings, here and in windows; `many`: whether `n` is one of them.
///
/// # Errors
/// 5788001 no object, 5788002 unknown argument, 5788003 no `n`, 5788004 no `output`, 5788005 no `sortBy`.
pub(crate) fn sorted_arguments(
    name: &str,
    many: bool,
    value: ValueRef<'_>,
    cx: &ParseContext,
) -> Result<SortedArguments> {
    let Some(doc) = value.as_document() else {
        return Err(Error::location(
            5_788_001,
            format!("specification must be an object; found {name}"),
        ));
    };
    let (mut output, mut n, mut sort) = (None, None, None);
    for element in doc.iter() {
        match &**element.key() {
            b"output" => output = Some(Expr::parse(element.value(), cx)?),
            b"n" if many => n = Some(Expr::parse(element.value(), cx)?),
            b"sortBy" => {
                let Some(spec) = element.value().as_document() else {
                    return Err(Error::location(
                        10065,
                        "invalid parameter: expected an object (sortBy)",
                    ));
                };
                sort = Some(if spec.is_empty() {
                    None
                } else {
                    Some(SortBy::new(&Sort::parse(spec)?, cx)?)
                });
            }
            other => {
                return Err(Error::location(
                    5_788_002,
                    format!(
                        "Unknown argument to {name} '{}'",
                        String::from_utf8_lossy(other)
                    ),
                ));
            }
        }
    }
    if many && n.is_none() {
        return Err(Error::location(5_788_003, "Missing value for 'n'"));
    }
    let output = output.ok_or_else(|| Error::location(5_788_004, "Missing value for 'output'"))?;
    let sort = sort.ok_or_else(|| Error::location(5_788_005, "Missing value for 'sortBy'"))?;
    Ok(SortedArguments { output, n, sort })
}

fn sorted_spec(
    name: &'static str,
    keep: Keep,
    many: bool,
    value: ValueRef<'_>,
    cx: &ParseContext,
) -> Result<Arc<dyn Spec>> {
    let arguments = sorted_arguments(name, many, value, cx)?;
    Ok(Arc::new(BestN {
        name,
        keep,
        input: arguments.output,
        n: arguments.n,
        sort: arguments.sort,
        collation: cx.collation.clone(),
    }))
}

/// Checks what `n` evaluated to.
///
/// # Errors
/// 5787902 no number, 5787903 not integral, 5787908 not positive.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a double beyond 64 bits saturates, and then is not equal to what it was"
)]
pub(crate) fn check_n(value: ValueRef<'_>) -> Result<usize> {
    let not_integral = |code| {
        Error::location(
            code,
            format!("Value for 'n' must be of integral type, but found {value:?}"),
        )
    };
    let integer = |n: f64| (n.fract() == 0.0 && n.abs() < 9.0e18).then_some(n as i64);
    let n = match value {
        ValueRef::Int32(n) => Some(i64::from(n)),
        ValueRef::Int64(n) => Some(n),
        ValueRef::Double(n) if !n.is_finite() => {
            return Err(Error::location(
                31109,
                format!("Can't coerce out of range value {n} to long"),
            ));
        }
        ValueRef::Double(n) => integer(n),
        // What is no integer may be too close to one to be told apart as a double.
        ValueRef::Decimal128(bytes) => {
            let decimal = Decimal::from_bytes(bytes);
            decimal.to_i64().or_else(|| integer(decimal.to_f64()))
        }
        _ => return Err(not_integral(5_787_902)),
    };
    let n = n.ok_or_else(|| not_integral(5_787_903))?;
    if n <= 0 {
        return Err(Error::location(
            5_787_908,
            format!("'n' must be greater than 0, found {n}"),
        ));
    }
    Ok(usize::try_from(n).unwrap_or(usize::MAX))
}

impl Spec for BestN {
    fn column(self: Arc<Self>, _: Flags) -> Box<dyn Column> {
        Box::new(BestColumn {
            spec: self,
            groups: Vec::new(),
        })
    }
}

struct BestColumn {
    spec: Arc<BestN>,
    groups: Vec<Group>,
}

struct Group {
    n: usize,
    values: Values,
    bytes: usize,
}

enum Values {
    /// In order of arrival.
    Arrived(VecDeque<Value>),
    /// By sortable key, then arrival.
    Ordered(BTreeMap<(Vec<u8>, u64), Value>, u64),
}

impl Column for BestColumn {
    fn begin(&mut self, id: &Bytes, scope: &Scope<'_>) -> Result<()> {
        let n = match &self.spec.n {
            Some(n) => check_n(n.operand(&Scope::new(id, scope.env()))?.as_ref())?,
            None => 1,
        };
        let values = match self.spec.keep {
            Keep::First | Keep::Last => Values::Arrived(VecDeque::new()),
            _ => Values::Ordered(BTreeMap::new(), 0),
        };
        self.groups.push(Group {
            n,
            values,
            bytes: 0,
        });
        Ok(())
    }

    fn add(&mut self, group: usize, _: &Bytes, scope: &Scope<'_>) -> Result<usize> {
        let spec = &*self.spec;
        let Some(group) = self.groups.get_mut(group) else {
            return Ok(0);
        };
        let value = || Ok(keep(&spec.input.operand(scope)?));
        let mut sortable = Vec::new();
        match spec.keep {
            Keep::First | Keep::Last => group.offer(spec, sortable, value),
            Keep::Top | Keep::Bottom => {
                if let Some(sort) = &spec.sort {
                    sort.append_key(&mut sortable, scope)?;
                }
                group.offer(spec, sortable, value)
            }
            Keep::Least | Keep::Greatest => {
                let value = spec.input.operand(scope)?;
                if value.is_nullish() {
                    return Ok(0);
                }
                let collation = spec.collation.as_deref();
                key::append_with(&mut sortable, value.as_ref(), false, collation);
                group.offer(spec, sortable, || Ok(keep(&value)))
            }
        }
    }

    fn value(&self, group: usize) -> Result<Value> {
        let Some(group) = self.groups.get(group) else {
            return Ok(Value::Null);
        };
        let many = self.spec.n.is_some();
        Ok(match &group.values {
            Values::Arrived(values) => result(values.iter(), many),
            // The greatest first; of equal ones, the last that came.
            Values::Ordered(values, _) if self.spec.keep == Keep::Greatest => {
                result(values.values().rev(), many)
            }
            Values::Ordered(values, _) => result(values.values(), many),
        })
    }

    fn save(&mut self, group: usize) -> Value {
        let Some(group) = self.groups.get_mut(group) else {
            return Value::Null;
        };
        // Keys and values in turns, in the order in which they came.
        let values = match std::mem::replace(&mut group.values, Values::Arrived(VecDeque::new())) {
            Values::Arrived(values) => values
                .into_iter()
                .map(|value| (Vec::new(), value))
                .collect(),
            Values::Ordered(values, _) => {
                let mut values: Vec<_> = values.into_iter().collect();
                values.sort_by_key(|((_, arrival), _)| *arrival);
                let values = values.into_iter().map(|((key, _), value)| (key, value));
                values.collect::<Vec<_>>()
            }
        };
        group.bytes = 0;
        Value::Array(DocBuf::array(values.iter().flat_map(|(key, value)| {
            let key = ValueRef::Binary {
                subtype: 0,
                bytes: key,
            };
            [key, value.as_ref()]
        })))
    }

    fn load(&mut self, group: usize, saved: ValueRef<'_>) -> Result<()> {
        let Some(group) = self.groups.get_mut(group) else {
            return Ok(());
        };
        let mut parts = saved_values(saved);
        while let (Some(ValueRef::Binary { bytes, .. }), Some(value)) = (parts.next(), parts.next())
        {
            group.offer(&self.spec, bytes.to_vec(), || Ok(Value::copy_of(value)))?;
        }
        Ok(())
    }
}

impl Group {
    /// Takes the value that `value` gives in, if it is among the best; answers by how many bytes the group grew.
    fn offer(
        &mut self,
        spec: &BestN,
        sortable: Vec<u8>,
        value: impl FnOnce() -> Result<Value>,
    ) -> Result<usize> {
        let before = self.bytes;
        match &mut self.values {
            Values::Arrived(values) => {
                if values.len() >= self.n {
                    if spec.keep == Keep::First {
                        return Ok(0);
                    }
                    if let Some(old) = values.pop_front() {
                        self.bytes -= cost(&old, 0);
                    }
                }
                let value = value()?;
                self.bytes += cost(&value, 0);
                values.push_back(value);
            }
            Values::Ordered(values, arrivals) => {
                let place = (sortable, *arrivals);
                let full = values.len() >= self.n;
                let keeps_last = matches!(spec.keep, Keep::Bottom | Keep::Greatest);
                let loses = match spec.keep {
                    // Of equal values, the first that came are kept.
                    Keep::Greatest => values
                        .first_key_value()
                        .is_some_and(|((key, _), _)| place.0 <= *key),
                    _ if keeps_last => values.first_key_value().is_some_and(|(k, _)| place < *k),
                    _ => values.last_key_value().is_some_and(|(k, _)| place > *k),
                };
                if full && loses {
                    return Ok(0);
                }
                *arrivals += 1;
                let value = value()?;
                self.bytes += cost(&value, place.0.len());
                values.insert(place, value);
                if full {
                    let out = match keeps_last {
                        true => values.pop_first(),
                        false => values.pop_last(),
                    };
                    if let Some(((key, _), value)) = out {
                        self.bytes -= cost(&value, key.len());
                    }
                }
            }
        }
        if self.bytes > GATHERED_BYTES_MAX {
            return Err(too_much(spec.name));
        }
        Ok(self.bytes.saturating_sub(before))
    }
}

/// The values as an array, or the only one.
fn result<'v>(mut values: impl Iterator<Item = &'v Value>, many: bool) -> Value {
    if many {
        Value::Array(DocBuf::array(values.map(Value::as_ref)))
    } else {
        values.next().cloned().unwrap_or(Value::Null)
    }
}

/// Bytes that a kept value costs, with its key.
fn cost(value: &Value, key: usize) -> usize {
    std::mem::size_of::<Value>() + size_of(value) + key
}
