//! The documents that a plan leads to, pulled one after the other from an immutable collection.

use std::collections::{HashSet, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use argon_mql::filter::Filter;
use argon_mql::index::{IndexSpec, Multikey};
use argon_mql::plan::{Direction, Hint, KeyRange, Plan, PlanIndex};
use argon_mql::sort::Order;
use argon_mql::{Env, Result, Value};
use bytes::Bytes;

use crate::state::{Collection, Key, RecordId, entry};

/// Documents looked at between two looks at the command's interruption, and the most taken in at a time.
const CHUNK: usize = 128;

/// The documents of a collection that pass a filter, in the order of the plan.
pub struct Records {
    collection: Arc<Collection>,
    /// What documents have to pass; `None` if those that the plan leads to do.
    filter: Option<Filter>,
    access: Access,
    ready: VecDeque<(RecordId, Bytes)>,
    /// Index entries and documents looked at.
    pub(super) examined: Examined,
}

/// What a query looked at, for `explain`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Examined {
    /// Index entries.
    pub keys: u64,
    /// Documents.
    pub documents: u64,
    /// Documents that passed the filter.
    pub found: u64,
    /// Bytes of the documents that passed the filter.
    pub found_bytes: u64,
}

/// How the next documents are found.
enum Access {
    Done,
    /// By `_id`, one after the other.
    Ids(std::vec::IntoIter<Value>),
    /// In natural order, from after the record.
    Natural {
        from: Option<RecordId>,
        backward: bool,
    },
    /// By an index.
    Index(Box<IndexAccess>),
    /// The branches of an `$or`, one after the other, each document once.
    Union {
        branches: std::vec::IntoIter<Records>,
        seen: HashSet<RecordId>,
    },
}

struct IndexAccess {
    /// The index's name; `None` is the `_id` index.
    name: Option<String>,
    ranges: VecDeque<(Bound<Key>, Bound<Key>)>,
    backward: bool,
    /// Records already given, where one may stand in the index more than once.
    seen: Option<HashSet<RecordId>>,
}

/// Plans `filter` and `order` over the indexes of `collection`.
///
/// # Errors
/// MongoDB's error for a hint that names no index.
pub fn plan(
    collection: &Collection,
    filter: &Filter,
    order: &Order,
    hint: Option<&Hint>,
) -> Result<Plan> {
    let mut indexes: Vec<PlanIndex<'_>> = collection
        .indexes()
        .iter()
        .map(|index| PlanIndex {
            spec: &index.spec,
            multikey: &index.multikey,
        })
        .collect();
    // The planner takes the keys of the `_id` index for plain ones; a collection with a collation has others.
    let id = collection
        .options
        .collation
        .as_deref()
        .map(IndexSpec::id_collated);
    let none = Multikey::default();
    if let Some(spec) = &id {
        indexes.push(PlanIndex {
            spec,
            multikey: &none,
        });
    }
    argon_mql::plan::plan(filter, order, hint, &indexes)
}

impl Records {
    /// Runs `plan`, which was made for `filter`, over `collection`.
    pub fn new(collection: Arc<Collection>, filter: Filter, plan: &Plan) -> Records {
        let access = match plan {
            Plan::Empty => Access::Done,
            Plan::IdLookup { ids } => Access::Ids(ids.clone().into_iter()),
            // The order of `_id` is the natural one there.
            Plan::CollScan { direction } if collection.options.clustered => {
                Access::Index(Box::new(IndexAccess {
                    name: None,
                    ranges: VecDeque::from([(Bound::Unbounded, Bound::Unbounded)]),
                    backward: *direction == Direction::Backward,
                    seen: None,
                }))
            }
            Plan::CollScan { direction } => Access::Natural {
                from: None,
                backward: *direction == Direction::Backward,
            },
            Plan::IndexScan(scan) => {
                let multikey = scan
                    .index
                    .as_deref()
                    .and_then(|name| collection.index(name))
                    .is_some_and(|index| !index.multikey.is_empty());
                let backward = scan.direction == Direction::Backward;
                let mut ranges: VecDeque<_> = scan
                    .bounds
                    .iter()
                    .map(|range| entry_range(range, scan.index.is_some()))
                    .collect();
                if backward {
                    ranges.make_contiguous().reverse();
                }
                Access::Index(Box::new(IndexAccess {
                    name: scan.index.clone(),
                    ranges,
                    backward,
                    seen: multikey.then(HashSet::new),
                }))
            }
            Plan::Union(plans) => {
                let branches: Vec<Records> = plans
                    .iter()
                    .map(|plan| Records::new(Arc::clone(&collection), filter.clone(), plan))
                    .collect();
                Access::Union {
                    branches: branches.into_iter(),
                    seen: HashSet::new(),
                }
            }
        };
        Records {
            collection,
            filter: (!plan.is_exact() && !filter.is_empty()).then_some(filter),
            access,
            ready: VecDeque::new(),
            examined: Examined::default(),
        }
    }

