//! `distinct`.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use argon_engine::exec::{Find, Reading, distinct};
use argon_mql::filter::Filter;
use argon_mql::path::{Part, Path};
use argon_mql::stage::Context;
use argon_mql::value::{compare, key};
use argon_mql::{Doc, Value, ValueRef};
use argon_wire::MAX_BSON_OBJECT_BYTES;

use super::query::{self, Common};
use super::{Access, Command, Cx};
use crate::error::{Error, Result};
use crate::reply::Reply;
use crate::request::{Argument, is_generic, missing_field, unknown_field};

pub(super) const COMMAND: Command = Command {
    name: "distinct",
    aliases: &[],
    access: Access::LoggedIn,
    help: "Gives the different values of a field.",
    run: |cx| Box::pin(run(cx)),
};

async fn run(cx: &Cx<'_>) -> Result<Reply> {
    let (state, collection) = query::open_named(cx).await?;
    let mut filter = Doc::EMPTY;
    let mut field = None;
    let mut common = Common::default();
    for element in cx.request.arguments().skip(1) {
        let argument = Argument {
            command: "distinct",
            element,
        };
        match &**element.key() {
            b"key" => field = Some(argument.string()?),
            b"query" if matches!(element.value(), ValueRef::Null) => {}
            b"query" => filter = argument.document()?,
            _ if common.take(&argument)? => {}
            key if is_generic(key) => {}
            _ => return Err(unknown_field("distinct", element.key())),
        }
    }
    let field = field.ok_or_else(|| missing_field("distinct.key"))?;
    if field.contains('\0') {
        return Err(Error::bad_value(
            "Key field cannot contain an embedded null byte",
        ));
    }
    let path = Path::new(field);
    let (variables, parse) = query::variables(cx, &common, collection.as_ref())?;
    let query = Find {
        filter: Some(Filter::parse(filter, &parse)?),
        collation: parse.collation.clone(),
        ..Find::default()
    };
    let heavy = query::is_heavy(collection.as_ref(), query.filter.as_ref());
    let check = || cx.operation.check();
    let env = cx.env(variables, &check);
    let reader = Reading::new(Arc::clone(&state));
    let context = Context {
        env: &env,
        reader: &reader,
        spill: cx.spill(true),
    };
    let mut source = distinct(&state, cx.request.collection()?, &query, &path)?;
    let mut reply = Reply::ok();
    let array = reply.doc().open_array("values");
    let out = reply.doc();
    let gather = || -> Result<()> {
        // By sortable key: MongoDB gives the values in their order.
        let mut seen: BTreeMap<Vec<u8>, Value> = BTreeMap::new();
        let mut bytes = 0;
        while let Some(document) = source.next(&context)? {
            let mut add = |value: ValueRef<'_>| {
                let mut key = Vec::with_capacity(16);
                key::append_with(&mut key, value, false, parse.collation.as_deref());
                if let Entry::Vacant(vacant) = seen.entry(key) {
                    bytes += vacant.key().len();
                    vacant.insert(Value::copy_of(value));
                }
            };
            visit(Doc::new(&document), path.parts(), &mut add);
            if bytes > MAX_BSON_OBJECT_BYTES {
                return Err(Error::location(17217, "distinct too big, 16mb cap"));
            }
        }
        for (at, value) in seen.values().enumerate() {
            out.push(at, value.as_ref());
        }
        Ok(())
    };
    query::run(heavy, gather)?;
    reply.doc().close(array);
    Ok(reply)
}

/// Visits the values that `parts` lead to. An array is gone into: at the position that the next part names, or else item
/// by item; at the end of the path its items are visited.
fn visit(doc: Doc<'_>, parts: &[Part], add: &mut impl FnMut(ValueRef<'_>)) {
    let Some((part, rest)) = parts.split_first() else {
        return;
    };
    match (doc.get(part.name()), rest) {
        (None, _) => {}
        (Some(ValueRef::Array(items)), []) => {
            // Of strings that a collation makes equal the first shows: in an array, the least by bytes.
            let mut items: Vec<ValueRef<'_>> = items.values().collect();
            items.sort_by(|a, b| compare(*a, *b));
            items.into_iter().for_each(add);
        }
        (Some(value), []) => add(value),
        (Some(ValueRef::Document(inner)), rest) => visit(inner, rest, add),
        (Some(ValueRef::Array(items)), rest) => visit_items(items, rest, add),
        (Some(_), _) => {}
    }
}

fn visit_items(items: Doc<'_>, parts: &[Part], add: &mut impl FnMut(ValueRef<'_>)) {
    match parts.first().and_then(Part::index) {
        Some(_) => visit(items, parts, add),
        None => {
            for item in items.values() {
                if let ValueRef::Document(inner) = item {
                    visit(inner, parts, add);
                }
            }
        }
    }
}
