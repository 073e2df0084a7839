//! Aggregation expressions: `{$add: ["$price", 1]}`, compiled once and evaluated per document.
//!
//! ```text
//! BSON ── parse ──> Expr ── fold ──> Expr ── eval(Scope) ──> Value
//! ```
//!
//! [`Expr::parse`] checks operator names, argument counts and field paths, then folds what is constant, as mongod does
//! when it optimizes: an error in a constant part is an error of the command, whether or not a document ever reaches
//! it. [`Expr::eval`] runs over raw bytes; a field is found where it stands, scalars allocate nothing.
//!
//! An operator is a function and a row in the sorted `OPS` table of its category (a file, named as in the manual).
//! Operators that choose what to evaluate, or that take named arguments, register a parse function instead and
//! implement `Operator`.

mod accumulator;
mod arithmetic;
mod array;
mod boolean;
mod comparison;
mod conditional;
mod convert;
mod date;
mod fold;
mod hash;
mod iterate;
mod limit;
mod literal;
mod miscellaneous;
mod node;
mod object;
mod ops;
mod parse;
mod path;
mod regex;
mod scope;
mod set;
mod sort_array;
mod string;
#[cfg(test)]
mod tests;
mod text;
mod trigonometry;
mod variable;

use std::sync::Arc;

use crate::value::{DocBuf, Value, ValueRef};
use crate::{ParseContext, Result};

pub(crate) use hash::hash;
use node::{Call, Node};
pub use ops::entries;
pub(crate) use ops::is_known;
pub use path::check_variable_name;
pub use scope::{Operand, Scope, truthy};

/// A compiled expression. Immutable, cheap to clone, and shared freely between threads.
#[derive(Clone, Debug)]
pub struct Expr {
    node: Node,
}

impl Expr {
    /// Compiles the expression `value`, and folds its constant parts.
    ///
    /// # Errors
    /// MongoDB's error for an unknown operator (168), a wrong number of arguments, a malformed field path, an
    /// undefined variable, …, and what a constant part fails with.
    pub fn parse(value: ValueRef<'_>, cx: &ParseContext) -> Result<Expr> {
        let mut expr = Expr::read(value, cx)?;
        expr.fold()?;
        Ok(expr)
    }

    /// Compiles the expression `value` and leaves folding to the caller, who has more to read first.
    ///
    /// # Errors
    /// As [`Expr::parse`], but for what a constant part fails with.
    pub(crate) fn read(value: ValueRef<'_>, cx: &ParseContext) -> Result<Expr> {
        parse::Parser::new(cx).parse(value)
    }

    /// The expression that is always `value`.
    pub fn constant(value: Value) -> Expr {
        Expr {
            node: Node::Constant(value),
        }
    }

    /// Evaluates it in `scope`.
    ///
    /// # Errors
    /// What the operators fail with: wrong types, overflow, …
    pub fn eval(&self, scope: &Scope<'_>) -> Result<Value> {
        self.operand(scope).map(Operand::into_value)
    }

    /// Evaluates it in `scope` without taking a share of the buffer that the result stands in.
    ///
    /// # Errors
    /// As [`eval`](Expr::eval).
    pub fn operand<'s>(&'s self, scope: &Scope<'s>) -> Result<Operand<'s>> {
        match &self.node {
            Node::Constant(value) => Ok(Operand::Known(value)),
            Node::Absent => Ok(Operand::MISSING),
            Node::Path(path) => path.eval(scope),
            Node::Call {
                op,
                args,
                collation,
            } => (op.eval)(&Call {
                name: op.name,
                args,
                scope: *scope,
                collation: collation.as_deref(),
            })
            .map(Operand::Owned),
            Node::Operator(operator) => operator.eval(scope),
            Node::Object(fields) => {
                let mut out = DocBuf::new();
                for field in fields.iter() {
                    field.write(&mut out, scope)?;
                    limit::check_bytes(out.byte_len())?;
                }
                Ok(Operand::Owned(Value::Document(out.finish())))
            }
            Node::Array(items) => {
                let mut out = DocBuf::new();
                for (index, item) in items.iter().enumerate() {
                    out.push(index, item.operand(scope)?.as_ref());
                    limit::check_bytes(out.byte_len())?;
                }
                Ok(Operand::Owned(Value::Array(out.finish())))
            }
        }
    }

    /// Evaluates it as a condition.
    ///
    /// # Errors
    /// As [`eval`](Expr::eval).
    pub fn is_true(&self, scope: &Scope<'_>) -> Result<bool> {
        Ok(truthy(self.operand(scope)?.as_ref()))
    }

    /// Evaluates it and appends the result to `out` as field `name`; a missing result appends nothing.
    ///
    /// # Errors
    /// As [`eval`](Expr::eval).
    pub fn append_to(&self, name: &[u8], out: &mut DocBuf, scope: &Scope<'_>) -> Result<()> {
        match &self.node {
            Node::Object(fields) => {
                let open = out.open_document(name);
                for field in fields.iter() {
                    field.write(out, scope)?;
                }
                out.close(open);
            }
            _ => out.append(name, self.operand(scope)?.as_ref()),
        }
        Ok(())
    }

    /// Its value, if it is the same for every document.
    pub fn as_constant(&self) -> Option<&Value> {
        match &self.node {
            Node::Constant(value) => Some(value),
            _ => None,
        }
    }

    /// The dotted path, if it is a plain field of the document (`"$a.b"`); empty for `$$ROOT` itself.
    pub fn as_field_path(&self) -> Option<String> {
        match &self.node {
            Node::Path(path) => path.document_path(),
            _ => None,
        }
    }

    /// The name and arguments, if it is an operator that evaluates all its arguments, such as `$eq`.
    pub fn as_call(&self) -> Option<(&'static str, &[Expr])> {
        match &self.node {
            Node::Call { op, args, .. } => Some((op.name, args)),
            _ => None,
        }
    }

    /// The fields and their expressions, if it is an object expression `{a: …, b: …}`.
    pub fn as_object(&self) -> Option<impl Iterator<Item = (&[u8], &Expr)>> {
        match &self.node {
            Node::Object(fields) => Some(fields.iter().map(|field| (&*field.name, &field.expr))),
            _ => None,
        }
    }

    /// Whether it is `$$REMOVE`.
    pub fn is_remove(&self) -> bool {
        matches!(&self.node, Node::Path(path) if path.is_remove())
    }

    /// Calls `visit` with each dotted path that it reads in the document; the empty path is the whole document.
    pub fn each_field(&self, visit: &mut dyn FnMut(&str)) {
        if let Some(path) = self.as_field_path() {
            visit(&path);
        }
        self.each_child(&mut |child| child.each_field(visit));
    }

    fn each_child(&self, visit: &mut dyn FnMut(&Expr)) {
        match &self.node {
            Node::Constant(_) | Node::Absent | Node::Path(_) => {}
            Node::Call { args: items, .. } | Node::Array(items) => items.iter().for_each(visit),
            Node::Object(fields) => fields.iter().for_each(|field| visit(&field.expr)),
            Node::Operator(operator) => operator.each(visit),
        }
    }

    fn absent() -> Expr {
        Expr { node: Node::Absent }
    }

    /// Whether it stands for a named argument that was not given.
    fn is_absent(&self) -> bool {
        matches!(self.node, Node::Absent)
    }

    fn operator(operator: impl node::Operator + 'static) -> Expr {
        Expr {
            node: Node::Operator(Arc::new(operator)),
        }
    }
}
