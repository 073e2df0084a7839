//! `$addFields` and `$set`: fields computed into a document.

use std::sync::Arc;

use bytes::Bytes;

use super::{Context, FieldPath, Source, Stage, StageContext};
use crate::expr::{Expr, Scope};
use crate::value::{Doc, DocBuf, FieldName, Fields, ValueRef};
use crate::{Error, ParseContext, Result};

/// Fields to compute, as the tree of their dotted paths, in the order in which they were given.
#[derive(Debug, Default)]
pub(crate) struct FieldTree {
    children: Vec<(FieldName, Child)>,
}

#[derive(Debug)]
enum Child {
    Computed(Expr),
    Inside(FieldTree),
}

pub(super) fn parse(
    value: ValueRef<'_>,
    context: &StageContext<'_>,
    out: &mut Vec<Box<dyn Stage>>,
) -> Result<()> {
    let Some(spec) = value.as_document() else {
        return Err(Error::location(
            40272,
            format!(
                "{} specification stage must be an object, got {}",
                context.name,
                value.type_name()
            ),
        ));
    };
    let tree = FieldTree::parse(spec, context.cx)
        .map_err(|error| error.context("Invalid $addFields :: caused by :: "))?;
    out.push(Box::new(AddFields { tree }));
    Ok(())
}

impl FieldTree {
    /// Parses `{path: expression, …}`.
    ///
    /// # Errors
    /// 40176 for paths in conflict, 40180 for an empty object, 40181 and 40183 for malformed ones, and what paths and
    /// expressions are refused with.
    pub(crate) fn parse(spec: Doc<'_>, cx: &ParseContext) -> Result<FieldTree> {
        let mut tree = FieldTree::default();
        for element in spec.iter() {
            let path = FieldPath::parse(element.key())?;
            tree.add(path.names(), element.value(), cx)?;
        }
        Ok(tree)
    }

    /// A tree of one field.
    pub(crate) fn insert(&mut self, path: &FieldPath, expr: Expr) -> Result<()> {
        self.place(path.names(), Child::Computed(expr))
    }

    fn add(&mut self, path: &[Bytes], value: ValueRef<'_>, cx: &ParseContext) -> Result<()> {
        if let ValueRef::Document(inner) = value {
            if inner.is_empty() {
                return Err(Error::location(
                    40180,
                    "an empty object is not a valid value",
                ));
            }
            let count = inner.iter().count();
            if inner.iter().any(|element| element.key().starts_with(b"$")) {
                if count > 1 {
                    return Err(Error::location(
                        40181,
                        format!(
                            "an expression specification must contain exactly one field, the name of the expression. Found {count} fields"
                        ),
                    ));
                }
            } else {
                // A nested object names fields, it is no object expression.
                for element in inner.iter() {
                    if element.key().contains(&b'.') {
                        return Err(Error::location(
                            40183,
                            format!(
                                "cannot use dotted field name '{}' in a sub object",
                                element.key()
                            ),
                        ));
                    }
                    let mut path = path.to_vec();
                    path.extend_from_slice(FieldPath::parse(element.key())?.names());
                    self.add(&path, element.value(), cx)?;
                }
                return Ok(());
            }
        }
        let expr = Expr::parse(value, cx)?;
        self.place(path, Child::Computed(expr))
    }

    fn place(&mut self, path: &[Bytes], child: Child) -> Result<()> {
        let conflict = || {
            Error::location(
                40176,
                format!(
                    "specification contains two conflicting paths, one of which ends with '{}'",
                    String::from_utf8_lossy(path.last().map_or(b"", |name| &name[..]))
                ),
            )
        };
        let Some((first, rest)) = path.split_first() else {
            return Ok(());
        };
        let at = self
            .children
            .iter()
            .position(|(name, _)| name.as_bytes() == &first[..]);
        match at.and_then(|at| self.children.get_mut(at)) {
            Some((_, Child::Inside(tree))) if !rest.is_empty() => tree.place(rest, child),
            Some(_) => Err(conflict()),
            None => {
                let child = if rest.is_empty() {
                    child
                } else {
                    let mut tree = FieldTree::default();
                    tree.place(rest, child)?;
                    Child::Inside(tree)
                };
                self.children.push((FieldName::new(first.clone()), child));
                Ok(())
            }
        }
    }

