//! From BSON to nodes.

use std::sync::Arc;

use super::Expr;
use super::node::{Field, Node};
use super::ops::{self, Function, Op};
use super::path::{Path, check_field_name, check_variable_name};
use crate::value::{DEPTH_MAX, Doc, Value, ValueRef};
use crate::{Error, ErrorCode, ParseContext, Result};

/// What a part of an expression may refer to.
#[derive(Clone, Copy)]
pub(super) struct Parser<'a> {
    pub(super) cx: &'a ParseContext,
    names: Option<&'a Names<'a>>,
    depth: usize,
}

/// The names that one operator defines (`$let`, `$map`, …), and those around it.
pub(super) struct Names<'a> {
    names: &'a [String],
    outer: Option<&'a Names<'a>>,
}

impl<'a> Parser<'a> {
    pub(super) fn new(cx: &'a ParseContext) -> Parser<'a> {
        Parser {
            cx,
            names: None,
            depth: 0,
        }
    }

    /// A frame that defines `names`; at evaluation, a scope's frame has their values in the same order.
    pub(super) fn frame(&self, names: &'a [String]) -> Names<'a> {
        Names {
            names,
            outer: self.names,
        }
    }

    /// This parser with the names of `frame`.
    pub(super) fn inside<'b>(&self, frame: &'b Names<'b>) -> Parser<'b>
    where
        'a: 'b,
    {
        Parser {
            cx: self.cx,
            names: Some(frame),
            depth: self.depth,
        }
    }

    /// Where the variable `name` is: how many frames out, and its slot there.
    pub(super) fn local(&self, name: &str) -> Option<(usize, usize)> {
        let mut frame = self.names;
        let mut level = 0;
        while let Some(found) = frame {
            if let Some(slot) = found.names.iter().rposition(|known| known == name) {
                return Some((level, slot));
            }
            frame = found.outer;
            level += 1;
        }
        None
    }

    /// Compiles one expression.
    pub(super) fn parse(&self, value: ValueRef<'_>) -> Result<Expr> {
        let inner = Parser {
            depth: self.depth + 1,
            ..*self
        };
        // A command's documents are no deeper than that, but a caller may hand in bytes of its own.
        if inner.depth > DEPTH_MAX {
            return Err(Error::new(
                ErrorCode::Overflow,
                "an expression is nested too deeply",
            ));
        }
        let node = match value {
            ValueRef::String(text) if text.first() == Some(&b'$') => {
                Node::Path(Path::parse(text, &inner)?)
            }
            ValueRef::Document(doc) => return inner.document(doc),
            ValueRef::Array(array) => Node::Array(inner.all(array)?),
            other => Node::Constant(Value::copy_of(other)),
        };
        Ok(Expr { node })
    }

    /// An object that is an operator's call, or an object expression.
    fn document(&self, doc: Doc<'_>) -> Result<Expr> {
        let mut elements = doc.iter();
        if let Some(first) = elements.next()
            && first.key().starts_with(b"$")
        {
            if elements.next().is_some() {
                return Err(Error::location(
                    15983,
                    "An object representing an expression must have exactly one field",
                ));
            }
            return self.call(first.key(), first.value());
        }
        let mut fields: Vec<Field> = Vec::new();
        for element in doc.iter() {
            let key = element.key();
            check_field_name(key)?;
            let expr = self.parse(element.value())?;
            // The last of two fields of one name wins, at the place of the first.
            match fields.iter_mut().find(|field| *field.name == **key) {
                Some(field) => field.expr = expr,
                None => fields.push(Field {
                    name: (&**key).into(),
                    expr,
                    keeps_place: self.cx.keeps_place(key),
                }),
            }
        }
        Ok(Expr {
            node: Node::Object(fields.into()),
        })
    }

    fn call(&self, name: &[u8], operand: ValueRef<'_>) -> Result<Expr> {
        match ops::find(name)? {
            Op::Function(function) => {
                Ok(self.call_of(function, function.parse_args(operand, self)?))
            }
            Op::Parsed { parse, .. } => parse(operand, self),
        }
    }

    /// The arguments in `operand`: an array of them, or the only one.
    pub(super) fn args(&self, operand: ValueRef<'_>) -> Result<Arc<[Expr]>> {
        match operand {
            ValueRef::Array(array) => self.all(array),
            one => Ok(Arc::new([self.parse(one)?])),
        }
    }

    fn all(&self, array: Doc<'_>) -> Result<Arc<[Expr]>> {
        array.values().map(|item| self.parse(item)).collect()
    }

    /// A call of `function` with `operand` as its only argument, even if that is an array.
    pub(super) fn unary(&self, function: &'static Function, operand: ValueRef<'_>) -> Result<Expr> {
        Ok(self.call_of(function, Arc::new([self.parse(operand)?])))
    }

    /// A call of `function` with parsed arguments.
    pub(super) fn call_of(&self, function: &'static Function, args: Arc<[Expr]>) -> Expr {
        Expr {
            node: Node::Call {
                op: function,
                args,
                collation: self.cx.collation.clone(),
            },
        }
    }

    /// The name of a variable that an operator defines.
    pub(super) fn new_variable(name: &[u8]) -> Result<String> {
        let name = std::str::from_utf8(name)
            .map_err(|_| Error::failed_to_parse("a variable name has to be valid UTF-8"))?;
        check_variable_name(name, true)?;
        Ok(name.to_owned())
    }
}
