//! String operators, those with regular expressions apart.

use std::borrow::Cow;
use std::cmp::Ordering;

use bytes::Bytes;

use super::Operand;
use super::arithmetic::to_long;
use super::limit::check_string;
use super::node::Call;
use super::ops::{ARGS_MAX, Fold, Named, Op, optional, required};
use super::text::coerce_to_string;
use crate::value::{DocBuf, Number, Value, ValueRef};
use crate::{Error, Result};

pub(super) const OPS: &[Op] = &[
    Op::folding("$concat", 0..=ARGS_MAX, concat, Fold::Neighbours),
    Op::function("$indexOfBytes", 2..=4, index_of_bytes),
    Op::function("$indexOfCP", 2..=4, index_of_cp),
    Op::named("$ltrim", TRIM, |call| trim(call, true, false)),
    Op::named("$replaceAll", REPLACE, |call| replace(call, usize::MAX)).unfolded(),
    Op::named("$replaceOne", REPLACE, |call| replace(call, 1)).unfolded(),
    Op::named("$rtrim", TRIM, |call| trim(call, false, true)),
    Op::function("$split", 2..=2, split),
    Op::function("$strLenBytes", 1..=1, str_len_bytes),
    Op::function("$strLenCP", 1..=1, str_len_cp),
    Op::function("$strcasecmp", 2..=2, strcasecmp),
    Op::function("$substr", 3..=3, substr_bytes),
    Op::function("$substrBytes", 3..=3, substr_bytes),
    Op::function("$substrCP", 3..=3, substr_cp),
    Op::function("$toLower", 1..=1, |call| {
        change_case(call, <[u8]>::make_ascii_lowercase)
    }),
    Op::function("$toUpper", 1..=1, |call| {
        change_case(call, <[u8]>::make_ascii_uppercase)
    }),
    Op::named("$trim", TRIM, |call| trim(call, true, true)),
];

const TRIM: Named = Named {
    not_an_object: 50696,
    unknown: 50694,
    fields: &[required("input", 50695), optional("chars")],
};

const REPLACE: Named = Named {
    not_an_object: 51751,
    unknown: 51750,
    fields: &[
        required("input", 51749),
        required("find", 51748),
        required("replacement", 51747),
    ],
};

fn concat(call: &Call<'_>) -> Result<Value> {
    let mut out = Vec::new();
    for index in 0..call.len() {
        let arg = call.arg(index)?;
        match arg.as_ref() {
            ValueRef::String(text) => out.extend_from_slice(text),
            value if value.is_nullish() => return Ok(Value::Null),
            other => return Err(wrong_type(call, 16702, "only supports strings", other)),
        }
        check_string(out.len())?;
    }
    Ok(Value::String(out.into()))
}

/// The error of an argument of the wrong type.
#[cold]
pub(super) fn wrong_type(call: &Call<'_>, code: i32, what: &str, found: ValueRef<'_>) -> Error {
    Error::location(
        code,
        format!("{} {what}, not {}", call.name, found.type_name()),
    )
}

/// Number of code points: bytes that are no UTF-8 continuation.
pub(super) fn count_code_points(text: &[u8]) -> usize {
    text.iter().filter(|&&byte| !is_continuation(byte)).count()
}

fn is_continuation(byte: u8) -> bool {
    byte & 0xC0 == 0x80
}

/// Offset in bytes of code point `index`, or the length if there are fewer.
fn code_point_offset(text: &[u8], index: usize) -> usize {
    text.iter()
        .enumerate()
        .filter(|&(_, &byte)| !is_continuation(byte))
        .nth(index)
        .map_or(text.len(), |(at, _)| at)
}

/// An int where it fits, as lengths and positions are.
pub(super) fn int(value: usize) -> Value {
    Number::narrow(i64::try_from(value).unwrap_or(i64::MAX)).to_value()
}

/// First offset of `find` in `text` within `from..to`.
fn find_within(text: &[u8], find: &[u8], from: usize, to: usize) -> Option<usize> {
    let part = text.get(from..to.min(text.len()))?;
    bstr::ByteSlice::find(part, find).map(|at| from + at)
}

