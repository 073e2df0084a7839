//! `buildInfo`: the version by which drivers and tools choose what to send.

use argon_mql::{DocBuf, ValueRef};
use argon_wire::MAX_BSON_OBJECT_BYTES;

use crate::command::{Access, Command, text};
use crate::reply::Reply;

pub(in crate::command) const COMMAND: Command = Command {
    name: "buildInfo",
    aliases: &["buildinfo"],
    access: Access::Anonymous,
    help: "Tells the version.",
    run: |_| Box::pin(std::future::ready(Ok(run()))),
};

/// The version of MongoDB that Argon answers as.
///
/// From 6.0.17 on the database tools send an option that a server must know (`bypassEmptyTsReplacement`).
pub(crate) const VERSION: &str = "6.0.5";

/// The same as numbers; the fourth says that it is a release.
const VERSION_ARRAY: [i32; 4] = [6, 0, 5, 0];

/// The commit that `VERSION` was built from; some tools compare it with a list of releases.
pub(crate) const GIT_VERSION: &str = "c9a99c120371d4d4c52cbb15dac34a36ce8d3b1d";

fn run() -> Reply {
    let mut reply = DocBuf::new();
    reply.append("version", text(VERSION));
    reply.append("gitVersion", text(GIT_VERSION));
    let modules = reply.open_array("modules");
    reply.close(modules);
    reply.append("allocator", text("system"));
    // No engine for JavaScript: `$where`, `$function` and mapReduce are refused.
    reply.append("javascriptEngine", text("none"));
    reply.append("sysInfo", text("deprecated"));
    let version = reply.open_array("versionArray");
    for (at, number) in VERSION_ARRAY.into_iter().enumerate() {
        reply.push(at, ValueRef::Int32(number));
    }
    reply.close(version);
    let openssl = reply.open_document("openssl");
    reply.append("running", text("none"));
    reply.append("compiled", text("none"));
    reply.close(openssl);
    let environment = reply.open_document("buildEnvironment");
    reply.append("distmod", text(""));
    reply.append("distarch", text(std::env::consts::ARCH));
    reply.append("target_arch", text(std::env::consts::ARCH));
    reply.append("target_os", text(std::env::consts::OS));
    reply.close(environment);
    reply.append("bits", ValueRef::Int32(64));
    reply.append("debug", ValueRef::Bool(false));
    reply.append(
        "maxBsonObjectSize",
        ValueRef::Int32(i32::try_from(MAX_BSON_OBJECT_BYTES).unwrap_or(i32::MAX)),
    );
    let engines = reply.open_array("storageEngines");
    reply.push(0, text("argon"));
    reply.close(engines);
    // Nobody but Argon has this field, so it is how a client finds out what it talks to.
    reply.append("argonVersion", text(env!("CARGO_PKG_VERSION")));
    Reply::from(reply)
}
