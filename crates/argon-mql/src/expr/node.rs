//! The nodes of a compiled expression, and what an operator implements.

use std::fmt;
use std::sync::Arc;

use super::Expr;
use super::ops::Function;
use super::path::Path;
use super::scope::{Operand, Scope};
use crate::Result;
use crate::collation::Collation;
use crate::value::{DocBuf, Value};

#[derive(Clone, Debug)]
pub(super) enum Node {
    Constant(Value),
    /// A named argument that was not given.
    Absent,
    Path(Path),
    /// An operator that takes its arguments by position.
    Call {
        op: &'static Function,
        args: Arc<[Expr]>,
        /// How it compares strings.
        collation: Option<Arc<Collation>>,
    },
    /// An operator that parsed itself.
    Operator(Arc<dyn Operator>),
    Object(Arc<[Field]>),
    Array(Arc<[Expr]>),
}

/// A field of an object expression.
#[derive(Clone, Debug)]
pub(super) struct Field {
    pub(super) name: Box<[u8]>,
    pub(super) expr: Expr,
    /// Whether a missing value leaves a place.
    pub(super) keeps_place: bool,
}

impl Field {
    /// Evaluates it in `scope` into `out`.
    pub(super) fn write(&self, out: &mut DocBuf, scope: &Scope<'_>) -> Result<()> {
        let before = out.byte_len();
        self.expr.append_to(&self.name, out, scope)?;
        if self.keeps_place && out.byte_len() == before {
            out.append_place(&self.name);
        }
        Ok(())
    }
}

/// An operator with named arguments, or one that chooses what to evaluate.
pub(super) trait Operator: fmt::Debug + Send + Sync {
    /// Evaluates it in `scope`.
    fn eval<'s>(&'s self, scope: &Scope<'s>) -> Result<Operand<'s>>;

    /// Calls `visit` with each expression it is made of.
    fn each(&self, visit: &mut dyn FnMut(&Expr));

    /// The same for folding.
    fn each_mut(&mut self, visit: &mut dyn FnMut(&mut Expr) -> Result<()>) -> Result<()>;

    /// What it is, now that its parts are folded: another expression if it can be replaced by one.
    fn fold(&mut self) -> Result<Option<Expr>> {
        Ok(None)
    }
}

/// A call of a function: the arguments are evaluated when it asks for them.
pub(super) struct Call<'s> {
    pub(super) name: &'static str,
    pub(super) args: &'s [Expr],
    pub(super) scope: Scope<'s>,
    pub(super) collation: Option<&'s Collation>,
}

impl<'s> Call<'s> {
    /// Evaluates argument `index`, which the arity guarantees; missing if optional and not given.
    #[inline]
    pub(super) fn arg(&self, index: usize) -> Result<Operand<'s>> {
        match self.args.get(index) {
            Some(arg) => arg.operand(&self.scope),
            None => Ok(Operand::MISSING),
        }
    }

    /// Whether the optional argument `index` was given.
    pub(super) fn is_given(&self, index: usize) -> bool {
        self.args.get(index).is_some_and(|arg| !arg.is_absent())
    }

    /// How many arguments were given.
    pub(super) fn len(&self) -> usize {
        self.args.len()
    }
}
