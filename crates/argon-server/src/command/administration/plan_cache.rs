//! Commands of the plan cache. A plan is chosen anew for each command, so there is never anything in it.

use argon_mql::{DocBuf, ErrorCode, ValueRef};

use crate::command::{Access, Command, Cx};
use crate::error::{Error, Result};
use crate::reply::Reply;

pub(in crate::command) const PLAN_CACHE_CLEAR: Command = Command {
    name: "planCacheClear",
    aliases: &[],
    access: Access::LoggedIn,
    help: "Forgets cached plans: there are none.",
    run: |cx| Box::pin(std::future::ready(check(cx).map(|()| Reply::ok()))),
};

pub(in crate::command) const PLAN_CACHE_CLEAR_FILTERS: Command = Command {
    name: "planCacheClearFilters",
    aliases: &[],
    access: Access::LoggedIn,
    help: "Forgets index filters: there are none.",
    run: |cx| Box::pin(std::future::ready(check(cx).map(|()| Reply::ok()))),
};

pub(in crate::command) const PLAN_CACHE_LIST_FILTERS: Command = Command {
    name: "planCacheListFilters",
    aliases: &[],
    access: Access::LoggedIn,
    help: "Lists index filters: there are none.",
    run: |cx| {
        Box::pin(std::future::ready(check(cx).map(|()| {
            let mut reply = DocBuf::new();
            let filters = reply.open_array("filters");
            reply.close(filters);
            Reply::from(reply)
        })))
    },
};

fn check(cx: &Cx<'_>) -> Result<()> {
    match cx.request.subject() {
        ValueRef::String(_) => cx.request.collection().map(|_| ()),
        value => {
            let message = format!("collection name has invalid type {}", value.type_name());
            Err(Error::new(ErrorCode::InvalidNamespace, message))
        }
    }
}