    /// `doc`, the root of `scope`, with the fields computed: existing ones in their place, new ones at the end.
    pub(crate) fn apply(&self, doc: Doc<'_>, scope: &Scope<'_>) -> Result<Bytes> {
        let mut out = DocBuf::with_capacity(doc.byte_len() + 64);
        self.write(&mut out, doc, scope)?;
        Ok(out.finish())
    }

    fn write(&self, out: &mut DocBuf, doc: Doc<'_>, scope: &Scope<'_>) -> Result<()> {
        let has_one =
            Fields::of(doc).any(|field| self.children.iter().any(|(name, _)| field.is(name)));
        if !has_one {
            // Only new fields, which is what most stages add: the rest is copied in one piece.
            out.append_all(doc);
            for (name, child) in &self.children {
                child.put(out, name.as_bytes(), ValueRef::Missing, scope)?;
            }
            return Ok(());
        }
        let mut seen = smallvec::SmallVec::<[bool; 16]>::from_elem(false, self.children.len());
        for element in doc.iter() {
            let at = self
                .children
                .iter()
                .position(|(name, _)| name.as_bytes() == &**element.key());
            match at.and_then(|at| Some((seen.get_mut(at)?, self.children.get(at)?))) {
                Some((seen, (name, child))) if !*seen => {
                    *seen = true;
                    child.put(out, name.as_bytes(), element.value(), scope)?;
                }
                _ => out.append_element(&element),
            }
        }
        for ((name, child), seen) in self.children.iter().zip(seen) {
            if !seen {
                child.put(out, name.as_bytes(), ValueRef::Missing, scope)?;
            }
        }
        Ok(())
    }
}

impl Child {
    /// Writes the field `name`, whose value was `old`.
    fn put(
        &self,
        out: &mut DocBuf,
        name: &[u8],
        old: ValueRef<'_>,
        scope: &Scope<'_>,
    ) -> Result<()> {
        match self {
            Child::Computed(expr) => expr.append_to(name, out, scope),
            Child::Inside(tree) => match old {
                ValueRef::Array(array) => {
                    let open = out.open_array(name);
                    for element in array.iter() {
                        self.put(out, element.key(), element.value(), scope)?;
                    }
                    out.close(open);
                    Ok(())
                }
                old => {
                    let open = out.open_document(name);
                    let inner = old.as_document().unwrap_or(Doc::EMPTY);
                    tree.write(out, inner, scope)?;
                    out.close(open);
                    Ok(())
                }
            },
        }
    }
}

#[derive(Debug)]
pub(super) struct AddFields {
    pub(super) tree: FieldTree,
}

impl Stage for AddFields {
    fn keeps_field(&self, name: &[u8]) -> bool {
        self.tree
            .children
            .iter()
            .all(|(child, _)| child.as_bytes() != name)
    }

    fn open(self: Arc<Self>, input: Box<dyn Source>) -> Box<dyn Source> {
        Box::new(AddFieldsSource { stage: self, input })
    }
}

struct AddFieldsSource {
    stage: Arc<AddFields>,
    input: Box<dyn Source>,
}

impl Source for AddFieldsSource {
    fn next(&mut self, cx: &Context<'_>) -> Result<Option<Bytes>> {
        let Some(doc) = self.input.next(cx)? else {
            return Ok(None);
        };
        let scope = Scope::new(&doc, cx.env);
        Ok(Some(self.stage.tree.apply(Doc::new(&doc), &scope)?))
    }
}
