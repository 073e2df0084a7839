//! Conditional operators: they evaluate only what they choose.

use std::sync::Arc;

use super::Expr;
use super::node::Operator;
use super::ops::{Op, check_arity};
use super::parse::Parser;
use super::scope::{Operand, Scope, truthy};
use crate::value::ValueRef;
use crate::{Error, Result};

pub(super) const OPS: &[Op] = &[
    Op::parsed("$cond", Cond::parse),
    Op::parsed("$ifNull", IfNull::parse),
    Op::parsed("$switch", Switch::parse),
];

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
            check_arity("$cond", &(3..=3), args.len())?;
            return Ok(Expr::operator(Cond {
                condition: args[0].clone(),
                then: args[1].clone(),
                otherwise: args[2].clone(),
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

#[derive(Debug)]
struct IfNull {
    args: Arc<[Expr]>,
}

impl IfNull {
    fn parse(operand: ValueRef<'_>, parser: &Parser<'_>) -> Result<Expr> {
        let args = parser.args(operand)?;
        if args.len() < 2 {
            return Err(Error::location(
                1_257_300,
                format!("$ifNull needs at least two arguments, had: {}", args.len()),
            ));
        }
        Ok(Expr::operator(IfNull { args }))
    }
}

impl Operator for IfNull {
    fn eval<'s>(&'s self, scope: &Scope<'s>) -> Result<Operand<'s>> {
        let mut value = Operand::MISSING;
        for arg in self.args.iter() {
            value = arg.operand(scope)?;
            if !value.is_nullish() {
                break;
            }
        }
        Ok(value)
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

    /// Drops constant nulls, and what stands behind a constant that is none.
    fn fold(&mut self) -> Result<Option<Expr>> {
        let last = self.args.len().saturating_sub(1);
        let mut kept: Vec<Expr> = Vec::with_capacity(self.args.len());
        for (index, arg) in self.args.iter().enumerate() {
            match arg.as_constant() {
                Some(value) if value.as_ref().is_nullish() && index != last => {}
                Some(value) => {
                    kept.push(arg.clone());
                    if !value.as_ref().is_nullish() {
                        break;
                    }
                }
                None => kept.push(arg.clone()),
            }
        }
        if kept.len() == 1 {
            return Ok(kept.pop());
        }
        self.args = kept.into();
        Ok(None)
    }
}

#[derive(Debug)]
struct Switch {
    branches: Vec<(Expr, Expr)>,
    default: Option<Expr>,
}

impl Switch {
    fn parse(operand: ValueRef<'_>, parser: &Parser<'_>) -> Result<Expr> {
        let Some(doc) = operand.as_document() else {
            return Err(Error::location(
                40060,
                format!(
                    "$switch requires an object as an argument, found: {}",
                    operand.type_name()
                ),
            ));
        };
        let mut switch = Switch {
            branches: Vec::new(),
            default: None,
        };
        for element in doc.iter() {
            match (&**element.key(), element.value()) {
                (b"branches", ValueRef::Array(branches)) => {
                    for branch in branches.values() {
                        switch.branches.push(branch_of(branch, parser)?);
                    }
                }
                (b"branches", other) => {
                    return Err(Error::location(
                        40061,
                        format!(
                            "$switch expected an array for 'branches', found: {}",
                            other.type_name()
                        ),
                    ));
                }
                (b"default", value) => switch.default = Some(parser.parse(value)?),
                _ => {
                    return Err(Error::location(
                        40067,
                        format!("$switch found an unknown argument: {}", element.key()),
                    ));
                }
            }
        }
        if switch.branches.is_empty() {
            return Err(Error::location(
                40068,
                "$switch requires at least one branch",
            ));
        }
        Ok(Expr::operator(switch))
    }
}

fn branch_of(branch: ValueRef<'_>, parser: &Parser<'_>) -> Result<(Expr, Expr)> {
    let Some(doc) = branch.as_document() else {
        return Err(Error::location(
            40062,
            format!(
                "$switch expected each branch to be an object, found: {}",
                branch.type_name()
            ),
        ));
    };
    let (mut case, mut then) = (None, None);
    for element in doc.iter() {
        let place = match &**element.key() {
            b"case" => &mut case,
            b"then" => &mut then,
            _ => {
                return Err(Error::location(
                    40063,
                    format!(
                        "$switch found an unknown argument to a branch: {}",
                        element.key()
                    ),
                ));
            }
        };
        *place = Some(parser.parse(element.value())?);
    }
    let case = case.ok_or_else(|| {
        Error::location(
            40064,
            "$switch requires each branch have a 'case' expression",
        )
    })?;
    let then = then.ok_or_else(|| {
        Error::location(
            40065,
            "$switch requires each branch have a 'then' expression.",
        )
    })?;
    Ok((case, then))
}

impl Operator for Switch {
    fn eval<'s>(&'s self, scope: &Scope<'s>) -> Result<Operand<'s>> {
        for (case, then) in &self.branches {
            if case.is_true(scope)? {
                return then.operand(scope);
            }
        }
        match &self.default {
            Some(default) => default.operand(scope),
            None => Err(Error::location(
                40066,
                "$switch could not find a matching branch for an input, and no default was specified.",
            )),
        }
    }

    fn each(&self, visit: &mut dyn FnMut(&Expr)) {
        for (case, then) in &self.branches {
            visit(case);
            visit(then);
        }
        self.default.iter().for_each(visit);
    }

    fn each_mut(&mut self, visit: &mut dyn FnMut(&mut Expr) -> Result<()>) -> Result<()> {
        self.default.iter_mut().try_for_each(&mut *visit)?;
        // What stands behind a case that is written as true is not even looked at.
        let certain = |(case, _): &(Expr, Expr)| {
            case.as_constant()
                .is_some_and(|value| truthy(value.as_ref()))
        };
        if let Some(at) = self.branches.iter().position(certain) {
            self.branches.truncate(at + 1);
            self.default = None;
        }
        // Nor is what a case leads to that is known not to hold, nor what stands behind one that is known to.
        for at in 0..self.branches.len() {
            let (case, then) = &mut self.branches[at];
            visit(case)?;
            match case.as_constant().map(|value| truthy(value.as_ref())) {
                Some(false) => {}
                Some(true) => {
                    visit(then)?;
                    self.branches.truncate(at + 1);
                    break;
                }
                None => visit(then)?,
            }
        }
        Ok(())
    }

    /// Drops cases that never hold; one that always does becomes the default.
    fn fold(&mut self) -> Result<Option<Expr>> {
        let constant = |case: &Expr| case.as_constant().map(|value| truthy(value.as_ref()));
        self.branches
            .retain(|(case, _)| constant(case) != Some(false));
        let certain = self
            .branches
            .iter()
            .position(|(case, _)| constant(case) == Some(true));
        if let Some(at) = certain {
            self.default = Some(self.branches[at].1.clone());
            self.branches.truncate(at);
        }
        match (self.branches.is_empty(), &self.default) {
            (true, Some(default)) => Ok(Some(default.clone())),
            (true, None) => Err(Error::location(
                40069,
                "Cannot execute a switch statement where all the cases evaluate to false without a default",
            )),
            (false, _) => Ok(None),
        }
    }
}
