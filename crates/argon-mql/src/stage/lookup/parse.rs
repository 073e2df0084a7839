//! The arguments of `$lookup`.

use super::{Equality, From, Lookup, SubPipeline};
use crate::expr::{Expr, check_variable_name};
use crate::stage::{FieldPath, Pipeline, Stage, StageContext};
use crate::value::{Doc, ValueRef};
use crate::{Error, ErrorCode, ParseContext, Result};

pub(in crate::stage) fn parse(
    value: ValueRef<'_>,
    context: &StageContext<'_>,
    out: &mut Vec<Box<dyn Stage>>,
) -> Result<()> {
    let Some(spec) = value.as_document() else {
        return Err(Error::failed_to_parse(format!(
            "the $lookup stage specification must be an object, but found {}",
            value.type_name()
        )));
    };
    let mut from = None;
    let (mut output, mut local, mut foreign) = (None, None, None);
    let (mut variables, mut stages) = (None, None);
    for element in spec.iter() {
        let value = element.value();
        let name = element.key();
        match &**name {
            b"pipeline" => match value {
                ValueRef::Array(array) => stages = Some(array),
                _ => {
                    return Err(Error::type_mismatch(
                        "'pipeline' option must be specified as an array",
                    ));
                }
            },
            b"from" => from = Some(parse_from(value)?),
            b"let" => match value {
                ValueRef::Document(doc) => variables = Some(doc),
                _ => {
                    return Err(Error::failed_to_parse(format!(
                        "$lookup argument 'let' must be an object, is type {}",
                        value.type_name()
                    )));
                }
            },
            other => {
                let ValueRef::String(text) = value else {
                    return Err(Error::failed_to_parse(format!(
                        "$lookup argument '{name}' must be a string, found {}",
                        value.type_name()
                    )));
                };
                let place = match other {
                    b"as" => &mut output,
                    b"localField" => &mut local,
                    b"foreignField" => &mut foreign,
                    _ => {
                        return Err(Error::failed_to_parse(format!(
                            "unknown argument to $lookup: {name}"
                        )));
                    }
                };
                *place = Some(text).filter(|text| !text.is_empty());
            }
        }
    }
    if from.is_none() {
        check_without_collection(stages)?;
    }
    let Some(output) = output else {
        return Err(Error::failed_to_parse(
            "must specify 'as' field for a $lookup",
        ));
    };
    if variables.is_some() && stages.is_none() {
        return Err(Error::failed_to_parse(
            "$lookup with a 'let' argument must also specify 'pipeline'",
        ));
    }
    if stages.is_none() && (local.is_none() || foreign.is_none()) {
        return Err(Error::failed_to_parse(
            "$lookup requires either 'pipeline' or both 'localField' and 'foreignField' to be specified",
        ));
    }
    let equality = match (local, foreign) {
        (Some(local), Some(foreign)) => Some(Equality {
            local: FieldPath::parse(local)?,
            foreign: FieldPath::parse(foreign)?,
        }),
        (None, None) => None,
        _ => {
            return Err(Error::failed_to_parse(
                "$lookup requires both or neither of 'localField' and 'foreignField' to be specified",
            ));
        }
    };
    let sub = match stages {
        Some(stages) => Some(parse_sub(stages, variables, context)?),
        None => None,
    };
    out.push(Box::new(Lookup {
        from,
        output: FieldPath::parse(output)?,
        equality,
        sub,
        moves_output: false,
        collation: context.cx.collation.clone(),
    }));
    Ok(())
}

/// Without a collection, the pipeline has to make the documents.
fn check_without_collection(stages: Option<Doc<'_>>) -> Result<()> {
    let Some(stages) = stages else {
        return Err(Error::failed_to_parse(
            "must specify 'pipeline' when 'from' is empty",
        ));
    };
    let makes_them = stages
        .values()
        .next()
        .and_then(|first| first.as_document())
        .is_some_and(|first| first.get("$documents").is_some());
    if makes_them {
        return Ok(());
    }
    Err(Error::failed_to_parse(
        "$lookup stage without explicit collection must have a pipeline with $documents as first stage",
    ))
}

fn parse_from(value: ValueRef<'_>) -> Result<From> {
    match value {
        ValueRef::String(name) if name.is_empty() => Err(Error::new(
            ErrorCode::InvalidNamespace,
            "invalid $lookup namespace",
        )),
        ValueRef::String(name) => Ok(From {
            db: None,
            collection: name.to_string(),
        }),
        // Other databases are read only through mongod's own collections of the sharding configuration.
        ValueRef::Document(_) => Err(Error::failed_to_parse(
            "$lookup with syntax {from: {db:<>, coll:<>},..} is not supported",
        )),
        _ => Err(Error::failed_to_parse(format!(
            "$lookup 'from' field must be a string, but found {}",
            value.type_name()
        ))),
    }
}

fn parse_sub(
    stages: Doc<'_>,
    variables: Option<Doc<'_>>,
    context: &StageContext<'_>,
) -> Result<SubPipeline> {
    let variables = parse_let(variables, context.cx)?;
    let names = variables.iter().map(|(name, _)| name.clone());
    let cx = context.cx.with_variables(names);
    let pipeline = Pipeline::parse_nested(stages, &cx, context.depth + 1, false)?;
    if let Some(sink) = pipeline.sink() {
        return Err(Error::location(
            51047,
            format!(
                "{} is not allowed within a $lookup's sub-pipeline",
                sink.name()
            ),
        ));
    }
    Ok(SubPipeline {
        variables,
        pipeline,
    })
}

/// The variables of a `let`.
pub(in crate::stage) fn parse_let(
    variables: Option<Doc<'_>>,
    cx: &ParseContext,
) -> Result<Vec<(String, Expr)>> {
    let mut parsed = Vec::new();
    for element in variables.into_iter().flat_map(Doc::iter) {
        let name = element.key().to_string();
        check_variable_name(&name, true)?;
        parsed.push((name, Expr::parse(element.value(), cx)?));
    }
    Ok(parsed)
}
