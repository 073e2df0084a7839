//! `$expMovingAvg`: an average in which what is further back weighs less.

use std::sync::Arc;

use super::bounds::SortShape;
use super::functions::Arguments;
use super::{Function, Partition, Run};
use crate::expr::{Expr, Scope};
use crate::stage::Context;
use crate::value::{Decimal, Number, Value};
use crate::{Error, Result};

#[derive(Debug)]
struct ExpMovingAvg {
    input: Expr,
    /// The weight of the newest value.
    alpha: Decimal,
}

pub(super) fn exp_moving_avg(arguments: &Arguments<'_>) -> Result<Arc<dyn Function>> {
    let refuse = |why: &str| Err(Error::failed_to_parse(why));
    let Some(spec) = arguments
        .value
        .as_document()
        .filter(|_| arguments.window.is_none())
    else {
        return refuse("$expMovingAvg must have exactly one argument that is an object");
    };
    if arguments.sort == SortShape::None {
        return refuse("$expMovingAvg requires an explicit 'sortBy'");
    }
    let (input, n, alpha) = (spec.get("input"), spec.get("N"), spec.get("alpha"));
    let (Some(input), 2, true) = (input, spec.iter().count(), n.is_some() != alpha.is_some())
    else {
        return refuse(
            "$expMovingAvg sub object must have exactly two fields: An 'input' field, and either an 'N' field or an 'alpha' field",
        );
    };
    let input = Expr::parse(input, arguments.cx)?;
    if let Some(n) = n {
        let Some(n) = Number::from_value(n).and_then(Number::to_i64) else {
            return refuse(
                "'N' field must be an integer. To use a non-integer, use the 'alpha' argument instead",
            );
        };
        if n <= 0 {
            return refuse("'N' must be greater than zero.");
        }
        let alpha = Decimal::from_i64(2).divide(Decimal::from_i64(n.saturating_add(1)));
        return Ok(Arc::new(ExpMovingAvg { input, alpha }));
    }
    let Some(alpha) = alpha.and_then(Number::from_value) else {
        return refuse("'alpha' must be a number");
    };
    let alpha = alpha.to_decimal();
    let (zero, one) = (Decimal::from_i64(0), Decimal::from_i64(1));
    if !alpha.compare(zero).is_gt() || !alpha.compare(one).is_lt() {
        return refuse("'alpha' must be between 0 and 1 (exclusive)");
    }
    Ok(Arc::new(ExpMovingAvg { input, alpha }))
}

impl Function for ExpMovingAvg {
    fn run(self: Arc<Self>) -> Box<dyn Run> {
        Box::new(MovingRun {
            function: self,
            average: None,
            is_decimal: false,
        })
    }
}

/// The average, kept as a decimal of all digits, and shown as a double as long as no decimal went in.
struct MovingRun {
    function: Arc<ExpMovingAvg>,
    average: Option<Decimal>,
    is_decimal: bool,
}

impl Run for MovingRun {
    fn value(&mut self, at: usize, partition: &Partition, cx: &Context<'_>) -> Result<Value> {
        let Some(doc) = partition.docs.get(at) else {
            return Ok(Value::Null);
        };
        let value = self.function.input.operand(&Scope::new(doc, cx.env))?;
        if let Some(number) = Number::from_value(value.as_ref()) {
            self.is_decimal |= matches!(number, Number::Decimal(_));
            let (new, alpha) = (number.to_decimal(), self.function.alpha);
            self.average = Some(match self.average {
                None => new,
                Some(average) => {
                    let rest = Decimal::from_i64(1).subtract(alpha);
                    new.multiply(alpha).add(average.multiply(rest))
                }
            });
        }
        Ok(match self.average {
            None => Value::Null,
            Some(average) if self.is_decimal => Value::Decimal128(average.to_bytes()),
            Some(average) => Value::Double(average.to_f64()),
        })
    }
}
