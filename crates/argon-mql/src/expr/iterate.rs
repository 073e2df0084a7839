//! Array operators that evaluate an expression for each item: `$map`, `$filter`, `$reduce`; and `$zip`.

use std::sync::Arc;

use bstr::ByteSlice;

use super::Expr;
use super::limit::{check_bytes, check_depth};
use super::node::Operator;
use super::ops::Op;
use super::parse::Parser;
use super::scope::{Operand, Scope};
use crate::value::{Doc, DocBuf, Number, Value, ValueRef};
use crate::{Error, Result};

pub(super) const OPS: &[Op] = &[
    Op::parsed("$filter", Filter::parse),
    Op::parsed("$map", Map::parse),
    Op::parsed("$reduce", Reduce::parse),
    Op::parsed("$zip", Zip::parse),
];

/// Items between two questions whether the command must stop.
const ITEMS_PER_INTERRUPT_CHECK: usize = 512;

fn check_interrupt(scope: &Scope<'_>, index: usize) -> Result<()> {
    if index % ITEMS_PER_INTERRUPT_CHECK == ITEMS_PER_INTERRUPT_CHECK - 1 {
        (scope.env().check_interrupt)()?;
    }
    Ok(())
}

/// The values of the named parameters of an operator, in the order of `names`.
fn parameters<'v, const N: usize>(
    operator: &str,
    operand: ValueRef<'v>,
    names: [&str; N],
    not_an_object: i32,
    unknown: i32,
) -> Result<[Option<ValueRef<'v>>; N]> {
    let Some(doc) = operand.as_document() else {
        return Err(Error::location(
            not_an_object,
            format!(
                "{operator} requires an object as an argument, found: {}",
                operand.type_name()
            ),
        ));
    };
    let mut values = [None; N];
    for element in doc.iter() {
        let key = element.key();
        match names.iter().position(|name| name.as_bytes() == &**key) {
            Some(index) => values[index] = Some(element.value()),
            None => {
                return Err(Error::location(
                    unknown,
                    format!("Unrecognized parameter to {operator}: {key}"),
                ));
            }
        }
    }
    Ok(values)
}

fn missing(operator: &str, name: &str, code: i32) -> Error {
    Error::location(code, format!("Missing '{name}' parameter to {operator}"))
}

/// The name of the variable for an item: `as`, or "this".
fn item_name(given: Option<ValueRef<'_>>) -> Result<Vec<String>> {
    let name = match given {
        None => return Ok(vec!["this".to_owned()]),
        // A name that is no string reads as an empty one.
        Some(ValueRef::String(name)) => name,
        Some(_) => b"".into(),
    };
    Ok(vec![Parser::new_variable(name)?])
}

/// The items of an operator's input, or `None` if it is null.
fn input<'v>(operator: &str, input: &'v Operand<'_>, code: i32) -> Result<Option<Doc<'v>>> {
    match input.as_ref() {
        ValueRef::Array(items) => Ok(Some(items)),
        value if value.is_nullish() => Ok(None),
        other => Err(Error::location(
            code,
            format!(
                "input to {operator} must be an array not {}",
                other.type_name()
            ),
        )),
    }
}

#[derive(Debug)]
struct Map {
    input: Expr,
    body: Expr,
}

impl Map {
    fn parse(operand: ValueRef<'_>, parser: &Parser<'_>) -> Result<Expr> {
        let [input, name, body] = parameters("$map", operand, ["input", "as", "in"], 16878, 16879)?;
        let input = input.ok_or_else(|| missing("$map", "input", 16880))?;
        let input = parser.parse(input)?;
        let names = item_name(name)?;
        let body = body.ok_or_else(|| missing("$map", "in", 16882))?;
        let frame = parser.frame(&names);
        let body = parser.inside(&frame).parse(body)?;
        Ok(Expr::operator(Map { input, body }))
    }
}

impl Operator for Map {
    fn eval<'s>(&'s self, scope: &Scope<'s>) -> Result<Operand<'s>> {
        let array = self.input.operand(scope)?;
        let Some(items) = input("$map", &array, 16883)? else {
            return Ok(Operand::NULL);
        };
        let mut out = DocBuf::new();
        for (index, item) in items.values().enumerate() {
            check_interrupt(scope, index)?;
            let value = [array.part(item)];
            let frame = scope.frame(&value);
            out.push(index, self.body.operand(&scope.inside(&frame))?.as_ref());
            check_bytes(out.byte_len())?;
        }
        Ok(Value::Array(out.finish()).into())
    }

    fn each(&self, visit: &mut dyn FnMut(&Expr)) {
        visit(&self.input);
        visit(&self.body);
    }

    fn each_mut(&mut self, visit: &mut dyn FnMut(&mut Expr) -> Result<()>) -> Result<()> {
        visit(&mut self.input)?;
        visit(&mut self.body)
    }
}