    /// Walks the keys of an index (`None` is the `_id` index) from `low` up to before `high`.
    pub(super) fn range(
        collection: Arc<Collection>,
        filter: Filter,
        index: Option<String>,
        low: Bound<Key>,
        high: Bound<Key>,
    ) -> Records {
        let multikey = index
            .as_deref()
            .and_then(|name| collection.index(name))
            .is_some_and(|index| !index.multikey.is_empty());
        Records {
            collection,
            filter: (!filter.is_empty()).then_some(filter),
            access: Access::Index(Box::new(IndexAccess {
                name: index,
                ranges: VecDeque::from([(low, high)]),
                backward: false,
                seen: multikey.then(HashSet::new),
            })),
            ready: VecDeque::new(),
            examined: Examined::default(),
        }
    }

    /// The next document and its place.
    ///
    /// # Errors
    /// What the filter's expressions fail with, and the command's interruption.
    pub fn next(&mut self, env: &Env<'_>) -> Result<Option<(RecordId, Bytes)>> {
        loop {
            if let Some(found) = self.ready.pop_front() {
                return Ok(Some(found));
            }
            if matches!(self.access, Access::Done) {
                return Ok(None);
            }
            self.fill(env)?;
        }
    }

    /// Looks at the next few documents, or finds that there are no more.
    fn fill(&mut self, env: &Env<'_>) -> Result<()> {
        match &mut self.access {
            Access::Done => {}
            Access::Ids(ids) => {
                let Some(id) = ids.next() else {
                    self.access = Access::Done;
                    return Ok(());
                };
                if let Some(record) = self.collection.find_id(id.as_ref())
                    && let Some(document) = self.collection.document(record)
                    && self.examined.document()
                    && passes(self.filter.as_ref(), document, env)?
                {
                    self.ready.push_back((record, document.clone()));
                }
            }
            Access::Natural { from, backward } => {
                (env.check_interrupt)()?;
                let mut last = None;
                let mut look = |record: RecordId, document: &Bytes| -> Result<()> {
                    last = Some(record);
                    self.examined.document();
                    if passes(self.filter.as_ref(), document, env)? {
                        self.ready.push_back((record, document.clone()));
                    }
                    Ok(())
                };
                if *backward {
                    for (record, document) in self.collection.before(*from).take(CHUNK) {
                        look(record, document)?;
                    }
                } else {
                    for (record, document) in self.collection.after(*from).take(CHUNK) {
                        look(record, document)?;
                    }
                }
                match last {
                    Some(last) => *from = Some(last),
                    None => self.access = Access::Done,
                }
            }
            Access::Index(access) => {
                (env.check_interrupt)()?;
                let examined = &mut self.examined;
                // The documents of a clustered collection are its index by `_id`: there are no keys beside them.
                let mut uncounted = 0;
                let keys = if access.name.is_none() && self.collection.options.clustered {
                    &mut uncounted
                } else {
                    &mut examined.keys
                };
                let more = access.step(&self.collection, keys, |record, document| {
                    examined.documents += 1;
                    if passes(self.filter.as_ref(), document, env)? {
                        self.ready.push_back((record, document.clone()));
                    }
                    Ok(())
                })?;
                if !more {
                    self.access = Access::Done;
                }
            }
            Access::Union { branches, seen } => {
                let Some(branch) = branches.as_mut_slice().first_mut() else {
                    self.access = Access::Done;
                    return Ok(());
                };
                match branch.next(env)? {
                    Some((record, document)) => {
                        if seen.insert(record) {
                            self.ready.push_back((record, document));
                        }
                    }
                    None => {
                        self.examined.add(branch.examined);
                        drop(branches.next());
                    }
                }
            }
        }
        Ok(())
    }
}

