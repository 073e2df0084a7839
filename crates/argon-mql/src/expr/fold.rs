//! Folding of constants, as far as it can be seen: in errors of constant parts, and in the order of arithmetic.

use std::sync::Arc;

use bytes::Bytes;

use super::Expr;
use super::node::{Node, Operator};
use super::ops::{Fold, Function};
use super::scope::{Operand, Scope};
use crate::collation::Collation;
use crate::value::{Doc, Value};
use crate::{Env, Result};

impl Expr {
    /// Replaces what is constant by its value.
    ///
    /// # Errors
    /// What a constant part fails with.
    pub(crate) fn fold(&mut self) -> Result<()> {
        match &mut self.node {
            Node::Constant(_) | Node::Absent | Node::Path(_) => return Ok(()),
            Node::Call {
                op,
                args,
                collation,
            } => {
                if op.fold == Fold::Opaque {
                    return Ok(());
                }
                let each = op.check_each_argument;
                for index in 0..args.len() {
                    if let Some(arg) = Arc::get_mut(args).and_then(|args| args.get_mut(index)) {
                        arg.fold()?;
                    }
                    if let (true, Some(check)) = (each, op.check) {
                        check(&args[..=index])?;
                    }
                }
                if let Some(check) = op.check
                    && !args.iter().all(Expr::is_constant)
                {
                    check(args)?;
                }
                if matches!(op.fold, Fold::Neighbours | Fold::All) {
                    flatten(op, args);
                }
                if matches!(op.fold, Fold::Neighbours | Fold::All)
                    && args.len() > 1
                    && !args.iter().all(Expr::is_constant)
                {
                    let run = Run {
                        op,
                        collation: collation.clone(),
                    };
                    *args = run.merge(args)?.into();
                }
            }
            Node::Array(items) => fold_all(items)?,
            Node::Object(fields) => {
                // A fresh tree has one owner.
                for field in Arc::get_mut(fields).into_iter().flatten() {
                    field.expr.fold()?;
                }
            }
            Node::Operator(operator) => {
                let Some(operator) = Arc::get_mut(operator) else {
                    return Ok(());
                };
                operator.each_mut(&mut Expr::fold)?;
                if let Some(folded) = operator.fold()? {
                    *self = folded;
                }
                return Ok(());
            }
        }
        if self.is_foldable() && self.has_only_constants() {
            *self = Expr::constant(self.eval_constant()?);
        }
        Ok(())
    }

    /// Whether its value is known.
    pub fn is_constant(&self) -> bool {
        self.as_constant().is_some()
    }

    /// Whether mongod would evaluate it ahead of the documents once its arguments are known.
    fn is_foldable(&self) -> bool {
        !matches!(
            &self.node,
            Node::Call { op, .. } if matches!(op.fold, Fold::Never | Fold::Opaque)
        )
    }

    fn has_only_constants(&self) -> bool {
        match &self.node {
            Node::Call { args: items, .. } | Node::Array(items) => items
                .iter()
                .all(|item| item.is_constant() || item.is_absent()),
            Node::Object(fields) => fields.iter().all(|field| field.expr.is_constant()),
            _ => false,
        }
    }

    /// Evaluates an expression that reads neither document nor surroundings.
    fn eval_constant(&self) -> Result<Value> {
        in_empty_scope(|scope| self.eval(scope))
    }
}

/// Evaluates an operator all parts of which are constant.
pub(super) fn eval_constant(operator: &dyn Operator) -> Result<Value> {
    in_empty_scope(|scope| operator.eval(scope).map(Operand::into_value))
}

fn in_empty_scope(eval: impl for<'s> FnOnce(&Scope<'s>) -> Result<Value>) -> Result<Value> {
    let empty = Bytes::from_static(Doc::EMPTY.as_bytes());
    let env = Env::fixed();
    eval(&Scope::new(&empty, &env))
}

fn fold_all(items: &mut Arc<[Expr]>) -> Result<()> {
    Arc::get_mut(items)
        .into_iter()
        .flatten()
        .try_for_each(Expr::fold)
}

/// Replaces arguments that are calls of `op` themselves by their arguments: the operator is associative. A call with a
/// single argument stays, since that may be an array of the values.
fn flatten(op: &'static Function, args: &mut Arc<[Expr]>) {
    let nested = |arg: &Expr| match &arg.node {
        Node::Call {
            op: inner, args, ..
        } if inner.name == op.name && args.len() > 1 => Some(Arc::clone(args)),
        _ => None,
    };
    if !args.iter().any(|arg| nested(arg).is_some()) {
        return;
    }
    let flat = args.iter().flat_map(|arg| match nested(arg) {
        Some(inner) => inner.to_vec(),
        None => vec![arg.clone()],
    });
    *args = flat.collect();
}

/// Merges runs of constants among the arguments of an operator.
struct Run {
    op: &'static Function,
    collation: Option<Arc<Collation>>,
}

impl Run {
    /// Merges the constants among `args`, at least one of which is none.
    fn merge(&self, args: &[Expr]) -> Result<Vec<Expr>> {
        let mut merged: Vec<Expr> = Vec::with_capacity(args.len());
        let mut run: Vec<Expr> = Vec::new();
        for arg in args {
            if arg.is_constant() {
                run.push(arg.clone());
            } else {
                if self.op.fold == Fold::Neighbours {
                    self.close(&mut run, &mut merged)?;
                }
                merged.push(arg.clone());
            }
        }
        self.close(&mut run, &mut merged)?;
        Ok(merged)
    }

    fn close(&self, run: &mut Vec<Expr>, merged: &mut Vec<Expr>) -> Result<()> {
        if run.len() < 2 {
            merged.append(run);
            return Ok(());
        }
        let call = Expr {
            node: Node::Call {
                op: self.op,
                args: std::mem::take(run).into(),
                collation: self.collation.clone(),
            },
        };
        merged.push(Expr::constant(call.eval_constant()?));
        Ok(())
    }
}
