//! What no case file can show: bounds, and what callers outside ask of an expression.

use bytes::Bytes;

use super::{Expr, Scope};
use crate::value::{Doc, DocBuf, Value, ValueRef};
use crate::{Env, ErrorCode, ParseContext, Result};

fn doc(fill: impl FnOnce(&mut DocBuf)) -> Bytes {
    let mut buf = DocBuf::new();
    fill(&mut buf);
    buf.finish()
}

fn wrap(operator: &str, operand: &Bytes) -> Bytes {
    doc(|buf| buf.append(operator, ValueRef::Document(Doc::new(operand))))
}

fn eval(expr: &Bytes, root: &Bytes) -> Result<Value> {
    let expr = Expr::parse(ValueRef::Document(Doc::new(expr)), &ParseContext::new())?;
    expr.eval(&Scope::new(root, &Env::fixed()))
}

#[test]
fn nesting_as_deep_as_a_command_fits_a_thread() {
    let mut expr = doc(|buf| buf.append("$abs", ValueRef::String("$a".into())));
    for level in 0..190 {
        expr = match level % 3 {
            0 => wrap("$abs", &expr),
            1 => doc(|buf| {
                let let_ = buf.open_document("$let");
                let vars = buf.open_document("vars");
                buf.append("x", ValueRef::Document(Doc::new(&expr)));
                buf.close(vars);
                buf.append("in", ValueRef::String("$$x".into()));
                buf.close(let_);
            }),
            _ => doc(|buf| {
                let cond = buf.open_array("$cond");
                buf.push(0, ValueRef::Bool(true));
                buf.push(1, ValueRef::Document(Doc::new(&expr)));
                buf.push(2, ValueRef::Null);
                buf.close(cond);
            }),
        };
    }
    let root = doc(|buf| buf.append("a", ValueRef::Int32(-7)));
    let run = std::thread::Builder::new().stack_size(2 * 1024 * 1024);
    let value = run.spawn(move || eval(&expr, &root).unwrap()).unwrap();
    assert!(matches!(value.join().unwrap(), Value::Int32(7)));
}

/// `{$reduce: {input: {$range: [0, times]}, initialValue: first, in: body}}`.
fn reduce(times: i32, first: &str, body: impl FnOnce(&mut DocBuf)) -> Bytes {
    doc(|buf| {
        let reduce = buf.open_document("$reduce");
        let input = buf.open_document("input");
        let range = buf.open_array("$range");
        buf.push(0, ValueRef::Int32(0));
        buf.push(1, ValueRef::Int32(times));
        buf.close(range);
        buf.close(input);
        buf.append("initialValue", ValueRef::String(first.into()));
        body(buf);
        buf.close(reduce);
    })
}

#[test]
fn growth_is_bounded() {
    let value = ValueRef::String("$$value".into());
    let root = doc(|_| {});
    let deeper = reduce(1000, "x", |buf| {
        let body = buf.open_document("in");
        buf.append("a", value);
        buf.close(body);
    });
    assert_eq!(
        eval(&deeper, &root).unwrap_err().code(),
        ErrorCode::Overflow
    );
    let wider = reduce(60, "0123456789", |buf| {
        let body = buf.open_array("in");
        buf.push(0, value);
        buf.push(1, value);
        buf.close(body);
    });
    assert_eq!(eval(&wider, &root).unwrap_err().code().number(), 13548);
    let longer = reduce(60, "0123456789", |buf| {
        let body = buf.open_document("in");
        let concat = buf.open_array("$concat");
        buf.push(0, value);
        buf.push(1, value);
        buf.close(concat);
        buf.close(body);
    });
    assert_eq!(eval(&longer, &root).unwrap_err().code().number(), 16493);
}

#[test]
fn shape_is_visible_to_planners() {
    let expr = doc(|buf| {
        let eq = buf.open_array("$eq");
        buf.push(0, ValueRef::String("$a.b".into()));
        buf.push(1, ValueRef::Int32(5));
        buf.close(eq);
    });
    let expr = Expr::parse(ValueRef::Document(Doc::new(&expr)), &ParseContext::new()).unwrap();
    let (name, args) = expr.as_call().unwrap();
    assert_eq!(name, "$eq");
    assert_eq!(args[0].as_field_path().as_deref(), Some("a.b"));
    assert!(matches!(args[1].as_constant(), Some(Value::Int32(5))));
    let mut fields = Vec::new();
    expr.each_field(&mut |path| fields.push(path.to_owned()));
    assert_eq!(fields, ["a.b"]);
}
