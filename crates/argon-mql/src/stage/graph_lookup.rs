//! `$graphLookup`: the documents that can be reached from a document over any number of links.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use smallvec::SmallVec;

use super::lookup::{From, Join, collect_values};
use super::source::Turns;
use super::{Changes, Context, FieldPath, Source, Stage, StageContext};
use crate::collation::Collation;
use crate::expr::{Expr, Scope};
use crate::filter::Filter;
use crate::value::{Doc, DocBuf, Number, Value, ValueRef, key};
use crate::{Error, ErrorCode, Result};

/// Most bytes that the documents reached from one document may have.
///
/// Source: MongoDB manual, "$graphLookup", "Memory".
const REACHED_BYTES_MAX: usize = 100 * 1024 * 1024;

#[derive(Debug)]
struct GraphLookup {
    from: From,
    start: Expr,
    connect_from: FieldPath,
    connect_to: FieldPath,
    /// Whether a document has something at `connect_to`.
    has_target: Filter,
    output: FieldPath,
    depth_max: Option<u64>,
    depth_field: Option<FieldPath>,
    restrict: Option<Filter>,
    collation: Option<Arc<Collation>>,
}

pub(super) fn parse(
    value: ValueRef<'_>,
    context: &StageContext<'_>,
    out: &mut Vec<Box<dyn Stage>>,
) -> Result<()> {
    let Some(spec) = value.as_document() else {
        return Err(Error::failed_to_parse(format!(
            "the $graphLookup stage specification must be an object, but found {}",
            value.type_name()
        )));
    };
    let from = parse_from(spec.get("from"))?;
    let (mut start, mut connect_from, mut connect_to, mut output) = (None, None, None, None);
    let (mut depth_max, mut depth_field, mut restrict) = (None, None, None);
    for element in spec.iter() {
        let value = element.value();
        match &**element.key() {
            b"startWith" => start = Some(Expr::parse(value, context.cx)?),
            b"maxDepth" => depth_max = Some(parse_depth(value)?),
            b"restrictSearchWithMatch" => {
                let spec = value.as_document().ok_or_else(|| {
                    Error::location(
                        40185,
                        format!(
                            "restrictSearchWithMatch must be an object, found {}",
                            value.type_name()
                        ),
                    )
                })?;
                restrict = Some(Filter::parse(spec, context.cx)?);
            }
            b"from" => {}
            name => {
                let place = match name {
                    b"connectFromField" => &mut connect_from,
                    b"connectToField" => &mut connect_to,
                    b"as" => &mut output,
                    b"depthField" => &mut depth_field,
                    _ => {
                        return Err(Error::location(
                            40104,
                            format!("Unknown argument to $graphLookup: {}", element.key()),
                        ));
                    }
                };
                let ValueRef::String(path) = value else {
                    return Err(Error::location(
                        40103,
                        format!(
                            "expected string as argument for {}, found: {}",
                            element.key(),
                            value.type_name()
                        ),
                    ));
                };
                *place = Some(FieldPath::parse(path)?);
            }
        }
    }
    let (Some(start), Some(connect_from), Some(connect_to), Some(output)) =
        (start, connect_from, connect_to, output)
    else {
        return Err(Error::location(
            40105,
            "$graphLookup requires 'from', 'as', 'startWith', 'connectFromField', and 'connectToField' to be specified.",
        ));
    };
    let mut exists = DocBuf::new();
    let open = exists.open_document(connect_to.text());
    exists.append("$exists", ValueRef::Bool(true));
    exists.close(open);
    let has_target = Filter::parse(Doc::new(&exists.finish()), context.cx)?;
    out.push(Box::new(GraphLookup {
        from,
        has_target,
        start,
        connect_from,
        connect_to,
        output,
        depth_max,
        depth_field,
        restrict,
        collation: context.cx.collation.clone(),
    }));
    Ok(())
}

fn parse_from(value: Option<ValueRef<'_>>) -> Result<From> {
    match value {
        None => Err(Error::failed_to_parse(
            "missing 'from' option to $graphLookup stage specification",
        )),
        Some(ValueRef::String(name)) if name.is_empty() => Err(Error::new(
            ErrorCode::InvalidNamespace,
            "invalid $graphLookup namespace",
        )),
        Some(ValueRef::String(name)) => Ok(From {
            db: None,
            collection: name.to_string(),
        }),
        Some(other) => Err(Error::failed_to_parse(format!(
            "$graphLookup 'from' field must be a string, but found {}",
            other.type_name()
        ))),
    }
}

fn parse_depth(value: ValueRef<'_>) -> Result<u64> {
    let number = Number::from_value(value).ok_or_else(|| {
        Error::location(
            40100,
            format!(
                "maxDepth must be numeric, found type: {}",
                value.type_name()
            ),
        )
    })?;
    if number.is_negative() && !number.is_zero() {
        return Err(Error::location(
            40101,
            format!("maxDepth requires a nonnegative argument, found: {value}"),
        ));
    }
    number
        .to_i64()
        .and_then(|depth| u64::try_from(depth).ok())
        .ok_or_else(|| Error::location(40102, "maxDepth could not be represented as a long long"))
}

