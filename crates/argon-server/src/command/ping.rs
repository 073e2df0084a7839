//! `ping`: whether the server answers.

use super::{Access, Command};
use crate::reply::Reply;

pub(super) const COMMAND: Command = Command {
    name: "ping",
    aliases: &[],
    access: Access::Anonymous,
    help: "Answers if the server is up.",
    run: |cx| {
        let known = cx.request.refuse_unknown("ping", &[]);
        Box::pin(std::future::ready(known.map(|()| Reply::ok())))
    },
};
