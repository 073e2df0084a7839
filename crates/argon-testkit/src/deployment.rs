//! What cases and random commands are played on: a table of kinds, a row each.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result};
use bson::rawdoc;
use tempfile::TempDir;

use crate::case::suite::Subject;
use crate::client::Client;
use crate::mongod::{Mongod, Options};
use crate::server::{self, Argon};

/// The branch of the engine `prefix` that commands are played on.
const PREFIX_BRANCH: &str = "played-here";

/// A kind of deployment.
#[derive(Debug)]
pub struct Kind {
    /// What it is called on the command line.
    pub name: &'static str,
    /// Whose answers are expected of it.
    pub subject: Subject,
    mongod: bool,
    /// What Argon is started with beside the MongoDB, if Argon there is.
    argon: Option<&'static [&'static str]>,
}

/// All kinds, sorted by name.
pub const KINDS: &[Kind] = &[
    Kind {
        name: "argon",
        subject: Subject::Argon,
        mongod: false,
        argon: Some(&[]),
    },
    // Argon with its log in a MongoDB.
    Kind {
        name: "argon-mongodb",
        subject: Subject::Argon,
        mongod: true,
        argon: Some(&[]),
    },
    Kind {
        name: "mongod",
        subject: Subject::Mongod,
        mongod: true,
        argon: None,
    },
    // A branch among the collections of the MongoDB behind Argon.
    Kind {
        name: "prefix",
        subject: Subject::Prefix,
        mongod: true,
        argon: Some(&[]),
    },
    // The databases of the MongoDB behind Argon.
    Kind {
        name: "upstream",
        subject: Subject::Mongod,
        mongod: true,
        argon: Some(&["--new-databases", "upstream"]),
    },
];

/// Finds a kind by its name.
///
/// # Errors
/// If there is none; the error names all.
pub fn find(name: &str) -> Result<&'static Kind> {
    let found = KINDS.iter().find(|kind| kind.name == name);
    found.with_context(|| {
        let names: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
        format!("{name:?} is none of {}", names.join(", "))
    })
}

/// A running deployment, with its data in memory where the system offers that; dropping it ends its processes.
#[derive(Debug)]
pub struct Deployment {
    addr: SocketAddr,
    // In the order in which they end.
    _argon: Option<Argon>,
    _mongod: Option<Mongod>,
    _data: Option<TempDir>,
}

impl Deployment {
    /// Starts one of `kind`.
    ///
    /// # Errors
    /// If there are no binaries, or a server does not start.
    pub fn start(kind: &Kind) -> Result<Self> {
        let mongod = if kind.mongod {
            Some(Mongod::start(Options {
                replica_set: true,
                volatile: true,
            })?)
        } else {
            None
        };
        let behind = mongod.as_ref().map(Mongod::addr);
        let Some(args) = kind.argon else {
            return Ok(Self {
                addr: behind.context("a deployment has a server")?,
                _argon: None,
                _mongod: mongod,
                _data: None,
            });
        };
        let uri = behind.map(|addr| format!("mongodb://{addr}/"));
        let mut all = Vec::new();
        if let Some(uri) = &uri {
            all.extend(["--mongodb-uri", uri]);
        }
        all.extend(args);
        let data = volatile_folder()?;
        let argon = Argon::start_with(&server::binary()?, Some(&data.path().join("data")), &all)?;
        Ok(Self {
            addr: argon.addr(),
            _argon: Some(argon),
            _mongod: mongod,
            _data: Some(data),
        })
    }

    /// Returns where its clients connect.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}

/// Makes the branch that stands in for the database `db` where `subject` is one, and returns its name.
///
/// # Errors
/// If it cannot be made.
pub fn database(client: &mut Client, subject: Subject, db: &str) -> Result<String> {
    if subject != Subject::Prefix {
        return Ok(db.to_owned());
    }
    let create = rawdoc! {"createBranch": PREFIX_BRANCH, "engine": "prefix"};
    client.run_ok(db, &create)?;
    Ok(format!("{db}~{PREFIX_BRANCH}"))
}

/// A folder in memory where the system has one: nothing here has to last.
fn volatile_folder() -> Result<TempDir> {
    let memory = Path::new("/dev/shm");
    Ok(if memory.is_dir() {
        TempDir::with_prefix_in("argon-played-", memory)?
    } else {
        TempDir::with_prefix("argon-played-")?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_sorted_and_found() {
        assert!(KINDS.is_sorted_by(|a, b| a.name < b.name));
        assert_eq!(find("prefix").unwrap().subject, Subject::Prefix);
        assert!(find("none").unwrap_err().to_string().contains("upstream"));
    }
}
