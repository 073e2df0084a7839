//! Object operators, and those that turn objects into arrays and back.

use std::sync::Arc;

use indexmap::IndexMap;

use super::Expr;
use super::node::{Call, Node, Operator};
use super::ops::{ARGS_MAX, Named, Op, required};
use super::parse::Parser;
use super::scope::{Operand, Scope};
use crate::value::{Doc, DocBuf, Value, ValueRef};
use crate::{Error, Result};

pub(super) const OPS: &[Op] = &[
    Op::function("$arrayToObject", 1..=1, array_to_object),
    Op::parsed("$getField", GetField::parse),
    Op::function("$mergeObjects", 0..=ARGS_MAX, merge_objects),
    Op::function("$objectToArray", 1..=1, object_to_array),
    Op::parsed("$setField", SetField::parse),
    Op::parsed("$unsetField", SetField::parse_unset),
];

/// Fields in the order of their first appearance, with their last values.
type Fields<'a> = IndexMap<&'a [u8], ValueRef<'a>>;

fn document_of(fields: &Fields<'_>) -> Value {
    let mut out = DocBuf::new();
    for (name, value) in fields {
        out.append(name, *value);
    }
    Value::Document(out.finish())
}

fn array_to_object(call: &Call<'_>) -> Result<Value> {
    let arg = call.arg(0)?;
    if arg.is_nullish() {
        return Ok(Value::Null);
    }
    let Some(items) = arg.as_array() else {
        return Err(Error::location(
            40386,
            format!(
                "$arrayToObject requires an array input, found: {}",
                arg.as_ref().type_name()
            ),
        ));
    };
    let mut fields = Fields::new();
    let mut pairs = None;
    for item in items.values() {
        let (name, value) = match (item, *pairs.get_or_insert(item.as_array().is_some())) {
            (ValueRef::Array(pair), true) => pair_of(pair)?,
            (ValueRef::Document(entry), false) => entry_of(entry)?,
            (ValueRef::Array(_), false) => return Err(inconsistent(40391, "Object", "array")),
            (other, true) => return Err(inconsistent(40396, "Array", other.type_name())),
            (other, false) if fields.is_empty() => {
                return Err(Error::location(
                    40398,
                    format!(
                        "Unrecognised input type format for $arrayToObject: {}",
                        other.type_name()
                    ),
                ));
            }
            (other, false) => return Err(inconsistent(40391, "Object", other.type_name())),
        };
        fields.insert(name, value);
    }
    Ok(document_of(&fields))
}

#[cold]
fn inconsistent(code: i32, first: &str, now: &str) -> Error {
    Error::location(
        code,
        format!(
            "$arrayToObject requires a consistent input format. Elements must all be arrays or all be objects. {first} was detected, now found: {now}"
        ),
    )
}

fn pair_of(pair: Doc<'_>) -> Result<(&[u8], ValueRef<'_>)> {
    let count = pair.iter().count();
    let mut values = pair.values();
    let (Some(name), Some(value), None) = (values.next(), values.next(), values.next()) else {
        return Err(Error::location(
            40397,
            format!(
                "$arrayToObject requires an array of size 2 arrays, found array of size: {count}"
            ),
        ));
    };
    let ValueRef::String(name) = name else {
        return Err(Error::location(
            40395,
            format!(
                "$arrayToObject requires an array of key-value pairs, where the key must be of type string. Found key type: {}",
                name.type_name()
            ),
        ));
    };
    check_key(name, 4_940_400)?;
    Ok((name, value))
}

fn entry_of(entry: Doc<'_>) -> Result<(&[u8], ValueRef<'_>)> {
    let count = entry.iter().count();
    if count != 2 {
        return Err(Error::location(
            40392,
            format!(
                "$arrayToObject requires an object keys of 'k' and 'v'. Found incorrect number of keys:{count}"
            ),
        ));
    }
    let (Some(name), Some(value)) = (entry.get("k"), entry.get("v")) else {
        return Err(Error::location(
            40393,
            "$arrayToObject requires an object with keys 'k' and 'v'. Missing either or both keys",
        ));
    };
    let ValueRef::String(name) = name else {
        return Err(Error::location(
            40394,
            format!(
                "$arrayToObject requires an object with keys 'k' and 'v', where the value of 'k' must be of type string. Found type: {}",
                name.type_name()
            ),
        ));
    };
    check_key(name, 4_940_401)?;
    Ok((name, value))
}

