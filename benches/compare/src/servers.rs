//! The two servers, and how they stand to each other.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use argon_testkit::client::Client;
use argon_testkit::{mongod, server};
use bson::{RawDocumentBuf, rawdoc};

/// One of the two.
pub(crate) struct Side {
    pub(crate) name: &'static str,
    pub(crate) addr: SocketAddr,
    pub(crate) pid: u32,
    pub(crate) data_dir: PathBuf,
    /// The database that the measurements run on.
    pub(crate) database: &'static str,
    /// What has to be asked for, so that a write is as durable as on the other side.
    durable: Option<RawDocumentBuf>,
}

impl Side {
    pub(crate) const MONGOD: &'static str = "mongod";
    pub(crate) const ARGON: &'static str = "argon";

    pub(crate) fn connect(&self) -> Result<Client> {
        Client::connect_within(self.addr, PATIENCE)
    }

    /// `command` with the write concern that durability needs here.
    pub(crate) fn durable(&self, mut command: RawDocumentBuf) -> RawDocumentBuf {
        if let Some(concern) = &self.durable {
            command.append(bson::cstr!("writeConcern"), concern.clone());
        }
        command
    }
}

/// How Argon stands to the mongod that it is compared with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Layout {
    /// Beside it, with everything in a directory.
    Beside,
    /// In front of it, with its log in it. mongod is a replica set of one member, as majority writes need it.
    LogInside,
    /// In front of it, passing the same database through.
    PassThrough,
    /// In front of it, with a branch of the same database that the prefix engine copied.
    Prefix,
}

impl Layout {
    /// What a measurement is called in this layout.
    pub(crate) fn label(self, workload: &str, connections: usize) -> String {
        let layout = match self {
            Layout::Beside => "",
            Layout::LogInside => "log in MongoDB: ",
            Layout::PassThrough => "pass-through: ",
            Layout::Prefix => "prefix branch: ",
        };
        match connections {
            1 => format!("{layout}{workload}"),
            _ => format!("{layout}{workload}, {connections} connections"),
        }
    }
}

/// How long a reply may take: a large collection is long in copying.
const PATIENCE: Duration = Duration::from_secs(600);

/// The database that the measurements run on where mongod is reached directly.
const DIRECT: &str = "direct";

/// The branch that the prefix engine makes of it.
pub(crate) const COPY: &str = "copy";

/// Both, running; dropping it ends them.
pub(crate) struct Pair {
    pub(crate) mongod: Side,
    pub(crate) argon: Side,
    _argon: server::Argon,
    _mongod: mongod::Mongod,
}

impl Pair {
    pub(crate) fn start(layout: Layout) -> Result<Pair> {
        let mongod = mongod::Mongod::start(mongod::Options {
            replica_set: layout != Layout::Beside,
            ..mongod::Options::default()
        })?;
        let uri = format!("mongodb://{}/", mongod.addr());
        let args: &[&str] = match layout {
            Layout::Beside => &[],
            _ => &["--mongodb-uri", &uri],
        };
        let argon = server::Argon::start_with(&server::binary()?, None, args)?;
        let journaled = rawdoc! { "w": 1, "j": true };
        let majority = rawdoc! { "w": "majority", "j": true };
        // Argon's own writes always wait for their log.
        let (direct, through, database) = match layout {
            Layout::Beside => (journaled, None, "bench"),
            Layout::LogInside => (majority, None, "bench"),
            Layout::PassThrough => (majority.clone(), Some(majority), DIRECT),
            Layout::Prefix => (majority.clone(), Some(majority), "direct~copy"),
        };
        Ok(Pair {
            mongod: Side {
                name: Side::MONGOD,
                addr: mongod.addr(),
                pid: mongod.pid(),
                data_dir: mongod.data_dir(),
                // A database that is in the upstream is no project there.
                database: DIRECT,
                durable: Some(direct),
            },
            argon: Side {
                name: Side::ARGON,
                addr: argon.addr(),
                pid: argon.pid(),
                data_dir: argon.data_dir().to_owned(),
                database,
                durable: through,
            },
            _argon: argon,
            _mongod: mongod,
        })
    }

    /// Has the prefix engine copy mongod's database into the branch called `name`.
    pub(crate) fn copy(&self, name: &str) -> Result<()> {
        let create = rawdoc! { "createBranch": name, "engine": "prefix" };
        self.argon.connect()?.run_ok(DIRECT, &create)?;
        Ok(())
    }
}