fn index_of_bytes(call: &Call<'_>) -> Result<Value> {
    let text = call.arg(0)?;
    if text.is_nullish() {
        return Ok(Value::Null);
    }
    let text = string_arg(call, &text, 40091)?;
    let find = call.arg(1)?;
    let find = string_arg(call, &find, 40092)?;
    let (from, to) = index_range(call, 2)?;
    let to = to.unwrap_or(text.len()).min(text.len());
    if from > text.len() || to < from {
        return Ok(Value::Int32(-1));
    }
    Ok(find_within(text, find, from, to).map_or(Value::Int32(-1), int))
}

fn index_of_cp(call: &Call<'_>) -> Result<Value> {
    let text = call.arg(0)?;
    if text.is_nullish() {
        return Ok(Value::Null);
    }
    let text = string_arg(call, &text, 40093)?;
    let find = call.arg(1)?;
    let find = string_arg(call, &find, 40094)?;
    let (from, to) = index_range(call, 2)?;
    let length = count_code_points(text);
    let to = to.unwrap_or(length).min(length);
    // Unlike $indexOfBytes, a start at the very end finds nothing, not even an empty string.
    if from >= length || to < from {
        let empty = length == 0 && from == 0 && find.is_empty();
        return Ok(Value::Int32(if empty { 0 } else { -1 }));
    }
    let start = code_point_offset(text, from);
    let end = code_point_offset(text, to);
    Ok(match find_within(text, find, start, end) {
        Some(at) => int(from + count_code_points(&text[start..at])),
        None => Value::Int32(-1),
    })
}

fn string_arg<'v>(call: &Call<'_>, arg: &'v Operand<'_>, code: i32) -> Result<&'v [u8]> {
    match arg.as_ref() {
        ValueRef::String(text) => Ok(text),
        other => Err(Error::location(
            code,
            format!(
                "{} requires strings as its arguments, found: {}",
                call.name,
                other.type_name()
            ),
        )),
    }
}

/// The optional start and end of `$indexOf…`, which are arguments `at` and `at + 1`.
pub(super) fn index_range(call: &Call<'_>, at: usize) -> Result<(usize, Option<usize>)> {
    let index = |at: usize, what: &str| -> Result<usize> {
        let arg = call.arg(at)?;
        let value = Number::from_value(arg.as_ref())
            .and_then(Number::to_i64)
            .and_then(|value| i32::try_from(value).ok())
            .ok_or_else(|| {
                Error::location(
                    40096,
                    format!(
                        "{} requires an integral {what} index, found a value of type: {}",
                        call.name,
                        arg.as_ref().type_name()
                    ),
                )
            })?;
        usize::try_from(value).map_err(|_| {
            Error::location(
                40097,
                format!(
                    "{} requires a nonnegative {what} index, found: {value}",
                    call.name
                ),
            )
        })
    };
    let from = if call.len() > at {
        index(at, "starting")?
    } else {
        0
    };
    let to = if call.len() > at + 1 {
        Some(index(at + 1, "ending")?)
    } else {
        None
    };
    Ok((from, to))
}

fn replace(call: &Call<'_>, times: usize) -> Result<Value> {
    let (input, find, replacement) = (call.arg(0)?, call.arg(1)?, call.arg(2)?);
    for (arg, code, name) in [
        (&input, 51746, "input"),
        (&find, 51745, "find"),
        (&replacement, 51744, "replacement"),
    ] {
        let value = arg.as_ref();
        if !(value.is_nullish() || matches!(value, ValueRef::String(_))) {
            return Err(Error::location(
                code,
                format!("{} requires that '{name}' be a string", call.name),
            ));
        }
    }
    let (ValueRef::String(text), ValueRef::String(find), ValueRef::String(replacement)) =
        (input.as_ref(), find.as_ref(), replacement.as_ref())
    else {
        return Ok(Value::Null);
    };
    if find.is_empty() {
        // Before each byte, and behind the last if there is no limit.
        let mut out = Vec::new();
        for (index, &byte) in text.iter().enumerate() {
            if index < times {
                out.extend_from_slice(replacement);
            }
            out.push(byte);
            check_string(out.len())?;
        }
        if text.len() < times {
            out.extend_from_slice(replacement);
        }
        return Ok(Value::String(out.into()));
    }
    let mut out = Vec::new();
    let mut rest: &[u8] = text;
    for _ in 0..times {
        let Some(at) = bstr::ByteSlice::find(rest, &**find) else {
            break;
        };
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(replacement);
        check_string(out.len())?;
        rest = &rest[at + find.len()..];
    }
    if out.is_empty() && rest.len() == text.len() {
        return Ok(input.into_value());
    }
    out.extend_from_slice(rest);
    Ok(Value::String(out.into()))
}

