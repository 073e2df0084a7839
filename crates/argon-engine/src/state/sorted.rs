//! A persistent ordered map with full nodes.
//!
//! It is a B+ tree. What grows at its end (natural order, ascending `_id`s, dates) fills each node before it begins the
//! next; the ordered map of a general library splits nodes in the middle, which leaves all of them half empty behind, and
//! with documents of a few hundred bytes that is a good part of all memory. Its leaves are slices, which is what a scan
//! wants to walk.
//!
//! A clone is O(1); a change copies the nodes on its way that others share.

use std::borrow::Borrow;
use std::ops::Bound;
use std::slice::Iter;
use std::sync::Arc;

use smallvec::SmallVec;

/// Most entries of a node. A change of a shared map copies one node of each level: more would make single writes dear,
/// fewer would make the nodes' own costs count.
const NODE_MAX: usize = 32;

/// A node with fewer entries is joined with a neighbour that has few too.
const NODE_MIN: usize = NODE_MAX / 4;

/// A persistent ordered map.
#[derive(Clone)]
pub(crate) struct Sorted<K, V> {
    root: Arc<Node<K, V>>,
    len: usize,
}

/// A node of the tree. Only a root has no entries.
#[derive(Clone)]
enum Node<K, V> {
    Leaf(Vec<(K, V)>),
    /// Each child with a key that is greater than every key of the child before and at most the first of its own. The
    /// first child's key says nothing: what is smaller than all other keys is there.
    Branch(Vec<Child<K, V>>),
}

type Child<K, V> = (K, Arc<Node<K, V>>);

/// What became of an insertion.
enum Inserted<K, V> {
    Added,
    Replaced(V),
    /// Added, and the node is two now: the second one.
    Split(Child<K, V>),
}

impl<K: Ord + Clone, V: Clone> Sorted<K, V> {
    /// An empty map.
    pub(crate) fn new() -> Sorted<K, V> {
        Sorted {
            root: Arc::new(Node::Leaf(Vec::new())),
            len: 0,
        }
    }

    /// How many entries it has.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Whether it has none.
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The value of `key`.
    pub(crate) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let mut node = &*self.root;
        loop {
            match node {
                Node::Leaf(entries) => {
                    let at = find(entries, key).ok()?;
                    return Some(&entries[at].1);
                }
                Node::Branch(children) => node = &children[child_of(children, key)].1,
            }
        }
    }

    /// Puts `value` under `key`; what was there before.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        match insert(&mut self.root, key, value) {
            Inserted::Replaced(old) => return Some(old),
            Inserted::Added => {}
            Inserted::Split(second) => {
                let first = (second.0.clone(), Arc::clone(&self.root));
                self.root = Arc::new(Node::Branch(vec![first, second]));
            }
        }
        self.len += 1;
        None
    }

    /// Removes `key`; what was there.
    pub(crate) fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        // Looked for first, so that nothing is copied for a key that is not there.
        self.get(key)?;
        let removed = remove(&mut self.root, key)?;
        self.len -= 1;
        while let Node::Branch(children) = &*self.root
            && let [(_, only)] = &children[..]
        {
            self.root = Arc::clone(only);
        }
        Some(removed)
    }

    /// All entries, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &(K, V)> {
        self.range::<K, K>((Bound::Unbounded, Bound::Unbounded))
    }

    /// The entries between two bounds, ascending; none if the lower is the higher.
    pub(crate) fn range<Q: Ord + ?Sized, B: Borrow<Q>>(
        &self,
        (low, high): (Bound<B>, Bound<B>),
    ) -> impl Iterator<Item = &(K, V)>
    where
        K: Borrow<Q>,
    {
        self.walk::<Q, B, false>(low, high)
    }

    /// The entries between two bounds, descending.
    pub(crate) fn range_descending<Q: Ord + ?Sized, B: Borrow<Q>>(
        &self,
        (low, high): (Bound<B>, Bound<B>),
    ) -> impl Iterator<Item = &(K, V)>
    where
        K: Borrow<Q>,
    {
        self.walk::<Q, B, true>(low, high)
    }

    fn walk<Q: Ord + ?Sized, B: Borrow<Q>, const BACKWARD: bool>(
        &self,
        low: Bound<B>,
        high: Bound<B>,
    ) -> impl Iterator<Item = &(K, V)>
    where
        K: Borrow<Q>,
    {
        let mut walk = Walk {
            leaf: [].iter(),
            above: SmallVec::new(),
        };
        walk.descend(&self.root, borrowed(&low), borrowed(&high), BACKWARD);
        std::iter::from_fn(move || {
            loop {
                let next = if BACKWARD {
                    walk.leaf.next_back()
                } else {
                    walk.leaf.next()
                };
                if next.is_some() {
                    return next;
                }
                let node = walk.next_node(BACKWARD)?;
                walk.descend(node, borrowed(&low), borrowed(&high), BACKWARD);
            }
        })
    }
}

