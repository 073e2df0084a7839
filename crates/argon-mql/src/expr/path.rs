//! Field paths and variables: `"$a.b"`, `"$$name.a"`.

use std::sync::Arc;

use bytes::Bytes;

use super::parse::Parser;
use super::scope::{Operand, Scope};
use crate::path::may_name_field;
use crate::value::{Doc, DocBuf, Value, ValueRef};
use crate::{Error, ErrorCode, Result};

/// Most names in a field path: mongod 6.0.5 refuses more (Overflow).
const NAMES_MAX: usize = 199;

/// A reference to a variable, or to a field below one.
#[derive(Clone, Debug)]
pub(super) struct Path {
    base: Base,
    names: Arc<[Box<[u8]>]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Base {
    Root,
    /// `$$CURRENT` inside `$redact`.
    Current,
    Local {
        level: usize,
        slot: usize,
    },
    /// Defined by the command's `let`.
    Global {
        index: usize,
        name: Arc<str>,
    },
    Now,
    ClusterTime,
    Remove,
    /// A variable that this server never defines.
    Unavailable(Arc<str>),
    /// `$$DESCEND`, `$$PRUNE`, `$$KEEP`.
    Redact(&'static str),
}

impl Path {
    /// Parses a string that starts with `$`.
    pub(super) fn parse(text: &[u8], parser: &Parser<'_>) -> Result<Path> {
        let text = str_of(text)?;
        let (base, path) = match text.strip_prefix("$$") {
            None if text == "$" => {
                return Err(Error::location(
                    16872,
                    "'$' by itself is not a valid FieldPath",
                ));
            }
            None => (parser.current(), text.strip_prefix('$')),
            Some(rest) => {
                let (name, path) = match rest.split_once('.') {
                    Some((name, path)) => (name, Some(path)),
                    None => (rest, None),
                };
                (variable(name, parser)?, path)
            }
        };
        let names = path.map_or(Ok(Vec::new()), split)?;
        Ok(Path {
            base,
            names: names.into(),
        })
    }

    /// The variable in `slot` of the frame `level` frames out.
    #[inline]
    pub(super) fn eval<'s>(&'s self, scope: &Scope<'s>) -> Result<Operand<'s>> {
        let value = match &self.base {
            Base::Root => return Ok(below(scope.root, &self.names)),
            Base::Current => return Ok(below(scope.current, &self.names)),
            Base::Local { level, slot } => scope.local(*level, *slot),
            Base::Global { index, name } => match scope.global(*index, name) {
                Some(value) => Some(value),
                None => return Err(undefined(name)),
            },
            Base::Now => return Ok(self.scalar(Value::DateTime(scope.env.now_ms))),
            Base::ClusterTime => match scope.env.cluster_time {
                0 => return Err(unavailable("CLUSTER_TIME")),
                time => return Ok(self.scalar(Value::Timestamp(time))),
            },
            Base::Remove => None,
            Base::Unavailable(name) => return Err(unavailable(name)),
            Base::Redact(name) => {
                return Ok(self.scalar(Value::String(Bytes::from_static(name.as_bytes()))));
            }
        };
        Ok(match value {
            None => Operand::MISSING,
            Some(value) if self.names.is_empty() => Operand::Known(value),
            Some(Value::Document(bytes)) => below(bytes, &self.names),
            Some(Value::Array(bytes)) => Operand::Owned(map(Doc::new(bytes), &self.names)),
            Some(_) => Operand::MISSING,
        })
    }

    fn scalar(&self, value: Value) -> Operand<'static> {
        if self.names.is_empty() {
            Operand::Owned(value)
        } else {
            Operand::MISSING
        }
    }

    /// The dotted path in the document, if it is one: not of another variable.
    pub(super) fn document_path(&self) -> Option<String> {
        matches!(self.base, Base::Root | Base::Current).then(|| {
            let names: Vec<_> = self
                .names
                .iter()
                .map(|name| String::from_utf8_lossy(name))
                .collect();
            names.join(".")
        })
    }

    /// Whether it is `$$REMOVE`.
    pub(super) fn is_remove(&self) -> bool {
        self.base == Base::Remove
    }
}

/// The value at `names` below the document `bytes`.
#[inline]
fn below<'s>(bytes: &'s Bytes, names: &[Box<[u8]>]) -> Operand<'s> {
    let mut doc = Doc::new(bytes);
    let Some((last, parents)) = names.split_last() else {
        return Operand::Part(ValueRef::Document(doc), bytes);
    };
    for (index, name) in parents.iter().enumerate() {
        match doc.get(name) {
            Some(ValueRef::Document(inner)) => doc = inner,
            Some(ValueRef::Array(array)) => {
                return Operand::Owned(map(array, &names[index + 1..]));
            }
            _ => return Operand::MISSING,
        }
    }
    Operand::Part(doc.get(last).unwrap_or(ValueRef::Missing), bytes)
}

/// What `names` lead to in each document of `array`; other items, nested arrays among them, are passed over.
fn map(array: Doc<'_>, names: &[Box<[u8]>]) -> Value {
    let mut out = DocBuf::new();
    map_into(array, names, &mut out);
    Value::Array(out.finish())
}