#[derive(Debug)]
struct Filter {
    input: Expr,
    condition: Expr,
    limit: Option<Expr>,
}

impl Filter {
    fn parse(operand: ValueRef<'_>, parser: &Parser<'_>) -> Result<Expr> {
        let names = ["input", "as", "cond", "limit"];
        let [input, name, condition, limit] = parameters("$filter", operand, names, 28646, 28647)?;
        let input = input.ok_or_else(|| missing("$filter", "input", 28648))?;
        let condition = condition.ok_or_else(|| missing("$filter", "cond", 28650))?;
        let input = parser.parse(input)?;
        let names = item_name(name)?;
        let frame = parser.frame(&names);
        let condition = parser.inside(&frame).parse(condition)?;
        let limit = limit.map(|limit| parser.parse(limit)).transpose()?;
        Ok(Expr::operator(Filter {
            input,
            condition,
            limit,
        }))
    }

    fn limit(&self, scope: &Scope<'_>) -> Result<usize> {
        let Some(limit) = &self.limit else {
            return Ok(usize::MAX);
        };
        let limit = limit.operand(scope)?;
        if limit.is_nullish() {
            return Ok(usize::MAX);
        }
        let number = Number::from_value(limit.as_ref())
            .and_then(super::array::to_i32)
            .ok_or_else(|| {
                Error::location(
                    327_391,
                    "$filter: limit must be represented as a 32-bit integral value",
                )
            })?;
        usize::try_from(number)
            .ok()
            .filter(|&limit| limit > 0)
            .ok_or_else(|| {
                Error::location(
                    327_392,
                    format!("$filter: limit must be greater than 0: {number}"),
                )
            })
    }
}

impl Operator for Filter {
    fn eval<'s>(&'s self, scope: &Scope<'s>) -> Result<Operand<'s>> {
        let array = self.input.operand(scope)?;
        let Some(items) = input("$filter", &array, 28651)? else {
            return Ok(Operand::NULL);
        };
        if items.is_empty() {
            return Ok(Value::Array(DocBuf::new().finish()).into());
        }
        let limit = self.limit(scope)?;
        let mut out = DocBuf::new();
        let mut count = 0;
        for (index, item) in items.values().enumerate() {
            check_interrupt(scope, index)?;
            let value = [array.part(item)];
            let frame = scope.frame(&value);
            if self.condition.is_true(&scope.inside(&frame))? {
                out.push(count, item);
                count += 1;
                if count >= limit {
                    break;
                }
            }
        }
        Ok(Value::Array(out.finish()).into())
    }

    fn each(&self, visit: &mut dyn FnMut(&Expr)) {
        visit(&self.input);
        visit(&self.condition);
        self.limit.iter().for_each(visit);
    }

    fn each_mut(&mut self, visit: &mut dyn FnMut(&mut Expr) -> Result<()>) -> Result<()> {
        visit(&mut self.input)?;
        visit(&mut self.condition)?;
        self.limit.iter_mut().try_for_each(visit)
    }
}

#[derive(Debug)]
struct Reduce {
    input: Expr,
    initial: Expr,
    body: Expr,
}

impl Reduce {
    fn parse(operand: ValueRef<'_>, parser: &Parser<'_>) -> Result<Expr> {
        let names = ["input", "initialValue", "in"];
        let [input, initial, body] = parameters("$reduce", operand, names, 40075, 40076)?;
        let input = input.ok_or_else(|| missing("$reduce", "input", 40077))?;
        let initial = initial.ok_or_else(|| missing("$reduce", "initialValue", 40078))?;
        let body = body.ok_or_else(|| missing("$reduce", "in", 40079))?;
        let names = ["this".to_owned(), "value".to_owned()];
        let frame = parser.frame(&names);
        Ok(Expr::operator(Reduce {
            input: parser.parse(input)?,
            initial: parser.parse(initial)?,
            body: parser.inside(&frame).parse(body)?,
        }))
    }
}

impl Operator for Reduce {
    fn eval<'s>(&'s self, scope: &Scope<'s>) -> Result<Operand<'s>> {
        let array = self.input.operand(scope)?;
        let Some(items) = input("$reduce", &array, 40080)? else {
            return Ok(Operand::NULL);
        };
        let mut value = self.initial.eval(scope)?;
        for (index, item) in items.values().enumerate() {
            check_interrupt(scope, index)?;
            let values = [array.part(item), value];
            let frame = scope.frame(&values);
            value = self.body.eval(&scope.inside(&frame))?;
            check_depth(&value)?;
        }
        Ok(value.into())
    }

    fn each(&self, visit: &mut dyn FnMut(&Expr)) {
        visit(&self.input);
        visit(&self.initial);
        visit(&self.body);
    }