fn insert<K: Ord + Clone, V: Clone>(
    node: &mut Arc<Node<K, V>>,
    key: K,
    value: V,
) -> Inserted<K, V> {
    match owned(node) {
        Node::Leaf(entries) => match find(entries, &key) {
            Ok(at) => Inserted::Replaced(std::mem::replace(&mut entries[at].1, value)),
            Err(at) => match add(entries, at, (key, value)) {
                None => Inserted::Added,
                Some(second) => {
                    Inserted::Split((second[0].0.clone(), Arc::new(Node::Leaf(second))))
                }
            },
        },
        Node::Branch(children) => {
            let at = child_of(children, &key);
            match insert(&mut children[at].1, key, value) {
                Inserted::Split(child) => match add(children, at + 1, child) {
                    None => Inserted::Added,
                    Some(second) => {
                        Inserted::Split((second[0].0.clone(), Arc::new(Node::Branch(second))))
                    }
                },
                done => done,
            }
        }
    }
}

/// Puts `entry` at `at`. If there is no room, the entries are split in two, and the second ones are given back; at the end
/// the full node stays as it is.
fn add<T>(entries: &mut Vec<T>, at: usize, entry: T) -> Option<Vec<T>> {
    if entries.len() < NODE_MAX {
        entries.insert(at, entry);
        return None;
    }
    let mut second = Vec::with_capacity(NODE_MAX);
    if at == entries.len() {
        second.push(entry);
    } else {
        second.extend(entries.drain(NODE_MAX / 2..));
        match at.checked_sub(NODE_MAX / 2) {
            Some(at) => second.insert(at, entry),
            None => entries.insert(at, entry),
        }
    }
    Some(second)
}

/// Removes `key`, which is there.
fn remove<K: Ord + Clone + Borrow<Q>, V: Clone, Q: Ord + ?Sized>(
    node: &mut Arc<Node<K, V>>,
    key: &Q,
) -> Option<V> {
    match owned(node) {
        Node::Leaf(entries) => {
            let at = find(entries, key).ok()?;
            Some(entries.remove(at).1)
        }
        Node::Branch(children) => {
            let at = child_of(children, key);
            let removed = remove(&mut children[at].1, key);
            let left = children[at].1.len();
            if left == 0 {
                children.remove(at);
            } else if left < NODE_MIN {
                let joins = |at: usize| match children.get(at..at + 2) {
                    Some([(_, first), (_, second)]) => first.len() + second.len() <= NODE_MAX / 2,
                    _ => false,
                };
                if joins(at) {
                    join(children, at);
                } else if at > 0 && joins(at - 1) {
                    join(children, at - 1);
                }
            }
            removed
        }
    }
}

/// Makes one of the children at `at` and after it.
fn join<K: Ord + Clone, V: Clone>(children: &mut Vec<Child<K, V>>, at: usize) {
    let (key, second) = children.remove(at + 1);
    match (owned(&mut children[at].1), Arc::unwrap_or_clone(second)) {
        (Node::Leaf(first), Node::Leaf(second)) => first.extend(second),
        (Node::Branch(first), Node::Branch(mut second)) => {
            // It is not the first child any more, so its key has to be right.
            second[0].0 = key;
            first.extend(second);
        }
        // All leaves of a tree are equally deep.
        (Node::Leaf(_), Node::Branch(_)) | (Node::Branch(_), Node::Leaf(_)) => {}
    }
}

impl<K, V> Node<K, V> {
    fn len(&self) -> usize {
        match self {
            Node::Leaf(entries) => entries.len(),
            Node::Branch(children) => children.len(),
        }
    }
}

/// The node to change: a copy with room to grow, if others share it.
fn owned<K: Clone, V: Clone>(node: &mut Arc<Node<K, V>>) -> &mut Node<K, V> {
    fn copy<T: Clone>(entries: &[T]) -> Vec<T> {
        let mut copy = Vec::with_capacity(NODE_MAX);
        copy.extend_from_slice(entries);
        copy
    }
    if Arc::get_mut(node).is_none() {
        *node = Arc::new(match &**node {
            Node::Leaf(entries) => Node::Leaf(copy(entries)),
            Node::Branch(children) => Node::Branch(copy(children)),
        });
    }
    // Nobody else has it now, so nothing is cloned.
    Arc::make_mut(node)
}