fn passes(filter: Option<&Filter>, document: &Bytes, env: &Env<'_>) -> Result<bool> {
    match filter {
        Some(filter) => filter.matches(document, env),
        None => Ok(true),
    }
}

impl Examined {
    fn document(&mut self) -> bool {
        self.documents += 1;
        true
    }

    fn add(&mut self, other: Examined) {
        self.keys += other.keys;
        self.documents += other.documents;
    }
}

/// Runs `plan` for its counts only, up to `enough` documents.
///
/// # Errors
/// What the filter's expressions fail with, and the command's interruption.
pub fn examine(
    collection: &Arc<Collection>,
    filter: &Filter,
    plan: &Plan,
    enough: Option<u64>,
    env: &Env<'_>,
) -> Result<Examined> {
    let mut records = Records::new(Arc::clone(collection), filter.clone(), plan);
    let (mut found, mut found_bytes) = (0, 0);
    while enough.is_none_or(|enough| found < enough)
        && let Some((_, document)) = records.next(env)?
    {
        found += 1;
        found_bytes += document.len() as u64;
    }
    Ok(Examined {
        found,
        found_bytes,
        ..records.examined
    })
}

impl IndexAccess {
    /// Looks at the next entries of the first range left; false if none is left.
    fn step(
        &mut self,
        collection: &Collection,
        keys: &mut u64,
        mut look: impl FnMut(RecordId, &Bytes) -> Result<()>,
    ) -> Result<bool> {
        let Some((low, high)) = self.ranges.front_mut() else {
            return Ok(false);
        };
        let bounds = (borrow(low), borrow(high));
        let mut visit = |entries: &mut dyn Iterator<Item = (&[u8], RecordId)>| -> Result<_> {
            for looked in 1..=CHUNK {
                let Some((key, record)) = entries.next() else {
                    return Ok(None);
                };
                *keys += 1;
                let fresh = self.seen.as_mut().is_none_or(|seen| seen.insert(record));
                if fresh && let Some(document) = collection.document(record) {
                    look(record, document)?;
                }
                if looked == CHUNK {
                    return Ok(Some(match self.name {
                        Some(_) => entry(key, record),
                        None => Key::from_slice(key),
                    }));
                }
            }
            Ok(None)
        };
        let index = match &self.name {
            Some(name) => match collection.index(name) {
                Some(index) => Some(index),
                None => return Ok(false),
            },
            None => None,
        };
        let last = match (index, self.backward) {
            (None, false) => visit(&mut collection.ids(bounds))?,
            (None, true) => visit(&mut collection.ids_descending(bounds))?,
            (Some(index), false) => visit(&mut index.ascending(bounds))?,
            (Some(index), true) => visit(&mut index.descending(bounds))?,
        };
        match last {
            Some(last) => {
                let rest = Bound::Excluded(last);
                if self.backward {
                    *high = rest
                } else {
                    *low = rest
                }
            }
            None => drop(self.ranges.pop_front()),
        }
        Ok(true)
    }
}

fn borrow(bound: &Bound<Key>) -> Bound<&[u8]> {
    bound.as_ref().map(Key::as_slice)
}

/// A range of keys as a range of entries. A secondary index's entries are keys followed by a record's id, so a bound at a
/// key has to say on which side of *all* its records it is.
fn entry_range(range: &KeyRange, secondary: bool) -> (Bound<Key>, Bound<Key>) {
    let past = |key: &[u8]| {
        let all_records: &[u8] = if secondary { &[0xFF; 9] } else { &[] };
        Key::concat(key, all_records)
    };
    let low = match &range.low {
        Bound::Unbounded => Bound::Unbounded,
        Bound::Included(key) => Bound::Included(Key::from_slice(key)),
        Bound::Excluded(key) => Bound::Excluded(past(key)),
    };
    let high = match &range.high {
        Bound::Unbounded => Bound::Unbounded,
        Bound::Included(key) => Bound::Included(past(key)),
        Bound::Excluded(key) => Bound::Excluded(Key::from_slice(key)),
    };
    (low, high)
}
