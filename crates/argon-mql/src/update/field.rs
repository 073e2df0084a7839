//! Field operators: `$currentDate`, `$rename`, `$set`, `$setOnInsert`, `$unset`.
//!
//! Source: MongoDB manual, "Field Update Operators".

use std::sync::Arc;

use bstr::ByteSlice;

use super::modifier::{Blocked, Modifier, Operand, Outcome, Parsed, Place, Trail, single};
use super::path::Path;
use super::show;
use crate::value::{Doc, ValueRef};
use crate::{Error, ErrorCode, Result, Value};

/// `$set`.
#[derive(Debug)]
struct Set(Value);

pub(super) fn set(operand: &Operand<'_>) -> Result<Parsed> {
    Ok(single(operand, Set(Value::copy_of(operand.value))))
}

impl Modifier for Set {
    fn apply<'v>(
        &'v self,
        _current: Option<ValueRef<'v>>,
        _place: &Place<'v>,
        _trail: &Trail<'_>,
    ) -> Result<Outcome<'v>> {
        Ok(Outcome::Put(self.0.as_ref()))
    }
}

/// `$setOnInsert`.
#[derive(Debug)]
struct SetOnInsert(Value);

pub(super) fn set_on_insert(operand: &Operand<'_>) -> Result<Parsed> {
    Ok(single(operand, SetOnInsert(Value::copy_of(operand.value))))
}

impl Modifier for SetOnInsert {
    fn apply<'v>(
        &'v self,
        _current: Option<ValueRef<'v>>,
        place: &Place<'v>,
        _trail: &Trail<'_>,
    ) -> Result<Outcome<'v>> {
        Ok(if place.inserting {
            Outcome::Put(self.0.as_ref())
        } else {
            Outcome::Keep
        })
    }

    fn creates(&self, place: &Place<'_>) -> bool {
        place.inserting
    }

    fn blocked(&self, place: &Place<'_>) -> Blocked {
        if place.inserting {
            Blocked::CannotCreate
        } else {
            Blocked::Ignore
        }
    }
}

/// `$unset`.
#[derive(Debug)]
struct Unset;

pub(super) fn unset(operand: &Operand<'_>) -> Result<Parsed> {
    Ok(single(operand, Unset))
}

impl Modifier for Unset {
    fn apply<'v>(
        &'v self,
        _current: Option<ValueRef<'v>>,
        _place: &Place<'v>,
        _trail: &Trail<'_>,
    ) -> Result<Outcome<'v>> {
        Ok(Outcome::Remove)
    }

    fn creates(&self, _place: &Place<'_>) -> bool {
        false
    }

    fn blocked(&self, _place: &Place<'_>) -> Blocked {
        Blocked::Ignore
    }
}

/// The destination of `$rename`; at its source stands an [`Unset`].
#[derive(Debug)]
struct Rename {
    from: Path,
    to: Path,
}

pub(super) fn rename(operand: &Operand<'_>) -> Result<Parsed> {
    let ValueRef::String(to) = operand.value else {
        return Err(Error::bad_value(format!(
            "The 'to' field for $rename must be a string: {}",
            operand.text()
        )));
    };
    if to.contains(&0) {
        return Err(Error::bad_value(
            "The 'to' field for $rename cannot contain an embedded null byte",
        ));
    }
    let from = operand.path.clone();
    let to = Path::parse(to)?;
    if from.is_dynamic() {
        return Err(Error::bad_value(format!(
            "The source field for $rename may not be dynamic: {}",
            from.text.as_bstr()
        )));
    }
    if to.is_dynamic() {
        return Err(Error::bad_value(format!(
            "The destination field for $rename may not be dynamic: {}",
            to.text.as_bstr()
        )));
    }
    let common = from.parts.iter().zip(&to.parts);
    let shared = common.take_while(|(from, to)| from == to).count();
    if shared == from.parts.len() || shared == to.parts.len() {
        let problem = if from.parts == to.parts {
            "must differ"
        } else {
            "must not be on the same path"
        };
        return Err(Error::bad_value(format!(
            "The source and target field for $rename {problem}: {}",
            operand.text()
        )));
    }
    let mut parsed = Parsed::new();
    parsed.push((from.clone(), Arc::new(Unset)));
    parsed.push((to.clone(), Arc::new(Rename { from, to })));
    Ok(parsed)
}

