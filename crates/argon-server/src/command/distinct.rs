//! `distinct`.

use std::collections::HashSet;

use argon_engine::exec::{Find, Reading, find};
use argon_mql::filter::Filter;
use argon_mql::path::{LeafArray, Path};
use argon_mql::stage::Context;
use argon_mql::value::key;
use argon_mql::{Doc, ValueRef};
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
    let (state, collection) = query::open(cx).await?;
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
    let (variables, parse) = query::variables(cx, &common)?;
    let query = Find {
        filter: Some(Filter::parse(filter, &parse)?),
        ..Find::default()
    };
    let heavy = query::is_heavy(collection.as_ref(), &query.filter);
    let check = || cx.operation.check();
    let env = cx.env(variables, &check);
    let reader = Reading::new(state);
    let context = Context {
        env: &env,
        reader: &reader,
        allow_disk_use: true,
    };
    let mut source = find(collection.as_ref(), &query)?;
    let mut reply = Reply::ok();
    let array = reply.doc().open_array("values");
    let out = reply.doc();
    let mut gather = || -> Result<()> {
        let mut seen = HashSet::new();
        let start = out.byte_len();
        let mut add = |value: ValueRef<'_>| {
            let mut bytes = Vec::with_capacity(16);
            key::append(&mut bytes, value, false);
            if seen.insert(bytes) {
                out.push(seen.len() - 1, value);
            }
            out.byte_len() - start <= MAX_BSON_OBJECT_BYTES
        };
        while let Some(document) = source.next(&context)? {
            let mut fits = true;
            path.any(Doc::new(&document), LeafArray::Whole, &mut |value, _| {
                match value {
                    ValueRef::Missing => {}
                    ValueRef::Array(items) => items.values().for_each(|item| fits &= add(item)),
                    value => fits &= add(value),
                }
                false
            });
            if !fits {
                return Err(Error::location(17217, "distinct too big, 16mb cap"));
            }
        }
        Ok(())
    };
    if heavy {
        tokio::task::block_in_place(gather)?
    } else {
        gather()?
    }
    reply.doc().close(array);
    Ok(reply)
}
