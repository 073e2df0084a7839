//! `$fill`: values for fields that are null or missing, made of `$setWindowFields` and `$addFields`.

use super::add_fields::{AddFields, FieldTree};
use super::set_window_fields::SetWindowFields;
use super::{Stage, StageContext};
use crate::value::{Doc, DocBuf, ValueRef};
use crate::{Error, Result};

pub(super) fn parse(
    value: ValueRef<'_>,
    context: &StageContext<'_>,
    out: &mut Vec<Box<dyn Stage>>,
) -> Result<()> {
    let Some(spec) = value.as_document() else {
        return Err(Error::failed_to_parse(format!(
            "The $fill stage specification must be an object, found {}",
            value.type_name()
        )));
    };
    let (mut sort, mut output) = (Doc::EMPTY, None);
    let (mut by, mut by_fields) = (None, None);
    for element in spec.iter() {
        let name = element.key();
        match (&**name, element.value()) {
            (b"sortBy", ValueRef::Document(doc)) => sort = doc,
            (b"output", ValueRef::Document(doc)) => output = Some(doc),
            (b"partitionBy", value @ ValueRef::Document(_)) => by = Some(value),
            (b"partitionByFields", ValueRef::Array(array)) => by_fields = Some(array),
            (b"sortBy" | b"output" | b"partitionBy", value) => {
                return Err(wrong_type(name, value, "object"));
            }
            (b"partitionByFields", value) => return Err(wrong_type(name, value, "array")),
            _ => {
                return Err(Error::location(
                    40415,
                    format!("BSON field '$fill.{name}' is an unknown field."),
                ));
            }
        }
    }
    let output = output.ok_or_else(|| {
        Error::location(
            40414,
            "BSON field '$fill.output' is missing but a required field",
        )
    })?;
    if output.is_empty() {
        return Err(Error::location(
            6_050_203,
            "The output field in '$fill' must contain an object with at least one element",
        ));
    }
    if by.is_some() && by_fields.is_some() {
        return Err(Error::location(
            6_050_204,
            "Maximum one of 'partitionBy' and 'partitionByFields can be specified in '$fill'",
        ));
    }
    let fields = by_fields.map(partition_fields).transpose()?.flatten();
    let by = match &fields {
        Some(fields) => Some(ValueRef::Document(Doc::new(fields))),
        None => by,
    };
    let (windows, values) = split(output)?;
    if let Some(windows) = windows {
        let stage = SetWindowFields::new(by, sort, Doc::new(&windows), context)?;
        out.push(Box::new(stage));
    }
    if let Some(values) = values {
        let tree = FieldTree::parse(Doc::new(&values), context.cx)
            .map_err(|error| error.context("Invalid $addFields :: caused by :: "))?;
        out.push(Box::new(AddFields::new(tree)));
    }
    Ok(())
}

fn wrong_type(place: &bstr::BStr, value: ValueRef<'_>, expected: &str) -> Error {
    Error::type_mismatch(format!(
        "BSON field '$fill.{place}' is the wrong type '{}', expected type '{expected}'",
        value.type_name()
    ))
}

/// `["a", "b"]` as the expression `{a: "$a", b: "$b"}`.
fn partition_fields(names: Doc<'_>) -> Result<Option<bytes::Bytes>> {
    let mut fields = DocBuf::new();
    for element in names.iter() {
        let ValueRef::String(name) = element.value() else {
            let place = format!("partitionByFields.{}", element.key());
            return Err(wrong_type(place.as_str().into(), element.value(), "string"));
        };
        let path = [b"$", &**name].concat();
        fields.append(name, ValueRef::String(path[..].into()));
    }
    Ok((!names.is_empty()).then(|| fields.finish()))
}

/// What of `output` is for `$setWindowFields`, and what for `$addFields`.
fn split(output: Doc<'_>) -> Result<(Option<bytes::Bytes>, Option<bytes::Bytes>)> {
    let (mut windows, mut values) = (DocBuf::new(), DocBuf::new());
    let (mut any_window, mut any_value) = (false, false);
    for element in output.iter() {
        let name = element.key();
        let path = [b"$", &**name].concat();
        let path = ValueRef::String(path[..].into());
        let Some(spec) = element.value().as_document() else {
            return Err(Error::location(
                6_050_200,
                "Each fill output specification must be an object with exactly one field",
            ));
        };
        let (mut method, mut value) = (None, None);
        for element in spec.iter() {
            match (&**element.key(), element.value()) {
                (b"method", ValueRef::String(name)) => method = Some(name),
                (b"method", other) => {
                    return Err(wrong_type("method".into(), other, "string"));
                }
                (b"value", other) => value = Some(other),
                _ => {
                    return Err(Error::location(
                        40415,
                        format!("BSON field '$fill.{}' is an unknown field.", element.key()),
                    ));
                }
            }
        }
        if method.is_some() && value.is_some() {
            return Err(Error::location(
                6_050_201,
                "Each fill output specification must have exactly one of 'method' or 'value' fields, not both",
            ));
        }
        if let Some(method) = method {
            let function = match &**method {
                b"locf" => "$locf",
                b"linear" => "$linearFill",
                _ => {
                    return Err(Error::location(
                        6_050_202,
                        "Method must be either locf or linear",
                    ));
                }
            };
            let open = windows.open_document(name);
            windows.append(function, path);
            windows.close(open);
            any_window = true;
        }
        if let Some(value) = value {
            let open = values.open_document(name);
            let arguments = values.open_array("$ifNull");
            values.push(0, path);
            values.push(1, value);
            values.close(arguments);
            values.close(open);
            any_value = true;
        }
    }
    Ok((
        any_window.then(|| windows.finish()),
        any_value.then(|| values.finish()),
    ))
}
