//! The documents that a plan leads to, pulled one after the other from an immutable collection.

use std::collections::{HashSet, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use argon_mql::filter::Filter;
use argon_mql::index::{IndexSpec, Multikey};
use argon_mql::plan::{Direction, Hint, KeyRange, Plan, PlanIndex, past};
use argon_mql::sort::Order;
use argon_mql::{Doc, DocBuf, Env, Result, Value};
use bytes::Bytes;
use smallvec::SmallVec;

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
    /// The index keys by which those in `ready` were found, if they are asked for; empty without an index.
    keys: Option<VecDeque<Bytes>>,
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
    /// Of how many of the index's fields each combination of values is wanted once.
    distinct: Option<usize>,
    /// The beginning of the last key of that kind.
    last: Vec<u8>,
}

/// Keys with the beginning of the one before that are stepped over before the next is searched for from above.
const STEPS_MAX: usize = 8;

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
                    distinct: None,
                    last: Vec::new(),
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
                    distinct: None,
                    last: Vec::new(),
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
            keys: None,
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
                distinct: None,
                last: Vec::new(),
            })),
            ready: VecDeque::new(),
            keys: None,
            examined: Examined::default(),
        }
    }

    /// From now on gives one document for each combination of values of the first `fields` of the index that it walks
    /// forward, which has no arrays.
    pub(super) fn give_distinct(&mut self, fields: usize) {
        if let Access::Index(access) = &mut self.access
            && !access.backward
            && access.seen.is_none()
        {
            access.distinct = Some(fields);
        }
    }

    /// How many documents there are, up to `enough`, counted by the keys of an index alone; `None` if documents have to
    /// be looked at.
    ///
    /// # Errors
    /// The command's interruption.
    pub(super) fn count_keys(&mut self, enough: u64, env: &Env<'_>) -> Result<Option<u64>> {
        if self.filter.is_some() {
            return Ok(None);
        }
        let Access::Index(access) = &mut self.access else {
            return Ok(None);
        };
        let mut count = 0;
        for (low, high) in access.ranges.drain(..) {
            let bounds = (borrow(&low), borrow(&high));
            let mut add = |entries: &mut dyn Iterator<Item = (&[u8], RecordId)>| -> Result<()> {
                for (at, (_, record)) in entries.enumerate() {
                    if at % CHUNK == 0 {
                        (env.check_interrupt)()?;
                    }
                    if count >= enough {
                        break;
                    }
                    let fresh = access.seen.as_mut().is_none_or(|seen| seen.insert(record));
                    count += u64::from(fresh);
                }
                Ok(())
            };
            match &access.name {
                None => add(&mut self.collection.ids(bounds))?,
                Some(name) => {
                    if let Some(index) = self.collection.index(name) {
                        add(&mut index.ascending(bounds))?;
                    }
                }
            }
        }
        Ok(Some(count))
    }

    /// From now on tells the index keys by which documents are found.
    pub(super) fn tell_keys(&mut self) {
        self.keys = Some(VecDeque::new());
        if let Access::Union { branches, .. } = &mut self.access {
            branches
                .as_mut_slice()
                .iter_mut()
                .for_each(Records::tell_keys);
        }
    }

    /// As [`next`](Self::next), with the index key as a document; empty if no index was used.
    pub(super) fn next_with_key(
        &mut self,
        env: &Env<'_>,
    ) -> Result<Option<(RecordId, Bytes, Bytes)>> {
        let next = self.next(env)?;
        let key = self.keys.as_mut().and_then(VecDeque::pop_front);
        Ok(next.map(|(record, document)| (record, document, key.unwrap_or_default())))
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
                    if let Some(keys) = &mut self.keys {
                        let mut key = DocBuf::new();
                        key.append("_id", id.as_ref());
                        keys.push_back(key.finish());
                    }
                }
            }
            Access::Natural { from, backward } => {
                (env.check_interrupt)()?;
                let near: SmallVec<[_; CHUNK]> = if *backward {
                    self.collection.before(*from).take(CHUNK).collect()
                } else {
                    self.collection.after(*from).take(CHUNK).collect()
                };
                fetch(&near);
                for &(record, document) in &near {
                    self.examined.document();
                    if passes(self.filter.as_ref(), document, env)? {
                        self.ready.push_back((record, document.clone()));
                    }
                }
                match near.last() {
                    Some((last, _)) => *from = Some(*last),
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
                let told = &mut self.keys;
                let collection = &self.collection;
                let name = access.name.clone();
                let more = access.step(collection, keys, |key, record, document| {
                    examined.documents += 1;
                    if passes(self.filter.as_ref(), document, env)? {
                        self.ready.push_back((record, document.clone()));
                        if let Some(keys) = told {
                            keys.push_back(key_document(
                                collection,
                                name.as_deref(),
                                document,
                                key,
                            ));
                        }
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
                match branch.next_with_key(env)? {
                    Some((record, document, key)) => {
                        if seen.insert(record) {
                            self.ready.push_back((record, document));
                            if let Some(keys) = &mut self.keys {
                                keys.push_back(key);
                            }
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

/// The key of `document` in the index `name` (`None` is the `_id` index) as a document.
fn key_document(
    collection: &Collection,
    name: Option<&str>,
    document: &Bytes,
    key: &[u8],
) -> Bytes {
    let document = Doc::new(document);
    match name {
        Some(name) => collection
            .index(name)
            .map_or_else(Bytes::new, |index| index.spec.key_document(document, key)),
        None => {
            let mut out = DocBuf::new();
            if let Some(id) = document.get("_id") {
                out.append("_id", id);
            }
            out.finish()
        }
    }
}

/// Has the processor bring the documents' first bytes near, all at a time. A filter, which looks at one after the other,
/// would wait for each in turn: in a collection of a million documents that is more time than it takes to match them.
fn fetch(documents: &[(RecordId, &Bytes)]) {
    const LINE: usize = 64;
    let mut sum = 0;
    for (_, document) in documents {
        for byte in document.iter().step_by(LINE).take(4) {
            sum ^= byte;
        }
    }
    std::hint::black_box(sum);
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
    let records = Records::new(Arc::clone(collection), filter.clone(), plan);
    examine_records(records, enough, env)
}

/// As [`examine`], of records that were opened already.
///
/// # Errors
/// As [`examine`].
pub fn examine_records(
    mut records: Records,
    enough: Option<u64>,
    env: &Env<'_>,
) -> Result<Examined> {
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
        mut look: impl FnMut(&[u8], RecordId, &Bytes) -> Result<()>,
    ) -> Result<bool> {
        if let (Some(fields), Some(name)) = (self.distinct, self.name.clone()) {
            return self.step_distinct(collection, &name, fields, keys, look);
        }
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
                    look(key, record, document)?;
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

impl IndexAccess {
    /// As [`step`](Self::step), with one entry of those whose first `fields` have the same values.
    fn step_distinct(
        &mut self,
        collection: &Collection,
        name: &str,
        fields: usize,
        keys: &mut u64,
        mut look: impl FnMut(&[u8], RecordId, &Bytes) -> Result<()>,
    ) -> Result<bool> {
        let (Some((low, high)), Some(index)) = (self.ranges.front_mut(), collection.index(name))
        else {
            return Ok(false);
        };
        let mut next = None;
        let (mut looked, mut steps) = (0, 0);
        for (key, record) in index.ascending((borrow(low), borrow(high))) {
            *keys += 1;
            if !self.last.is_empty() && key.starts_with(&self.last) {
                steps += 1;
                if steps > STEPS_MAX {
                    next = Some(past(self.last.clone()));
                    break;
                }
                continue;
            }
            if looked == CHUNK {
                next = Some(Some(entry(key, record).as_slice().to_vec()));
                break;
            }
            (looked, steps) = (looked + 1, 0);
            let Some(document) = collection.document(record) else {
                continue;
            };
            let beginning = index.spec.beginning(Doc::new(document), fields);
            self.last = beginning.unwrap_or_default();
            look(key, record, document)?;
        }
        match next {
            Some(Some(next)) => *low = Bound::Included(Key::from_slice(&next)),
            // There is nothing past the last keys, or they have been walked.
            Some(None) | None => drop(self.ranges.pop_front()),
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