fn split(call: &Call<'_>) -> Result<Value> {
    let (text, separator) = (call.arg(0)?, call.arg(1)?);
    if text.is_nullish() || separator.is_nullish() {
        return Ok(Value::Null);
    }
    let argument = |value: ValueRef<'_>, code, which| {
        Error::location(
            code,
            format!(
                "$split requires an expression that evaluates to a string as a {which} argument, found: {}",
                value.type_name()
            ),
        )
    };
    let ValueRef::String(text) = text.as_ref() else {
        return Err(argument(text.as_ref(), 40085, "first"));
    };
    let ValueRef::String(separator) = separator.as_ref() else {
        return Err(argument(separator.as_ref(), 40086, "second"));
    };
    if separator.is_empty() {
        return Err(Error::location(
            40087,
            "$split requires a non-empty separator",
        ));
    }
    let mut out = DocBuf::new();
    for (index, part) in bstr::ByteSlice::split_str(&**text, &**separator).enumerate() {
        out.push(index, ValueRef::String(part.into()));
    }
    Ok(Value::Array(out.finish()))
}

fn str_len_bytes(call: &Call<'_>) -> Result<Value> {
    match call.arg(0)?.as_ref() {
        ValueRef::String(text) => Ok(int(text.len())),
        other => Err(length_of_no_string(call, 34473, other)),
    }
}

fn str_len_cp(call: &Call<'_>) -> Result<Value> {
    match call.arg(0)?.as_ref() {
        ValueRef::String(text) => Ok(int(count_code_points(text))),
        other => Err(length_of_no_string(call, 34471, other)),
    }
}

#[cold]
fn length_of_no_string(call: &Call<'_>, code: i32, found: ValueRef<'_>) -> Error {
    Error::location(
        code,
        format!(
            "{} requires a string argument, found: {}",
            call.name,
            found.type_name()
        ),
    )
}

fn strcasecmp(call: &Call<'_>) -> Result<Value> {
    let (a, b) = (call.arg(0)?, call.arg(1)?);
    let (a, b) = (coerce_to_string(a.as_ref())?, coerce_to_string(b.as_ref())?);
    let upper = |text: &[u8]| text.to_ascii_uppercase();
    Ok(Value::Int32(match upper(&a).cmp(&upper(&b)) {
        Ordering::Less => -1,
        Ordering::Equal => 0,
        Ordering::Greater => 1,
    }))
}

fn substr_bytes(call: &Call<'_>) -> Result<Value> {
    const NAME: &str = "$substrBytes";
    let (text, start, length) = (call.arg(0)?, call.arg(1)?, call.arg(2)?);
    let text = coerce_to_string(text.as_ref())?;
    let number = |value: ValueRef<'_>, code, what| {
        Number::from_value(value).ok_or_else(|| {
            Error::location(
                code,
                format!(
                    "{NAME}:  {what} must be a numeric type (is BSON type {})",
                    value.type_name()
                ),
            )
        })
    };
    let start = number(start.as_ref(), 16034, "starting index")?;
    let length = number(length.as_ref(), 16035, "length")?;
    let start = to_long(start)?;
    let start = usize::try_from(start).map_err(|_| {
        Error::location(
            50752,
            format!("{NAME}:  starting index must be non-negative (got: {start})"),
        )
    })?;
    let length = to_long(length)?;
    // A negative length is the rest of the string.
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let end = start.saturating_add(length).min(text.len());
    if text.get(start).is_some_and(|&byte| is_continuation(byte)) {
        return Err(Error::location(
            28656,
            format!("{NAME}:  Invalid range, starting index is a UTF-8 continuation byte."),
        ));
    }
    if text.get(end).is_some_and(|&byte| is_continuation(byte)) {
        return Err(Error::location(
            28657,
            format!("{NAME}:  Invalid range, ending index is in the middle of a UTF-8 character."),
        ));
    }
    Ok(slice_of(text, start, end))
}

