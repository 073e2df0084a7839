//! The registration of operators: one sorted table per category, one lookup over all of them.

use std::ops::RangeInclusive;
use std::sync::LazyLock;

use super::Expr;
use super::node::Call;
use super::parse::Parser;
use crate::value::{Value, ValueRef};
use crate::{Error, ErrorCode, Result};

/// The upper end of the arity of an operator that takes any number of arguments.
pub(super) const ARGS_MAX: usize = usize::MAX;

/// A row of a category's table.
#[derive(Debug)]
pub(super) enum Op {
    /// An operator that takes its arguments by position and evaluates them when it wants to.
    Function(Function),
    /// An operator that parses its own argument.
    Parsed {
        name: &'static str,
        parse: fn(ValueRef<'_>, &Parser<'_>) -> Result<Expr>,
    },
}

/// An operator that takes its arguments by position.
#[derive(Debug)]
pub(super) struct Function {
    pub(super) name: &'static str,
    pub(super) args: RangeInclusive<usize>,
    pub(super) eval: fn(&Call<'_>) -> Result<Value>,
    pub(super) fold: Fold,
}

/// How constants among the arguments are folded if not all are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fold {
    /// Not at all.
    None,
    /// Neighbours become one: the operator is associative.
    Neighbours,
    /// All become one, which goes last: the operator is commutative besides.
    All,
}

impl Op {
    /// An operator that takes its arguments by position.
    pub(super) const fn function(
        name: &'static str,
        args: RangeInclusive<usize>,
        eval: fn(&Call<'_>) -> Result<Value>,
    ) -> Op {
        Op::folding(name, args, eval, Fold::None)
    }

    /// The same for one that folds constants among its arguments.
    pub(super) const fn folding(
        name: &'static str,
        args: RangeInclusive<usize>,
        eval: fn(&Call<'_>) -> Result<Value>,
        fold: Fold,
    ) -> Op {
        Op::Function(Function {
            name,
            args,
            eval,
            fold,
        })
    }

    /// An operator that parses its own argument.
    pub(super) const fn parsed(
        name: &'static str,
        parse: fn(ValueRef<'_>, &Parser<'_>) -> Result<Expr>,
    ) -> Op {
        Op::Parsed { name, parse }
    }

    pub(super) const fn name(&self) -> &'static str {
        match self {
            Op::Function(function) => function.name,
            Op::Parsed { name, .. } => name,
        }
    }
}

/// The categories, as the manual has them.
static CATEGORIES: &[&[Op]] = &[
    super::boolean::OPS,
    super::conditional::OPS,
    super::literal::OPS,
];

static BY_NAME: LazyLock<Vec<&'static Op>> = LazyLock::new(|| {
    let mut all: Vec<_> = CATEGORIES.iter().flat_map(|ops| ops.iter()).collect();
    all.sort_by_key(|op| op.name());
    all
});

/// The names of all operators, sorted.
pub fn names() -> impl Iterator<Item = &'static str> {
    BY_NAME.iter().map(|op| op.name())
}

/// The operator called `name`.
pub(super) fn find(name: &[u8]) -> Result<&'static Op> {
    match BY_NAME.binary_search_by(|op| op.name().as_bytes().cmp(name)) {
        Ok(at) => Ok(BY_NAME[at]),
        Err(_) => Err(Error::new(
            ErrorCode::InvalidPipelineOperator,
            format!(
                "Unrecognized expression '{}'",
                String::from_utf8_lossy(name)
            ),
        )),
    }
}

impl Function {
    /// Checks that `given` arguments are right in number.
    pub(super) fn check_arity(&self, given: usize) -> Result<()> {
        let (least, most) = (*self.args.start(), *self.args.end());
        if self.args.contains(&given) {
            return Ok(());
        }
        let name = self.name;
        Err(if least == most {
            Error::location(
                16020,
                format!(
                    "Expression {name} takes exactly {least} arguments. {given} were passed in."
                ),
            )
        } else {
            Error::location(
                28667,
                format!(
                    "Expression {name} takes at least {least} arguments, and at most {most}, but {given} were passed in."
                ),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_table_is_sorted_and_no_name_comes_twice() {
        for ops in CATEGORIES {
            for pair in ops.windows(2) {
                assert!(pair[0].name() < pair[1].name(), "{}", pair[1].name());
            }
        }
        let all: Vec<_> = names().collect();
        for pair in all.windows(2) {
            assert!(pair[0] < pair[1], "{}", pair[1]);
        }
    }
}
