//! How the server is set up: flags, environment variables and a TOML file, one struct for all three.
//!
//! A flag wins over its environment variable, that over the file, and the file over the default.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::Context;
use argon_engine::ReadConsistency;
use argon_server::NewDatabases;
use argon_storage::Durability;
use argon_storage::log::{MONGODB_DATABASE, mongodb};
use clap::builder::BoolishValueParser;
use serde::{Deserialize, Deserializer};

/// Settings as somebody gave them; what is `None` was not given.
#[derive(Clone, Debug, Default, clap::Args, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Settings {
    /// Where to listen; port 0 takes a free one [default: 127.0.0.1:27018]
    #[arg(long, env = "ARGON_LISTEN", value_name = "ADDRESS:PORT", value_parser = address)]
    #[serde(default, deserialize_with = "from_address")]
    listen: Option<SocketAddr>,
    /// The directory with all data [default: ./argon-data]
    #[arg(long, env = "ARGON_DATA_DIR", value_name = "DIRECTORY")]
    data_dir: Option<PathBuf>,
    /// Keep log and catalogue in this MongoDB, which any number of servers may share, and not in the data directory; its
    /// databases that are no projects pass through
    #[arg(
        long,
        env = "ARGON_MONGODB_URI",
        value_name = "URI",
        hide_env_values = true
    )]
    mongodb_uri: Option<MongodbUri>,
    /// The database in that MongoDB [default: argon]
    #[arg(long, env = "ARGON_MONGODB_DATABASE", value_name = "NAME")]
    mongodb_database: Option<String>,
    /// Most bytes of documents to hold in memory: 500MB, 4GiB [default: a quarter of memory]
    #[arg(long, env = "ARGON_CACHE_BYTES", value_name = "BYTES")]
    cache_bytes: Option<Bytes>,
    /// When a write is acknowledged: ack (it is on disk) or interval:<1 to 500>ms (it is at most that long before)
    /// [default: ack]
    #[arg(long, env = "ARGON_DURABILITY", value_name = "ack|interval:<n>ms")]
    #[serde(default, deserialize_with = "from_text")]
    durability: Option<Durability>,
    /// What a read sees where several servers share a MongoDB: strong (every acknowledged write) or causal (what this server
    /// has heard of, and all that the client's session has seen) [default: strong]
    #[arg(long, env = "ARGON_READ_CONSISTENCY", value_name = "strong|causal")]
    #[serde(default, deserialize_with = "from_text")]
    read_consistency: Option<ReadConsistency>,
    /// Fork a branch from main when a database name first names it
    #[arg(long, env = "ARGON_AUTO_BRANCH", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", value_parser = BoolishValueParser::new())]
    auto_branch: Option<bool>,
    /// Make new branches and projects in Argon's log, unless argon config says otherwise [default: true]
    #[arg(long, env = "ENABLE_WAL_BRANCHES", value_name = "BOOL", value_parser = BoolishValueParser::new())]
    enable_wal_branches: Option<bool>,
    /// Leave branches that exist where they are; anything else is not supported [default: true]
    #[arg(long, env = "WAL_NEW_BRANCHES_ONLY", value_name = "BOOL", value_parser = BoolishValueParser::new())]
    wal_new_branches_only: Option<bool>,
    /// The share of what is new and could be in the log as well as in the upstream MongoDB that goes to the log [default: 100]
    #[arg(long, env = "WAL_ROLLOUT_PERCENT", value_name = "0-100", value_parser = clap::value_parser!(u8).range(..=100))]
    wal_rollout_percent: Option<u8>,
    /// Listen off loopback although there is no authentication: whoever reaches the port may do everything
    #[arg(long, env = "ARGON_ALLOW_REMOTE", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", value_parser = BoolishValueParser::new())]
    allow_remote: Option<bool>,
    /// Have the commands that exist for tests only
    #[arg(long, env = "ARGON_TEST_COMMANDS", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", value_parser = BoolishValueParser::new())]
    test_commands: Option<bool>,
    /// Where a database goes that is neither a project nor in that MongoDB yet: project or upstream [default: project]
    #[arg(long, env = "ARGON_NEW_DATABASES", value_name = "project|upstream")]
    #[serde(default, deserialize_with = "from_text")]
    new_databases: Option<NewDatabases>,
    /// Most connections at a time [default: 10000]
    #[arg(long, env = "ARGON_CONNECTIONS_MAX", value_name = "NUMBER")]
    connections_max: Option<usize>,
    /// What to log: error, warn, info, debug, trace, or a list such as argon_server=debug,info [default: info]
    #[arg(long, env = "ARGON_LOG", value_name = "FILTER")]
    log: Option<String>,
}

