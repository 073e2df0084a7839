//! The options of an index specification: which there are, and of which type.

use crate::catalogue::Entry;
use crate::value::{Doc, DocBuf, Number, ValueRef};
use crate::{Error, ErrorCode, Result};

/// What an option's value has to be, and how it is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Takes {
    /// A document.
    Document,
    /// A boolean.
    Bool,
    /// A boolean or number, kept as a boolean.
    BoolLike,
    /// A number.
    Number,
    /// A string.
    Text,
    /// Checked where it is used.
    Own,
    /// Anything; dropped.
    Ignored,
}

/// The options of a specification in the order in which `listIndexes` shows them.
pub(super) const OPTIONS: &[(&str, Takes)] = &[
    ("v", Takes::Own),
    ("key", Takes::Document),
    ("name", Takes::Own),
    ("ns", Takes::Ignored),
    ("dropDups", Takes::Ignored),
    ("background", Takes::BoolLike),
    ("unique", Takes::BoolLike),
    ("hidden", Takes::Bool),
    ("partialFilterExpression", Takes::Document),
    ("sparse", Takes::BoolLike),
    ("expireAfterSeconds", Takes::Own),
    ("storageEngine", Takes::Own),
    ("weights", Takes::Document),
    ("default_language", Takes::Text),
    ("language_override", Takes::Text),
    ("textIndexVersion", Takes::Number),
    ("2dsphereIndexVersion", Takes::Number),
    ("bits", Takes::Number),
    ("min", Takes::Number),
    ("max", Takes::Number),
    ("finestIndexedLevel", Takes::Number),
    ("coarsestIndexedLevel", Takes::Number),
    ("collation", Takes::Document),
    ("wildcardProjection", Takes::Own),
    ("prepareUnique", Takes::BoolLike),
];

/// Options that an `_id` index may have.
pub(super) const ID_OPTIONS: &[&str] = &["v", "key", "name", "ns", "collation"];

/// The options of an index. The last two are for servers to send each other, and unknown options here.
pub fn options() -> impl Iterator<Item = Entry> {
    let refused = ["clustered", "originalSpec"].map(|name| Entry {
        name,
        refused: Some(ErrorCode::InvalidIndexSpecificationOption),
    });
    OPTIONS
        .iter()
        .map(|(name, _)| Entry::known(name))
        .chain(refused)
}

/// The options of one specification, the last where one is given twice.
pub(super) struct Options<'a> {
    pub(super) spec: Doc<'a>,
    pub(super) values: [ValueRef<'a>; OPTIONS.len()],
}

impl<'a> Options<'a> {
    pub(super) fn read(spec: Doc<'a>) -> Result<Options<'a>> {
        let mut options = Options {
            spec,
            values: [ValueRef::Missing; OPTIONS.len()],
        };
        for element in spec.iter() {
            let name = element.key();
            let Some(at) = OPTIONS.iter().position(|row| name == row.0) else {
                return Err(options.wrong(
                    ErrorCode::InvalidIndexSpecificationOption,
                    format!("The field '{name}' is not valid for an index specification. Specification: {spec}"),
                ));
            };
            options.check_type(OPTIONS[at], element.value())?;
            options.values[at] = element.value();
        }
        Ok(options)
    }

    fn check_type(&self, (name, takes): (&str, Takes), value: ValueRef<'_>) -> Result<()> {
        let expected = match takes {
            Takes::Document if !matches!(value, ValueRef::Document(_)) => "an object",
            Takes::Number if !value.is_number() => "a number",
            Takes::Text if !matches!(value, ValueRef::String(_)) => "a string",
            // mongod says "name" whichever field it is.
            Takes::Bool if !matches!(value, ValueRef::Bool(_)) => {
                return Err(self.wrong(
                    ErrorCode::TypeMismatch,
                    format!(
                        "The field 'name' must be a bool, but got {}",
                        value.type_name()
                    ),
                ));
            }
            Takes::BoolLike if !matches!(value, ValueRef::Bool(_)) && !value.is_number() => {
                return Err(self.wrong(
                    ErrorCode::TypeMismatch,
                    format!("The field '{name} has value {name}: {value}, which is not convertible to bool"),
                ));
            }
            _ => return Ok(()),
        };
        Err(self.wrong(
            ErrorCode::TypeMismatch,
            format!(
                "The field '{name}' must be {expected}, but got {}",
                value.type_name()
            ),
        ))
    }

    pub(super) fn get(&self, name: &str) -> ValueRef<'a> {
        OPTIONS
            .iter()
            .position(|row| row.0 == name)
            .map_or(ValueRef::Missing, |at| self.values[at])
    }

    pub(super) fn is_set(&self, name: &str) -> bool {
        match self.get(name) {
            ValueRef::Bool(value) => value,
            value => Number::from_value(value).is_some_and(|number| !number.is_zero()),
        }
    }

    #[cold]
    pub(super) fn wrong(&self, code: ErrorCode, reason: impl std::fmt::Display) -> Error {
        Error::new(
            code,
            format!(
                "Error in specification {} :: caused by :: {reason}",
                self.spec
            ),
        )
    }

    /// As [`wrong`](Options::wrong), for what mongod checks after it has added the version.
    #[cold]
    pub(super) fn refused(&self, reason: impl std::fmt::Display) -> Error {
        Error::new(
            ErrorCode::CannotCreateIndex,
            format!(
                "Error in specification {} :: caused by :: {reason}",
                self.versioned()
            ),
        )
    }

    /// The specification with its version at the end, if it has none.
    pub(super) fn versioned(&self) -> String {
        let mut spec = DocBuf::new();
        spec.append_all(self.spec);
        if matches!(self.get("v"), ValueRef::Missing) {
            spec.append("v", ValueRef::Int32(2));
        }
        Doc::new(&spec.finish()).to_string()
    }

    pub(super) fn version(&self) -> Result<i32> {
        let value = match self.get("v") {
            ValueRef::Missing => return Ok(2),
            value => value,
        };
        let Some(number) = Number::from_value(value) else {
            return Err(self.wrong(
                ErrorCode::TypeMismatch,
                format!(
                    "The field 'v' must be a number, but got {}",
                    value.type_name()
                ),
            ));
        };
        match number.to_i64() {
            Some(version @ (1 | 2)) => Ok(if version == 1 { 1 } else { 2 }),
            Some(version) if i32::try_from(version).is_ok() => Err(self.wrong(
                ErrorCode::CannotCreateIndex,
                format!(
                    "Invalid index specification {}; cannot create an index with v={version}",
                    self.spec
                ),
            )),
            _ => Err(self.wrong(
                ErrorCode::BadValue,
                format!("Index version must be representable as a 32-bit integer, but got {value}"),
            )),
        }
    }

    pub(super) fn name(&self) -> Result<String> {
        match self.get("name") {
            ValueRef::String(name) => Ok(name.to_string()),
            ValueRef::Missing => Err(self.wrong(
                ErrorCode::FailedToParse,
                "The 'name' field is a required property of an index specification",
            )),
            other => Err(self.wrong(
                ErrorCode::TypeMismatch,
                format!(
                    "The field 'name' must be a string, but got {}",
                    other.type_name()
                ),
            )),
        }
    }

    pub(super) fn pattern(&self) -> Result<Doc<'a>> {
        self.get("key").as_document().ok_or_else(|| {
            self.wrong(
                ErrorCode::FailedToParse,
                "The 'key' field is a required property of an index specification",
            )
        })
    }
}
