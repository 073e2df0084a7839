//! One pass over a document: what is kept is copied, what is computed follows.

use bytes::Bytes;
use smallvec::SmallVec;

use super::sort_key::sort_key;
use super::tree::{Child, Meta, Node, Slice};
use super::{Metadata, Projection};
use crate::expr::Scope;
use crate::filter::Filter;
use crate::update::copy_range;
use crate::value::{Doc, DocBuf, Element, Places, Value, ValueRef};
use crate::{Env, Error, Result};

/// One document's pass.
struct Run<'a> {
    scope: Scope<'a>,
    metadata: &'a Metadata,
    sort_key: Option<Value>,
    places: Option<&'a Places>,
}

/// How a level was reached.
#[derive(Clone, Copy)]
struct Way {
    /// Whether the positional `$` still has to meet its array.
    pending: bool,
    /// Whether an array stands directly in an array above: `$slice` does not look there.
    nested: bool,
}

pub(super) fn apply(
    projection: &Projection,
    doc: &Bytes,
    env: &Env<'_>,
    metadata: &Metadata,
) -> Result<Bytes> {
    let sort_key = match &projection.sort {
        Some(sort) => {
            let sorted = metadata.sorted.as_ref().unwrap_or(doc);
            Some(sort_key(sort, Doc::new(sorted))?)
        }
        None => None,
    };
    let run = Run {
        scope: Scope::new(doc, env),
        metadata,
        sort_key,
        places: projection.places.as_deref(),
    };
    let way = Way {
        pending: true,
        nested: false,
    };
    let root = &projection.root;
    if !projection.inclusive && root.children.is_empty() {
        return Ok(doc.clone());
    }
    let view = Doc::new(doc);
    let mut out = DocBuf::with_capacity(if projection.inclusive {
        64 + 16 * root.children.len()
    } else {
        doc.len()
    });
    if projection.inclusive {
        run.include(root, view, way, &mut out)?;
    } else {
        run.exclude(root, view, way, &mut out)?;
    }
    Ok(out.finish())
}

