//! `count`.

use argon_engine::exec::{Find, count_all};
use argon_mql::filter::Filter;
use argon_mql::{Doc, ValueRef};

use super::query::{self, Common};
use super::{Access, Command, Cx};
use crate::error::Result;
use crate::reply::Reply;
use crate::request::{Argument, is_generic, unknown_field};

pub(super) const COMMAND: Command = Command {
    name: "count",
    aliases: &[],
    access: Access::LoggedIn,
    help: "Counts the documents of a collection that pass a filter.",
    run: |cx| Box::pin(run(cx)),
};

async fn run(cx: &Cx<'_>) -> Result<Reply> {
    let (state, collection) = query::open_named(cx).await?;
    let name = cx.request.collection()?;
    let mut filter = Doc::EMPTY;
    let mut find = Find::default();
    let mut common = Common::default();
    for element in cx.request.arguments().skip(1) {
        let argument = Argument {
            command: "count",
            element,
        };
        match &**element.key() {
            b"query" => filter = argument.document()?,
            b"skip" => find.skip = argument.count()?,
            // A negative limit counts as far as the positive one.
            b"limit" => find.limit = argument.integer()?.unsigned_abs(),
            b"hint" => find.hint = query::hint(element.value())?,
            b"fields" => {}
            _ if common.take(&argument)? => {}
            key if is_generic(key) => {}
            _ => return Err(unknown_field("count", element.key())),
        }
    }
    let (variables, parse) = query::variables(cx, &common, collection.as_ref())?;
    find.filter = Some(Filter::parse(filter, &parse)?);
    find.collation.clone_from(&parse.collation);
    let check = || cx.operation.check();
    let env = cx.env(variables, &check);
    let heavy = query::is_heavy(collection.as_ref(), find.filter.as_ref());
    let count = || count_all(&state, name, &find, &env, &cx.shared.scratch);
    let n = query::run(heavy, count)?;
    let n = i32::try_from(n).map_or(ValueRef::Int64(n.cast_signed()), ValueRef::Int32);
    Ok(Reply::ok().with("n", n))
}
