//! Which servers may answer a read.
//!
//! Source: specification "Server Selection".

use std::time::Duration;

use crate::element::{self, elements};

/// A read preference as a command carries it (`$readPreference`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReadPreference {
    pub(crate) mode: Mode,
    /// Sets of tags, tried one after the other.
    pub(crate) tag_sets: Vec<Vec<(String, String)>>,
    pub(crate) max_staleness: Option<Duration>,
}

/// The mode of a read preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    PrimaryPreferred,
    Secondary,
    SecondaryPreferred,
    Nearest,
}

impl ReadPreference {
    /// Reads the document; `None` where it means the primary, or says what no server knows: that is for the primary to refuse.
    pub(crate) fn parse(document: &[u8]) -> Option<ReadPreference> {
        let mode = match element::field(document, "mode")?.text()? {
            "primaryPreferred" => Mode::PrimaryPreferred,
            "secondary" => Mode::Secondary,
            "secondaryPreferred" => Mode::SecondaryPreferred,
            "nearest" => Mode::Nearest,
            _ => return None,
        };
        let tags = element::field(document, "tags");
        let tag_sets = tags.as_ref().and_then(|tags| tags.document()).map(|sets| {
            elements(sets)
                .filter_map(|set| set.document().map(tag_set))
                .collect()
        });
        let staleness = element::field(document, "maxStalenessSeconds");
        Some(ReadPreference {
            mode,
            tag_sets: tag_sets.unwrap_or_default(),
            max_staleness: staleness
                .and_then(|seconds| seconds.integer())
                .and_then(|seconds| u64::try_from(seconds).ok())
                .filter(|seconds| *seconds > 0)
                .map(Duration::from_secs),
        })
    }
}

fn tag_set(document: &[u8]) -> Vec<(String, String)> {
    elements(document)
        .filter_map(|tag| {
            let name = std::str::from_utf8(tag.key).ok()?;
            Some((name.to_owned(), tag.text()?.to_owned()))
        })
        .collect()
}

impl std::fmt::Display for ReadPreference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mode = match self.mode {
            Mode::PrimaryPreferred => "primaryPreferred",
            Mode::Secondary => "secondary",
            Mode::SecondaryPreferred => "secondaryPreferred",
            Mode::Nearest => "nearest",
        };
        write!(f, "{{ mode: \"{mode}\" }}")
    }
}
