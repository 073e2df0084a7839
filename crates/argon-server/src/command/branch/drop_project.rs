//! `dropProject`: drops a project with all its branches and their history.

use argon_mql::ErrorCode;

use super::project;
use crate::command::{Access, Command, Cx, text};
use crate::error::{Error, Result};
use crate::reply::Reply;
use crate::request::{Argument, is_generic, unknown_field};

pub(in crate::command) const COMMAND: Command = Command {
    name: "dropProject",
    aliases: &[],
    access: Access::LoggedIn,
    help: "Drops the project with all its branches and their history: {dropProject: 1, confirm: <its name>}.",
    run: |cx| Box::pin(run(cx)),
};

async fn run(cx: &Cx<'_>) -> Result<Reply> {
    let project = project(cx)?;
    let mut confirmed = false;
    for element in cx.request.arguments().skip(1) {
        match &**element.key() {
            b"confirm" => {
                confirmed = Argument {
                    command: "dropProject",
                    element,
                }
                .string()?
                    == project
            }
            key if is_generic(key) => {}
            _ => return Err(unknown_field("dropProject", element.key())),
        }
    }
    if !confirmed {
        // Nothing brings a dropped project back, so its name has to be typed.
        return Err(Error::bad_value(format!(
            "dropProject needs {{confirm: '{project}'}}"
        )));
    }
    if let Some(main) = cx.shared.engine.upstream_branch(project)?
        && !main.beside.is_empty()
    {
        return Err(Error::new(
            ErrorCode::IllegalOperation,
            format!(
                "project '{project}' has branches of the engine 'prefix' ({}): drop them first",
                main.beside.join(", ")
            ),
        ));
    }
    cx.shared.engine.drop_project(project).await?;
    cx.shared.until_heard().await;
    Ok(Reply::ok().with("dropped", text(project)))
}
