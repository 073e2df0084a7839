//! The registration of operators: one sorted table per category, one lookup over all of them.

use std::ops::RangeInclusive;
use std::sync::{Arc, LazyLock};

use super::Expr;
use super::node::Call;
use super::parse::Parser;
use crate::catalogue::Entry;
use crate::value::{Value, ValueRef};
use crate::{Error, ErrorCode, Result};

/// The upper end of the arity of an operator that takes any number of arguments.
pub(super) const ARGS_MAX: usize = usize::MAX;

/// A row of a category's table.
#[derive(Debug)]
pub(super) enum Op {
    Function(Function),
    /// An operator that parses its own argument.
    Parsed {
        name: &'static str,
        parse: fn(ValueRef<'_>, &Parser<'_>) -> Result<Expr>,
        refused: Option<ErrorCode>,
    },
}

/// An operator whose arguments are all expressions, which it evaluates when it wants to.
#[derive(Debug)]
pub(super) struct Function {
    pub(super) name: &'static str,
    pub(super) args: Args,
    pub(super) eval: fn(&Call<'_>) -> Result<Value>,
    pub(super) fold: Fold,
    /// What mongod checks ahead of the documents where not all arguments are constant.
    pub(super) check: Option<Check>,
    /// Whether that happens after each argument instead of after all.
    pub(super) check_each_argument: bool,
}

/// A check of constant arguments.
pub(super) type Check = fn(&[Expr]) -> Result<()>;

/// How an operator takes its arguments.
#[derive(Debug)]
pub(super) enum Args {
    /// By position: how many.
    Positional(RangeInclusive<usize>),
    /// By position, exactly one: the code for any other number.
    One(i32),
    /// By position, two or more: the code for fewer.
    AtLeastTwo(i32),
    /// By name, in an object.
    Named(Named),
}

/// Arguments by name, and the codes of what can be wrong with them.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) not_an_object: i32,
    pub(super) unknown: i32,
    pub(super) fields: &'static [Field],
}

/// A named argument: at evaluation, its index is its place in the list.
#[derive(Debug)]
pub(super) struct Field {
    name: &'static str,
    /// The code of its absence; 0 if it may be absent.
    required: i32,
}

/// A named argument whose absence is an error with `code`.
pub(super) const fn required(name: &'static str, code: i32) -> Field {
    Field {
        name,
        required: code,
    }
}

/// A named argument that may be absent.
pub(super) const fn optional(name: &'static str) -> Field {
    Field { name, required: 0 }
}

