//! `$mergeObjects`.

use bytes::Bytes;
use indexmap::IndexMap;

use super::State;
use super::position::size_of;
use crate::collation::Collation;
use crate::expr::Operand;
use crate::value::{DocBuf, Value, ValueRef};
use crate::{Error, Result};

/// What a field costs beside its value.
const FIELD_BYTES: usize = std::mem::size_of::<(Bytes, Value)>();

/// The fields so far, in order of first appearance, each with its last value.
#[derive(Debug, Default)]
pub(super) struct Merge(IndexMap<Bytes, Value>);

impl State for Merge {
    fn add(&mut self, value: Operand<'_>, _: Option<&Collation>) -> Result<usize> {
        let doc = match value.as_ref() {
            ValueRef::Document(doc) => doc,
            value if value.is_nullish() => return Ok(0),
            _ => {
                return Err(Error::location(
                    5_911_200,
                    "$mergeObjects only supports objects",
                ));
            }
        };
        let mut grown = 0;
        for element in doc.iter() {
            let value = Value::copy_of(element.value());
            grown += size_of(&value) + FIELD_BYTES;
            match self.0.get_mut(&**element.key()) {
                Some(old) => {
                    grown = grown.saturating_sub(size_of(old) + FIELD_BYTES);
                    *old = value;
                }
                None => {
                    self.0.insert(Bytes::copy_from_slice(element.key()), value);
                }
            }
        }
        Ok(grown)
    }

    fn value(&self) -> Result<Value> {
        let mut out = DocBuf::new();
        for (name, value) in &self.0 {
            out.append(name, value.as_ref());
        }
        Ok(Value::Document(out.finish()))
    }

    fn save(&mut self) -> Value {
        let saved = State::value(self).unwrap_or(Value::Null);
        self.0.clear();
        saved
    }

    fn load(&mut self, saved: ValueRef<'_>, collation: Option<&Collation>) -> Result<()> {
        self.add(Operand::Owned(Value::copy_of(saved)), collation)?;
        Ok(())
    }
}
