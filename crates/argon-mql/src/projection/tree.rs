//! The compiled projection: a tree by path.

use bstr::ByteSlice;

use crate::expr::Expr;
use crate::filter::Filter;
use crate::stage::Paths;
use crate::{Error, Result};

/// Children for which a linear search is the fastest.
const LINEAR_MAX: usize = 8;

/// The fields at one level.
#[derive(Clone, Default, Debug)]
pub(super) struct Node {
    /// In the order of the projection.
    pub(super) children: Vec<(Vec<u8>, Child)>,
    /// Positions in `children`, sorted by name.
    pub(super) sorted: Vec<usize>,
    /// Whether a field at this level or below is computed.
    pub(super) computes: bool,
    /// Whether the path with the positional `$` goes through it.
    pub(super) positional: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Child {
    Include,
    Exclude,
    Inside(Node),
    Computed(Expr),
    Slice(Slice),
    /// The first item that the filter's one `$elemMatch` takes; the field's own name is in the filter.
    ElemMatch(Filter),
    /// The end of the path with the positional `$`.
    Positional,
    Meta(Meta),
}

/// `$slice` as `find` has it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slice {
    /// From the end if negative.
    pub(super) skip: i64,
    pub(super) limit: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Meta {
    IndexKey,
    RecordId,
    SortKey,
    /// What no document here ever has.
    Absent,
}

impl Node {
    /// The child called `name`.
    #[inline]
    pub(super) fn position(&self, name: &[u8]) -> Option<usize> {
        if self.children.len() <= LINEAR_MAX {
            return self.children.iter().position(|child| child.0 == name);
        }
        self.sorted
            .binary_search_by(|&at| self.children[at].0[..].cmp(name))
            .ok()
            .map(|found| self.sorted[found])
    }

    /// Adds the paths of the fields that are kept, computed or left out, below that of `above`, to `paths`.
    pub(super) fn add_paths(&self, above: &mut Vec<u8>, paths: &mut Paths) {
        for (name, child) in &self.children {
            let len = above.len();
            if len > 0 {
                above.push(b'.');
            }
            above.extend_from_slice(name);
            match child {
                Child::Inside(inner) => inner.add_paths(above, paths),
                Child::Computed(expr) => paths.add_renamed(above, expr),
                Child::Include | Child::Exclude => paths.add(above),
                // Not in a pipeline, but for what a stage may not keep either.
                Child::Slice(_) | Child::ElemMatch(_) | Child::Positional | Child::Meta(_) => {}
            }
            above.truncate(len);
        }
    }

    /// The child called `name`, while the tree is built.
    pub(super) fn find(&self, name: &[u8]) -> Option<usize> {
        self.children.iter().position(|child| child.0 == name)
    }

    /// Whether metadata is put at this level or below.
    pub(super) fn has_metadata(&self) -> bool {
        self.children.iter().any(|(_, child)| match child {
            Child::Meta(_) => true,
            Child::Inside(inner) => inner.has_metadata(),
            _ => false,
        })
    }

    /// The tree without all but the sort keys.
    pub(super) fn only_sort_keys(&self) -> Node {
        let children = self.children.iter().filter_map(|(name, child)| {
            let child = match child {
                Child::Meta(Meta::SortKey) => Child::Meta(Meta::SortKey),
                Child::Inside(inner) => {
                    let inner = inner.only_sort_keys();
                    if inner.children.is_empty() {
                        return None;
                    }
                    Child::Inside(inner)
                }
                _ => return None,
            };
            Some((name.clone(), child))
        });
        let mut node = Node {
            children: children.collect(),
            ..Node::default()
        };
        node.settle();
        node
    }

    /// Notes what the walk over documents wants to know of each level.
    pub(super) fn settle(&mut self) {
        for (_, child) in &mut self.children {
            match child {
                Child::Inside(inner) => {
                    // Paths have at most `PATH_PARTS_MAX` components, which bounds this recursion.
                    inner.settle();
                    self.computes |= inner.computes;
                    self.positional |= inner.positional;
                }
                Child::Computed(_) | Child::Meta(_) => self.computes = true,
                Child::Positional => self.positional = true,
                _ => {}
            }
        }
        let children = &self.children;
        self.sorted = (0..children.len()).collect();
        self.sorted
            .sort_by(|&a, &b| children[a].0.cmp(&children[b].0));
    }
}

/// Refuses fields inside `path` if it, or a field above it, is taken.
///
/// # Errors
/// 31249 and 31250, as [`insert`].
pub(super) fn enter(root: &Node, path: &[&[u8]]) -> Result<()> {
    let mut node = root;
    for (depth, name) in path.iter().enumerate() {
        match node.find(name).map(|at| &node.children[at].1) {
            None => return Ok(()),
            Some(Child::Inside(inner)) => node = inner,
            Some(_) if depth + 1 == path.len() => return Err(taken(path)),
            Some(_) => return Err(taken_above(path, depth)),
        }
    }
    Ok(())
}

/// Adds `child` at `path`.
///
/// # Errors
/// 31249 if a field above it is taken, 31250 if it is taken itself.
pub(super) fn insert(root: &mut Node, path: &[&[u8]], child: Child) -> Result<()> {
    let Some((last, above)) = path.split_last() else {
        return Ok(());
    };
    let mut node = root;
    for (depth, name) in above.iter().enumerate() {
        let at = node.find(name).unwrap_or_else(|| {
            node.children
                .push((name.to_vec(), Child::Inside(Node::default())));
            node.children.len() - 1
        });
        node = match &mut node.children[at].1 {
            Child::Inside(inner) => inner,
            _ => return Err(taken_above(path, depth)),
        };
    }
    if node.find(last).is_some() {
        return Err(taken(path));
    }
    node.children.push((last.to_vec(), child));
    Ok(())
}

#[cold]
fn taken(path: &[&[u8]]) -> Error {
    Error::location(
        31250,
        format!("Path collision at {}", bstr::join(".", path).as_bstr()),
    )
}

/// The field of `path` that stands `depth` levels deep is taken.
#[cold]
fn taken_above(path: &[&[u8]], depth: usize) -> Error {
    Error::location(
        31249,
        format!(
            "Path collision at {} remaining portion {}",
            bstr::join(".", path).as_bstr(),
            bstr::join(".", &path[depth + 1..]).as_bstr()
        ),
    )
}