fn check_key(name: &[u8], code: i32) -> Result<()> {
    if name.contains(&0) {
        return Err(Error::location(
            code,
            "Key field cannot contain an embedded null byte",
        ));
    }
    Ok(())
}

fn object_to_array(call: &Call<'_>) -> Result<Value> {
    let arg = call.arg(0)?;
    if arg.is_nullish() {
        return Ok(Value::Null);
    }
    let Some(doc) = arg.as_ref().as_document() else {
        return Err(Error::location(
            40390,
            format!(
                "$objectToArray requires a document input, found: {}",
                arg.as_ref().type_name()
            ),
        ));
    };
    let mut out = DocBuf::new();
    for (index, element) in doc.iter().enumerate() {
        let open = out.push_document(index);
        out.append("k", ValueRef::String(element.key()));
        out.append_renamed("v", &element);
        out.close(open);
    }
    Ok(Value::Array(out.finish()))
}

fn merge_objects(call: &Call<'_>) -> Result<Value> {
    let check = |value: ValueRef<'_>| -> Result<()> {
        if !value.is_nullish() && value.as_document().is_none() {
            return Err(Error::location(
                40400,
                format!(
                    "$mergeObjects requires object inputs, but input is of type {}",
                    value.type_name()
                ),
            ));
        }
        Ok(())
    };
    let mut args = Vec::with_capacity(call.len());
    for index in 0..call.len() {
        let arg = call.arg(index)?;
        // Like an accumulator, it takes a single array for its values.
        match arg.as_array() {
            Some(items) if call.len() == 1 => items.values().try_for_each(check)?,
            _ => check(arg.as_ref())?,
        }
        args.push(arg);
    }
    let mut fields = Fields::new();
    for arg in &args {
        let items = arg.as_array().into_iter().flat_map(Doc::values);
        for value in items.chain([arg.as_ref()]) {
            for element in value.as_document().into_iter().flat_map(Doc::iter) {
                fields.insert(element.key(), element.value());
            }
        }
    }
    Ok(document_of(&fields))
}

/// The name of a field that is given as an expression: only a constant string will do.
fn constant_name(
    operator: &str,
    name: &Expr,
    path: i32,
    not_constant: i32,
    not_a_string: i32,
) -> Result<Box<[u8]>> {
    let value = match &name.node {
        Node::Constant(value) => value,
        Node::Path(_) => {
            return Err(Error::location(
                path,
                "a field path reference which is not allowed in this context. Did you mean {$literal: ...}?",
            ));
        }
        _ => {
            return Err(Error::location(
                not_constant,
                format!(
                    "{operator} requires 'field' to evaluate to a constant, but got a non-constant argument"
                ),
            ));
        }
    };
    match value {
        Value::String(name) => Ok((&**name).into()),
        other => Err(Error::location(
            not_a_string,
            format!(
                "{operator} requires 'field' to evaluate to type String, but got {}",
                other.as_ref().type_name()
            ),
        )),
    }
}

#[derive(Debug)]
struct GetField {
    name: Box<[u8]>,
    input: Expr,
}

impl GetField {
    fn parse(operand: ValueRef<'_>, parser: &Parser<'_>) -> Result<Expr> {
        const ARGS: Named = Named {
            // Anything but an object is the name.
            not_an_object: 3_041_704,
            unknown: 3_041_701,
            fields: &[required("field", 3_041_702), required("input", 3_041_703)],
        };
        let is_call = |doc: Doc<'_>| {
            let first = doc.iter().next();
            first.is_some_and(|element| element.key().first() == Some(&b'$'))
        };
        let (name, input) = match operand {
            ValueRef::Document(doc) if !is_call(doc) => {
                let args = ARGS.parse("$getField", operand, parser)?;
                (args[0].clone(), args[1].clone())
            }
            _ => {
                let current = ValueRef::String("$$CURRENT".into());
                (parser.parse(operand)?, parser.parse(current)?)
            }
        };
        let name = constant_name("$getField", &name, 5_654_600, 5_654_601, 5_654_602)?;
        Ok(Expr::operator(GetField { name, input }))
    }
}

