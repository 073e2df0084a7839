//! Where an expression is evaluated: the document, the variables, the surroundings.

use bytes::Bytes;

use crate::Env;
use crate::value::{Decimal, Doc, Value, ValueRef};

/// What an expression sees while it is evaluated.
///
/// Cheap to copy; variables of `$let`, `$map` and the like are frames linked on the stack.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    pub(super) root: &'a Bytes,
    pub(super) current: &'a Bytes,
    pub(super) env: &'a Env<'a>,
    frame: Option<&'a Frame<'a>>,
}

/// The variables that one operator defines, and those around it.
pub(super) struct Frame<'a> {
    values: &'a [Value],
    outer: Option<&'a Frame<'a>>,
}

impl<'a> Scope<'a> {
    /// The scope in which `root`, a whole document, is `$$ROOT` and `$$CURRENT`.
    pub fn new(root: &'a Bytes, env: &'a Env<'a>) -> Scope<'a> {
        Scope {
            root,
            current: root,
            env,
            frame: None,
        }
    }

    /// The same scope with `current` as `$$CURRENT`: what `$redact` evaluates below the root. Only an expression
    /// parsed with [`ParseContext::redact`](crate::ParseContext::redact) looks at it.
    #[must_use]
    pub fn with_current(self, current: &'a Bytes) -> Scope<'a> {
        Scope { current, ..self }
    }

    /// The surroundings.
    pub fn env(&self) -> &'a Env<'a> {
        self.env
    }

    /// A frame that defines `values` within this scope.
    pub(super) fn frame(&self, values: &'a [Value]) -> Frame<'a> {
        Frame {
            values,
            outer: self.frame,
        }
    }

    /// This scope with the variables of `frame`.
    pub(super) fn inside(self, frame: &'a Frame<'a>) -> Scope<'a> {
        Scope {
            frame: Some(frame),
            ..self
        }
    }

    /// The variable in `slot` of the frame `level` frames out.
    pub(super) fn local(&self, level: usize, slot: usize) -> Option<&'a Value> {
        let mut frame = self.frame?;
        for _ in 0..level {
            frame = frame.outer?;
        }
        frame.values.get(slot)
    }

    /// The command's variable `name`, which is expected at `index`.
    pub(super) fn global(&self, index: usize, name: &str) -> Option<&'a Value> {
        let variables = &self.env.variables;
        match variables.get(index) {
            Some((found, value)) if found == name => Some(value),
            _ => variables
                .iter()
                .rev()
                .find_map(|(found, value)| (found == name).then_some(value)),
        }
    }
}

/// An evaluated expression: borrowed where it stands in a document or variable, owned where it was computed.
#[derive(Clone, Debug)]
pub enum Operand<'a> {
    /// Part of the document in the buffer beside it.
    Part(ValueRef<'a>, &'a Bytes),
    /// A constant or a variable.
    Known(&'a Value),
    /// Computed.
    Owned(Value),
}

impl<'a> Operand<'a> {
    /// The value of a field that is not there.
    pub const MISSING: Operand<'static> = Operand::Owned(Value::Missing);
    /// Null.
    pub const NULL: Operand<'static> = Operand::Owned(Value::Null);

    /// A borrowed view.
    #[inline]
    pub fn as_ref(&self) -> ValueRef<'_> {
        match self {
            Operand::Part(value, _) => *value,
            Operand::Known(value) => value.as_ref(),
            Operand::Owned(value) => value.as_ref(),
        }
    }

    /// The value, sharing the buffer it stands in.
    #[inline]
    pub fn into_value(self) -> Value {
        match self {
            Operand::Part(value, buffer) => Value::share(value, buffer),
            Operand::Known(value) => value.clone(),
            Operand::Owned(value) => value,
        }
    }

    /// Whether it is null, undefined or missing.
    #[inline]
    pub fn is_nullish(&self) -> bool {
        self.as_ref().is_nullish()
    }

    /// A part of this value, sharing its buffer. `part` must borrow from it.
    pub(super) fn part(&self, part: ValueRef<'_>) -> Value {
        match self {
            Operand::Part(_, buffer) => Value::share(part, buffer),
            Operand::Known(value) => share_part(part, value),
            Operand::Owned(value) => share_part(part, value),
        }
    }

    /// The array, if it is one.
    pub(super) fn as_array(&self) -> Option<Doc<'_>> {
        self.as_ref().as_array()
    }
}

impl From<Value> for Operand<'_> {
    fn from(value: Value) -> Self {
        Operand::Owned(value)
    }
}

/// `part`, which borrows from `whole`, with `whole`'s buffer.
fn share_part(part: ValueRef<'_>, whole: &Value) -> Value {
    match whole {
        Value::Document(buffer) | Value::Array(buffer) => Value::share(part, buffer),
        _ => Value::copy_of(part),
    }
}

/// Whether a condition that evaluates to `value` holds.
///
/// Source: MongoDB manual, "$and": null, 0 and undefined are false, all other values and arrays are true.
pub fn truthy(value: ValueRef<'_>) -> bool {
    match value {
        ValueRef::Missing | ValueRef::Undefined | ValueRef::Null => false,
        ValueRef::Bool(value) => value,
        ValueRef::Int32(value) => value != 0,
        ValueRef::Int64(value) => value != 0,
        ValueRef::Double(value) => value != 0.0,
        ValueRef::Decimal128(bytes) => !Decimal::from_bytes(bytes).is_zero(),
        _ => true,
    }
}