/// Settings complete with defaults.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Config {
    pub(crate) listen: SocketAddr,
    pub(crate) data_dir: PathBuf,
    pub(crate) mongodb_uri: Option<MongodbUri>,
    pub(crate) mongodb_database: String,
    pub(crate) cache_bytes: usize,
    pub(crate) durability: Durability,
    pub(crate) read_consistency: ReadConsistency,
    pub(crate) auto_branch: bool,
    /// Settings that can be changed while the server runs.
    pub(crate) changeable: Vec<(&'static str, String)>,
    pub(crate) allow_remote: bool,
    pub(crate) test_commands: bool,
    pub(crate) new_databases: NewDatabases,
    pub(crate) connections_max: usize,
    pub(crate) log: String,
}

const LISTEN: &str = "127.0.0.1:27018";
const DATA_DIR: &str = "./argon-data";
const CONNECTIONS_MAX: usize = 10_000;
const LOG: &str = "info";

impl Settings {
    /// Reads the TOML file at `path`.
    ///
    /// # Errors
    /// If it cannot be read, or holds something that is no setting.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Settings> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the configuration file {}", path.display()))?;
        toml::from_str(&text)
            .with_context(|| format!("the configuration file {} is not valid", path.display()))
    }

    /// What was given, the rest from `file`.
    pub(crate) fn or(self, file: Settings) -> Settings {
        Settings {
            listen: self.listen.or(file.listen),
            data_dir: self.data_dir.or(file.data_dir),
            mongodb_uri: self.mongodb_uri.or(file.mongodb_uri),
            mongodb_database: self.mongodb_database.or(file.mongodb_database),
            cache_bytes: self.cache_bytes.or(file.cache_bytes),
            durability: self.durability.or(file.durability),
            read_consistency: self.read_consistency.or(file.read_consistency),
            auto_branch: self.auto_branch.or(file.auto_branch),
            enable_wal_branches: self.enable_wal_branches.or(file.enable_wal_branches),
            wal_new_branches_only: self.wal_new_branches_only.or(file.wal_new_branches_only),
            wal_rollout_percent: self.wal_rollout_percent.or(file.wal_rollout_percent),
            allow_remote: self.allow_remote.or(file.allow_remote),
            test_commands: self.test_commands.or(file.test_commands),
            new_databases: self.new_databases.or(file.new_databases),
            connections_max: self.connections_max.or(file.connections_max),
            log: self.log.or(file.log),
        }
    }

    /// Values of the settings that can be changed while the server runs, by the names they have there.
    fn changeable(&self) -> Vec<(&'static str, String)> {
        let text = |value: Option<bool>| value.map(|value| value.to_string());
        let percent = self.wal_rollout_percent.map(|percent| percent.to_string());
        [
            ("wal.enabled", text(self.enable_wal_branches)),
            ("wal.new-branches-only", text(self.wal_new_branches_only)),
            ("wal.rollout-percent", percent),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
    }

    /// What was given, the rest from the defaults.
    pub(crate) fn complete(self) -> Config {
        let changeable = self.changeable();
        Config {
            listen: self
                .listen
                .unwrap_or_else(|| LISTEN.parse().expect("the default is an address")),
            data_dir: self.data_dir.unwrap_or_else(|| DATA_DIR.into()),
            mongodb_uri: self.mongodb_uri,
            mongodb_database: self
                .mongodb_database
                .unwrap_or_else(|| MONGODB_DATABASE.to_owned()),
            cache_bytes: self
                .cache_bytes
                .map_or_else(quarter_of_memory, |bytes| bytes.0),
            durability: self.durability.unwrap_or_default(),
            read_consistency: self.read_consistency.unwrap_or_default(),
            auto_branch: self.auto_branch.unwrap_or_default(),
            changeable,
            allow_remote: self.allow_remote.unwrap_or_default(),
            test_commands: self.test_commands.unwrap_or_default(),
            new_databases: self.new_databases.unwrap_or_default(),
            connections_max: self.connections_max.unwrap_or(CONNECTIONS_MAX),
            log: self.log.unwrap_or_else(|| LOG.to_owned()),
        }
    }
}

