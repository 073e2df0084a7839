//! `$min` and `$max`.

use std::cmp::Ordering;
use std::sync::Arc;

use super::position::size_of;
use super::{Column, Flags, Input, Spec, State, argument, load_values, save_option, unary_column};
use crate::collation::Collation;
use crate::expr::{Expr, Operand};
use crate::value::{Value, ValueRef, compare_with};
use crate::{ParseContext, Result};

pub(super) fn min(
    _: &'static str,
    value: ValueRef<'_>,
    cx: &ParseContext,
) -> Result<Arc<dyn Spec>> {
    Ok(Arc::new(Min(Arc::new(argument(value, cx)?))))
}

pub(super) fn max(
    _: &'static str,
    value: ValueRef<'_>,
    cx: &ParseContext,
) -> Result<Arc<dyn Spec>> {
    Ok(Arc::new(Max(Arc::new(argument(value, cx)?))))
}

#[derive(Debug)]
struct Min(Arc<Input>);

#[derive(Debug)]
struct Max(Arc<Input>);

impl Spec for Min {
    fn column(self: Arc<Self>, flags: Flags) -> Box<dyn Column> {
        if flags.last_of_equals {
            unary_column::<Extreme<false, true>>(&self.0)
        } else {
            unary_column::<Extreme<false, false>>(&self.0)
        }
    }

    fn each_expr(&self, visit: &mut dyn FnMut(&Expr) -> bool) -> bool {
        visit(&self.0.expr)
    }
}

impl Spec for Max {
    fn column(self: Arc<Self>, flags: Flags) -> Box<dyn Column> {
        if flags.last_of_equals {
            unary_column::<Extreme<true, true>>(&self.0)
        } else {
            unary_column::<Extreme<true, false>>(&self.0)
        }
    }

    fn each_expr(&self, visit: &mut dyn FnMut(&Expr) -> bool) -> bool {
        visit(&self.0.expr)
    }
}

/// The smallest (or greatest) value that is neither null nor missing; `LAST`: the last of equal ones.
#[derive(Debug, Default)]
struct Extreme<const GREATEST: bool, const LAST: bool>(Option<Value>);

impl<const GREATEST: bool, const LAST: bool> State for Extreme<GREATEST, LAST> {
    fn add(&mut self, value: Operand<'_>, collation: Option<&Collation>) -> Result<usize> {
        let new = value.as_ref();
        if new.is_nullish() {
            return Ok(0);
        }
        let mut before = 0;
        if let Some(old) = &self.0 {
            let wins = match compare_with(new, old.as_ref(), collation) {
                Ordering::Less => !GREATEST,
                Ordering::Equal => LAST,
                Ordering::Greater => GREATEST,
            };
            if !wins {
                return Ok(0);
            }
            before = size_of(old);
        }
        let value = Value::copy_of(new);
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