/// Where `key` is in a leaf, or would be.
fn find<K: Borrow<Q>, V, Q: Ord + ?Sized>(entries: &[(K, V)], key: &Q) -> Result<usize, usize> {
    match entries.last() {
        // What is new mostly comes last.
        Some((last, _)) if last.borrow() < key => Err(entries.len()),
        _ => entries.binary_search_by(|(other, _)| other.borrow().cmp(key)),
    }
}

/// The child in which `key` is, if it is anywhere.
fn child_of<K: Borrow<Q>, T, Q: Ord + ?Sized>(children: &[(K, T)], key: &Q) -> usize {
    match children.last() {
        Some((last, _)) if last.borrow() <= key => children.len() - 1,
        _ => children
            .partition_point(|(first, _)| first.borrow() <= key)
            .saturating_sub(1),
    }
}

/// A place between two entries, and what is still to be seen from there.
struct Walk<'a, K, V> {
    leaf: Iter<'a, (K, V)>,
    /// Of each branch above the leaf, the children to come.
    above: SmallVec<[Iter<'a, Child<K, V>>; 6]>,
}

impl<'a, K, V> Walk<'a, K, V> {
    fn next_node(&mut self, backward: bool) -> Option<&'a Node<K, V>> {
        loop {
            let children = self.above.last_mut()?;
            let next = if backward {
                children.next_back()
            } else {
                children.next()
            };
            match next {
                Some((_, node)) => return Some(node),
                None => drop(self.above.pop()),
            }
        }
    }

    /// Goes from `node` to its first leaf with entries between two bounds, or the last.
    fn descend<Q: Ord + ?Sized>(
        &mut self,
        mut node: &'a Node<K, V>,
        low: Bound<&Q>,
        high: Bound<&Q>,
        backward: bool,
    ) where
        K: Borrow<Q>,
    {
        loop {
            match node {
                Node::Leaf(entries) => {
                    self.leaf = within(entries, low, high).iter();
                    return;
                }
                Node::Branch(children) => {
                    let from = match low {
                        Bound::Unbounded => 0,
                        Bound::Included(low) | Bound::Excluded(low) => child_of(children, low),
                    };
                    let to = match high {
                        Bound::Unbounded => children.len(),
                        Bound::Included(high) | Bound::Excluded(high) => {
                            child_of(children, high) + 1
                        }
                    };
                    self.above
                        .push(children.get(from..to).unwrap_or_default().iter());
                    match self.next_node(backward) {
                        Some(next) => node = next,
                        None => return,
                    }
                }
            }
        }
    }
}

fn borrowed<Q: ?Sized, B: Borrow<Q>>(bound: &Bound<B>) -> Bound<&Q> {
    bound.as_ref().map(Borrow::borrow)
}

/// The entries of a leaf between two bounds.
fn within<'a, K: Borrow<Q>, V, Q: Ord + ?Sized>(
    entries: &'a [(K, V)],
    low: Bound<&Q>,
    high: Bound<&Q>,
) -> &'a [(K, V)] {
    let start = match low {
        Bound::Unbounded => 0,
        Bound::Included(low) => count(entries, |key| key < low),
        Bound::Excluded(low) => count(entries, |key| key <= low),
    };
    let end = match high {
        Bound::Unbounded => entries.len(),
        Bound::Included(high) => count(entries, |key| key <= high),
        Bound::Excluded(high) => count(entries, |key| key < high),
    };
    entries.get(start..end).unwrap_or_default()
}

