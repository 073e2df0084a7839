//! `argon branches`.

use std::time::Duration;

use bson::{DateTime, Document, doc};
use clap::{Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::client::{self, Connect};
use super::table;

/// How often a branch that is being copied is asked how far it is.
const LOOK: Duration = Duration::from_millis(500);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    connect: Connect,
    /// The project; not needed while there is only one
    #[arg(long, short, env = "ARGON_PROJECT", value_name = "NAME", global = true)]
    project: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Fork a branch, in constant time whatever the size of the data; with --engine prefix by a copy
    Create {
        /// The new branch's name, as free as in git: feature/x
        name: String,
        /// The branch to fork
        #[arg(long, default_value = "main", value_name = "BRANCH")]
        from: String,
        /// The point of its history to fork at: an LSN, or an instant such as 2026-11-20T09:00:00Z [default: its head]
        #[arg(long, value_name = "LSN|INSTANT", value_parser = at)]
        at: Option<At>,
        /// What keeps the branch: Argon's log (wal), or prefixed collections in the upstream MongoDB (prefix) [default: what
        /// keeps the branch it is forked from]
        #[arg(long, value_name = "wal|prefix")]
        engine: Option<Engine>,
        /// The same as --engine wal
        #[arg(long, conflicts_with = "engine")]
        use_wal: bool,
    },
    /// List the project's branches
    List {
        /// Print JSON for programs
        #[arg(long)]
        json: bool,
        /// Show what keeps each branch: `[WAL]` or `[Prefix]`
        #[arg(long)]
        show_type: bool,
    },
    /// Delete a branch; refused for main, and while other branches were forked from it
    #[command(alias = "drop")]
    Delete {
        /// The branch's name
        name: String,
    },
}

/// What keeps a branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Engine {
    Wal,
    Prefix,
}

impl Engine {
    /// The name in commands and answers.
    fn name(self) -> &'static str {
        match self {
            Engine::Wal => "wal",
            Engine::Prefix => "prefix",
        }
    }

    /// How lists show what the server calls `name`.
    fn label(name: &str) -> &str {
        match name {
            "wal" => "[WAL]",
            "prefix" => "[Prefix]",
            other => other,
        }
    }
}

/// A point in a branch's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Lsn(i64),
    Instant(DateTime),
}

fn at(text: &str) -> Result<At, String> {
    if let Ok(lsn) = text.parse() {
        return Ok(At::Lsn(lsn));
    }
    DateTime::parse_rfc3339_str(text)
        .map(At::Instant)
        .map_err(|_| {
            format!("`{text}` is neither an LSN (1234) nor an instant (2026-11-20T09:00:00Z)")
        })
}

pub(super) async fn run(args: Args) -> anyhow::Result<()> {
    let client = args.connect.client().await?;
    let project = match args.project {
        Some(project) => project,
        None => only_project(&client).await?,
    };
    match args.command {
        Command::Create {
            name,
            from,
            at,
            engine,
            use_wal,
        } => {
            let mut command = doc! { "createBranch": &name, "from": from };
            match at {
                Some(At::Lsn(lsn)) => command.insert("at", lsn),
                Some(At::Instant(instant)) => command.insert("at", instant),
                None => None,
            };
            if let Some(engine) = engine.or(use_wal.then_some(Engine::Wal)) {
                command.insert("engine", engine.name());
            }
            let creating = client::run(&client, &project, command);
            let branch = with_progress(&client, &project, &name, creating).await?;
            let database = branch.get_str("database").unwrap_or_default();
            table::print_line(&format!(
                "created branch {name} of {project}: database {database}"
            ))
        }
        Command::List { json, show_type } => {
            let branches = client::list(&client, &project, doc! { "listBranches": 1 }).await?;
            if json {
                return table::print_json(branches);
            }
            let rows = branches.iter().map(row);
            if show_type {
                let rows: Vec<[String; 7]> = rows
                    .zip(&branches)
                    .map(|([name, database, parent, base, head, created], branch)| {
                        let engine = branch.get_str("engine").unwrap_or_default();
                        let label = Engine::label(engine).to_owned();
                        [name, label, database, parent, base, head, created]
                    })
                    .collect();
                let headings = [
                    "BRANCH", "TYPE", "DATABASE", "PARENT", "BASE", "HEAD", "CREATED",
                ];
                return table::print(headings, &rows);
            }
            let rows: Vec<[String; 6]> = rows.collect();
            table::print(
                ["BRANCH", "DATABASE", "PARENT", "BASE", "HEAD", "CREATED"],
                &rows,
            )
        }
        Command::Delete { name } => {
            client::run(&client, &project, doc! { "dropBranch": &name }).await?;
            table::print_line(&format!("deleted branch {name} of {project}"))
        }
    }
}

/// Shows, on a terminal, how far `creating` is while it copies documents; a branch in the log is there before that.
async fn with_progress(
    client: &mongodb::Client,
    project: &str,
    name: &str,
    creating: impl Future<Output = anyhow::Result<Document>>,
) -> anyhow::Result<Document> {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template(
        "Copying [{wide_bar}] {human_pos}/{human_len} documents, {eta} left",
    ) {
        bar.set_style(style.progress_chars("=> "));
    }
    tokio::pin!(creating);
    loop {
        tokio::select! {
            created = &mut creating => {
                bar.finish_and_clear();
                return created;
            }
            () = tokio::time::sleep(LOOK) => {}
        }
        let branches = client::list(client, project, doc! { "listBranches": 1 }).await;
        let progress = branches.iter().flatten().find_map(|branch| {
            let progress = branch.get_document("progress").ok()?;
            (branch.get_str("name").ok()? == name).then_some(progress)
        });
        let number = |field| {
            let number = progress.and_then(|progress| progress.get_i64(field).ok());
            number.and_then(|number| u64::try_from(number).ok())
        };
        if let (Some(done), Some(total)) = (number("done"), number("total")) {
            bar.set_length(total);
            bar.set_position(done);
        }
    }
}

/// The only project there is.
async fn only_project(client: &mongodb::Client) -> anyhow::Result<String> {
    let projects = client::list(client, "admin", doc! { "listProjects": 1 }).await?;
    let names: Vec<&str> = projects
        .iter()
        .filter_map(|project| project.get_str("name").ok())
        .collect();
    match names.as_slice() {
        [only] => Ok((*only).to_owned()),
        [] => anyhow::bail!(
            "there is no project yet: write something to a database, or argon projects create <name>"
        ),
        several => anyhow::bail!("which project? --project <{}>", several.join("|")),
    }
}

fn row(branch: &Document) -> [String; 6] {
    let text = |key| branch.get_str(key).unwrap_or_default().to_owned();
    let lsn = |key| {
        branch
            .get_i64(key)
            .map(|lsn| lsn.to_string())
            .unwrap_or_default()
    };
    let created = branch.get_datetime("createdAt").ok();
    let created = created.and_then(|created| created.try_to_rfc3339_string().ok());
    [
        text("name"),
        text("database"),
        text("parent"),
        lsn("baseLsn"),
        lsn("headLsn"),
        created.unwrap_or_default(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_lsns_or_instants() {
        assert_eq!(at("1234"), Ok(At::Lsn(1234)));
        let instant = DateTime::from_millis(1_795_165_200_000);
        assert_eq!(at("2026-11-20T09:00:00Z"), Ok(At::Instant(instant)));
        assert!(at("yesterday").is_err());
    }
}