/// A MongoDB connection string. It may hold a password, so nothing shows it whole.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub(crate) struct MongodbUri(String);

impl MongodbUri {
    /// The whole of it, for whoever connects.
    pub(crate) fn secret(&self) -> &str {
        &self.0
    }
}

impl FromStr for MongodbUri {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<MongodbUri, Self::Err> {
        Ok(MongodbUri(text.to_owned()))
    }
}

impl fmt::Display for MongodbUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&mongodb::without_credentials(&self.0))
    }
}

impl fmt::Debug for MongodbUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The command line as others may see it: connection strings without passwords.
pub(crate) fn arguments(given: impl Iterator<Item = String>) -> Vec<String> {
    let shown = |argument: String| match argument
        .find("mongodb://")
        .or_else(|| argument.find("mongodb+srv://"))
    {
        Some(at) => {
            let (flag, uri) = argument.split_at(at);
            format!("{flag}{}", mongodb::without_credentials(uri))
        }
        None => argument,
    };
    given.map(shown).collect()
}

/// A number of bytes; as text with a unit, binary (`KiB`, `MiB`, `GiB`, `TiB`) or decimal (`KB`, `MB`, `GB`, `TB`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bytes(usize);

/// Units by suffix. Single letters are binary, as with MongoDB's and most other tools.
const UNITS: &[(&str, u64)] = &[
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
    ("k", 1 << 10),
    ("m", 1 << 20),
    ("g", 1 << 30),
    ("t", 1 << 40),
    ("b", 1),
];

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Bytes, String> {
        let lower = text.trim().to_ascii_lowercase();
        let (number, unit) = UNITS
            .iter()
            .find_map(|(suffix, unit)| lower.strip_suffix(suffix).map(|number| (number, *unit)))
            .unwrap_or((&lower, 1));
        let number: u64 = number
            .trim()
            .parse()
            .map_err(|_| format!("`{text}` is no number of bytes such as 500MB or 4GiB"))?;
        number
            .checked_mul(unit)
            .and_then(|bytes| usize::try_from(bytes).ok())
            .filter(|bytes| *bytes > 0)
            .map(Bytes)
            .ok_or_else(|| format!("`{text}` is zero bytes, or too many"))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Bytes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of bytes, or text such as \"4GiB\"")
            }

            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Bytes, E> {
                number.to_string().parse().map_err(E::custom)
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Bytes, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// Reads `127.0.0.1:27018`, `[::1]:27018`, or a host's name such as `localhost:27018`.
fn address(text: &str) -> Result<SocketAddr, String> {
    let found = text
        .to_socket_addrs()
        .map_err(|error| format!("`{text}` is no address and port such as {LISTEN}: {error}"))?;
    let mut found: Vec<SocketAddr> = found.collect();
    // A name that has both is listened on where most clients look first.
    found.sort_by_key(SocketAddr::is_ipv6);
    found
        .first()
        .copied()
        .ok_or_else(|| format!("`{text}` has no address"))
}

fn from_address<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<SocketAddr>, D::Error> {
    let text = String::deserialize(deserializer)?;
    address(&text).map(Some).map_err(serde::de::Error::custom)
}

fn from_text<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err = String>,
{
    let text = String::deserialize(deserializer)?;
    text.parse().map(Some).map_err(serde::de::Error::custom)
}

/// A quarter of the memory that this process may use.
fn quarter_of_memory() -> usize {
    /// Where nothing tells how much memory there is.
    const UNKNOWN: u64 = 4 << 30;
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let machine = read("/proc/meminfo")
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|kib| kib.parse::<u64>().ok())
        .map(|kib| kib * 1024);
    // In a container the machine's memory is not what counts; "max" there means no limit and parses to none.
    let container = read("/sys/fs/cgroup/memory.max").trim().parse::<u64>().ok();
    let memory = machine
        .into_iter()
        .chain(container)
        .min()
        .unwrap_or(UNKNOWN);
    usize::try_from(memory / 4).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_sizes_have_units() {
        let check = |text: &str, bytes| assert_eq!(text.parse(), Ok(Bytes(bytes)), "{text}");
        check("1", 1);
        check("12b", 12);
        check("500MB", 500_000_000);
        check("4GiB", 4 << 30);
        check("4 gib", 4 << 30);
        check("2g", 2 << 30);
        for text in ["", "0", "GiB", "-1", "1.5GiB", "99999999999TiB", "4 apples"] {
            assert!(text.parse::<Bytes>().is_err(), "{text}");
        }
    }

    #[test]
    fn connection_strings_are_shown_without_passwords() {
        let uri: MongodbUri = "mongodb://ada:secret@h:1/?replicaSet=rs".parse().unwrap();
        assert_eq!(format!("{uri} {uri:?}"), "mongodb://h:1/ mongodb://h:1/");
        let given = [
            "argon",
            "serve",
            "--mongodb-uri",
            "mongodb://ada:secret@h:1",
            "--mongodb-uri=mongodb+srv://ada:secret@c.net/x",
        ];
        let shown = [
            "argon",
            "serve",
            "--mongodb-uri",
            "mongodb://h:1/",
            "--mongodb-uri=mongodb+srv://c.net/",
        ];
        assert_eq!(arguments(given.map(str::to_owned).into_iter()), shown);
    }

    #[test]
    fn addresses_may_be_names() {
        for text in ["127.0.0.1:1", "localhost:1"] {
            assert_eq!(address(text), Ok("127.0.0.1:1".parse().unwrap()), "{text}");
        }
        assert!(address("[::1]:1").is_ok());
        for text in ["", "127.0.0.1", "localhost", "27018", "127.0.0.1:99999"] {
            assert!(address(text).is_err(), "{text}");
        }
    }

    #[test]
    fn flags_win_over_the_file_and_the_file_over_defaults() {
        let file: Settings = toml::from_str(
            "listen = '127.0.0.1:1'\ncache-bytes = '1GiB'\ndurability = 'interval:100ms'\nread-consistency = 'causal'\nauto-branch = true\n",
        )
        .unwrap();
        let flags = Settings {
            listen: Some("127.0.0.1:2".parse().unwrap()),
            auto_branch: Some(false),
            ..Settings::default()
        };
        let config = flags.or(file).complete();
        assert_eq!(config.listen.port(), 2);
        assert_eq!(config.cache_bytes, 1 << 30);
        assert_eq!(config.durability, "interval:100ms".parse().unwrap());
        assert_eq!(config.read_consistency, ReadConsistency::Causal);
        assert!(!config.auto_branch);
        assert_eq!(config.connections_max, CONNECTIONS_MAX);
        assert_eq!(config.data_dir, Path::new(DATA_DIR));
    }

    #[test]
    fn a_file_with_a_typo_is_refused() {
        for text in [
            "lisen = '127.0.0.1:1'",
            "cache-bytes = 'much'",
            "durability = 'never'",
            "read-consistency = 'weak'",
            "cache-bytes = 0",
        ] {
            assert!(toml::from_str::<Settings>(text).is_err(), "{text}");
        }
        assert!(toml::from_str::<Settings>("cache-bytes = 1048576").is_ok());
    }
}
