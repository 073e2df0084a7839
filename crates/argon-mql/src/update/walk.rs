//! One walk from old bytes to new bytes: untouched elements are copied as they stand.

use bstr::BString;
use smallvec::SmallVec;

use super::modifier::{Modifier, Outcome, Place, Step, Trail};
use super::tree::{Elements, Fields, Node};
use super::{blocked, dollar, path, show};
use crate::value::{Doc, DocBuf, Element, ValueRef};
use crate::{Env, Error, ErrorCode, Result};

/// Most array elements that a far index may fill with nulls.
///
/// Source: mongod 6.0.5, "can't backfill more than 1500000 elements".
const BACKFILL_MAX: usize = 1_500_000;

/// Deepest nesting of a document that an update may make.
///
/// Source: mongod 6.0.5, "Document exceeds maximum nesting depth of 180".
const UPDATE_DEPTH_MAX: usize = 180;

/// Children for which a linear search is the fastest.
const LINEAR_MAX: usize = 8;

impl<'a> Place<'a> {
    /// Writes the elements of `doc` to `out` as `fields` change them. Answers whether anything changed.
    pub(super) fn document(
        &self,
        fields: &Fields,
        doc: Doc<'a>,
        above: Option<&Trail<'_>>,
        out: &mut DocBuf,
    ) -> Result<bool> {
        let resolved;
        let fields = match &fields.matched {
            None => fields,
            Some(_) => {
                resolved = self.resolve(fields, above)?;
                &resolved
            }
        };
        let children = &fields.named;
        if self.ordered {
            for (name, node) in children {
                let trail = Trail {
                    above,
                    step: Step::Name(&name.text),
                };
                match doc.element(&name.text) {
                    Some(element) => self.existing(node, &element, &trail, out)?,
                    None => self.missing(node, &trail, out)?,
                };
            }
            return Ok(false);
        }
        let mut done: SmallVec<[bool; 16]> = SmallVec::from_elem(false, children.len());
        let mut left = children.len();
        let mut changed = false;
        // Elements from here to the current one are untouched and not yet copied.
        let mut copied = 4;
        let mut at = copied;
        for element in doc.iter() {
            let next = at + element.raw().len();
            if let Some(child) = find(fields, element.key()).filter(|&child| !done[child]) {
                copy_range(doc, copied, at, out);
                copied = next;
                done[child] = true;
                left -= 1;
                let trail = Trail {
                    above,
                    step: Step::Name(element.key()),
                };
                changed |= self.existing(&children[child].1, &element, &trail, out)?;
                if left == 0 {
                    break;
                }
            }
            at = next;
        }
        copy_range(doc, copied, doc.byte_len() - 1, out);
        if left > 0 {
            for ((name, node), _) in children.iter().zip(&done).filter(|(_, done)| !**done) {
                let trail = Trail {
                    above,
                    step: Step::Name(&name.text),
                };
                changed |= self.missing(node, &trail, out)?;
            }
        }
        Ok(changed)
    }

    /// As [`document`](Self::document), for an array, which stands in `parent`.
    fn array(
        &self,
        fields: &Fields,
        items: Doc<'a>,
        parent: &Element<'_>,
        above: &Trail<'_>,
        out: &mut DocBuf,
    ) -> Result<bool> {
        let resolved;
        let fields = match &fields.matched {
            None => fields,
            Some(_) => {
                resolved = self.resolve(fields, Some(above))?;
                &resolved
            }
        };
        let mut changed = false;
        let mut children: SmallVec<[(usize, &Node); 4]> = SmallVec::new();
        for (name, node) in &fields.named {
            match name.index {
                None if self.ordered => {}
                None => self.blocked(node, &name.text, parent, above)?,
                // Two spellings of one index ("1", "01").
                Some(index) if children.last().is_some_and(|last| last.0 == index) => {
                    return Err(Error::new(
                        ErrorCode::ConflictingUpdateOperators,
                        format!("Update created a conflict at '{}.{index}'", above.text()),
                    ));
                }
                Some(index) => children.push((index, node)),
            }
        }
        if self.ordered {
            return self.array_in_order(fields, items, parent, above, out);
        }
        let mut children = children.into_iter().peekable();
        let mut len = 0;
        for element in items.iter() {
            match children.next_if(|child| child.0 == len) {
                Some((index, node)) => {
                    let trail = Trail {
                        above: Some(above),
                        step: Step::Index(index),
                    };
                    changed |= self.existing(node, &element, &trail, out)?;
                }
                None => out.append_element(&element),
            }
            len += 1;
        }
        for (index, node) in children {
            let trail = Trail {
                above: Some(above),
                step: Step::Index(index),
            };
            if !self.creates(node) {
                continue;
            }
            if index - len > BACKFILL_MAX {
                return Err(Error::new(
                    ErrorCode::CannotBackfillArray,
                    format!("can't backfill more than {BACKFILL_MAX} elements"),
                ));
            }
            for hole in len..index {
                out.push(hole, ValueRef::Null);
            }
            changed |= self.missing(node, &trail, out)?;
            len = index + 1;
        }
        Ok(changed)
    }