    fn each_mut(&mut self, visit: &mut dyn FnMut(&mut Expr) -> Result<()>) -> Result<()> {
        visit(&mut self.input)?;
        visit(&mut self.initial)?;
        visit(&mut self.body)
    }
}

#[derive(Debug)]
struct Zip {
    inputs: Arc<[Expr]>,
    longest: bool,
    defaults: Arc<[Expr]>,
}

impl Zip {
    fn parse(operand: ValueRef<'_>, parser: &Parser<'_>) -> Result<Expr> {
        let array = |value: ValueRef<'_>, code, name: &str| match value {
            ValueRef::Array(_) => parser.args(value),
            other => Err(Error::location(
                code,
                format!(
                    "{name} must be an array of expressions, found {}",
                    other.type_name()
                ),
            )),
        };
        let Some(doc) = operand.as_document() else {
            let found = operand.type_name();
            let text = format!("$zip only supports an object as an argument, found {found}");
            return Err(Error::location(34460, text));
        };
        let (mut inputs, mut defaults, mut longest) = (None, None, false);
        for element in doc.iter() {
            let value = element.value();
            match &**element.key() {
                b"inputs" => inputs = Some(array(value, 34461, "inputs")?),
                b"defaults" => defaults = Some(array(value, 34462, "defaults")?),
                b"useLongestLength" => {
                    let ValueRef::Bool(value) = value else {
                        let found = value.type_name();
                        let text = format!("useLongestLength must be a bool, found {found}");
                        return Err(Error::location(34463, text));
                    };
                    longest = value;
                }
                key => {
                    let text = format!("$zip found an unknown argument: {}", key.as_bstr());
                    return Err(Error::location(34464, text));
                }
            }
        }
        let (inputs, defaults) = (inputs.unwrap_or_default(), defaults.unwrap_or_default());
        if inputs.is_empty() {
            return Err(Error::location(
                34465,
                "$zip requires at least one input array",
            ));
        }
        if !defaults.is_empty() && !longest {
            return Err(Error::location(
                34466,
                "cannot specify defaults unless useLongestLength is true",
            ));
        }
        if !defaults.is_empty() && defaults.len() != inputs.len() {
            return Err(Error::location(
                34467,
                "defaults and inputs must have the same length",
            ));
        }
        Ok(Expr::operator(Zip {
            inputs,
            longest,
            defaults,
        }))
    }
}

impl Operator for Zip {
    fn eval<'s>(&'s self, scope: &Scope<'s>) -> Result<Operand<'s>> {
        let mut inputs = Vec::with_capacity(self.inputs.len());
        for input in self.inputs.iter() {
            let value = input.operand(scope)?;
            if value.is_nullish() {
                return Ok(Operand::NULL);
            }
            if value.as_array().is_none() {
                return Err(Error::location(
                    34468,
                    format!(
                        "$zip found a non-array expression in input: {}",
                        value.as_ref().type_name()
                    ),
                ));
            }
            inputs.push(value);
        }
        let defaults = self
            .defaults
            .iter()
            .map(|default| default.operand(scope))
            .collect::<Result<Vec<_>>>()?;
        let arrays = inputs.iter().filter_map(Operand::as_array);
        let lengths = arrays.clone().map(|array| array.iter().count());
        let length = if self.longest {
            lengths.max()
        } else {
            lengths.min()
        };
        let mut columns: Vec<_> = arrays.map(Doc::values).collect();
        let mut out = DocBuf::new();
        for row in 0..length.unwrap_or(0) {
            check_interrupt(scope, row)?;
            let open = out.push_array(row);
            let mut at = 0;
            for (index, column) in columns.iter_mut().enumerate() {
                let value = match (column.next(), defaults.get(index)) {
                    (Some(item), _) => item,
                    (None, Some(default)) => default.as_ref(),
                    (None, None) => ValueRef::Null,
                };
                // A default that is missing leaves nothing, not even null.
                if !matches!(value, ValueRef::Missing) {
                    out.push(at, value);
                    at += 1;
                }
            }
            out.close(open);
            check_bytes(out.byte_len())?;
        }
        Ok(Value::Array(out.finish()).into())
    }

    fn each(&self, visit: &mut dyn FnMut(&Expr)) {
        self.inputs
            .iter()
            .chain(self.defaults.iter())
            .for_each(visit);
    }

    fn each_mut(&mut self, visit: &mut dyn FnMut(&mut Expr) -> Result<()>) -> Result<()> {
        let inputs = Arc::get_mut(&mut self.inputs).into_iter().flatten();
        let defaults = Arc::get_mut(&mut self.defaults).into_iter().flatten();
        inputs.chain(defaults).try_for_each(visit)
    }
}
