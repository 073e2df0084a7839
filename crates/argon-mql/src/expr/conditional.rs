//! Conditional operators.

use super::Expr;
use super::node::Operator;
use super::ops::Op;
use super::parse::Parser;
use super::scope::{Operand, Scope, truthy};
use crate::value::ValueRef;
use crate::{Error, Result};

pub(super) const OPS: &[Op] = &[Op::parsed("$cond", Cond::parse)];

#[derive(Debug)]
struct Cond {
    condition: Expr,
    then: Expr,
    otherwise: Expr,
}

impl Cond {
    fn parse(operand: ValueRef<'_>, parser: &Parser<'_>) -> Result<Expr> {
        let ValueRef::Document(doc) = operand else {
            let args = parser.args(operand)?;
            let [condition, then, otherwise] = &*args else {
                return Err(Error::location(
                    16020,
                    format!(
                        "Expression $cond takes exactly 3 arguments. {} were passed in.",
                        args.len()
                    ),
                ));
            };
            return Ok(Expr::operator(Cond {
                condition: condition.clone(),
                then: then.clone(),
                otherwise: otherwise.clone(),
            }));
        };
        let (mut condition, mut then, mut otherwise) = (None, None, None);
        for element in doc.iter() {
            let place = match &**element.key() {
                b"if" => &mut condition,
                b"then" => &mut then,
                b"else" => &mut otherwise,
                _ => {
                    return Err(Error::location(
                        17083,
                        format!("Unrecognized parameter to $cond: {}", element.key()),
                    ));
                }
            };
            *place = Some(parser.parse(element.value())?);
        }
        let missing =
            |code, name| Error::location(code, format!("Missing '{name}' parameter to $cond"));
        Ok(Expr::operator(Cond {
            condition: condition.ok_or_else(|| missing(17080, "if"))?,
            then: then.ok_or_else(|| missing(17081, "then"))?,
            otherwise: otherwise.ok_or_else(|| missing(17082, "else"))?,
        }))
    }
}

impl Operator for Cond {
    fn eval<'s>(&'s self, scope: &Scope<'s>) -> Result<Operand<'s>> {
        if self.condition.is_true(scope)? {
            self.then.operand(scope)
        } else {
            self.otherwise.operand(scope)
        }
    }

    fn each(&self, visit: &mut dyn FnMut(&Expr)) {
        [&self.condition, &self.then, &self.otherwise]
            .into_iter()
            .for_each(visit);
    }

    fn each_mut(&mut self, visit: &mut dyn FnMut(&mut Expr) -> Result<()>) -> Result<()> {
        [&mut self.condition, &mut self.then, &mut self.otherwise]
            .into_iter()
            .try_for_each(visit)
    }

    fn fold(&mut self) -> Result<Option<Expr>> {
        Ok(self.condition.as_constant().map(|condition| {
            if truthy(condition.as_ref()) {
                self.then.clone()
            } else {
                self.otherwise.clone()
            }
        }))
    }
}
