//! `argon projects`.

use bson::{Document, doc};
use clap::Subcommand;

use super::client::{self, Connect};
use super::table;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    connect: Connect,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the projects
    List {
        /// Print JSON for programs
        #[arg(long)]
        json: bool,
    },
    /// Create a project with an empty main branch; the first write to a database does the same
    Create {
        /// The project's name, which is its main branch's database
        name: String,
    },
    /// Drop a project with all its branches and their history
    Drop {
        /// The project's name
        name: String,
        /// Do not ask for the name again
        #[arg(long)]
        yes: bool,
    },
}

pub(super) async fn run(args: Args) -> anyhow::Result<()> {
    let client = args.connect.client().await?;
    match args.command {
        Command::List { json } => {
            let projects = client::list(&client, "admin", doc! { "listProjects": 1 }).await?;
            if json {
                return table::print_json(projects);
            }
            let rows: Vec<[String; 2]> = projects.iter().map(row).collect();
            table::print(["PROJECT", "BRANCHES"], &rows)
        }
        Command::Create { name } => {
            client::run(&client, &name, doc! { "createProject": 1 }).await?;
            table::print_line(&format!("created project {name}"))
        }
        Command::Drop { name, yes } => {
            if !yes && !confirmed(&name)? {
                anyhow::bail!("project {name} was not dropped");
            }
            let command = doc! { "dropProject": 1, "confirm": &name };
            client::run(&client, &name, command).await?;
            table::print_line(&format!("dropped project {name}"))
        }
    }
}

fn row(project: &Document) -> [String; 2] {
    let name = project.get_str("name").unwrap_or_default();
    let branches = project.get_i32("branches").unwrap_or_default();
    [name.to_owned(), branches.to_string()]
}

/// Has the person type the project's name: nothing brings a dropped project back.
fn confirmed(name: &str) -> anyhow::Result<bool> {
    #[expect(
        clippy::print_stderr,
        reason = "a question to a person, apart from the answer on standard output"
    )]
    {
        eprint!("This drops every branch of {name} with its history. Type the name to go on: ");
    }
    let mut typed = String::new();
    std::io::stdin().read_line(&mut typed)?;
    Ok(typed.trim() == name)
}
