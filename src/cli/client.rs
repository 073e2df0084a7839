//! Talking to a running server, with the commands that any MongoDB driver can send.

use std::time::Duration;

use anyhow::Context;
use bson::Document;
use mongodb::options::ClientOptions;
use mongodb::{Client, error::ErrorKind};

/// Where the server is.
#[derive(Debug, clap::Args)]
pub(super) struct Connect {
    /// The server's connection string
    #[arg(
        long,
        env = "ARGON_URI",
        default_value = "mongodb://127.0.0.1:27018",
        value_name = "URI",
        global = true
    )]
    uri: String,
}

/// How long to look for the server, unless the connection string says otherwise.
pub(super) const SERVER_SELECTION_TIMEOUT: Duration = Duration::from_secs(5);

/// Runs `command` to its end on a runtime of its own.
pub(super) fn block_on(command: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(command)
}

impl Connect {
    /// A client of the server. It connects with its first command.
    pub(super) async fn client(&self) -> anyhow::Result<Client> {
        let mut options = ClientOptions::parse(&self.uri)
            .await
            .with_context(|| format!("`{}` is no MongoDB connection string", self.uri))?;
        options.app_name.get_or_insert_with(|| "argon".to_owned());
        options
            .server_selection_timeout
            .get_or_insert(SERVER_SELECTION_TIMEOUT);
        Ok(Client::with_options(options)?)
    }
}

/// Runs a command on a database.
pub(super) async fn run(
    client: &Client,
    database: &str,
    command: Document,
) -> anyhow::Result<Document> {
    client
        .database(database)
        .run_command(command)
        .await
        .map_err(plain)
}

/// Runs a command that answers with a cursor of one batch.
pub(super) async fn list(
    client: &Client,
    database: &str,
    command: Document,
) -> anyhow::Result<Vec<Document>> {
    let reply = run(client, database, command).await?;
    let batch = reply
        .get_document("cursor")
        .and_then(|cursor| cursor.get_array("firstBatch"));
    let batch = batch.context("the server's answer has no cursor: is it Argon?")?;
    Ok(batch
        .iter()
        .filter_map(|item| item.as_document().cloned())
        .collect())
}

/// What went wrong, in the server's words where it spoke.
pub(super) fn plain(error: mongodb::error::Error) -> anyhow::Error {
    match &*error.kind {
        ErrorKind::Command(failure) => {
            anyhow::anyhow!("{} ({})", failure.message, failure.code_name)
        }
        ErrorKind::ServerSelection { message, .. } => {
            anyhow::anyhow!("cannot reach the server: {message}")
        }
        ErrorKind::InvalidArgument { message, .. } => anyhow::anyhow!("{message}"),
        ErrorKind::Authentication { message, .. } => anyhow::anyhow!("{message}"),
        _ => error.into(),
    }
}
