//! Settings that all servers of one store share, and what they decide: the engine of what is new.
//!
//! They are kept in the store and read from it where they count, which is seldom: whoever turns the log off has turned it
//! off, on every server, when the answer comes. What a server was started with counts where nothing is stored.

use argon_storage::BranchEngine;
use bytes::Bytes;

use super::Engine;
use crate::error::{Error, Result};

/// A setting that can be changed while servers run.
pub struct Setting {
    /// Its name.
    pub name: &'static str,
    /// What it means, in one sentence.
    pub help: &'static str,
    /// Its value if nobody gave one.
    pub default: &'static str,
    /// Says what is wrong with a value.
    check: fn(&str) -> std::result::Result<(), String>,
}

/// Every setting, by name.
pub const SETTINGS: &[Setting] = &[
    Setting {
        name: ENABLED,
        help: "Whether new branches, and new projects with their main branches, may be made in Argon's log.",
        default: "true",
        check: |value| boolean(value).map(|_| ()),
    },
    Setting {
        name: "wal.new-branches-only",
        help: "Whether branches that exist keep their engine; moving them is not supported, so it is always true.",
        default: "true",
        check: |value| match boolean(value)? {
            true => Ok(()),
            false => Err("branches that exist cannot be moved to another engine yet".to_owned()),
        },
    },
    Setting {
        name: ROLLOUT_PERCENT,
        help: "The share of what is new and could be in the log as well as in the upstream MongoDB that goes to the log.",
        default: "100",
        check: |value| percent(value).map(|_| ()),
    },
];

const ENABLED: &str = "wal.enabled";
const ROLLOUT_PERCENT: &str = "wal.rollout-percent";

/// The store's settings are not only these.
const KEY_PREFIX: &str = "config.";

/// A setting's value, and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingValue {
    /// The setting's name.
    pub name: &'static str,
    /// Its value.
    pub value: String,
    /// Who gave it.
    pub source: SettingSource,
}

/// Who gave a setting its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingSource {
    /// It is in the store, and the same for all servers.
    Stored,
    /// This server was started with it.
    Server,
    /// Nobody.
    Default,
}

impl Engine {
    /// Takes the values that the server was started with; they count where the store has none.
    ///
    /// # Errors
    /// [`Error::Setting`] for a name or value that is none.
    pub fn with_settings(
        mut self,
        given: impl IntoIterator<Item = (&'static str, String)>,
    ) -> Result<Engine> {
        for (name, value) in given {
            let setting = find(name)?;
            check(setting, &value)?;
            self.given.push((setting.name, value));
        }
        Ok(self)
    }

    /// The values of all settings, by name.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub async fn settings(&self) -> Result<Vec<SettingValue>> {
        let mut values = Vec::with_capacity(SETTINGS.len());
        for setting in SETTINGS {
            values.push(self.value_of(setting).await?);
        }
        Ok(values)
    }

    /// Gives a setting a value on all servers; `None` takes the stored one away.
    ///
    /// # Errors
    /// [`Error::Setting`] for a name or value that is none; [`Error::Storage`].
    pub async fn set(&self, name: &str, value: Option<&str>) -> Result<()> {
        let setting = find(name)?;
        if let Some(value) = value {
            check(setting, value)?;
        }
        // The store forgets nothing, so nothing is a value.
        let value = Bytes::copy_from_slice(value.unwrap_or_default().as_bytes());
        let key = format!("{KEY_PREFIX}{name}");
        Ok(self.shared.store.put_setting(&key, value).await?)
    }

    /// Refuses to make something new called `what` in the log while that is turned off.
    ///
    /// # Errors
    /// [`Error::WalOff`]; [`Error::Storage`].
    pub(super) async fn check_wal(&self, what: &str) -> Result<()> {
        match self.text_of(ENABLED).await?.as_str() {
            "true" => Ok(()),
            _ => Err(Error::WalOff(what.to_owned())),
        }
    }

