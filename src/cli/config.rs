//! `argon config`: settings that all servers of a store share, changed while they run.

use bson::{Bson, Document, doc};
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
    /// List the settings, their values, and where these come from
    List {
        /// Print JSON for programs
        #[arg(long)]
        json: bool,
    },
    /// Print a setting's value
    Get {
        /// The setting: wal.enabled
        name: String,
    },
    /// Give a setting a value, on all servers at once and without restarting them
    Set {
        /// The setting: wal.enabled
        name: String,
        /// Its value: true
        value: String,
    },
    /// Forget the value that was set: what each server was started with counts again
    Unset {
        /// The setting: wal.enabled
        name: String,
    },
}

pub(super) async fn run(args: Args) -> anyhow::Result<()> {
    let client = args.connect.client().await?;
    let set = async |name: &str, value: Bson| {
        client::run(&client, "admin", doc! { "setConfig": name, "value": value }).await
    };
    match args.command {
        Command::List { json } => {
            let settings = settings(&client).await?;
            if json {
                return table::print_json(settings);
            }
            let rows: Vec<[String; 4]> = settings.iter().map(row).collect();
            table::print(["SETTING", "VALUE", "FROM", "MEANING"], &rows)
        }
        Command::Get { name } => {
            let settings = settings(&client).await?;
            let found = settings.iter().map(row).find(|[known, ..]| *known == name);
            let Some([_, value, ..]) = found else {
                anyhow::bail!("no setting is called {name}: argon config list shows them");
            };
            table::print_line(&value)
        }
        Command::Set { name, value } => {
            set(&name, Bson::String(value.clone())).await?;
            table::print_line(&format!("{name} is {value}"))
        }
        Command::Unset { name } => {
            set(&name, Bson::Null).await?;
            table::print_line(&format!("{name} is what each server was started with"))
        }
    }
}

async fn settings(client: &mongodb::Client) -> anyhow::Result<Vec<Document>> {
    let reply = client::run(client, "admin", doc! { "getConfig": 1 }).await?;
    let settings = reply.get_array("settings")?;
    Ok(settings
        .iter()
        .filter_map(|setting| setting.as_document().cloned())
        .collect())
}

fn row(setting: &Document) -> [String; 4] {
    ["name", "value", "source", "help"]
        .map(|key| setting.get_str(key).unwrap_or_default().to_owned())
}