    /// Visits the children of `fields` in their order, for the error of the first that has one.
    fn array_in_order(
        &self,
        fields: &Fields,
        items: Doc<'a>,
        parent: &Element<'_>,
        above: &Trail<'_>,
        out: &mut DocBuf,
    ) -> Result<bool> {
        for (name, node) in &fields.named {
            let Some(index) = name.index else {
                self.blocked(node, &name.text, parent, above)?;
                continue;
            };
            let trail = Trail {
                above: Some(above),
                step: Step::Index(index),
            };
            match items.iter().nth(index) {
                Some(element) => self.existing(node, &element, &trail, out)?,
                None => self.missing(node, &trail, out)?,
            };
        }
        Ok(false)
    }

    /// As [`array`](Self::array), for `$[]` and `$[identifier]`.
    fn elements(
        &self,
        elements: &Elements,
        items: Doc<'a>,
        above: &Trail<'_>,
        out: &mut DocBuf,
    ) -> Result<bool> {
        let mut changed = false;
        for (index, element) in items.iter().enumerate() {
            check_interrupt(index, self.env)?;
            let trail = Trail {
                above: Some(above),
                step: Step::Index(index),
            };
            let mut node: Option<std::borrow::Cow<'_, Node>> = None;
            for (id, child) in &elements.by_id {
                if !id.is_empty() && !self.filters.matches(id, element.value(), self.env)? {
                    continue;
                }
                node = Some(match node {
                    None => std::borrow::Cow::Borrowed(child),
                    Some(other) => std::borrow::Cow::Owned(other.merge(child, &|| trail.text())?),
                });
            }
            match node {
                None => out.append_element(&element),
                Some(node) => changed |= self.existing(&node, &element, &trail, out)?,
            }
        }
        Ok(changed)
    }

    /// Writes what becomes of an element that is there.
    fn existing(
        &self,
        node: &Node,
        element: &Element<'a>,
        trail: &Trail<'_>,
        out: &mut DocBuf,
    ) -> Result<bool> {
        let value = element.value();
        match (node, value) {
            (Node::Leaf(leaf), _) => self.leaf(&**leaf, Some(element), trail, out),
            (Node::Fields(fields), ValueRef::Document(doc)) => {
                let open = out.open_document(element.key());
                let changed = self.document(fields, doc, Some(trail), out)?;
                out.close(open);
                Ok(changed)
            }
            (Node::Fields(fields), ValueRef::Array(items)) => {
                let open = out.open_array(element.key());
                let changed = self.array(fields, items, element, trail, out)?;
                out.close(open);
                Ok(changed)
            }
            (Node::Fields(fields), _) => {
                if fields.matched.is_some() {
                    let resolved = self.resolve(fields, Some(trail))?;
                    self.blocked_fields(&resolved, element, trail)?;
                } else {
                    self.blocked_fields(fields, element, trail)?;
                }
                out.append_element(element);
                Ok(false)
            }
            (Node::Elements(elements), ValueRef::Array(items)) => {
                let open = out.open_array(element.key());
                let changed = self.elements(elements, items, trail, out)?;
                out.close(open);
                Ok(changed)
            }
            (Node::Elements(_), _) => Err(Error::bad_value(format!(
                "Cannot apply array updates to non-array element {}",
                show::element(element)
            ))),
        }
    }