fn map_into(array: Doc<'_>, names: &[Box<[u8]>], out: &mut DocBuf) {
    let items = array.values().filter_map(|item| item.as_document());
    let mut index = 0;
    'items: for mut doc in items {
        for (depth, name) in names.iter().enumerate() {
            let rest = &names[depth + 1..];
            match doc.get(name) {
                None => continue 'items,
                Some(value) if rest.is_empty() => {
                    out.push(index, value);
                    index += 1;
                }
                Some(ValueRef::Document(inner)) => doc = inner,
                Some(ValueRef::Array(inner)) => {
                    let open = out.push_array(index);
                    map_into(inner, rest, out);
                    out.close(open);
                    index += 1;
                    continue 'items;
                }
                Some(_) => continue 'items,
            }
        }
    }
}

fn variable(name: &str, parser: &Parser<'_>) -> Result<Base> {
    check_variable_name(name, false)?;
    if let Some((level, slot)) = parser.local(name) {
        return Ok(Base::Local { level, slot });
    }
    Ok(match name {
        "ROOT" => Base::Root,
        "CURRENT" => parser.current(),
        "REMOVE" => Base::Remove,
        "NOW" => Base::Now,
        "CLUSTER_TIME" => Base::ClusterTime,
        "DESCEND" if parser.cx.redact => Base::Redact("descend"),
        "PRUNE" if parser.cx.redact => Base::Redact("prune"),
        "KEEP" if parser.cx.redact => Base::Redact("keep"),
        _ => match parser.cx.variables.iter().rposition(|known| known == name) {
            Some(index) => Base::Global {
                index,
                name: name.into(),
            },
            None => match name {
                "JS_SCOPE" | "IS_MR" => Base::Unavailable(name.into()),
                "SEARCH_META" => {
                    return Err(Error::location(
                        6_347_903,
                        "Can't access $$SEARCH_META without a $search stage earlier in the pipeline",
                    ));
                }
                _ => return Err(undefined(name)),
            },
        },
    })
}

impl Parser<'_> {
    /// What a path with a single `$` starts from.
    fn current(&self) -> Base {
        match self.local("CURRENT") {
            Some((level, slot)) => Base::Local { level, slot },
            None if self.cx.redact => Base::Current,
            None => Base::Root,
        }
    }
}

/// Checks the name of a variable, without `$$`: `definition` tells one that is being defined from one that is read.
///
/// # Errors
/// [`ErrorCode::FailedToParse`].
pub fn check_variable_name(name: &str, definition: bool) -> Result<()> {
    let Some(first) = name.bytes().next() else {
        return Err(Error::failed_to_parse(
            "empty variable names are not allowed",
        ));
    };
    if definition && name == "CURRENT" {
        return Ok(());
    }
    let upper = !definition && first.is_ascii_uppercase();
    if !(first.is_ascii_lowercase() || first >= 0x80 || upper) {
        return Err(Error::failed_to_parse(format!(
            "'{name}' starts with an invalid character for a user variable name"
        )));
    }
    match name
        .bytes()
        .find(|&byte| !(byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80))
    {
        None => Ok(()),
        Some(byte) => Err(Error::failed_to_parse(format!(
            "'{name}' contains an invalid character for a variable name: '{}'",
            char::from(byte)
        ))),
    }
}

/// Splits a dotted path and checks its names.
fn split(path: &str) -> Result<Vec<Box<[u8]>>> {
    if path.is_empty() {
        return Err(Error::location(
            40352,
            "FieldPath cannot be constructed with empty string",
        ));
    }
    if path.ends_with('.') {
        return Err(Error::location(40353, "FieldPath must not end with a '.'."));
    }
    let names: Vec<_> = path.split('.').collect();
    if names.len() > NAMES_MAX {
        return Err(Error::new(ErrorCode::Overflow, "FieldPath is too long"));
    }
    names
        .into_iter()
        .map(|name| {
            check_field_name(name.as_bytes())?;
            Ok(name.as_bytes().into())
        })
        .collect()
}

/// Checks one name of a path, or of an object's field.
pub(super) fn check_field_name(name: &[u8]) -> Result<()> {
    let (code, text) = match name {
        [] => (15998, "FieldPath field names may not be empty strings."),
        _ if !may_name_field(name) => (
            16410,
            "FieldPath field names may not start with '$'. Consider using $getField or $setField.",
        ),
        _ if name.contains(&0) => (16411, "FieldPath field names may not contain '\\0'."),
        _ if name.contains(&b'.') => (
            16412,
            "FieldPath field names may not contain '.'. Consider using $getField or $setField.",
        ),
        _ => return Ok(()),
    };
    Err(Error::location(code, text))
}

fn str_of(text: &[u8]) -> Result<&str> {
    std::str::from_utf8(text)
        .map_err(|_| Error::failed_to_parse("a field path has to be valid UTF-8"))
}

#[cold]
fn undefined(name: &str) -> Error {
    Error::location(17276, format!("Use of undefined variable: {name}"))
}

#[cold]
fn unavailable(name: &str) -> Error {
    Error::location(
        51144,
        format!("Builtin variable '$${name}' is not available"),
    )
}
