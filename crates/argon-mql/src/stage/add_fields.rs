//! `$addFields` and `$set`: fields computed into a document.

use std::sync::Arc;

use bytes::Bytes;

use super::read_fields::{FieldSet, add_fields_of};
use super::source::Turns;
use super::{Changes, Context, FieldPath, Paths, Source, Stage, StageContext};
use crate::expr::{Expr, Scope};
use crate::filter::Filter;
use crate::value::{Doc, DocBuf, FieldName, Fields, ValueRef};
use crate::{Env, Error, ParseContext, Result};

/// Fields to compute, as the tree of their dotted paths, in the order in which they were given.
#[derive(Debug, Default)]
pub(crate) struct FieldTree {
    children: Vec<(FieldName, Child)>,
}

#[derive(Debug)]
enum Child {
    Computed {
        expr: Expr,
        /// Whether a missing value leaves a place.
        keeps_place: bool,
    },
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
    out.push(Box::new(AddFields::new(tree)));
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

    /// Adds the top-level fields that it reads to `fields`, which hold what is read of its result; false if it reads the
    /// whole document.
    fn add_fields(&self, fields: &mut FieldSet) -> bool {
        for (name, child) in &self.children {
            if matches!(child, Child::Computed { .. }) {
                fields.remove(name.as_bytes());
            }
        }
        // What is computed below a field keeps the rest of it.
        let below = |(name, child): &(FieldName, Child)| match child {
            Child::Inside(_) => Some(name.as_bytes().to_vec()),
            Child::Computed { .. } => None,
        };
        fields.extend(self.children.iter().filter_map(below));
        self.add_fields_of_expressions(fields)
    }

    fn add_fields_of_expressions(&self, fields: &mut FieldSet) -> bool {
        self.children.iter().all(|(_, child)| match child {
            Child::Computed { expr, .. } => add_fields_of(expr, fields),
            Child::Inside(tree) => tree.add_fields_of_expressions(fields),
        })
    }

    /// Adds the paths of the fields, below that of `above`, to `paths`.
    fn add_paths(&self, above: &mut Vec<u8>, paths: &mut Paths) {
        for (name, child) in &self.children {
            let len = above.len();
            if len > 0 {
                above.push(b'.');
            }
            above.extend_from_slice(name.as_bytes());
            match child {
                Child::Computed { expr, .. } => paths.add_computed(above, expr),
                Child::Inside(tree) => tree.add_paths(above, paths),
            }
            above.truncate(len);
        }
    }

    /// A tree of one field.
    pub(crate) fn insert(&mut self, path: &FieldPath, expr: Expr, keeps_place: bool) -> Result<()> {
        let child = Child::Computed { expr, keeps_place };
        self.place(path.names(), child)
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
        let child = Child::Computed {
            expr,
            keeps_place: path.last().is_some_and(|name| cx.keeps_place(name)),
        };
        self.place(path, child)
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

    /// As [`apply`](FieldTree::apply), but of the fields that are not computed only `kept` are there.
    fn apply_to(&self, doc: Doc<'_>, kept: &FieldSet, scope: &Scope<'_>) -> Result<Bytes> {
        let mut out = DocBuf::with_capacity(128);
        let put = |out: &mut DocBuf, name: &[u8], child: &Child, old: ValueRef<'_>| {
            child.put(out, name, old, scope)
        };
        self.weave(&mut out, doc, Some(kept), put)?;
        Ok(out.finish())
    }

    /// `doc` with the fields as they were computed in `computed`, which [`apply_to`](FieldTree::apply_to) made of it.
    fn complete(&self, doc: Doc<'_>, computed: Doc<'_>) -> Result<Bytes> {
        let mut out = DocBuf::with_capacity(doc.byte_len() + 64);
        self.weave(&mut out, doc, None, |out, name, _, _| {
            if let Some(element) = computed.element_or_place(name) {
                out.append_element(&element);
            }
            Ok(())
        })?;
        Ok(out.finish())
    }

    fn write(&self, out: &mut DocBuf, doc: Doc<'_>, scope: &Scope<'_>) -> Result<()> {
        self.weave(out, doc, None, |out, name, child, old| {
            child.put(out, name, old, scope)
        })
    }