    /// Writes what becomes of an element that is not there.
    fn missing(&self, node: &Node, trail: &Trail<'_>, out: &mut DocBuf) -> Result<bool> {
        match node {
            Node::Leaf(leaf) => self.leaf(&**leaf, None, trail, out),
            Node::Fields(fields) => {
                if !self.creates(node) {
                    return Ok(false);
                }
                if trail.depth() > UPDATE_DEPTH_MAX {
                    return Err(too_deep());
                }
                let open = out.open_document(trail.field());
                self.check_top_name(trail)?;
                self.document(fields, Doc::EMPTY, Some(trail), out)?;
                out.close(open);
                Ok(true)
            }
            Node::Elements(_) => Err(blocked::must_exist(&trail.text())),
        }
    }

    fn leaf(
        &self,
        leaf: &dyn Modifier,
        element: Option<&Element<'a>>,
        trail: &Trail<'_>,
        out: &mut DocBuf,
    ) -> Result<bool> {
        let current = element.map(Element::value);
        let outcome = leaf.apply(current, self, trail)?;
        let same = match &outcome {
            Outcome::Keep => true,
            Outcome::Remove => current.is_none(),
            Outcome::Put(value) => current.is_some_and(|current| identical(current, *value)),
            Outcome::Build(value) => {
                current.is_some_and(|current| identical(current, value.as_ref()))
            }
            Outcome::Force(_) => false,
            Outcome::Extend(_, added) => added.is_empty(),
        };
        if same {
            if let Some(element) = element {
                out.append_element(element);
            }
            return Ok(false);
        }
        if self.id_is_fixed && matches!(trail.top(), Step::Name(b"_id")) {
            return Err(Error::new(
                ErrorCode::ImmutableField,
                format!(
                    "Performing an update on the path '{}' would modify the immutable field '_id'",
                    trail.text()
                ),
            ));
        }
        match outcome {
            Outcome::Keep => {}
            Outcome::Remove => {
                if let Step::Index(index) = trail.step {
                    out.push(index, ValueRef::Null);
                }
            }
            Outcome::Put(value) => self.put(value, trail, out)?,
            Outcome::Build(value) | Outcome::Force(value) => {
                self.put(value.as_ref(), trail, out)?;
            }
            Outcome::Extend(items, added) => {
                for value in added {
                    check_depth(trail.depth() + 1, value.as_ref())?;
                }
                let open = match trail.step {
                    Step::Name(name) => out.open_array(name),
                    Step::Index(_) => out.open_array(trail.field()),
                };
                out.append_all(items);
                let len = items.iter().count();
                for (at, value) in added.iter().enumerate() {
                    out.push(len + at, value.as_ref());
                }
                out.close(open);
            }
        }
        Ok(true)
    }

    fn put(&self, value: ValueRef<'_>, trail: &Trail<'_>, out: &mut DocBuf) -> Result<()> {
        self.check_top_name(trail)?;
        check_depth(trail.depth(), value)?;
        match trail.step {
            Step::Name(name) => out.append(name, value),
            Step::Index(index) => out.push(index, value),
        }
        Ok(())
    }

