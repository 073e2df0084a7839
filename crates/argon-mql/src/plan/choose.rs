//! The choice of an index, and the scan it gives.

use super::bounds::Bounds;
use super::conditions::{self, Condition};
use super::interval::{Interval, Intervals};
use super::partial;
use super::ranges::{self, FieldRange};
use super::{BRANCHES_MAX, Direction, IndexScan, Plan, PlanIndex};
use crate::filter::{Node, Predicate};
use crate::index::{self, Kind};
use crate::path::Path;
use crate::sort::Sort;
use crate::value::{TypeOrder, Value};

/// Shares of a collection that conditions are taken to leave.
mod share {
    pub(super) const POINT: f64 = 0.01;
    pub(super) const UNIQUE: f64 = 0.0001;
    pub(super) const RANGE: f64 = 0.1;
    pub(super) const HALF_RANGE: f64 = 0.3;
    pub(super) const REST: f64 = 0.8;
    /// Of what a sort in memory adds to a document's cost.
    pub(super) const SORT: f64 = 0.5;
}

/// Chooses among `indexes`.
pub(super) struct Chooser<'a> {
    pub(super) indexes: &'a [PlanIndex<'a>],
    pub(super) sort: Option<&'a Sort>,
    /// Position of the only index to be used.
    pub(super) hinted: Option<usize>,
}

/// What an index would do.
struct Offer {
    index: usize,
    fields: Vec<Intervals>,
    wildcard: Option<Box<Path>>,
    /// The filter's conjuncts that the bounds answer completely.
    answered: Vec<usize>,
    /// The share of documents to be looked at.
    share: f64,
    /// The direction in which the keys are in the order of the sort, if there is one.
    sorted: Option<Direction>,
}

impl Offer {
    fn cost(&self, sorting: bool) -> f64 {
        if sorting && self.sorted.is_none() {
            self.share * (1.0 + share::SORT)
        } else {
            self.share
        }
    }
}