impl Rename {
    /// The value to move, if there is one.
    fn source<'d>(&self, root: Doc<'d>) -> Result<Option<ValueRef<'d>>> {
        let mut value = ValueRef::Document(root);
        let mut reached = None;
        for name in self.from.names() {
            value = match value {
                ValueRef::Document(doc) => match doc.element(&name.text) {
                    Some(element) => {
                        reached = Some(element);
                        element.value()
                    }
                    None => return Ok(None),
                },
                ValueRef::Array(_) => return Err(in_array("source", &self.from, root)),
                _ => {
                    let element = reached.map(|element| show::element(&element));
                    let key = reached.map(|element| element.key().to_owned());
                    return Err(Error::new(
                        ErrorCode::PathNotViable,
                        format!(
                            "cannot use the part ({} of {}) to traverse the element ({{{}}})",
                            key.unwrap_or_default(),
                            self.from.text.as_bstr(),
                            element.unwrap_or_default()
                        ),
                    ));
                }
            };
        }
        Ok(Some(value))
    }

    fn check_destination(&self, root: Doc<'_>) -> Result<()> {
        let mut value = ValueRef::Document(root);
        for name in self.to.names() {
            value = match value {
                ValueRef::Document(doc) => doc.get(&name.text).unwrap_or(ValueRef::Missing),
                ValueRef::Array(_) => return Err(in_array("destination", &self.to, root)),
                _ => return Ok(()),
            };
        }
        Ok(())
    }
}

/// Fails where the `side` of a `$rename` passes an array.
fn in_array(side: &str, path: &Path, root: Doc<'_>) -> Error {
    let mut value = ValueRef::Document(root);
    let mut array = Vec::new();
    for name in path.names() {
        match value {
            ValueRef::Document(doc) => value = doc.get(&name.text).unwrap_or(ValueRef::Missing),
            _ => break,
        }
        array.clone_from(&name.text);
    }
    let id = match root.element(b"_id") {
        Some(id) => show::element(&id),
        None => "no id".to_owned(),
    };
    Error::bad_value(format!(
        "The {side} field cannot be an array element, '{}' in doc with {id} has an array field called '{}'",
        path.text.as_bstr(),
        array.as_bstr()
    ))
}

impl Modifier for Rename {
    fn prepare(&self, root: Doc<'_>) -> Result<()> {
        match self.source(root)? {
            Some(_) => self.check_destination(root),
            None => Ok(()),
        }
    }

    fn apply<'v>(
        &'v self,
        _current: Option<ValueRef<'v>>,
        place: &Place<'v>,
        _trail: &Trail<'_>,
    ) -> Result<Outcome<'v>> {
        Ok(match self.source(place.root)? {
            Some(value) => Outcome::Put(value),
            None => Outcome::Keep,
        })
    }

    fn creates(&self, place: &Place<'_>) -> bool {
        matches!(self.source(place.root), Ok(Some(_)))
    }

    fn blocked(&self, place: &Place<'_>) -> Blocked {
        if self.creates(place) {
            Blocked::CannotCreate
        } else {
            Blocked::Ignore
        }
    }
}

/// `$currentDate`.
#[derive(Debug)]
enum CurrentDate {
    Date,
    Timestamp,
}

pub(super) fn current_date(operand: &Operand<'_>) -> Result<Parsed> {
    const TYPES: &str = "The '$type' string field is required to be 'date' or 'timestamp': {$currentDate: {field : {$type: 'date'}}}";
    let kind = match operand.value {
        ValueRef::Bool(_) => CurrentDate::Date,
        ValueRef::Document(options) => {
            let mut kind = None;
            for option in options.iter() {
                if option.key() != "$type" {
                    return Err(Error::bad_value(format!(
                        "Unrecognized $currentDate option: {}",
                        option.key()
                    )));
                }
                kind = match option.value().as_str() {
                    Some("date") => Some(CurrentDate::Date),
                    Some("timestamp") => Some(CurrentDate::Timestamp),
                    _ => return Err(Error::bad_value(TYPES)),
                };
            }
            kind.ok_or_else(|| Error::bad_value(TYPES))?
        }
        other => {
            return Err(Error::bad_value(format!(
                "{} is not valid type for $currentDate. Please use a boolean ('true') or a $type expression ({{$type: 'timestamp/date'}}).",
                other.type_name()
            )));
        }
    };
    Ok(single(operand, kind))
}

impl Modifier for CurrentDate {
    fn apply<'v>(
        &'v self,
        _current: Option<ValueRef<'v>>,
        place: &Place<'v>,
        _trail: &Trail<'_>,
    ) -> Result<Outcome<'v>> {
        Ok(Outcome::Put(match self {
            CurrentDate::Date => ValueRef::DateTime(place.env.now_ms),
            CurrentDate::Timestamp => ValueRef::Timestamp(place.next_timestamp()),
        }))
    }
}
