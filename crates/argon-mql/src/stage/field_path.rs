//! Field paths as stages name them: strict, and followed through documents only.

use bytes::Bytes;
use smallvec::SmallVec;

use crate::path::{COMPONENTS_MAX, may_name_field};
use crate::value::{Doc, DocBuf, ValueRef};
use crate::{Error, Result};

/// A dotted path of non-empty names without `$`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FieldPath {
    names: SmallVec<[Bytes; 2]>,
}

impl FieldPath {
    /// Reads `text` as a path.
    ///
    /// # Errors
    /// 40352 empty path, 40353 trailing dot, 15998 empty component, 16410 component with `$`, Overflow if too long.
    pub(crate) fn parse(text: &[u8]) -> Result<FieldPath> {
        if text.is_empty() {
            return Err(Error::location(
                40352,
                "FieldPath cannot be constructed with empty string",
            ));
        }
        if text.ends_with(b".") {
            return Err(Error::location(40353, "FieldPath must not end with a '.'."));
        }
        let mut names = SmallVec::new();
        for name in text.split(|&byte| byte == b'.') {
            if name.is_empty() {
                return Err(Error::location(
                    15998,
                    "FieldPath field names may not be empty strings.",
                ));
            }
            if !may_name_field(name) {
                return Err(Error::location(
                    16410,
                    "FieldPath field names may not start with '$'. Consider using $getField or $setField.",
                ));
            }
            if name.contains(&0) {
                return Err(Error::location(
                    16411,
                    "FieldPath field names may not contain '\\0'.",
                ));
            }
            names.push(Bytes::copy_from_slice(name));
        }
        if names.len() > COMPONENTS_MAX {
            return Err(Error::new(
                crate::ErrorCode::Overflow,
                "FieldPath is too long",
            ));
        }
        Ok(FieldPath { names })
    }

    /// The components, outermost first.
    pub(crate) fn names(&self) -> &[Bytes] {
        &self.names
    }

    /// Whether `name` is the first component.
    pub(crate) fn starts_with(&self, name: &[u8]) -> bool {
        self.names.first().is_some_and(|first| first == name)
    }

    /// Whether one of the two leads to the other or to something inside it.
    pub(crate) fn overlaps(&self, other: &FieldPath) -> bool {
        self.names.iter().zip(&other.names).all(|(a, b)| a == b)
    }

    /// The path as written.
    pub(crate) fn text(&self) -> Vec<u8> {
        self.names.join(&b'.')
    }

    /// The value at the path, entering documents and no arrays; missing if there is none.
    pub(crate) fn get<'d>(&self, doc: Doc<'d>) -> ValueRef<'d> {
        get(doc, &self.names)
    }

    /// `doc` with `value` at the path: in place if there is one, at the end if not. Whatever stands in the way and is
    /// no document becomes one; a missing value takes the field away.
    pub(crate) fn set(&self, doc: Doc<'_>, value: ValueRef<'_>) -> Bytes {
        let mut out = DocBuf::with_capacity(doc.byte_len() + value_size(value));
        set(&mut out, doc, &self.names, &|out, name| {
            out.append(name, value)
        });
        out.finish()
    }

    /// `doc` without the field at the path, of which the place stays.
    pub(crate) fn leave_place(&self, doc: Doc<'_>) -> Bytes {
        let mut out = DocBuf::with_capacity(doc.byte_len() + 32);
        set(&mut out, doc, &self.names, &|out, name| {
            out.append_place(name)
        });
        out.finish()
    }

    /// As [`set`](FieldPath::set), but the field ends up last on each level.
    pub(crate) fn set_at_end(&self, doc: Doc<'_>, value: ValueRef<'_>) -> Bytes {
        let mut out = DocBuf::with_capacity(doc.byte_len() + value_size(value));
        set_at_end(&mut out, doc, &self.names, value);
        out.finish()
    }
}

