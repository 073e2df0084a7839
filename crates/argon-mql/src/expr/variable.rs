//! Variable operator: `$let`.

use std::sync::Arc;

use smallvec::SmallVec;

use super::Expr;
use super::node::Operator;
use super::ops::Op;
use super::parse::Parser;
use super::scope::{Operand, Scope};
use crate::value::{Value, ValueRef};
use crate::{Error, Result};

pub(super) const OPS: &[Op] = &[Op::parsed("$let", Let::parse)];

#[derive(Debug)]
struct Let {
    values: Arc<[Expr]>,
    body: Expr,
}

impl Let {
    fn parse(operand: ValueRef<'_>, parser: &Parser<'_>) -> Result<Expr> {
        let Some(doc) = operand.as_document() else {
            return Err(Error::location(
                16874,
                "$let only supports an object as its argument",
            ));
        };
        let (mut variables, mut body) = (None, None);
        for element in doc.iter() {
            match &**element.key() {
                b"vars" => variables = Some(element.value()),
                b"in" => body = Some(element.value()),
                _ => {
                    return Err(Error::location(
                        16875,
                        format!("Unrecognized parameter to $let: {}", element.key()),
                    ));
                }
            }
        }
        let variables =
            variables.ok_or_else(|| Error::location(16876, "Missing 'vars' parameter to $let"))?;
        let body = body.ok_or_else(|| Error::location(16877, "Missing 'in' parameter to $let"))?;
        let (ValueRef::Document(variables) | ValueRef::Array(variables)) = variables else {
            return Err(Error::location(
                10065,
                "invalid parameter: expected an object (vars)",
            ));
        };
        let mut names = Vec::new();
        let mut values = Vec::new();
        for element in variables.iter() {
            names.push(Parser::new_variable(element.key())?);
            values.push(parser.parse(element.value())?);
        }
        let frame = parser.frame(&names);
        let body = parser.inside(&frame).parse(body)?;
        Ok(Expr::operator(Let {
            values: values.into(),
            body,
        }))
    }
}

impl Operator for Let {
    fn eval<'s>(&'s self, scope: &Scope<'s>) -> Result<Operand<'s>> {
        let values: SmallVec<[Value; 4]> = self
            .values
            .iter()
            .map(|value| value.eval(scope))
            .collect::<Result<_>>()?;
        let frame = scope.frame(&values);
        let value = self.body.eval(&scope.inside(&frame))?;
        Ok(value.into())
    }

    fn each(&self, visit: &mut dyn FnMut(&Expr)) {
        self.values.iter().for_each(&mut *visit);
        visit(&self.body);
    }

    fn each_mut(&mut self, visit: &mut dyn FnMut(&mut Expr) -> Result<()>) -> Result<()> {
        Arc::get_mut(&mut self.values)
            .into_iter()
            .flatten()
            .try_for_each(&mut *visit)?;
        visit(&mut self.body)
    }
}