/// How many entries at the front are `inside`: all or none, in every leaf but the two at a range's ends.
fn count<K: Borrow<Q>, V, Q: ?Sized>(entries: &[(K, V)], inside: impl Fn(&Q) -> bool) -> usize {
    match entries {
        [] => 0,
        [(first, _), ..] if !inside(first.borrow()) => 0,
        [.., (last, _)] if inside(last.borrow()) => entries.len(),
        _ => entries.partition_point(|(key, _)| inside(key.borrow())),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::ops::RangeBounds;

    use proptest::prelude::*;

    use super::*;

    /// The sizes of all leaves, after a check of what the tree promises.
    fn leaves<K: Ord + Clone, V: Clone>(map: &Sorted<K, V>) -> Vec<usize> {
        fn visit<K: Ord + Clone, V: Clone>(
            node: &Node<K, V>,
            depth: usize,
            (low, high): (Option<&K>, Option<&K>),
            found: &mut Vec<(usize, usize)>,
        ) {
            assert!(node.len() <= NODE_MAX);
            match node {
                Node::Leaf(entries) => {
                    assert!(entries.capacity() <= NODE_MAX);
                    assert!(low.is_none_or(|low| entries.iter().all(|(key, _)| key >= low)));
                    assert!(high.is_none_or(|high| entries.iter().all(|(key, _)| key < high)));
                    found.push((depth, entries.len()));
                }
                Node::Branch(children) => {
                    assert!(!children.is_empty());
                    for (at, (key, child)) in children.iter().enumerate() {
                        assert!(child.len() > 0);
                        let low = if at == 0 { low } else { Some(key) };
                        let high = children.get(at + 1).map(|(key, _)| key).or(high);
                        visit(child, depth + 1, (low, high), found);
                    }
                }
            }
        }
        let mut found = Vec::new();
        visit(&map.root, 0, (None, None), &mut found);
        assert!(found.windows(2).all(|pair| pair[0].0 == pair[1].0));
        found.into_iter().map(|(_, len)| len).collect()
    }

    #[test]
    fn ascending_insertion_fills_the_nodes() {
        let mut map = Sorted::new();
        for key in 0..10_000 {
            let shared = map.clone();
            map.insert(key, key);
            assert_eq!(shared.len() + 1, map.len());
        }
        assert_eq!(leaves(&map).len(), 10_000usize.div_ceil(NODE_MAX));
    }

    #[test]
    fn removal_leaves_no_crumbs() {
        let mut map = Sorted::new();
        for key in 0..10_000u16 {
            map.insert(key, key);
        }
        for key in (0..10_000).filter(|key| key % 100 != 0) {
            map.remove(&key);
        }
        assert_eq!(map.len(), 100);
        assert!(leaves(&map).len() <= 100 / NODE_MIN * 2);
        for key in 0..10_000 {
            map.remove(&key);
        }
        assert!(map.is_empty() && leaves(&map) == [0]);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Insert(u16),
        Remove(u16),
        RemoveSome(u16, u16),
        Range(Bound<u16>, Bound<u16>),
    }

    /// Enough for a tree of three levels.
    const KEYS: u16 = 3000;

    fn step() -> impl Strategy<Value = Step> {
        let key = || 0..KEYS;
        let bound = move || {
            prop_oneof![
                Just(Bound::Unbounded),
                key().prop_map(Bound::Included),
                key().prop_map(Bound::Excluded)
            ]
        };
        prop_oneof![
            12 => key().prop_map(Step::Insert),
            6 => key().prop_map(Step::Remove),
            1 => (key(), 0..300u16).prop_map(|(from, count)| Step::RemoveSome(from, count)),
            1 => (bound(), bound()).prop_map(|(low, high)| Step::Range(low, high)),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn does_what_a_map_does(
            first in 0..KEYS,
            steps in prop::collection::vec(step(), 1..600),
        ) {
            let mut map: Sorted<u16, usize> = Sorted::new();
            let mut model = BTreeMap::new();
            for key in 0..first {
                prop_assert_eq!(map.insert(key, 0), model.insert(key, 0));
            }
            let shared = (map.clone(), model.clone());
            for (at, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Insert(key) => {
                        prop_assert_eq!(map.insert(key, at), model.insert(key, at));
                    }
                    Step::Remove(key) => prop_assert_eq!(map.remove(&key), model.remove(&key)),
                    Step::RemoveSome(from, count) => {
                        for key in from..from + count {
                            prop_assert_eq!(map.remove(&key), model.remove(&key));
                        }
                    }
                    Step::Range(low, high) => {
                        let found: Vec<_> = map.range::<u16, _>((low, high)).copied().collect();
                        let mut expected: Vec<_> = model
                            .iter()
                            .filter(|(key, _)| (low, high).contains(key))
                            .map(|(key, value)| (*key, *value))
                            .collect();
                        prop_assert_eq!(&found, &expected);
                        let found = map.range_descending::<u16, _>((low, high));
                        let found: Vec<_> = found.copied().collect();
                        expected.reverse();
                        prop_assert_eq!(found, expected);
                    }
                }
                prop_assert_eq!(map.len(), model.len());
            }
            leaves(&map);
            for (map, model) in [(map, model), shared] {
                prop_assert!(map.iter().copied().eq(model.iter().map(|(key, value)| (*key, *value))));
                for key in 0..KEYS {
                    prop_assert_eq!(map.get(&key), model.get(&key));
                }
            }
        }
    }
}
