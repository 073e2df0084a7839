//! Boolean operators.

use std::sync::Arc;

use super::Expr;
use super::node::{Call, Operator};
use super::ops::Op;
use super::parse::Parser;
use super::scope::{Operand, Scope, truthy};
use crate::Result;
use crate::value::{Value, ValueRef};

pub(super) const OPS: &[Op] = &[
    Op::parsed("$and", |operand, parser| {
        Junction::parse(operand, parser, false)
    }),
    Op::function("$not", 1..=1, not),
    Op::parsed("$or", |operand, parser| {
        Junction::parse(operand, parser, true)
    }),
];

fn not(call: &Call<'_>) -> Result<Value> {
    Ok(Value::Bool(!truthy(call.arg(0)?.as_ref())))
}

/// `$and` (decided by the first false) and `$or` (decided by the first true).
#[derive(Debug)]
struct Junction {
    decisive: bool,
    args: Arc<[Expr]>,
}

impl Junction {
    fn parse(operand: ValueRef<'_>, parser: &Parser<'_>, decisive: bool) -> Result<Expr> {
        let args = parser.args(operand)?;
        Ok(Expr::operator(Junction { decisive, args }))
    }
}

impl Operator for Junction {
    fn eval<'s>(&'s self, scope: &Scope<'s>) -> Result<Operand<'s>> {
        for arg in self.args.iter() {
            if arg.is_true(scope)? == self.decisive {
                return Ok(Value::Bool(self.decisive).into());
            }
        }
        Ok(Value::Bool(!self.decisive).into())
    }

    fn each(&self, visit: &mut dyn FnMut(&Expr)) {
        self.args.iter().for_each(visit);
    }

    fn each_mut(&mut self, visit: &mut dyn FnMut(&mut Expr) -> Result<()>) -> Result<()> {
        Arc::get_mut(&mut self.args)
            .into_iter()
            .flatten()
            .try_for_each(visit)
    }

    /// A constant decides at once, wherever it stands, or does not matter.
    fn fold(&mut self) -> Result<Option<Expr>> {
        let constants = self.args.iter().filter_map(Expr::as_constant);
        if constants
            .clone()
            .any(|value| truthy(value.as_ref()) == self.decisive)
        {
            return Ok(Some(Expr::constant(Value::Bool(self.decisive))));
        }
        if constants.count() > 0 {
            let rest = self.args.iter().filter(|arg| !arg.is_constant());
            self.args = rest.cloned().collect();
        }
        Ok(self
            .args
            .is_empty()
            .then(|| Expr::constant(Value::Bool(!self.decisive))))
    }
}
