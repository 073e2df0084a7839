//! Collecting and ordering what does not come in order: in memory as long as it fits, then through a file.

use std::sync::Arc;

use bytes::Bytes;

use crate::spill::{Area, Merge, Runs, STAGE_BYTES_MAX};
use crate::value::{Doc, DocBuf, Value};
use crate::{Error, ErrorCode, Result};

/// What an item costs in memory beside its bytes and those of its key.
const ITEM_BYTES: usize = 64;

/// What can be sorted: it can be written to a file and read back.
pub trait Item: Sized {
    /// Appends it.
    fn write(&self, out: &mut Vec<u8>);

    /// Reads what [`write`](Item::write) wrote.
    fn read(bytes: Bytes) -> Self;
}

impl Item for Bytes {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }

    fn read(bytes: Bytes) -> Bytes {
        bytes
    }
}

/// A value and a document.
impl Item for (Value, Bytes) {
    fn write(&self, out: &mut Vec<u8>) {
        let mut value = DocBuf::new();
        value.append("", self.0.as_ref());
        out.extend_from_slice(&value.finish());
        out.extend_from_slice(&self.1);
    }

    fn read(bytes: Bytes) -> (Value, Bytes) {
        let length = bytes
            .first_chunk::<4>()
            .map(|length| u32::from_le_bytes(*length));
        let length = length.and_then(|length| usize::try_from(length).ok());
        let mut first = bytes;
        let second = first.split_off(length.unwrap_or(0).min(first.len()));
        let value = Doc::new(&first).iter().next();
        let value = value.map_or(Value::Missing, |element| {
            Value::share(element.value(), &first)
        });
        (value, second)
    }
}

/// The key of a partition and a document.
impl Item for (Arc<[u8]>, Bytes) {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.1);
        out.extend_from_slice(&self.0);
    }

    fn read(bytes: Bytes) -> (Arc<[u8]>, Bytes) {
        let length = bytes
            .first_chunk::<4>()
            .map(|length| u32::from_le_bytes(*length));
        let length = length.and_then(|length| usize::try_from(length).ok());
        let mut doc = bytes;
        let key = doc.split_off(length.unwrap_or(0).min(doc.len()));
        (Arc::from(&key[..]), doc)
    }
}

/// Collects items and gives them back in the order of their keys, of equal ones in the order of their arrival; keeps
/// no more than `limit`.
pub struct Sorter<'a, T> {
    entries: Vec<Entry<T>>,
    /// The keys, one after the other, each but for the part that is in its entry.
    keys: Vec<u8>,
    limit: usize,
    /// Once the limit was reached: a key that is not less cannot be among the first any more.
    bound: Option<Vec<u8>>,
    /// Bytes of the items, as MongoDB counts them.
    bytes: usize,
    /// Bytes that the sorter itself keeps in memory.
    held: usize,
    /// Whether the items are in memory anyway.
    resident: bool,
    /// Where the items go that do not fit the memory; `None` where the client forbids the use of disk.
    area: Option<&'a dyn Area>,
    runs: Option<Runs>,
}

struct Entry<T> {
    /// The key's first eight bytes: most comparisons end here.
    prefix: u64,
    from: usize,
    to: usize,
    item: T,
}

