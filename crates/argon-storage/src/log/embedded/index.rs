//! Where each branch's records are.
//!
//! A segment is divided into blocks; the index holds, for each branch and each block in which frames
//! of it begin, where the first of them does. It takes a few bytes per block rather than per record,
//! and a reader passes over at most one block's worth of other branches' frames.

use std::collections::HashMap;

use crate::{BranchId, Lsn};

/// A block's size, in bytes.
pub(super) const BLOCK_BYTES: u64 = 64 << 10;

/// The frames of one branch that begin in one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Block {
    /// The first position of the first record.
    pub(super) first: Lsn,
    /// The last position of the last record.
    pub(super) last: Lsn,
    pub(super) segment: u64,
    /// Where the first of the frames begins, in bytes.
    pub(super) offset: u64,
}

impl Block {
    /// Where the block ends: frames that begin here or later are not meant.
    pub(super) fn end(&self) -> u64 {
        (self.offset / BLOCK_BYTES + 1) * BLOCK_BYTES
    }
}

/// The blocks of every branch, by first position. Their last positions ascend too: a block that
/// holds nothing beyond the ones before it is not kept.
#[derive(Debug, Default)]
pub(super) struct Index {
    branches: HashMap<BranchId, Vec<Block>>,
}

impl Index {
    /// Adds a record whose frame begins at `block.offset`, behind those that were added before.
    ///
    /// A copy of what is there already is not added; [`Self::replace`] puts copies in place.
    pub(super) fn add(&mut self, branch: BranchId, block: Block) {
        let blocks = self.branches.entry(branch).or_default();
        if let Some(before) = place(blocks, block.first)
            .checked_sub(1)
            .map(|at| &mut blocks[at])
        {
            let continues = block.first == before.last.next() || block.first == before.first;
            let same_block = before.segment == block.segment
                && (before.offset..before.end()).contains(&block.offset);
            if same_block && continues {
                before.last = before.last.max(block.last);
                return;
            }
        }
        self.add_block(branch, block);
    }

    /// Adds a whole block. It is not joined with another: where copies stand between other records,
    /// two blocks may follow each other in positions and be entangled in the file.
    pub(super) fn add_block(&mut self, branch: BranchId, block: Block) {
        let blocks = self.branches.entry(branch).or_default();
        let at = place(blocks, block.first);
        let is_copy = at
            .checked_sub(1)
            .is_some_and(|before| block.last <= blocks[before].last);
        if !is_copy {
            blocks.insert(at, block);
        }
    }

    /// Forgets what is in `segment` and adds `copies` in its place.
    pub(super) fn replace<'a>(
        &mut self,
        segment: u64,
        copies: impl Iterator<Item = &'a (BranchId, Block)>,
    ) {
        for blocks in self.branches.values_mut() {
            blocks.retain(|block| block.segment != segment);
        }
        for (branch, block) in copies {
            self.add(*branch, *block);
        }
    }

    /// Forgets a branch.
    pub(super) fn remove_branch(&mut self, branch: BranchId) {
        self.branches.remove(&branch);
    }

    /// The branch's last position.
    pub(super) fn last(&self, branch: BranchId) -> Option<Lsn> {
        self.branches.get(&branch)?.last().map(|block| block.last)
    }

    /// The blocks that hold `from..=up_to`, at most `max` of them, in order.
    pub(super) fn find(&self, branch: BranchId, from: Lsn, up_to: Lsn, max: usize) -> Vec<Block> {
        let blocks = self.branches.get(&branch).map_or(&[][..], Vec::as_slice);
        // What holds `from` begins at or before it, and no block before the last such reaches further.
        let start = blocks
            .partition_point(|block| block.first <= from)
            .saturating_sub(1);
        let wanted = blocks
            .iter()
            .skip(start)
            .take_while(|block| block.first <= up_to);
        wanted.take(max).copied().collect()
    }

    /// The branch's blocks.
    pub(super) fn all(&self, branch: BranchId) -> &[Block] {
        self.branches.get(&branch).map_or(&[][..], Vec::as_slice)
    }

    /// The branch's blocks in `segment`.
    pub(super) fn in_segment(&self, branch: BranchId, segment: u64) -> Vec<Block> {
        let blocks = self.branches.get(&branch).map_or(&[][..], Vec::as_slice);
        blocks
            .iter()
            .filter(|block| block.segment == segment)
            .copied()
            .collect()
    }
}

/// Where a block that begins at `first` belongs: after those that begin before it or with it.
fn place(blocks: &[Block], first: Lsn) -> usize {
    // Nearly always the end; only copies go further down.
    if blocks.last().is_none_or(|last| last.first <= first) {
        return blocks.len();
    }
    blocks.partition_point(|block| block.first <= first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(first: u64, last: u64, segment: u64, offset: u64) -> Block {
        Block {
            first: Lsn(first),
            last: Lsn(last),
            segment,
            offset,
        }
    }

    #[test]
    fn records_of_one_block_share_an_item_and_copies_wait_for_replace() {
        let (branch, mut index) = (BranchId::random(), Index::default());
        for lsn in 1..=10 {
            index.add(branch, block(lsn, lsn, 1, lsn * 20_000));
        }
        let find = |index: &Index, from, up_to| {
            index
                .find(branch, Lsn(from), Lsn(up_to), 9)
                .iter()
                .map(|b| b.first.0)
                .collect::<Vec<_>>()
        };
        assert_eq!(find(&index, 1, 10), [1, 4, 7, 10]);
        assert_eq!(find(&index, 5, 6), [4]);
        assert_eq!(find(&index, 6, 7), [4, 7]);
        assert_eq!(find(&index, 11, 12), [10]);
        assert_eq!(index.last(branch), Some(Lsn(10)));

        // A crash left copies of a part: they add nothing as long as the originals are there.
        index.add(branch, block(1, 2, 5, 0));
        index.add(branch, block(3, 3, 5, 100));
        assert_eq!(find(&index, 1, 3), [1]);
        assert_eq!(index.find(branch, Lsn(1), Lsn(1), 9)[0].segment, 1);

        let copies = [
            (branch, block(1, 2, 6, 0)),
            (branch, block(3, 10, 6, 70_000)),
        ];
        index.replace(1, copies.iter());
        assert_eq!(find(&index, 1, 10), [1, 3]);
        // Read back from a summary, blocks stay as they were, though they touch.
        index.add_block(branch, block(11, 12, 6, 100_000));
        assert_eq!(find(&index, 1, 12), [1, 3, 11]);
        index.add_block(branch, block(11, 12, 7, 0));
        assert!(index.in_segment(branch, 1).is_empty());
        assert_eq!(index.last(branch), Some(Lsn(12)));
    }
}