impl Run<'_> {
    /// Writes of `doc` what `node` names, then what it computes.
    fn include(&self, node: &Node, doc: Doc<'_>, way: Way, out: &mut DocBuf) -> Result<()> {
        let mut seen: SmallVec<[bool; 16]> = SmallVec::from_elem(false, node.children.len());
        let mut left = node.children.len();
        for element in doc.iter() {
            let Some(at) = node.position(element.key()) else {
                continue;
            };
            if std::mem::replace(&mut seen[at], true) {
                continue;
            }
            match &node.children[at].1 {
                Child::Include => out.append_element(&element),
                Child::Inside(inner) => self.include_value(inner, &element, way, out)?,
                Child::Slice(slice) => slice.write(&element, way, out),
                Child::Positional => self.positional(&element, way, out)?,
                // Written after all that is kept.
                Child::Computed(_) | Child::ElemMatch(_) | Child::Meta(_) => seen[at] = false,
                Child::Exclude => {}
            }
            left -= 1;
            if left == 0 {
                break;
            }
        }
        for ((name, child), _) in node.children.iter().zip(&seen).filter(|(_, seen)| !**seen) {
            match child {
                Child::Computed(expr) => {
                    let before = out.byte_len();
                    expr.append_to(name, out, &self.scope)?;
                    if out.byte_len() == before {
                        self.leave_place(name, out);
                    }
                }
                Child::Meta(meta) => out.append(name, self.meta(*meta)),
                Child::ElemMatch(filter) => {
                    if let Some(element) = doc.element(name) {
                        self.elem_match(filter, &element, out)?;
                    }
                }
                Child::Inside(inner) if inner.computes => {
                    let open = out.open_document(name);
                    self.include(inner, Doc::EMPTY, way, out)?;
                    out.close(open);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Writes `element` as `node` wants it.
    fn include_value(
        &self,
        node: &Node,
        element: &Element<'_>,
        way: Way,
        out: &mut DocBuf,
    ) -> Result<()> {
        match element.value() {
            ValueRef::Document(doc) => {
                let open = out.open_document(element.key());
                self.include(node, doc, way, out)?;
                out.close(open);
            }
            ValueRef::Array(items) => {
                let open = out.open_array(element.key());
                if node.positional && way.pending {
                    let way = Way {
                        pending: false,
                        ..way
                    };
                    let item = self.matched(items)?;
                    self.include_item(node, item, 0, way, out)?;
                } else {
                    self.include_items(node, items, way, out)?;
                }
                out.close(open);
            }
            _ if node.computes => {
                let open = out.open_document(element.key());
                self.include(node, Doc::EMPTY, way, out)?;
                out.close(open);
            }
            _ => self.leave_place(element.key(), out),
        }
        Ok(())
    }

    fn include_items(&self, node: &Node, items: Doc<'_>, way: Way, out: &mut DocBuf) -> Result<()> {
        let mut len = 0;
        for item in items.values() {
            if self.include_item(node, item, len, way, out)? {
                len += 1;
            }
        }
        Ok(())
    }

    /// Writes `item` as number `at` of an array; answers whether there is anything to write.
    fn include_item(
        &self,
        node: &Node,
        item: ValueRef<'_>,
        at: usize,
        way: Way,
        out: &mut DocBuf,
    ) -> Result<bool> {
        let doc = match item {
            ValueRef::Document(doc) => doc,
            ValueRef::Array(items) => {
                let open = out.open_array(at.to_string());
                let way = Way {
                    nested: true,
                    ..way
                };
                self.include_items(node, items, way, out)?;
                out.close(open);
                return Ok(true);
            }
            _ if node.computes => Doc::EMPTY,
            _ => return Ok(false),
        };
        let open = out.push_document(at);
        self.include(node, doc, way, out)?;
        out.close(open);
        Ok(true)
    }

    /// Writes `doc` without what `node` names.
    fn exclude(&self, node: &Node, doc: Doc<'_>, way: Way, out: &mut DocBuf) -> Result<()> {
        let mut seen: SmallVec<[bool; 16]> = SmallVec::from_elem(false, node.children.len());
        // Elements from here to the current one are kept and not yet copied.
        let mut copied = 4;
        let mut next = copied;
        for element in doc.iter_with_places() {
            let here = next;
            next += element.raw().len();
            let Some(at) = node.position(element.key()) else {
                continue;
            };
            copy_range(doc, copied, here, out);
            copied = next;
            seen[at] = true;
            match &node.children[at].1 {
                Child::Exclude => self.leave_place(element.key(), out),
                Child::Inside(inner) => self.exclude_value(inner, &element, way, out)?,
                Child::Slice(slice) => slice.write(&element, way, out),
                Child::ElemMatch(filter) => self.elem_match(filter, &element, out)?,
                Child::Meta(meta) => out.append(element.key(), self.meta(*meta)),
                Child::Computed(expr) => expr.append_to(element.key(), out, &self.scope)?,
                Child::Include | Child::Positional => out.append_element(&element),
            }
        }
        copy_range(doc, copied, next, out);
        for ((name, child), _) in node.children.iter().zip(&seen).filter(|(_, seen)| !**seen) {
            match child {
                Child::Meta(meta) => out.append(name, self.meta(*meta)),
                Child::Inside(inner) if inner.has_metadata() => {
                    let open = out.open_document(name);
                    self.exclude(inner, Doc::EMPTY, way, out)?;
                    out.close(open);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Leaves the place of the field `name`, which is taken away or computed to nothing, if it is asked for later.
    fn leave_place(&self, name: &[u8], out: &mut DocBuf) {
        if self.places.is_some_and(|places| places.keep(name)) {
            out.append_place(name);
        }
    }

    fn exclude_value(
        &self,
        node: &Node,
        element: &Element<'_>,
        way: Way,
        out: &mut DocBuf,
    ) -> Result<()> {
        match element.value() {
            ValueRef::Document(doc) => {
                let open = out.open_document(element.key());
                self.exclude(node, doc, way, out)?;
                out.close(open);
            }
            ValueRef::Array(items) => {
                let open = out.open_array(element.key());
                for item in items.iter() {
                    let nested = way.nested || matches!(item.value(), ValueRef::Array(_));
                    self.exclude_value(node, &item, Way { nested, ..way }, out)?;
                }
                out.close(open);
            }
            _ => out.append_element(element),
        }
        Ok(())
    }

    /// Writes the item of the array `element` that the query matched.
    fn positional(&self, element: &Element<'_>, way: Way, out: &mut DocBuf) -> Result<()> {
        match element.value() {
            ValueRef::Array(items) if way.pending => {
                let item = self.matched(items)?;
                let open = out.open_array(element.key());
                out.push(0, item);
                out.close(open);
            }
            _ => out.append_element(element),
        }
        Ok(())
    }

    fn matched<'d>(&self, items: Doc<'d>) -> Result<ValueRef<'d>> {
        let Some(index) = self.metadata.matched else {
            return Err(Error::location(
                51246,
                "positional operator '.$' couldn't find a matching element in the array",
            ));
        };
        items
            .values()
            .nth(index)
            .ok_or_else(|| Error::location(51247, "positional operator '.$' element mismatch"))
    }

    /// Writes the first item of the array `element` that `filter` takes.
    fn elem_match(&self, filter: &Filter, element: &Element<'_>, out: &mut DocBuf) -> Result<()> {
        let ValueRef::Array(items) = element.value() else {
            return Ok(());
        };
        let mut alone = DocBuf::with_capacity(element.raw().len() + 8);
        alone.append_element(element);
        let index = filter.array_match(&alone.finish(), self.scope.env())?;
        if let Some(item) = index.and_then(|index| items.values().nth(index)) {
            let open = out.open_array(element.key());
            out.push(0, item);
            out.close(open);
        }
        Ok(())
    }

    fn meta(&self, meta: Meta) -> ValueRef<'_> {
        match meta {
            Meta::IndexKey => self
                .metadata
                .index_key
                .as_ref()
                .map_or(ValueRef::Missing, |key| ValueRef::Document(Doc::new(key))),
            Meta::RecordId => self
                .metadata
                .record_id
                .map_or(ValueRef::Missing, ValueRef::Int64),
            Meta::SortKey => self
                .sort_key
                .as_ref()
                .map_or(ValueRef::Missing, Value::as_ref),
            Meta::Absent => ValueRef::Missing,
        }
    }
}

impl Slice {
    /// Writes the part of the array `element`; what is no array as it stands.
    fn write(self, element: &Element<'_>, way: Way, out: &mut DocBuf) {
        let items = match element.value() {
            ValueRef::Array(items) if !way.nested => items,
            _ => return out.append_element(element),
        };
        let distance = usize::try_from(self.skip.unsigned_abs()).unwrap_or(usize::MAX);
        let skip = if self.skip >= 0 {
            distance
        } else {
            items.iter().count().saturating_sub(distance)
        };
        let open = out.open_array(element.key());
        for (at, item) in items.values().skip(skip).take(self.limit).enumerate() {
            out.push(at, item);
        }
        out.close(open);
    }
}
