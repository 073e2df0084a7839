//! `$first` and `$last`.

use super::{State, load_values, save_option};
use crate::Result;
use crate::collation::Collation;
use crate::expr::Operand;
use crate::value::{Value, ValueRef};

/// Bytes that a kept value holds beyond itself.
pub(super) fn size_of(value: &Value) -> usize {
    match value {
        Value::String(bytes)
        | Value::Symbol(bytes)
        | Value::Document(bytes)
        | Value::Array(bytes)
        | Value::JavaScript(bytes)
        | Value::Binary { bytes, .. } => bytes.len(),
        Value::Regex(parts) | Value::JavaScriptWithScope(parts) => parts.0.len() + parts.1.len(),
        Value::DbPointer(parts) => parts.0.len() + 12,
        _ => 0,
    }
}

/// A copy of `value` that does not keep a whole document alive for a part of it; a missing value becomes null.
pub(super) fn keep(value: &Operand<'_>) -> Value {
    match value.as_ref() {
        crate::ValueRef::Missing => Value::Null,
        other => Value::copy_of(other),
    }
}

/// `$first`.
#[derive(Debug, Default)]
pub(super) struct First(Option<Value>);

impl State for First {
    fn add(&mut self, value: Operand<'_>, _: Option<&Collation>) -> Result<usize> {
        if self.0.is_some() {
            return Ok(0);
        }
        let value = keep(&value);
        let size = size_of(&value);
        self.0 = Some(value);
        Ok(size)
    }

    fn value(&self) -> Result<Value> {
        Ok(self.0.clone().unwrap_or(Value::Null))
    }

    fn save(&mut self) -> Value {
        save_option(self.0.take().as_ref())
    }

    fn load(&mut self, saved: ValueRef<'_>, collation: Option<&Collation>) -> Result<()> {
        load_values(self, saved, collation)
    }
}

/// `$last`.
#[derive(Debug, Default)]
pub(super) struct Last(Option<Value>);

impl State for Last {
    fn add(&mut self, value: Operand<'_>, _: Option<&Collation>) -> Result<usize> {
        let value = keep(&value);
        let before = self.0.as_ref().map_or(0, size_of);
        let size = size_of(&value);
        self.0 = Some(value);
        Ok(size.saturating_sub(before))
    }

    fn value(&self) -> Result<Value> {
        Ok(self.0.clone().unwrap_or(Value::Null))
    }

    fn save(&mut self) -> Value {
        save_option(self.0.take().as_ref())
    }

    fn load(&mut self, saved: ValueRef<'_>, collation: Option<&Collation>) -> Result<()> {
        load_values(self, saved, collation)
    }
}