/// `text[start..end]`, empty where that is beyond the text.
fn slice_of(text: Cow<'_, [u8]>, start: usize, end: usize) -> Value {
    Value::String(match text.get(start..end) {
        Some(part) => Bytes::copy_from_slice(part),
        None => Bytes::new(),
    })
}

fn substr_cp(call: &Call<'_>) -> Result<Value> {
    let (text, start, length) = (call.arg(0)?, call.arg(1)?, call.arg(2)?);
    let text = coerce_to_string(text.as_ref())?;
    let number = |value: ValueRef<'_>, codes: (i32, i32), what| {
        let number = Number::from_value(value).ok_or_else(|| {
            Error::location(
                codes.0,
                format!(
                    "$substrCP: {what} must be a numeric type (is BSON type {})",
                    value.type_name()
                ),
            )
        })?;
        number
            .to_i64()
            .and_then(|value| i32::try_from(value).ok())
            .ok_or_else(|| {
                Error::location(
                    codes.1,
                    format!("$substrCP: {what} cannot be represented as a 32-bit integral value"),
                )
            })
    };
    let start = number(start.as_ref(), (34450, 34451), "starting index")?;
    let length = number(length.as_ref(), (34452, 34453), "length")?;
    let length = usize::try_from(length)
        .map_err(|_| Error::location(34454, "$substrCP: length must be a nonnegative integer."))?;
    let start = usize::try_from(start).map_err(|_| {
        Error::location(
            34455,
            "$substrCP: the starting index must be nonnegative integer.",
        )
    })?;
    let from = code_point_offset(&text, start);
    let to = from + code_point_offset(&text[from..], length);
    Ok(slice_of(text, from, to))
}

fn change_case(call: &Call<'_>, change: fn(&mut [u8])) -> Result<Value> {
    let arg = call.arg(0)?;
    let mut text = coerce_to_string(arg.as_ref())?.into_owned();
    change(&mut text);
    Ok(Value::String(text.into()))
}

/// What is trimmed without `chars`.
///
/// Source: MongoDB manual, "$trim", "Whitespace Characters".
const WHITESPACE: &str = "\0 \t\n\u{b}\u{c}\r\u{a0}\u{1680}\u{2000}\u{2001}\u{2002}\u{2003}\u{2004}\u{2005}\u{2006}\u{2007}\u{2008}\u{2009}\u{200a}";

fn trim(call: &Call<'_>, left: bool, right: bool) -> Result<Value> {
    let input = call.arg(0)?;
    if input.is_nullish() {
        return Ok(Value::Null);
    }
    let ValueRef::String(mut text) = input.as_ref() else {
        return Err(Error::location(
            50699,
            format!(
                "{} requires its input to be a string, got type {}",
                call.name,
                input.as_ref().type_name()
            ),
        ));
    };
    let given = call.arg(1)?;
    let chars = match given.as_ref() {
        _ if !call.is_given(1) => WHITESPACE.as_bytes(),
        ValueRef::String(chars) => chars,
        value if value.is_nullish() => return Ok(Value::Null),
        other => {
            return Err(Error::location(
                50700,
                format!(
                    "{} requires 'chars' to be a string, got type {}",
                    call.name,
                    other.type_name()
                ),
            ));
        }
    };
    let chars: Vec<&[u8]> = code_points(chars).collect();
    if left {
        while let Some(first) = chars.iter().find(|first| text.starts_with(first)) {
            text = bstr::BStr::new(&text[first.len()..]);
        }
    }
    if right {
        while let Some(last) = chars.iter().find(|last| text.ends_with(last)) {
            text = bstr::BStr::new(&text[..text.len() - last.len()]);
        }
    }
    Ok(match &input {
        Operand::Part(_, buffer) => Value::share(ValueRef::String(text), buffer),
        _ => Value::copy_of(ValueRef::String(text)),
    })
}

/// The code points of `text`, each as its bytes.
fn code_points(mut text: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        if text.is_empty() {
            return None;
        }
        let length = 1 + text[1..]
            .iter()
            .take_while(|&&byte| is_continuation(byte))
            .count();
        let (first, rest) = text.split_at(length);
        text = rest;
        Some(first)
    })
}