    /// The engine of something new called `name` that could be in the log as well as in the upstream MongoDB.
    ///
    /// The same for the same name as long as the settings stay; a share that grows takes nothing away from the log.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub async fn engine_of_new(&self, name: &str) -> Result<BranchEngine> {
        let enabled = self.text_of(ENABLED).await? == "true";
        let share = percent(&self.text_of(ROLLOUT_PERCENT).await?).unwrap_or_default();
        Ok(match enabled && place(name) < share {
            true => BranchEngine::Wal,
            false => BranchEngine::Prefix,
        })
    }

    /// The engine of a branch forked from `from`: a fork shares its parent's data, so it lives where they are. `asked` is
    /// the engine that somebody asked for.
    ///
    /// # Errors
    /// [`Error::ProjectNotFound`], [`Error::BranchNotFound`]; [`Error::KeptUpstream`] or [`Error::KeptInLog`] if what was asked
    /// for is where the parent is not; [`Error::WalOff`].
    pub async fn engine_of_fork(
        &self,
        project: &str,
        from: &str,
        asked: Option<BranchEngine>,
    ) -> Result<BranchEngine> {
        let parent = self.find(project, from)?;
        match (parent.meta.engine, asked) {
            (BranchEngine::Prefix, Some(BranchEngine::Wal)) => {
                Err(Error::KeptUpstream(parent.database.to_string()))
            }
            (BranchEngine::Wal, Some(BranchEngine::Prefix)) => {
                Err(Error::KeptInLog(parent.database.to_string()))
            }
            (engine, _) => Ok(engine),
        }
    }

    async fn text_of(&self, name: &str) -> Result<String> {
        Ok(self.value_of(find(name)?).await?.value)
    }

    async fn value_of(&self, setting: &'static Setting) -> Result<SettingValue> {
        let key = format!("{KEY_PREFIX}{}", setting.name);
        let stored = self.shared.store.setting(&key).await?;
        let stored = stored.and_then(|value| String::from_utf8(value.to_vec()).ok());
        // A value of another version that is none here counts as none.
        let stored = stored.filter(|value| (setting.check)(value).is_ok());
        let given = || self.given.iter().rfind(|(name, _)| *name == setting.name);
        let (value, source) = match (stored, given()) {
            (Some(value), _) => (value, SettingSource::Stored),
            (None, Some((_, value))) => (value.clone(), SettingSource::Server),
            (None, None) => (setting.default.to_owned(), SettingSource::Default),
        };
        Ok(SettingValue {
            name: setting.name,
            value,
            source,
        })
    }
}

fn find(name: &str) -> Result<&'static Setting> {
    let found = SETTINGS.iter().find(|setting| setting.name == name);
    found.ok_or_else(|| {
        let names: Vec<&str> = SETTINGS.iter().map(|setting| setting.name).collect();
        Error::Setting(format!(
            "no setting is called '{name}': there are {}",
            names.join(", ")
        ))
    })
}

fn check(setting: &Setting, value: &str) -> Result<()> {
    (setting.check)(value).map_err(|why| Error::Setting(format!("{}: {why}", setting.name)))
}

fn boolean(value: &str) -> std::result::Result<bool, String> {
    match value {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(format!("'{value}' is neither true nor false")),
    }
}

fn percent(value: &str) -> std::result::Result<u32, String> {
    value
        .parse()
        .ok()
        .filter(|percent| *percent <= 100)
        .ok_or_else(|| format!("'{value}' is no whole number from 0 to 100"))
}

/// Where `name` stands among all names, from 0 to 99: as evenly spread as a checksum is, and the same everywhere.
fn place(name: &str) -> u32 {
    crc32c::crc32c(name.as_bytes()) % 100
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_sorted_and_defaults_are_values() {
        assert!(SETTINGS.is_sorted_by(|a, b| a.name < b.name));
        for setting in SETTINGS {
            assert!(check(setting, setting.default).is_ok(), "{}", setting.name);
            // Nothing is what an unset value is stored as.
            assert!(check(setting, "").is_err(), "{}", setting.name);
        }
    }

    #[test]
    fn places_are_spread_and_stay() {
        let below = (0..10_000)
            .filter(|n| place(&format!("branch-{n}")) < 25)
            .count();
        assert!((2_200..2_800).contains(&below), "{below}");
        assert_eq!(place("feature/x"), place("feature/x"));
    }
}