impl Operator for GetField {
    fn eval<'s>(&'s self, scope: &Scope<'s>) -> Result<Operand<'s>> {
        let input = self.input.operand(scope)?;
        Ok(match input.as_ref() {
            ValueRef::Document(doc) => match doc.get(&self.name) {
                Some(value) => input.part(value).into(),
                None => Operand::MISSING,
            },
            // A missing input is a missing field, a null one is null.
            ValueRef::Null | ValueRef::Undefined => Operand::NULL,
            _ => Operand::MISSING,
        })
    }

    fn each(&self, visit: &mut dyn FnMut(&Expr)) {
        visit(&self.input);
    }

    /// Nothing in it is folded.
    fn each_mut(&mut self, _: &mut dyn FnMut(&mut Expr) -> Result<()>) -> Result<()> {
        Ok(())
    }
}

/// `$setField`, and `$unsetField`, which sets a field to nothing.
#[derive(Debug)]
struct SetField {
    operator: &'static str,
    name: Box<[u8]>,
    /// Input and value.
    args: Arc<[Expr; 2]>,
    /// Whether a missing value leaves a place.
    keeps_place: bool,
}

const SET_FIELD: Named = Named {
    not_an_object: 4_161_100,
    unknown: 4_161_101,
    fields: &[
        required("field", 4_161_102),
        required("input", 4_161_109),
        required("value", 4_161_103),
    ],
};

impl SetField {
    fn parse(operand: ValueRef<'_>, parser: &Parser<'_>) -> Result<Expr> {
        let args = SET_FIELD.parse("$setField", operand, parser)?;
        SetField::expr("$setField", &args[0], &args[1], &args[2], parser)
    }

    fn parse_unset(operand: ValueRef<'_>, parser: &Parser<'_>) -> Result<Expr> {
        const ARGS: Named = Named {
            fields: &[required("field", 4_161_102), required("input", 4_161_109)],
            ..SET_FIELD
        };
        let args = ARGS.parse("$unsetField", operand, parser)?;
        let remove = parser.parse(ValueRef::String("$$REMOVE".into()))?;
        SetField::expr("$unsetField", &args[0], &args[1], &remove, parser)
    }

    fn expr(
        operator: &'static str,
        name: &Expr,
        input: &Expr,
        value: &Expr,
        parser: &Parser<'_>,
    ) -> Result<Expr> {
        let name = constant_name(operator, name, 4_161_108, 4_161_106, 4_161_107)?;
        Ok(Expr::operator(SetField {
            operator,
            keeps_place: parser.cx.keeps_place(&name),
            name,
            args: Arc::new([input.clone(), value.clone()]),
        }))
    }
}

impl Operator for SetField {
    fn eval<'s>(&'s self, scope: &Scope<'s>) -> Result<Operand<'s>> {
        let [input, value] = &*self.args;
        let input = input.operand(scope)?;
        if input.is_nullish() {
            return Ok(Operand::NULL);
        }
        let Some(doc) = input.as_ref().as_document() else {
            return Err(Error::location(
                4_161_105,
                format!(
                    "{} requires 'input' to evaluate to type Object",
                    self.operator
                ),
            ));
        };
        let value = value.operand(scope)?;
        let mut out = DocBuf::with_capacity(doc.byte_len() + 32);
        let put = |out: &mut DocBuf| match value.as_ref() {
            ValueRef::Missing if self.keeps_place => out.append_place(&self.name),
            value => out.append(&self.name, value),
        };
        let mut found = false;
        for element in doc.iter_with_places() {
            if *element.key() == *self.name {
                found = true;
                put(&mut out);
            } else {
                out.append_element(&element);
            }
        }
        if !found {
            put(&mut out);
        }
        Ok(Value::Document(out.finish()).into())
    }

    fn each(&self, visit: &mut dyn FnMut(&Expr)) {
        self.args.iter().for_each(visit);
    }

    /// Nothing in it is folded.
    fn each_mut(&mut self, _: &mut dyn FnMut(&mut Expr) -> Result<()>) -> Result<()> {
        Ok(())
    }
}