/// About how many bytes `value` takes.
fn value_size(value: ValueRef<'_>) -> usize {
    match value {
        ValueRef::Document(doc) | ValueRef::Array(doc) => doc.byte_len() + 32,
        _ => 32,
    }
}

fn set_at_end(out: &mut DocBuf, doc: Doc<'_>, names: &[Bytes], value: ValueRef<'_>) {
    let Some((first, rest)) = names.split_first() else {
        return;
    };
    let mut inner = Doc::EMPTY;
    for element in doc.iter_with_places() {
        if *element.key() != first[..] {
            out.append_element(&element);
        } else if let ValueRef::Document(doc) = element.value() {
            inner = doc;
        }
    }
    if rest.is_empty() {
        out.append(first, value);
    } else {
        let open = out.open_document(first);
        set_at_end(out, inner, rest, value);
        out.close(open);
    }
}

fn get<'d>(doc: Doc<'d>, names: &[Bytes]) -> ValueRef<'d> {
    let Some((first, rest)) = names.split_first() else {
        return ValueRef::Missing;
    };
    match doc.get(first) {
        None => ValueRef::Missing,
        Some(value) if rest.is_empty() => value,
        Some(ValueRef::Document(inner)) => get(inner, rest),
        Some(_) => ValueRef::Missing,
    }
}

/// Writes `doc`, and with `write` what belongs at the path `names`.
fn set(out: &mut DocBuf, doc: Doc<'_>, names: &[Bytes], write: &dyn Fn(&mut DocBuf, &Bytes)) {
    let Some((first, rest)) = names.split_first() else {
        return;
    };
    let mut found = false;
    for element in doc.iter_with_places() {
        if found || element.key().len() != first.len() || *element.key() != first[..] {
            out.append_element(&element);
            continue;
        }
        found = true;
        let inner = match element.value() {
            ValueRef::Document(inner) => inner,
            _ => Doc::EMPTY,
        };
        put(out, first, inner, rest, write);
    }
    if !found {
        put(out, first, Doc::EMPTY, rest, write);
    }
}

fn put(
    out: &mut DocBuf,
    name: &Bytes,
    inner: Doc<'_>,
    rest: &[Bytes],
    write: &dyn Fn(&mut DocBuf, &Bytes),
) {
    if rest.is_empty() {
        write(out, name);
    } else {
        let open = out.open_document(name);
        set(out, inner, rest, write);
        out.close(open);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doc() -> Bytes {
        let mut doc = DocBuf::new();
        doc.append("a", ValueRef::Int32(1));
        let open = doc.open_document("b");
        doc.append("c", ValueRef::Int32(2));
        doc.close(open);
        doc.finish()
    }

    #[test]
    fn sets_in_place_and_at_the_end() {
        let doc = doc();
        let set = |path: &str| {
            let path = FieldPath::parse(path.as_bytes()).unwrap();
            let out = path.set(Doc::new(&doc), ValueRef::Bool(true));
            crate::value::validate(&out).unwrap();
            format!("{:?}", Doc::new(&out))
        };
        assert_eq!(
            set("b.c"),
            r#"{"a": Int32(1), "b": Document({"c": Bool(true)})}"#
        );
        assert_eq!(
            set("a.x"),
            r#"{"a": Document({"x": Bool(true)}), "b": Document({"c": Int32(2)})}"#
        );
        assert_eq!(
            set("d.e"),
            r#"{"a": Int32(1), "b": Document({"c": Int32(2)}), "d": Document({"e": Bool(true)})}"#
        );
    }

    #[test]
    fn refuses_what_mongod_refuses() {
        let code = |path: &str| {
            FieldPath::parse(path.as_bytes())
                .unwrap_err()
                .code()
                .number()
        };
        assert_eq!(code(""), 40352);
        assert_eq!(code("a."), 40353);
        assert_eq!(code(".a"), 15998);
        assert_eq!(code("a.$b"), 16410);
    }
}