impl<'a, T: Item> Sorter<'a, T> {
    /// A sorter that keeps the first `limit` items (all if `None`). What exceeds [`STAGE_BYTES_MAX`] goes to `area`, or is
    /// refused without one. `resident`: whether the items are parts of a state, which holds them in memory anyway.
    pub fn new(limit: Option<usize>, area: Option<&'a dyn Area>, resident: bool) -> Sorter<'a, T> {
        Sorter {
            entries: Vec::new(),
            keys: Vec::new(),
            limit: limit.unwrap_or(usize::MAX),
            bound: None,
            bytes: 0,
            held: 0,
            resident,
            area,
            runs: None,
        }
    }

    /// Adds `item`, of `bytes` bytes, under `key`.
    ///
    /// # Errors
    /// `QueryExceededMemoryLimitNoDiskUseAllowed` if it is one too many; what the disk fails with.
    pub fn push(&mut self, key: &[u8], item: T, bytes: usize) -> Result<()> {
        if self.limit == 0 || self.bound.as_deref().is_some_and(|bound| key >= bound) {
            return Ok(());
        }
        self.bytes += bytes + key.len();
        self.held += self.cost(bytes) + key.len();
        let (prefix, rest) = split(key);
        let from = self.keys.len();
        self.keys.extend_from_slice(rest);
        self.entries.push(Entry {
            prefix,
            from,
            to: self.keys.len(),
            item,
        });
        // Sorting only when twice the limit has come keeps the cost per item constant.
        if self.entries.len() >= self.limit.saturating_mul(2).max(64) {
            self.shrink(bytes);
        }
        match self.area {
            None if self.bytes > STAGE_BYTES_MAX => Err(Error::new(
                ErrorCode::QueryExceededMemoryLimitNoDiskUseAllowed,
                format!(
                    "Sort exceeded memory limit of {STAGE_BYTES_MAX} bytes, but did not opt in to external sorting."
                ),
            )),
            Some(area) if self.held > area.stage_bytes() => self.spill(area),
            _ => Ok(()),
        }
    }

    /// Bytes that an item of `bytes` bytes holds in memory.
    #[inline]
    fn cost(&self, bytes: usize) -> usize {
        if self.resident {
            ITEM_BYTES
        } else {
            bytes + ITEM_BYTES
        }
    }

    /// Writes everything as a sorted run.
    fn spill(&mut self, area: &dyn Area) -> Result<()> {
        self.sort();
        self.entries.truncate(self.limit);
        let runs = match &mut self.runs {
            Some(runs) => runs,
            none => none.insert(Runs::new(area)?),
        };
        for entry in self.entries.drain(..) {
            let prefix = entry.prefix.to_be_bytes();
            let rest = &self.keys[entry.from..entry.to];
            runs.add((&prefix, rest), |out| entry.item.write(out))?;
        }
        runs.end_run(area)?;
        self.keys.clear();
        (self.bytes, self.held) = (0, 0);
        Ok(())
    }

    /// The items in order.
    ///
    /// # Errors
    /// What the disk fails with.
    pub fn finish(mut self) -> Result<Sorted<T>> {
        let merge = match (self.runs.is_some(), self.area) {
            (true, Some(area)) => {
                self.spill(area)?;
                self.runs.take().map(Runs::merge).transpose()?
            }
            _ => None,
        };
        self.sort();
        self.entries.truncate(self.limit);
        Ok(Sorted {
            memory: self.entries.into_iter(),
            merge,
            left: self.limit,
        })
    }

    fn sort(&mut self) {
        let keys = &self.keys;
        self.entries.sort_by(|a, b| {
            a.prefix
                .cmp(&b.prefix)
                .then_with(|| keys[a.from..a.to].cmp(&keys[b.from..b.to]))
        });
    }

    /// Drops what is beyond the limit. `bytes` is the size of an item, to tell how much that frees.
    fn shrink(&mut self, bytes: usize) {
        if self.entries.len() <= self.limit {
            return;
        }
        self.sort();
        let dropped = self.entries.len() - self.limit;
        self.entries.truncate(self.limit);
        let mut keys = Vec::with_capacity(self.keys.len());
        for entry in &mut self.entries {
            let from = keys.len();
            keys.extend_from_slice(&self.keys[entry.from..entry.to]);
            (entry.from, entry.to) = (from, keys.len());
        }
        let freed = self.keys.len() - keys.len();
        self.bytes = self.bytes.saturating_sub(freed + dropped * bytes);
        self.held = self.held.saturating_sub(freed + dropped * self.cost(bytes));
        self.keys = keys;
        self.bound = self.entries.last().map(|last| {
            let mut bound = last.prefix.to_be_bytes().to_vec();
            bound.extend_from_slice(&self.keys[last.from..last.to]);
            bound
        });
    }
}

/// Items in order.
pub struct Sorted<T> {
    memory: std::vec::IntoIter<Entry<T>>,
    merge: Option<Merge>,
    /// How many may still come out of the file.
    left: usize,
}

impl<T> Default for Sorted<T> {
    fn default() -> Sorted<T> {
        Sorted {
            memory: Vec::new().into_iter(),
            merge: None,
            left: 0,
        }
    }
}

impl<T: Item> Sorted<T> {
    /// The next item.
    ///
    /// # Errors
    /// What the disk fails with.
    #[inline]
    pub fn pop(&mut self) -> Result<Option<T>> {
        match &mut self.merge {
            None => Ok(self.memory.next().map(|entry| entry.item)),
            Some(_) if self.left == 0 => Ok(None),
            Some(merge) => {
                self.left -= 1;
                Ok(merge.next()?.map(|(_, bytes)| T::read(bytes)))
            }
        }
    }
}

/// A key's first eight bytes, filled with zeros, and the rest.
///
/// Filling keeps the order since no key is the beginning of another.
#[inline]
fn split(key: &[u8]) -> (u64, &[u8]) {
    match key.split_first_chunk::<8>() {
        Some((first, rest)) => (u64::from_be_bytes(*first), rest),
        None => {
            let mut first = [0; 8];
            first[..key.len()].copy_from_slice(key);
            (u64::from_be_bytes(first), &[])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spill::testing::Small;

    fn all(mut sorted: Sorted<Bytes>) -> Vec<Bytes> {
        std::iter::from_fn(|| sorted.pop().unwrap()).collect()
    }

    /// Numbers in a scrambled order, and what a sorter has to make of them.
    fn check(limit: Option<usize>, area: Option<&dyn Area>) {
        let mut sorter = Sorter::new(limit, area, false);
        let mut expected = Vec::new();
        for number in 0..2000_u32 {
            let key = (number.wrapping_mul(2_654_435_761) % 97).to_be_bytes();
            let key = [&key[..], b"the rest of a longer key"].concat();
            let item = Bytes::copy_from_slice(&number.to_be_bytes());
            sorter.push(&key, item.clone(), 10).unwrap();
            expected.push((key, item));
        }
        expected.sort();
        let expected = expected.into_iter().take(limit.unwrap_or(usize::MAX));
        let expected: Vec<Bytes> = expected.map(|pair| pair.1).collect();
        assert_eq!(all(sorter.finish().unwrap()), expected);
    }

    #[test]
    fn keeps_the_first_in_order_of_arrival() {
        for limit in [0, 1, 3, 100, 5000] {
            check(Some(limit), None);
        }
    }

    #[test]
    fn goes_through_a_file_when_memory_is_full() {
        for stage_bytes in [500, 5_000, 50_000, 10_000_000] {
            for limit in [None, Some(0), Some(1), Some(100), Some(1_500), Some(5000)] {
                check(limit, Some(&Small(stage_bytes)));
            }
        }
    }

    #[test]
    fn memory_is_limited() {
        let mut sorter = Sorter::new(None, None, false);
        let mut push = |n: u8| {
            sorter
                .push(&[n, 1], Bytes::new(), STAGE_BYTES_MAX / 10)
                .err()
        };
        let error = (0..20).find_map(&mut push);
        assert_eq!(
            error.map(|error| error.code()),
            Some(ErrorCode::QueryExceededMemoryLimitNoDiskUseAllowed)
        );
    }
}
