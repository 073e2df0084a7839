//! The compiled update: a tree by path whose leaves are modifiers, so that one walk over a document applies all of them.

use std::sync::Arc;

use bstr::{BString, ByteSlice};

use super::modifier::Modifier;
use super::path::{Name, Part, Path};
use crate::{Error, ErrorCode, Result};

/// What happens at one place of a document.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Leaf(Arc<dyn Modifier>),
    /// Below it are named fields, array indexes, or `$`.
    Fields(Arc<Fields>),
    /// Below it are `$[]` and `$[identifier]`.
    Elements(Arc<Elements>),
}

/// Children by name, in the order in which they are created.
#[derive(Clone, Default, Debug)]
pub(super) struct Fields {
    pub(super) named: Vec<(Name, Node)>,
    /// The child `$`.
    pub(super) matched: Option<Node>,
}

/// Children by array filter identifier; the empty one (`$[]`) takes every element.
#[derive(Clone, Default, Debug)]
pub(super) struct Elements {
    pub(super) by_id: Vec<(Vec<u8>, Node)>,
}

impl Fields {
    /// Adds `leaf` at `path`.
    ///
    /// # Errors
    /// `ConflictingUpdateOperators` if the path, one above or one below it is taken.
    pub(super) fn insert(&mut self, path: &Path, leaf: Arc<dyn Modifier>) -> Result<()> {
        self.insert_at(path, 0, leaf)
    }

    fn insert_at(&mut self, path: &Path, depth: usize, leaf: Arc<dyn Modifier>) -> Result<()> {
        match &path.parts[depth] {
            Part::Matched => match &mut self.matched {
                Some(node) => node.insert_below(path, depth + 1, leaf),
                empty => {
                    *empty = Some(Node::chain(path, depth + 1, leaf));
                    Ok(())
                }
            },
            Part::Name(name) => match self.named.binary_search_by(|child| child.0.cmp(name)) {
                Ok(at) => self.named[at].1.insert_below(path, depth + 1, leaf),
                Err(at) => {
                    let child = Node::chain(path, depth + 1, leaf);
                    self.named.insert(at, (name.clone(), child));
                    Ok(())
                }
            },
            Part::Elements(_) => Err(conflict(path, depth)),
        }
    }

    /// The children for a document whose matched element is `matched`: `$` takes that name, merging with the child
    /// that has it already.
    ///
    /// # Errors
    /// `ConflictingUpdateOperators` if both want the same field.
    pub(super) fn resolve(&self, matched: usize, path: impl Fn() -> BString) -> Result<Fields> {
        let mut fields = Fields {
            named: self.named.clone(),
            matched: None,
        };
        if let Some(node) = &self.matched {
            let name = Name::new(matched.to_string().as_bytes());
            fields.add(&name, node, path)?;
        }
        Ok(fields)
    }

    fn add(&mut self, name: &Name, node: &Node, path: impl Fn() -> BString) -> Result<()> {
        match self.named.binary_search_by(|child| child.0.cmp(name)) {
            Ok(at) => {
                let below = || join(&path(), &name.text);
                self.named[at].1 = self.named[at].1.merge(node, &below)?;
            }
            Err(at) => self.named.insert(at, (name.clone(), node.clone())),
        }
        Ok(())
    }
}

impl Node {
    /// A node that has only `leaf`, at what is left of `path`.
    fn chain(path: &Path, depth: usize, leaf: Arc<dyn Modifier>) -> Node {
        let mut node = Node::Leaf(leaf);
        for part in path.parts[depth..].iter().rev() {
            node = match part {
                Part::Matched => Node::Fields(Arc::new(Fields {
                    named: Vec::new(),
                    matched: Some(node),
                })),
                Part::Name(name) => Node::Fields(Arc::new(Fields {
                    named: vec![(name.clone(), node)],
                    matched: None,
                })),
                Part::Elements(id) => Node::Elements(Arc::new(Elements {
                    by_id: vec![(id.clone(), node)],
                })),
            };
        }
        node
    }

    fn insert_below(&mut self, path: &Path, depth: usize, leaf: Arc<dyn Modifier>) -> Result<()> {
        match (self, path.parts.get(depth)) {
            (Node::Fields(fields), Some(Part::Name(_) | Part::Matched)) => {
                Arc::make_mut(fields).insert_at(path, depth, leaf)
            }
            (Node::Elements(elements), Some(Part::Elements(id))) => {
                let by_id = &mut Arc::make_mut(elements).by_id;
                match by_id.binary_search_by(|child| child.0.cmp(id)) {
                    Ok(at) => by_id[at].1.insert_below(path, depth + 1, leaf),
                    Err(at) => {
                        by_id.insert(at, (id.clone(), Node::chain(path, depth + 1, leaf)));
                        Ok(())
                    }
                }
            }
            _ => Err(conflict(path, depth)),
        }
    }

    /// Both nodes at one place; which place is known only with the document, so conflicts are, too.
    ///
    /// # Errors
    /// `ConflictingUpdateOperators`.
    pub(super) fn merge(&self, other: &Node, path: &dyn Fn() -> BString) -> Result<Node> {
        match (self, other) {
            (Node::Fields(a), Node::Fields(b)) => {
                let mut merged = Fields::clone(a);
                for (name, node) in &b.named {
                    merged.add(name, node, path)?;
                }
                merged.matched = match (&a.matched, &b.matched) {
                    (Some(a), Some(b)) => Some(a.merge(b, &|| join(&path(), b"$"))?),
                    (a, b) => a.clone().or_else(|| b.clone()),
                };
                Ok(Node::Fields(Arc::new(merged)))
            }
            (Node::Elements(a), Node::Elements(b)) => {
                let mut merged = Elements::clone(a);
                for (id, node) in &b.by_id {
                    match merged.by_id.binary_search_by(|child| child.0.cmp(id)) {
                        Ok(at) => {
                            let below = || join(&path(), format!("$[{}]", id.as_bstr()).as_bytes());
                            merged.by_id[at].1 = merged.by_id[at].1.merge(node, &below)?;
                        }
                        Err(at) => merged.by_id.insert(at, (id.clone(), node.clone())),
                    }
                }
                Ok(Node::Elements(Arc::new(merged)))
            }
            _ => Err(Error::new(
                ErrorCode::ConflictingUpdateOperators,
                format!("Update created a conflict at '{}'", path()),
            )),
        }
    }
}

fn join(path: &[u8], name: &[u8]) -> BString {
    let mut joined = BString::from(path);
    joined.push(b'.');
    joined.extend_from_slice(name);
    joined
}

/// `path` meets another one that ends, or goes on differently, after `depth` parts.
#[cold]
fn conflict(path: &Path, depth: usize) -> Error {
    let at = path.text.split_str(".").take(depth);
    Error::new(
        ErrorCode::ConflictingUpdateOperators,
        format!(
            "Updating the path '{}' would create a conflict at '{}'",
            path.text.as_bstr(),
            bstr::join(".", at).as_bstr()
        ),
    )
}
