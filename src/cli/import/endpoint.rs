//! One side of an import: a database of a MongoDB or of Argon.

use std::time::Duration;

use anyhow::{Context, bail};
use bson::{Document, RawDocumentBuf, doc};
use futures::TryStreamExt;
use mongodb::error::{Error, ErrorKind};
use mongodb::options::ClientOptions;
use mongodb::{Client, Collection, Database};

use crate::cli::client;

/// How long to look for a server that was there before: as long as a restart takes.
const SERVER_SELECTION_TIMEOUT: Duration = Duration::from_secs(30);

/// A database, and who has it.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    /// What error texts call the server.
    pub(super) role: &'static str,
    /// Where the server is, without user and password.
    pub(super) hosts: String,
    pub(super) client: Client,
    pub(super) database: Database,
}

impl Endpoint {
    /// Connects to the server at `uri`, and to `database` there or the one that the connection string names.
    pub(super) async fn connect(
        role: &'static str,
        uri: &str,
        database: Option<&str>,
    ) -> anyhow::Result<Endpoint> {
        let mut options = ClientOptions::parse(uri)
            .await
            // Without the connection string: it may hold a password.
            .map_err(client::plain)
            .with_context(|| format!("the connection string of {role} is not valid"))?;
        let hosts: Vec<String> = options.hosts.iter().map(ToString::to_string).collect();
        let hosts = hosts.join(",");
        options
            .app_name
            .get_or_insert_with(|| "argon import".to_owned());
        let given = options.server_selection_timeout;
        // Whether it is there at all is known sooner.
        let first = client::SERVER_SELECTION_TIMEOUT;
        options.server_selection_timeout = Some(given.unwrap_or(first));
        let probe = Client::with_options(options.clone())?;
        probe
            .database("admin")
            .run_command(doc! { "ping": 1 })
            .await
            .map_err(client::plain)
            .with_context(|| format!("{role} at {hosts} does not answer"))?;
        options.server_selection_timeout = Some(given.unwrap_or(SERVER_SELECTION_TIMEOUT));
        let name = database
            .map(str::to_owned)
            .or_else(|| options.default_database.clone())
            .context("which database? --database <name>")?;
        let client = Client::with_options(options)?;
        Ok(Endpoint {
            role,
            hosts,
            database: client.database(&name),
            client,
        })
    }

    /// Refuses a server that has no projects.
    pub(super) async fn check_is_argon(&self) -> anyhow::Result<()> {
        match self
            .client
            .database("admin")
            .run_command(doc! { "listProjects": 1 })
            .await
        {
            Ok(_) => Ok(()),
            Err(error) if code(&error) == Some(COMMAND_NOT_FOUND) => bail!(
                "{} is no Argon: --to is Argon's connection string, --uri the one of the MongoDB to import from",
                self.hosts
            ),
            Err(error) => Err(client::plain(error)),
        }
    }

    /// Makes the database a project, unless it is one or a branch; whether it was made. A database that the MongoDB behind
    /// Argon has would pass through otherwise, and be the source itself perhaps.
    pub(super) async fn make_project(&self) -> anyhow::Result<bool> {
        if self.database.name().contains('~') {
            return Ok(false);
        }
        match self.run(doc! { "createProject": 1 }).await {
            Ok(_) => Ok(true),
            Err(error) if code(&error) == Some(NAMESPACE_EXISTS) => Ok(false),
            Err(error) => Err(self.explain(error)),
        }
    }

    /// Drops the project that was made, if there is nothing in it.
    pub(super) async fn give_up_project(&self) -> anyhow::Result<()> {
        let listed = self.list(doc! { "listCollections": 1, "nameOnly": true });
        if !listed
            .await
            .map_err(|error| self.explain(error))?
            .is_empty()
        {
            return Ok(());
        }
        let drop = doc! { "dropProject": 1, "confirm": self.database.name() };
        self.run(drop).await.map_err(|error| self.explain(error))?;
        Ok(())
    }

    pub(super) fn collection<T: Send + Sync>(&self, name: &str) -> Collection<T> {
        self.database.collection(name)
    }

    /// Runs a command on the database.
    pub(super) async fn run(&self, command: Document) -> Result<Document, Error> {
        self.database.run_command(command).await
    }

    /// Runs a raw command on the database.
    pub(super) async fn run_raw(&self, command: RawDocumentBuf) -> Result<Document, Error> {
        self.database.run_raw_command(command).await
    }

    /// Runs a command that answers with a cursor.
    pub(super) async fn list(&self, command: Document) -> Result<Vec<Document>, Error> {
        self.database
            .run_cursor_command(command)
            .await?
            .try_collect()
            .await
    }

    /// How many documents a collection has.
    pub(super) async fn count(&self, collection: &str) -> anyhow::Result<u64> {
        let collection = self.collection::<Document>(collection);
        let count = collection.estimated_document_count().await;
        count.map_err(|error| self.explain(error))
    }

    /// Says on which side it went wrong, and what to do about it.
    pub(super) fn explain(&self, error: Error) -> anyhow::Error {
        let advice = match code(&error) {
            Some(OUT_OF_DISK_SPACE) => {
                ": free some space or move the data, and run the same command again: it goes on where it stopped"
            }
            _ if may_pass(&error) => {
                ": run the same command again when it is back: it goes on where it stopped"
            }
            _ => "",
        };
        client::plain(error).context(format!("{} at {} failed{advice}", self.role, self.hosts))
    }
}

/// Source: MongoDB manual, "Error Codes".
const COMMAND_NOT_FOUND: i32 = 59;
const NAMESPACE_EXISTS: i32 = 48;
const OUT_OF_DISK_SPACE: i32 = 14031;
/// Codes of a server that goes away, comes up, or hands its office over.
const PASSING: &[i32] = &[
    6, 7, 89, 91, 189, 262, 9001, 10107, 11600, 11602, 13435, 13436,
];

/// The code with which a server answered.
pub(super) fn code(error: &Error) -> Option<i32> {
    match &*error.kind {
        ErrorKind::Command(failure) => Some(failure.code),
        _ => None,
    }
}

/// Whether trying again may help: the server is not there just now.
pub(super) fn may_pass(error: &Error) -> bool {
    match &*error.kind {
        ErrorKind::Io(_)
        | ErrorKind::ConnectionPoolCleared { .. }
        | ErrorKind::ServerSelection { .. } => true,
        ErrorKind::Command(failure) => PASSING.contains(&failure.code),
        _ => false,
    }
}

/// Why the server would not take a definition; other failures are passed on.
pub(super) fn refusal(error: Error) -> anyhow::Result<String> {
    match &*error.kind {
        ErrorKind::Command(failure) if !may_pass(&error) && failure.code != OUT_OF_DISK_SPACE => {
            Ok(failure.message.clone())
        }
        _ => Err(client::plain(error)),
    }
}