/// How constant arguments are folded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fold {
    /// Not at all, nor what they are made of: each document evaluates everything.
    Opaque,
    /// Each by itself, but not the operator even if all are constant.
    Never,
    /// Only if all are constant.
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
            args: Args::Positional(args),
            eval,
            fold,
            check: None,
            check_each_argument: false,
        })
    }

    /// An operator that takes one argument, and fails with `code` for any other number.
    pub(super) const fn one(
        name: &'static str,
        code: i32,
        eval: fn(&Call<'_>) -> Result<Value>,
    ) -> Op {
        Op::Function(Function {
            name,
            args: Args::One(code),
            eval,
            fold: Fold::None,
            check: None,
            check_each_argument: false,
        })
    }

    /// An operator that takes two or more arguments, and fails with `code` for fewer.
    pub(super) const fn at_least_two(
        name: &'static str,
        code: i32,
        eval: fn(&Call<'_>) -> Result<Value>,
    ) -> Op {
        Op::Function(Function {
            name,
            args: Args::AtLeastTwo(code),
            eval,
            fold: Fold::None,
            check: None,
            check_each_argument: false,
        })
    }

    /// The same operator, with a check of constant arguments.
    pub(super) const fn checked(self, check: Check) -> Op {
        match self {
            Op::Function(function) => Op::Function(Function {
                check: Some(check),
                ..function
            }),
            parsed @ Op::Parsed { .. } => parsed,
        }
    }

    /// The same, after each argument.
    pub(super) const fn checked_each(self, check: Check) -> Op {
        match self.checked(check) {
            Op::Function(function) => Op::Function(Function {
                check_each_argument: true,
                ..function
            }),
            parsed @ Op::Parsed { .. } => parsed,
        }
    }

    /// The same operator, never evaluated ahead of the documents.
    pub(super) const fn unfolded(self) -> Op {
        match self {
            Op::Function(function) => Op::Function(Function {
                fold: Fold::Never,
                ..function
            }),
            parsed @ Op::Parsed { .. } => parsed,
        }
    }

    /// The same operator, with arguments that are never folded.
    pub(super) const fn opaque(self) -> Op {
        match self {
            Op::Function(function) => Op::Function(Function {
                fold: Fold::Opaque,
                ..function
            }),
            parsed @ Op::Parsed { .. } => parsed,
        }
    }

    /// An operator that takes its arguments by name.
    pub(super) const fn named(
        name: &'static str,
        args: Named,
        eval: fn(&Call<'_>) -> Result<Value>,
    ) -> Op {
        Op::Function(Function {
            name,
            args: Args::Named(args),
            eval,
            fold: Fold::None,
            check: None,
            check_each_argument: false,
        })
    }

    /// An operator that parses its own argument.
    pub(super) const fn parsed(
        name: &'static str,
        parse: fn(ValueRef<'_>, &Parser<'_>) -> Result<Expr>,
    ) -> Op {
        Op::Parsed {
            name,
            parse,
            refused: None,
        }
    }

    /// An operator that is known and refused: `parse` finds what else is wrong, and fails with `code` in the end.
    pub(super) const fn refused(
        name: &'static str,
        code: ErrorCode,
        parse: fn(ValueRef<'_>, &Parser<'_>) -> Result<Expr>,
    ) -> Op {
        Op::Parsed {
            name,
            parse,
            refused: Some(code),
        }
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
    super::accumulator::OPS,
    super::arithmetic::OPS,
    super::array::OPS,
    super::boolean::OPS,
    super::comparison::OPS,
    super::conditional::OPS,
    super::convert::OPS,
    super::date::OPS,
    super::iterate::OPS,
    super::literal::OPS,
    super::miscellaneous::OPS,
    super::object::OPS,
    super::regex::OPS,
    super::set::OPS,
    super::sort_array::OPS,
    super::string::OPS,
    super::trigonometry::OPS,
    super::variable::OPS,
];

static BY_NAME: LazyLock<Vec<&'static Op>> = LazyLock::new(|| {
    let mut all: Vec<_> = CATEGORIES.iter().flat_map(|ops| ops.iter()).collect();
    all.sort_by_key(|op| op.name());
    all
});

/// All operators, sorted.
pub fn entries() -> impl Iterator<Item = Entry> {
    BY_NAME.iter().map(|op| Entry {
        name: op.name(),
        refused: match op {
            Op::Function(_) => None,
            Op::Parsed { refused, .. } => *refused,
        },
    })
}

/// Whether there is an operator called `name`.
pub(crate) fn is_known(name: &[u8]) -> bool {
    find(name).is_ok()
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
    /// Compiles the arguments in `operand`, each with `parser`.
    pub(super) fn parse_args(
        &self,
        operand: ValueRef<'_>,
        parser: &Parser<'_>,
    ) -> Result<Arc<[Expr]>> {
        match &self.args {
            Args::Positional(arity) => {
                let args = parser.args(operand)?;
                check_arity(self.name, arity, args.len())?;
                Ok(args)
            }
            Args::One(code) => {
                let args = parser.args(operand)?;
                if args.len() != 1 {
                    return Err(Error::location(
                        *code,
                        format!(
                            "{} requires a single argument, got {}",
                            self.name,
                            args.len()
                        ),
                    ));
                }
                Ok(args)
            }
            Args::AtLeastTwo(code) => {
                let args = parser.args(operand)?;
                if args.len() < 2 {
                    return Err(Error::location(
                        *code,
                        format!(
                            "{} needs at least two arguments, had: {}",
                            self.name,
                            args.len()
                        ),
                    ));
                }
                Ok(args)
            }
            Args::Named(named) => named.parse(self.name, operand, parser),
        }
    }
}

impl Named {
    pub(super) fn parse(
        &self,
        operator: &str,
        operand: ValueRef<'_>,
        parser: &Parser<'_>,
    ) -> Result<Arc<[Expr]>> {
        let Some(doc) = operand.as_document() else {
            return Err(Error::location(
                self.not_an_object,
                format!(
                    "{operator} expects an object of named arguments but found: {}",
                    operand.type_name()
                ),
            ));
        };
        let mut args = vec![Expr::absent(); self.fields.len()];
        for element in doc.iter() {
            let key = element.key();
            match self
                .fields
                .iter()
                .position(|field| field.name.as_bytes() == &**key)
            {
                Some(index) => args[index] = parser.parse(element.value())?,
                None => {
                    return Err(Error::location(
                        self.unknown,
                        format!("{operator} found an unknown argument: {key}"),
                    ));
                }
            }
        }
        for (field, arg) in self.fields.iter().zip(&args) {
            if field.required != 0 && arg.is_absent() {
                return Err(Error::location(
                    field.required,
                    format!("{operator} requires '{}' to be specified", field.name),
                ));
            }
        }
        Ok(args.into())
    }
}

/// Checks that `given` arguments are right in number.
pub(super) fn check_arity(name: &str, arity: &RangeInclusive<usize>, given: usize) -> Result<()> {
    let (least, most) = (*arity.start(), *arity.end());
    if arity.contains(&given) {
        return Ok(());
    }
    Err(if least == most {
        Error::location(
            16020,
            format!("Expression {name} takes exactly {least} arguments. {given} were passed in."),
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
        let all: Vec<_> = entries().map(|entry| entry.name).collect();
        for pair in all.windows(2) {
            assert!(pair[0] < pair[1], "{}", pair[1]);
        }
    }
}
