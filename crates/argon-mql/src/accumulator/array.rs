//! `$push` and `$addToSet`.

use std::collections::HashSet;

use super::{GATHERED_BYTES_MAX, State, load_values, too_much};
use crate::Result;
use crate::collation::Collation;
use crate::expr::Operand;
use crate::value::{DocBuf, Value, ValueRef, key};

/// `$push`: the array itself, grown in place.
#[derive(Debug, Default)]
pub(super) struct Push {
    array: DocBuf,
    len: usize,
}

impl State for Push {
    fn add(&mut self, value: Operand<'_>, _: Option<&Collation>) -> Result<usize> {
        let value = value.as_ref();
        if matches!(value, ValueRef::Missing) {
            return Ok(0);
        }
        let before = self.array.byte_len();
        self.array.push(self.len, value);
        self.len += 1;
        if self.array.byte_len() > GATHERED_BYTES_MAX {
            return Err(too_much("$push"));
        }
        Ok(self.array.byte_len() - before)
    }

    fn value(&self) -> Result<Value> {
        Ok(Value::Array(self.array.clone().finish()))
    }

    fn finish(&mut self) -> Result<Value> {
        Ok(Value::Array(std::mem::take(&mut self.array).finish()))
    }

    fn save(&mut self) -> Value {
        Value::Array(std::mem::take(&mut self.array).finish())
    }

    fn load(&mut self, saved: ValueRef<'_>, collation: Option<&Collation>) -> Result<()> {
        load_values(self, saved, collation)
    }
}

/// `$addToSet`: the array, and the keys of what is in it. The first of equal values stays.
#[derive(Debug, Default)]
pub(super) struct AddToSet {
    array: DocBuf,
    keys: HashSet<Box<[u8]>>,
    bytes: usize,
}

impl State for AddToSet {
    fn add(&mut self, value: Operand<'_>, collation: Option<&Collation>) -> Result<usize> {
        let value = value.as_ref();
        if matches!(value, ValueRef::Missing) {
            return Ok(0);
        }
        let mut sortable = Vec::with_capacity(16);
        key::append_with(&mut sortable, value, false, collation);
        if self.keys.contains(&sortable[..]) {
            return Ok(0);
        }
        let before = self.array.byte_len();
        self.array.push(self.keys.len(), value);
        let grown = self.array.byte_len() - before + sortable.len();
        self.bytes += grown;
        if self.bytes > GATHERED_BYTES_MAX {
            return Err(too_much("$addToSet"));
        }
        self.keys.insert(sortable.into_boxed_slice());
        Ok(grown)
    }

    fn value(&self) -> Result<Value> {
        Ok(Value::Array(self.array.clone().finish()))
    }

    fn finish(&mut self) -> Result<Value> {
        self.keys = HashSet::new();
        Ok(Value::Array(std::mem::take(&mut self.array).finish()))
    }

    fn save(&mut self) -> Value {
        self.keys = HashSet::new();
        Value::Array(std::mem::take(&mut self.array).finish())
    }

    fn load(&mut self, saved: ValueRef<'_>, collation: Option<&Collation>) -> Result<()> {
        load_values(self, saved, collation)
    }
}