    /// Writes the fields of `doc`, or those of `kept`, and calls `put` where a computed one has its place, with its name
    /// and what was there.
    fn weave(
        &self,
        out: &mut DocBuf,
        doc: Doc<'_>,
        kept: Option<&FieldSet>,
        mut put: impl FnMut(&mut DocBuf, &[u8], &Child, ValueRef<'_>) -> Result<()>,
    ) -> Result<()> {
        let has_one = || {
            Fields::with_places(doc)
                .any(|field| self.children.iter().any(|(name, _)| field.is(name)))
        };
        if kept.is_none() && !has_one() {
            // Only new fields, which is what most stages add: the rest is copied in one piece.
            out.append_all(doc);
            for (name, child) in &self.children {
                put(out, name.as_bytes(), child, ValueRef::Missing)?;
            }
            return Ok(());
        }
        let mut seen = smallvec::SmallVec::<[bool; 16]>::from_elem(false, self.children.len());
        for element in doc.iter_with_places() {
            let at = self
                .children
                .iter()
                .position(|(name, _)| name.as_bytes() == &**element.key());
            match at.and_then(|at| Some((seen.get_mut(at)?, self.children.get(at)?))) {
                Some((seen, (name, child))) if !*seen => {
                    *seen = true;
                    put(out, name.as_bytes(), child, element.value())?;
                }
                _ => {
                    let key: &[u8] = element.key();
                    if kept.is_none_or(|kept| kept.contains(key)) {
                        out.append_element(&element);
                    }
                }
            }
        }
        for ((name, child), seen) in self.children.iter().zip(seen) {
            if !seen {
                put(out, name.as_bytes(), child, ValueRef::Missing)?;
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
            Child::Computed { expr, keeps_place } => {
                let before = out.byte_len();
                expr.append_to(name, out, scope)?;
                if *keeps_place && out.byte_len() == before {
                    out.append_place(name);
                }
                Ok(())
            }
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
    tree: FieldTree,
    /// The fields that are read of what it gives, if not all.
    read: Option<FieldSet>,
    /// What follows, and the fields that it reads.
    filter: Option<(Arc<Filter>, FieldSet)>,
}

impl AddFields {
    pub(super) fn new(tree: FieldTree) -> AddFields {
        AddFields {
            tree,
            read: None,
            filter: None,
        }
    }

    /// What becomes of `doc`; `None` if the filter behind would not let it pass.
    fn apply(&self, doc: &Bytes, env: &Env<'_>) -> Result<Option<Bytes>> {
        let scope = Scope::new(doc, env);
        let root = Doc::new(doc);
        match (&self.filter, &self.read) {
            // Most documents are looked at for a few fields, and not copied for that.
            (Some((filter, fields)), None) => {
                let part = self.tree.apply_to(root, fields, &scope)?;
                let passes = filter.matches(&part, env)?;
                passes
                    .then(|| self.tree.complete(root, Doc::new(&part)))
                    .transpose()
            }
            (_, Some(read)) => self.tree.apply_to(root, read, &scope).map(Some),
            (None, None) => self.tree.apply(root, &scope).map(Some),
        }
    }
}

impl Stage for AddFields {
    fn changes(&self) -> Changes {
        let mut paths = Paths::default();
        self.tree.add_paths(&mut Vec::new(), &mut paths);
        Changes::Only(paths)
    }

    fn gives_one_for_one(&self) -> bool {
        true
    }

    fn reads(&self, after: Option<&FieldSet>) -> Option<FieldSet> {
        let mut fields = after?.clone();
        let known = self.tree.add_fields(&mut fields);
        known.then_some(fields)
    }

    fn is_read_for(&mut self, fields: &FieldSet) {
        self.read = Some(fields.clone());
    }

    fn is_filtered(&mut self, filter: &Arc<Filter>, fields: FieldSet) {
        self.filter = Some((Arc::clone(filter), fields));
    }

    fn open(self: Arc<Self>, input: Box<dyn Source>) -> Box<dyn Source> {
        Box::new(AddFieldsSource {
            stage: self,
            input,
            turns: Turns::default(),
        })
    }
}

struct AddFieldsSource {
    stage: Arc<AddFields>,
    input: Box<dyn Source>,
    turns: Turns,
}

impl Source for AddFieldsSource {
    fn next(&mut self, cx: &Context<'_>) -> Result<Option<Bytes>> {
        while let Some(doc) = self.input.next(cx)? {
            if let Some(doc) = self.stage.apply(&doc, cx.env)? {
                return Ok(Some(doc));
            }
            self.turns.turn(cx)?;
        }
        Ok(None)
    }
}