    /// Top-level fields that an update makes or sets must not begin with `$`, but for those of a DBRef; those that a
    /// document has from an insert may stay.
    fn check_top_name(&self, trail: &Trail<'_>) -> Result<()> {
        match (trail.above, trail.step) {
            (None, Step::Name(name @ [b'$', ..])) if !self.inserting => {
                if !dollar::is_of_reference(name) {
                    return Err(dollar::refused(name));
                }
                self.sets_reference.set(true);
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether `node` would make a field where there is none, or complain that there is none.
    fn creates(&self, node: &Node) -> bool {
        match node {
            Node::Leaf(leaf) => leaf.creates(self),
            Node::Fields(fields) => {
                let mut children = fields.named.iter().map(|child| &child.1);
                children.any(|child| self.creates(child))
                    || fields
                        .matched
                        .as_ref()
                        .is_some_and(|child| self.matched.is_none() || self.creates(child))
            }
            Node::Elements(_) => true,
        }
    }

    pub(super) fn resolve(&self, fields: &Fields, above: Option<&Trail<'_>>) -> Result<Fields> {
        let matched = self.matched.ok_or_else(|| {
            Error::bad_value(
                "The positional operator did not find the match needed from the query.",
            )
        })?;
        fields.resolve(matched, || above.map_or_else(BString::default, Trail::text))
    }
}

/// The child that `key` names.
#[inline]
fn find(fields: &Fields, key: &[u8]) -> Option<usize> {
    let children = &fields.named;
    if children.len() <= LINEAR_MAX {
        return children.iter().position(|child| child.0.text == key);
    }
    children
        .binary_search_by(|child| path::order(&child.0.text, key))
        .ok()
}

/// Array items between two looks at the command's interruption.
const INTERRUPT_EVERY: usize = 1024;

/// Looks from time to time, by the position in a loop, whether the command has to stop.
#[inline]
pub(super) fn check_interrupt(at: usize, env: &Env<'_>) -> Result<()> {
    if at % INTERRUPT_EVERY == INTERRUPT_EVERY - 1 {
        (env.check_interrupt)()?;
    }
    Ok(())
}

/// Copies the elements of `doc` between two offsets.
pub(crate) fn copy_range(doc: Doc<'_>, from: usize, to: usize, out: &mut DocBuf) {
    if from < to {
        // A view whose first four bytes and last byte are passed over: what is copied is `from..to`.
        out.append_all(Doc::new(&doc.as_bytes()[from - 4..=to]));
    }
}

/// Whether two values are the same to the last bit and type.
pub(super) fn identical(a: ValueRef<'_>, b: ValueRef<'_>) -> bool {
    use ValueRef as V;
    match (a, b) {
        (V::Double(a), V::Double(b)) => a.to_bits() == b.to_bits(),
        (V::Int32(a), V::Int32(b)) => a == b,
        (V::Int64(a), V::Int64(b)) | (V::DateTime(a), V::DateTime(b)) => a == b,
        (V::Timestamp(a), V::Timestamp(b)) => a == b,
        (V::Bool(a), V::Bool(b)) => a == b,
        (V::Decimal128(a), V::Decimal128(b)) => a == b,
        (V::ObjectId(a), V::ObjectId(b)) => a == b,
        (V::String(a), V::String(b))
        | (V::Symbol(a), V::Symbol(b))
        | (V::JavaScript(a), V::JavaScript(b)) => a == b,
        (V::Document(a), V::Document(b)) | (V::Array(a), V::Array(b)) => a == b,
        (
            V::Binary {
                subtype: s,
                bytes: a,
            },
            V::Binary {
                subtype: t,
                bytes: b,
            },
        ) => s == t && a == b,
        (
            V::Regex {
                pattern: p,
                options: o,
            },
            V::Regex {
                pattern: q,
                options: r,
            },
        ) => p == q && o == r,
        (
            V::DbPointer {
                namespace: n,
                id: i,
            },
            V::DbPointer {
                namespace: m,
                id: j,
            },
        ) => n == m && i == j,
        (
            V::JavaScriptWithScope { code: c, scope: s },
            V::JavaScriptWithScope { code: d, scope: t },
        ) => c == d && s == t,
        (a, b) => {
            a.kind() == b.kind()
                && matches!(
                    a,
                    V::MinKey | V::MaxKey | V::Null | V::Undefined | V::Missing
                )
        }
    }
}

/// Refuses a value that would stand `depth` levels deep and nests beyond what an update may make.
fn check_depth(depth: usize, value: ValueRef<'_>) -> Result<()> {
    match value {
        ValueRef::Document(doc) | ValueRef::Array(doc) => {
            if depth > UPDATE_DEPTH_MAX {
                return Err(too_deep());
            }
            // Documents are at most `DEPTH_MAX` deep, which bounds this recursion.
            doc.values()
                .try_for_each(|value| check_depth(depth + 1, value))
        }
        _ => Ok(()),
    }
}

#[cold]
fn too_deep() -> Error {
    Error::new(
        ErrorCode::Overflow,
        format!("Document exceeds maximum nesting depth of {UPDATE_DEPTH_MAX}"),
    )
}
