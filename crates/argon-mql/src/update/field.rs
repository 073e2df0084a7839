//! Field operators: `$currentDate`, `$rename`, `$set`, `$setOnInsert`, `$unset`.
//!
//! Source: MongoDB manual, "Field Update Operators".

use std::sync::Arc;

use bstr::ByteSlice;

use super::modifier::{Blocked, Modifier, Operand, Outcome, Parsed, Place, Trail};
use super::path::Path;
use super::show;
use crate::value::{Element, ValueRef};
use crate::{Error, ErrorCode, Result, Value};

/// `$set`.
#[derive(Debug)]
struct Set(Value);

pub(super) fn set(operand: &Operand<'_>, out: &mut Parsed) -> Result<()> {
    operand.add(Set(Value::copy_of(operand.value)), out);
    Ok(())
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

pub(super) fn set_on_insert(operand: &Operand<'_>, out: &mut Parsed) -> Result<()> {
    operand.add(SetOnInsert(Value::copy_of(operand.value)), out);
    Ok(())
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

    fn blocked(&self, place: &Place<'_>) -> Result<Blocked> {
        Ok(if place.inserting {
            Blocked::CannotCreate
        } else {
            Blocked::Ignore
        })
    }
}

/// `$unset`.
#[derive(Debug)]
struct Unset;

pub(super) fn unset(operand: &Operand<'_>, out: &mut Parsed) -> Result<()> {
    operand.add(Unset, out);
    Ok(())
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

    fn blocked(&self, _place: &Place<'_>) -> Result<Blocked> {
        Ok(Blocked::Ignore)
    }
}

/// The destination of `$rename`; at its source stands an [`Unset`].
#[derive(Debug)]
struct Rename {
    from: Path,
    to: Path,
}

pub(super) fn rename(operand: &Operand<'_>, out: &mut Parsed) -> Result<()> {
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
    operand.add(Unset, out);
    let from = operand.path.clone();
    let to = Path::parse(to)?;
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
    for (side, path) in [("source", &from), ("destination", &to)] {
        if path.is_dynamic() {
            return Err(Error::bad_value(format!(
                "The {side} field for $rename may not be dynamic: {}",
                path.text.as_bstr()
            )));
        }
    }
    out.push((to.clone(), Arc::new(Rename { from, to })));
    Ok(())
}

impl Rename {
    /// The value to move, if there is one.
    fn source<'d>(&self, place: &Place<'d>) -> Result<Option<ValueRef<'d>>> {
        let mut value = ValueRef::Document(place.root);
        let mut above: Option<Element<'_>> = None;
        let mut array: Option<Element<'_>> = None;
        for name in self.from.names() {
            let element = match value {
                ValueRef::Document(doc) => doc.element(&name.text),
                ValueRef::Array(items) if name.index.is_some() => {
                    array = array.or(above);
                    name.index.and_then(|index| items.iter().nth(index))
                }
                _ => {
                    return Err(Error::new(
                        ErrorCode::PathNotViable,
                        format!(
                            "cannot use the part ({} of {}) to traverse the element ({{{}}})",
                            above
                                .map(|above| above.key().to_owned())
                                .unwrap_or_default(),
                            self.from.text.as_bstr(),
                            above.map(|above| show::element(&above)).unwrap_or_default()
                        ),
                    ));
                }
            };
            let Some(element) = element else {
                return Ok(None);
            };
            above = Some(element);
            value = element.value();
        }
        match array {
            Some(array) => Err(in_array("source", &self.from, &array, place)),
            None => Ok(Some(value)),
        }
    }

    fn check_destination(&self, place: &Place<'_>) -> Result<()> {
        let mut value = ValueRef::Document(place.root);
        let mut above = None;
        for name in self.to.names() {
            value = match (value, above) {
                (ValueRef::Document(doc), _) => match doc.element(&name.text) {
                    Some(element) => {
                        above = Some(element);
                        element.value()
                    }
                    None => return Ok(()),
                },
                (ValueRef::Array(_), Some(array)) => {
                    return Err(in_array("destination", &self.to, &array, place));
                }
                _ => return Ok(()),
            };
        }
        Ok(())
    }
}

/// The `side` of a `$rename` passes an array.
#[cold]
fn in_array(side: &str, path: &Path, array: &Element<'_>, place: &Place<'_>) -> Error {
    Error::bad_value(format!(
        "The {side} field cannot be an array element, '{}' in doc with {} has an array field called '{}'",
        path.text.as_bstr(),
        place.id_text(),
        array.key()
    ))
}

impl Modifier for Rename {
    fn apply<'v>(
        &'v self,
        _current: Option<ValueRef<'v>>,
        place: &Place<'v>,
        _trail: &Trail<'_>,
    ) -> Result<Outcome<'v>> {
        match self.source(place)? {
            Some(value) => {
                self.check_destination(place)?;
                Ok(Outcome::Put(value))
            }
            None => Ok(Outcome::Keep),
        }
    }

    fn creates(&self, place: &Place<'_>) -> bool {
        !matches!(self.source(place), Ok(None))
    }

    fn blocked(&self, place: &Place<'_>) -> Result<Blocked> {
        if self.source(place)?.is_none() {
            return Ok(Blocked::Ignore);
        }
        self.check_destination(place)?;
        Ok(Blocked::CannotCreate)
    }
}

/// `$currentDate`.
#[derive(Debug)]
enum CurrentDate {
    Date,
    Timestamp,
}

pub(super) fn current_date(operand: &Operand<'_>, out: &mut Parsed) -> Result<()> {
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
    operand.add(kind, out);
    Ok(())
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
