//! Equality as JSON has it: the order of a document's fields does not matter.

use std::cmp::Ordering;

use crate::value::{Doc, Element, TypeOrder, ValueRef, compare};

/// A total order in which documents are equal if they have the same fields, in whatever order.
pub(super) fn compare_unordered(a: ValueRef<'_>, b: ValueRef<'_>) -> Ordering {
    match (a, b) {
        (ValueRef::Document(a), ValueRef::Document(b)) => {
            let (a, b) = (sorted(a), sorted(b));
            let fields = a.iter().zip(&b).map(|(a, b)| {
                let (left, right) = (a.value(), b.value());
                a.key()
                    .cmp(b.key())
                    .then_with(|| compare_unordered(left, right))
            });
            first_difference(fields).then(a.len().cmp(&b.len()))
        }
        (ValueRef::Array(a), ValueRef::Array(b)) => {
            let items = a.values().zip(b.values());
            first_difference(items.map(|(a, b)| compare_unordered(a, b)))
                .then_with(|| a.iter().count().cmp(&b.iter().count()))
        }
        _ => TypeOrder::of(&a)
            .cmp(&TypeOrder::of(&b))
            .then_with(|| compare(a, b)),
    }
}

/// The first two items of `array` that are equal: the value of one.
pub(super) fn first_duplicate(array: Doc<'_>) -> Option<ValueRef<'_>> {
    let mut items: Vec<(usize, ValueRef<'_>)> = array.values().enumerate().collect();
    items.sort_by(|a, b| compare_unordered(a.1, b.1));
    items
        .windows(2)
        .filter(|pair| compare_unordered(pair[0].1, pair[1].1).is_eq())
        .map(|pair| pair[1])
        .min_by_key(|(position, _)| *position)
        .map(|(_, value)| value)
}

fn sorted(doc: Doc<'_>) -> Vec<Element<'_>> {
    let mut fields: Vec<_> = doc.iter().collect();
    fields.sort_by_key(Element::key);
    fields
}

fn first_difference(mut orders: impl Iterator<Item = Ordering>) -> Ordering {
    orders
        .find(|ordering| ordering.is_ne())
        .unwrap_or(Ordering::Equal)
}