impl Chooser<'_> {
    /// The plan for `root`; `None` if all documents have to be looked at.
    pub(super) fn plan(&self, root: &Node) -> Option<Plan> {
        let conjuncts = conditions::conjuncts(root);
        let conditions = conditions::of(&conjuncts);
        let offers = self.indexes.iter().enumerate().filter_map(|(at, _)| {
            if self.hinted.is_some_and(|hinted| hinted != at) {
                return None;
            }
            self.offer(at, &conditions)
        });
        let sorting = self.sort.is_some();
        let best = offers.reduce(|best, next| {
            let better = next
                .cost(sorting)
                .total_cmp(&best.cost(sorting))
                .then_with(|| next.fields.len().cmp(&best.fields.len()));
            if better.is_lt() { next } else { best }
        });
        let conjunct_count = conjuncts.len();
        let direct = best.map(|offer| (offer.fields.iter().all(Intervals::is_full), offer));
        match direct {
            // A scan of a whole index, only for its order: the branches of an `$or` may do better.
            Some((true, offer)) if self.hinted.is_none() && !offer.answers_something() => {
                let union = self.union(&conjuncts);
                Some(union.unwrap_or_else(|| self.scan(offer, conjunct_count)))
            }
            Some((_, offer)) => Some(self.scan(offer, conjunct_count)),
            None => self.union(&conjuncts),
        }
    }

    /// What the index at `at` would do; `None` if it does not help.
    fn offer(&self, at: usize, conditions: &[Condition<'_>]) -> Option<Offer> {
        let index = &self.indexes[at];
        let spec = index.spec;
        let hinted = self.hinted == Some(at);
        if spec.hidden() {
            return None;
        }
        let mut conditions = conditions;
        if let Some(filter) = spec.partial_filter()
            && !partial::implies(conditions, filter.root())
        {
            if !hinted {
                return None;
            }
            // As in mongod, what the index lacks is not looked for in it.
            conditions = &[];
        }
        if spec.kind() == Kind::Wildcard {
            return self.offer_wildcard(at, conditions);
        }
        let mut offer = Offer {
            index: at,
            fields: Vec::with_capacity(spec.fields().len()),
            wildcard: None,
            answered: Vec::new(),
            share: 1.0,
            sorted: None,
        };
        let mut used: Vec<Option<Used>> = Vec::with_capacity(spec.fields().len());
        let mut present = !spec.sparse() || hinted;
        for (field_at, field) in spec.fields().iter().enumerate() {
            // Hashed keys are good for equality only.
            let found = self
                .field(index, field_at, conditions, &used)
                .filter(|(intervals, ..)| !field.hashed || intervals.is_points());
            // An index without a condition on its first field is of use only for its order.
            if field_at == 0 && found.is_none() && !hinted && self.sort.is_none() {
                return None;
            }
            let chosen =
                found.filter(|_| field_at == 0 || used.first().is_some_and(Option::is_some));
            match chosen {
                Some((intervals, answered, using)) => {
                    present |= !using.missing;
                    offer.answered.extend(answered);
                    offer.fields.push(intervals);
                    used.push(Some(using));
                }
                None => {
                    offer.fields.push(Intervals::full());
                    used.push(None);
                }
            }
        }
        if !present {
            return None;
        }
        offer.sorted = self.sorted(index, &offer.fields);
        let bounded = used.first().is_some_and(Option::is_some);
        if !bounded && !hinted && offer.sorted.is_none() {
            return None;
        }
        if !bounded && !hinted && (spec.sparse() || spec.kind() == Kind::Hashed) {
            return None;
        }
        offer.share = share_of(&offer.fields);
        if spec.unique() && offer.fields.iter().all(Intervals::is_point) {
            offer.share = share::UNIQUE;
        }
        Some(offer)
    }

    /// The values that `conditions` leave of field `at` of `index`, the conjuncts that they answer completely, and what
    /// was used.
    fn field(
        &self,
        index: &PlanIndex<'_>,
        at: usize,
        conditions: &[Condition<'_>],
        used: &[Option<Used>],
    ) -> Option<(Intervals, Vec<usize>, Used)> {
        let path = &index.spec.fields()[at].path;
        let multikey = index.multikey.field(at);
        let mut best: Option<(Intervals, Vec<usize>, Used)> = None;
        for condition in conditions {
            if *condition.path != *path {
                continue;
            }
            let Some(bounds) = condition.bounds(multikey) else {
                continue;
            };
            if !fits_collation(index, bounds) {
                continue;
            }
            // A sparse index lacks the documents that a condition also met without the field would want.
            if index.spec.sparse() && bounds.missing && self.hinted.is_none() {
                continue;
            }
            let using = Used {
                item: condition.item,
                missing: bounds.missing,
            };
            if !self.combines(index, at, using, used) {
                continue;
            }
            // An explanation has no conditions left over that a hashed key cannot decide.
            let exact = bounds.exact && index.spec.kind() == Kind::Ordered;
            let answered: Vec<usize> = exact.then_some(condition.conjunct).into_iter().collect();
            best = Some(match best.take() {
                None => (bounds.intervals.clone(), answered, using),
                Some((intervals, mut all, first)) => {
                    if !multikey || same_item(index, at, first, using) {
                        all.extend(answered);
                        let missing = first.missing && using.missing;
                        (
                            intervals.intersect(&bounds.intervals),
                            all,
                            Used { missing, ..first },
                        )
                    } else if share_of_field(&bounds.intervals) < share_of_field(&intervals) {
                        // Two items of an array may meet the two conditions, so only one of them can be used.
                        (bounds.intervals.clone(), answered, using)
                    } else {
                        (intervals, all, first)
                    }
                }
            });
        }
        best
    }

    /// Whether bounds on field `at` can be combined with those on the fields before: where both paths go through one
    /// array, they may be about two of its items, unless one `$elemMatch` ties them together.
    fn combines(
        &self,
        index: &PlanIndex<'_>,
        at: usize,
        using: Used,
        used: &[Option<Used>],
    ) -> bool {
        let fields = index.spec.fields();
        used.iter().enumerate().all(|(before, other)| {
            let Some(other) = other else {
                return true;
            };
            let shared = fields[at]
                .path
                .parts()
                .iter()
                .zip(fields[before].path.parts())
                .take_while(|(a, b)| a.name() == b.name())
                .count();
            if !index.multikey.within(at, shared) && !index.multikey.within(before, shared) {
                return true;
            }
            match (using.item, other.item) {
                (Some((a, depth)), Some((b, other_depth))) if a == b && depth == other_depth => {
                    !index.multikey.beyond(at, depth) && !index.multikey.beyond(before, depth)
                }
                _ => false,
            }
        })
    }

    /// The direction in which the keys of `index` between the bounds are in the order of the sort.
    fn sorted(&self, index: &PlanIndex<'_>, bounds: &[Intervals]) -> Option<Direction> {
        let sort = self.sort?;
        let spec = index.spec;
        if spec.kind() != Kind::Ordered {
            return None;
        }
        let same_collation = match (sort.collation(), spec.collation()) {
            (None, None) => true,
            (Some(a), Some(b)) => a.document() == b.document(),
            _ => false,
        };
        if !same_collation {
            return None;
        }
        let fields = spec.fields();
        let all_full = || bounds.iter().all(Intervals::is_full);
        let mut direction = None;
        let mut at = 0;
        for wanted in sort.fields() {
            let path = wanted.path.as_ref()?;
            // A field that is one value throughout is in any order.
            let fixed = |at: usize| bounds[at].is_point() && !index.multikey.field(at);
            if fields
                .iter()
                .enumerate()
                .any(|(at, field)| field.path == *path && fixed(at))
            {
                continue;
            }
            while at < fields.len() && fields[at].path != *path && bounds[at].is_point() {
                at += 1;
            }
            let field = fields.get(at).filter(|field| field.path == *path)?;
            // A document in an array sorts by its least item, which the bounds may have left out.
            if index.multikey.field(at) && !all_full() {
                return None;
            }
            let needed = if field.descending == wanted.descending {
                Direction::Forward
            } else {
                Direction::Backward
            };
            if direction.is_some_and(|direction| direction != needed) {
                return None;
            }
            direction = Some(needed);
            at += 1;
        }
        Some(direction.unwrap_or(Direction::Forward))
    }

    fn offer_wildcard(&self, at: usize, conditions: &[Condition<'_>]) -> Option<Offer> {
        let index = &self.indexes[at];
        let best = conditions
            .iter()
            .filter(|condition| {
                condition.item.is_none()
                    && !condition.is_negative()
                    && index.spec.covers_path(&condition.path)
            })
            .filter_map(|condition| {
                let bounds = condition.bounds(!index.multikey.is_empty())?;
                let exists = matches!(condition.predicate(), Some(Predicate::Exists));
                // Documents and arrays are taken apart, so they are no keys; missing fields have none.
                let indexed = !bounds.missing && !bounds.intervals.iter().any(spans_nested);
                ((exists || indexed) && fits_collation(index, bounds))
                    .then(|| (share_of_field(&bounds.intervals), condition, bounds))
            })
            .min_by(|a, b| a.0.total_cmp(&b.0))?;
        let (share, condition, bounds) = best;
        Some(Offer {
            index: at,
            answered: bounds
                .exact
                .then_some(condition.conjunct)
                .into_iter()
                .collect(),
            fields: vec![bounds.intervals.clone()],
            wildcard: Some(Box::new(condition.path.clone().into_owned())),
            share,
            sorted: None,
        })
    }

    fn scan(&self, offer: Offer, conjuncts: usize) -> Plan {
        let index = &self.indexes[offer.index];
        let spec = index.spec;
        let fields: Vec<FieldRange<'_>> = offer
            .fields
            .iter()
            .zip(spec.fields())
            .map(|(intervals, field)| FieldRange {
                intervals,
                descending: field.descending,
            })
            .collect();
        let (bounds, complete) = match &offer.wildcard {
            None => ranges::of(&[], &fields),
            Some(path) => (wildcard_ranges(path, &fields), true),
        };
        let answers_all = (0..conjuncts).all(|at| offer.answered.contains(&at));
        Plan::IndexScan(IndexScan {
            index: (!spec.is_id()).then(|| spec.name().to_owned()),
            bounds,
            direction: offer.sorted.unwrap_or(Direction::Forward),
            covers_sort: offer.sorted.is_some(),
            exact: complete && answers_all,
            fields: offer.fields,
            answered: offer.answered,
            wildcard: offer.wildcard,
        })
    }

    /// A plan per branch of the first `$or` of which every branch has one.
    fn union(&self, conjuncts: &[&Node]) -> Option<Plan> {
        if self.hinted.is_some() {
            return None;
        }
        conjuncts.iter().find_map(|node| {
            let Node::Or(branches) = node else {
                return None;
            };
            if branches.len() > BRANCHES_MAX {
                return None;
            }
            let branch_chooser = Chooser {
                sort: None,
                ..*self
            };
            let plans: Option<Vec<Plan>> = branches
                .iter()
                .map(|branch| branch_chooser.plan(branch))
                .collect();
            let mut plans = plans?;
            plans.iter_mut().for_each(Plan::answer_a_part);
            Some(Plan::Union(plans))
        })
    }
}

impl Offer {
    fn answers_something(&self) -> bool {
        !self.answered.is_empty()
    }
}

/// Whether the bounds mean the same in the index's collation as in the condition's.
fn fits_collation(index: &PlanIndex<'_>, bounds: &Bounds) -> bool {
    bounds.collation.as_ref() == index.spec.collation() || !bounds.has_strings()
}

/// What was used for a field.
#[derive(Clone, Copy)]
struct Used {
    item: Option<(usize, usize)>,
    missing: bool,
}

/// Whether two conditions on field `at` are about one item.
fn same_item(index: &PlanIndex<'_>, at: usize, a: Used, b: Used) -> bool {
    match (a.item, b.item) {
        (Some(a), Some(b)) => a == b && !index.multikey.beyond(at, a.1),
        _ => false,
    }
}

/// Whether a document or an array may be in the interval.
pub(super) fn spans_nested(interval: &Interval) -> bool {
    let (low, high) = (
        TypeOrder::of(&interval.low.as_ref()),
        TypeOrder::of(&interval.high.as_ref()),
    );
    // All strings end before the empty document.
    let only_below = high == TypeOrder::Document && !interval.high_in && is_edge(&interval.high);
    low <= TypeOrder::Array && high >= TypeOrder::Document && !only_below
}

/// The ranges of a wildcard index for the values of `path`; all below the path too, if any value will do.
fn wildcard_ranges(path: &Path, fields: &[FieldRange<'_>]) -> Vec<ranges::KeyRange> {
    let mut prefix = Vec::new();
    index::append_wildcard_path(&mut prefix, path.text());
    let (mut all, _) = ranges::of(&prefix, fields);
    if fields.iter().all(|field| field.intervals.is_full()) {
        let mut below = prefix;
        // The path's key without its end, then a dot: what all paths below begin with.
        below.pop();
        below.push(b'.');
        all.push(ranges::within(&below));
    }
    all
}

fn share_of(fields: &[Intervals]) -> f64 {
    let mut share = 1.0;
    let mut seeking = true;
    for field in fields {
        let own = share_of_field(field);
        // Behind a range, a condition saves little: the keys in between are walked.
        share *= if seeking { own } else { 0.8 + 0.2 * own };
        seeking &= field.is_points();
    }
    share
}

fn share_of_field(intervals: &Intervals) -> f64 {
    if intervals.is_full() {
        return 1.0;
    }
    let sum: f64 = intervals.iter().map(share_of_interval).sum();
    sum.min(0.9)
}

fn share_of_interval(interval: &Interval) -> f64 {
    if interval.is_point() {
        return share::POINT;
    }
    if matches!(interval.low, Value::MinKey) || matches!(interval.high, Value::MaxKey) {
        return share::REST;
    }
    match (is_edge(&interval.low), is_edge(&interval.high)) {
        (false, false) => share::RANGE,
        (true, true) => share::REST,
        _ => share::HALF_RANGE,
    }
}

/// Whether `value` is where a type's values start or end.
fn is_edge(value: &Value) -> bool {
    match value {
        Value::Double(v) => !v.is_finite(),
        Value::String(v) => v.is_empty(),
        Value::Document(v) | Value::Array(v) => v.len() <= 5,
        Value::DateTime(v) => *v == i64::MIN || *v == i64::MAX,
        Value::Timestamp(v) => *v == 0 || *v == u64::MAX,
        Value::ObjectId(v) => *v == [0; 12] || *v == [0xFF; 12],
        _ => false,
    }
}