impl Stage for GraphLookup {
    fn changes(&self) -> Changes {
        Changes::of(&self.output.text())
    }

    fn open(self: Arc<Self>, input: Box<dyn Source>) -> Box<dyn Source> {
        Box::new(GraphSource {
            stage: self,
            input,
            join: None,
        })
    }

    fn each_collection(&self, visit: &mut dyn FnMut(Option<&str>, &str)) {
        visit(self.from.db.as_deref(), &self.from.collection);
    }
}

struct GraphSource {
    stage: Arc<GraphLookup>,
    input: Box<dyn Source>,
    join: Option<Join>,
}

impl GraphSource {
    /// The documents reached from `doc`, as the array to store, breadth first.
    fn reach(&mut self, doc: &Bytes, cx: &Context<'_>) -> Result<Bytes> {
        let stage = &self.stage;
        let join = self.join.get_or_insert_with(|| {
            let collation = stage.collation.as_ref();
            Join::new(&stage.from, &stage.connect_to, collation, cx.reader)
        });
        let start = stage.start.eval(&Scope::new(doc, cx.env))?;
        let mut reached = Reached::default();
        let mut turns = Turns::default();
        // Values to follow on this level; each value is followed once.
        let mut frontier: Vec<Value> = Vec::new();
        let mut followed: HashSet<Vec<u8>> = HashSet::new();
        let collation = stage.collation.as_deref();
        let mut follow = |value: ValueRef<'_>, frontier: &mut Vec<Value>| {
            let mut sortable = Vec::new();
            key::append_with(&mut sortable, value, false, collation);
            if followed.insert(sortable) {
                frontier.push(Value::copy_of(value));
            }
        };
        match start.as_ref() {
            ValueRef::Missing => {}
            ValueRef::Array(items) => {
                items.values().for_each(|item| follow(item, &mut frontier));
            }
            value => follow(value, &mut frontier),
        }
        let mut depth = 0u64;
        while !frontier.is_empty() {
            let values: Vec<ValueRef<'_>> = frontier.iter().map(Value::as_ref).collect();
            let has_null = values.iter().any(ValueRef::is_nullish);
            let found = join.matches(&values, cx)?;
            let mut next = Vec::new();
            for found in found {
                turns.turn(cx)?;
                if let Some(restrict) = &stage.restrict
                    && !restrict.matches(&found, cx.env)?
                {
                    continue;
                }
                // Null does not lead to where there is nothing, as it would in a filter.
                if has_null && !stage.has_target.matches(&found, cx.env)? {
                    continue;
                }
                if !reached.add(stage, &found, depth)? {
                    continue;
                }
                let mut values: SmallVec<[ValueRef<'_>; 2]> = SmallVec::new();
                collect_values(Doc::new(&found), &stage.connect_from, &mut values);
                for value in values {
                    follow(value, &mut next);
                }
            }
            if stage.depth_max.is_some_and(|depth_max| depth >= depth_max) {
                break;
            }
            depth += 1;
            frontier = next;
        }
        Ok(reached.array.finish())
    }
}

/// The documents reached so far.
#[derive(Default)]
struct Reached {
    array: DocBuf,
    len: usize,
    ids: HashSet<Vec<u8>>,
}

impl Reached {
    /// Adds `doc` unless it is there already; answers whether it was new.
    fn add(&mut self, stage: &GraphLookup, doc: &Bytes, depth: u64) -> Result<bool> {
        let id = Doc::new(doc).get("_id").unwrap_or(ValueRef::Missing);
        if !self.ids.insert(key::of(id)) {
            return Ok(false);
        }
        let doc = match &stage.depth_field {
            Some(field) => {
                let depth = ValueRef::Int64(i64::try_from(depth).unwrap_or(i64::MAX));
                field.set(Doc::new(doc), depth)
            }
            None => doc.clone(),
        };
        self.array
            .push(self.len, ValueRef::Document(Doc::new(&doc)));
        self.len += 1;
        if self.array.byte_len() > REACHED_BYTES_MAX {
            return Err(Error::location(
                40099,
                "$graphLookup reached maximum memory consumption",
            ));
        }
        Ok(true)
    }
}

impl Source for GraphSource {
    fn next(&mut self, cx: &Context<'_>) -> Result<Option<Bytes>> {
        let Some(doc) = self.input.next(cx)? else {
            return Ok(None);
        };
        let array = self.reach(&doc, cx)?;
        let array = ValueRef::Array(Doc::new(&array));
        Ok(Some(self.stage.output.set(Doc::new(&doc), array)))
    }
}
