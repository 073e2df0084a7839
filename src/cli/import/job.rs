//! What an import has to do and has done, as the project keeps it until all is done.

use anyhow::{bail, ensure};
use bson::{Bson, Document, doc};
use futures::TryStreamExt;
use serde::{Deserialize, Serialize};

use super::catalog::Definition;
use super::content::Content;
use super::endpoint::{Endpoint, code};
use super::progress;

/// The collection that an unfinished import has in its project.
pub(super) const COLLECTION: &str = "argon.import";

/// About how many bytes of documents are copied as one range. A range is what an interruption costs, and what is
/// copied at a time, so there should be many; each costs a query on both sides.
const RANGE_BYTES: u64 = 16 << 20;
/// Most ranges of a collection.
const RANGES_MAX: u64 = 4096;
/// Documents looked at to find where a range should end.
const SAMPLES_PER_RANGE: u64 = 20;
/// MongoDB reads a sample without looking at every document if it is less than this share (one in …) of them.
/// Source: MongoDB manual, "$sample".
const SAMPLE_SHARE: u64 = 20;
/// The document that says what the import is about; the others are definitions and ranges.
const HEADER: &str = "import";
/// Source: MongoDB manual, "Error Codes", `NamespaceNotFound`.
const NAMESPACE_NOT_FOUND: i32 = 26;

/// An import.
#[derive(Debug)]
pub(super) struct Job {
    /// Collections, and views after them.
    pub(super) collections: Vec<Definition>,
    pub(super) ranges: Vec<Range>,
    /// What Argon does not support and is left out.
    pub(super) refused: Vec<String>,
    /// Whether an earlier run began it.
    pub(super) resumed: bool,
}

/// Documents that are copied together: those of a collection whose `_id` is from `min` up to before `max`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Range {
    #[serde(rename = "_id")]
    pub(super) id: RangeId,
    /// As `{_id: …}`; none for the first.
    pub(super) min: Option<Document>,
    /// As `{_id: …}`; none for the last.
    pub(super) max: Option<Document>,
    /// About how many bytes it has, for the progress bar.
    pub(super) bytes_expected: u64,
    /// What was read from the source, once all of it is written.
    pub(super) content: Option<Content>,
    /// Whether the project was seen to have that.
    pub(super) verified: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RangeId {
    pub(super) collection: String,
    pub(super) range: u32,
}

#[derive(Debug, Serialize, Deserialize)]
struct Header {
    #[serde(rename = "_id")]
    id: String,
    hosts: String,
    database: String,
    /// Whether what follows is complete: until then nothing was copied.
    planned: bool,
    collections: Vec<Definition>,
    refused: Vec<String>,
}

impl Header {
    fn new(source: &Endpoint) -> Header {
        Header {
            id: HEADER.to_owned(),
            hosts: source.hosts.clone(),
            database: source.database.name().to_owned(),
            planned: false,
            collections: Vec::new(),
            refused: Vec::new(),
        }
    }
}

impl Job {
    /// Finds the import that the project is in the middle of; none if the project is still to be made.
    ///
    /// # Errors
    /// If the project is something else.
    pub(super) async fn find(source: &Endpoint, target: &Endpoint) -> anyhow::Result<Option<Job>> {
        let explain = |error| target.explain(error);
        let name = target.database.name();
        let header = target
            .collection::<Header>(COLLECTION)
            .find_one(doc! { "_id": HEADER })
            .await;
        let Some(header) = header.map_err(explain)? else {
            let listed = target
                .list(doc! { "listCollections": 1, "nameOnly": true })
                .await;
            let there = listed.map_err(explain)?.len();
            ensure!(
                there == 0,
                "the project {name} is there already, with {there} collections: name another with --project, or drop it \
                 (argon projects drop {name})"
            );
            return Ok(None);
        };
        // Hosts may have changed: a set has many, and a tunnel others. The database is what was meant.
        if header.database != source.database.name() {
            bail!(
                "the project {name} is in the middle of an import of the database {} from {}: go on with that one, or drop \
                 the project (argon projects drop {name})",
                header.database,
                header.hosts
            );
        }
        if header.hosts != source.hosts {
            progress::note(&format!(
                "this import was begun from {}; now it goes on from {}",
                header.hosts, source.hosts
            ));
        }
        if !header.planned {
            withdraw(target).await?;
            return Ok(None);
        }
        let ranges = target.collection::<Range>(COLLECTION);
        let ranges = ranges
            .find(doc! { "_id.range": { "$exists": true } })
            .sort(doc! { "_id": 1 });
        let ranges = ranges.await.map_err(explain)?;
        Ok(Some(Job {
            collections: header.collections,
            ranges: ranges.try_collect().await.map_err(explain)?,
            refused: header.refused,
            resumed: true,
        }))
    }

    /// Marks the project as one that is being imported.
    pub(super) async fn begin(source: &Endpoint, target: &Endpoint) -> anyhow::Result<Job> {
        let headers = target.collection::<Header>(COLLECTION);
        headers
            .insert_one(Header::new(source))
            .await
            .map_err(|error| target.explain(error))?;
        Ok(Job {
            collections: Vec::new(),
            ranges: Vec::new(),
            refused: Vec::new(),
            resumed: false,
        })
    }

    /// Divides the collections into ranges and writes it all down.
    pub(super) async fn plan(
        mut self,
        source: &Endpoint,
        target: &Endpoint,
        collections: Vec<Definition>,
        refused: Vec<String>,
    ) -> anyhow::Result<Job> {
        for definition in collections.iter().filter(|definition| !definition.is_view) {
            self.ranges.append(&mut ranges(source, definition).await?);
        }
        (self.collections, self.refused) = (collections, refused);
        let explain = |error| target.explain(error);
        if !self.ranges.is_empty() {
            let ranges = target.collection::<Range>(COLLECTION);
            ranges.insert_many(&self.ranges).await.map_err(explain)?;
        }
        let header = Header {
            planned: true,
            collections: self.collections.clone(),
            refused: self.refused.clone(),
            ..Header::new(source)
        };
        let headers = target.collection::<Header>(COLLECTION);
        headers
            .replace_one(doc! { "_id": HEADER }, header)
            .await
            .map_err(explain)?;
        Ok(self)
    }

    /// Takes everything back that was made so far.
    pub(super) async fn withdraw(self, target: &Endpoint) -> anyhow::Result<()> {
        withdraw(target).await
    }

    /// Everything that was read of a collection.
    pub(super) fn content(&self, collection: &str) -> Content {
        let mut sum = Content::default();
        for range in self
            .ranges
            .iter()
            .filter(|range| range.id.collection == collection)
        {
            sum.join(range.content.unwrap_or_default());
        }
        sum
    }

    /// Hands out the ranges that are `wanted`; [`Job::put_back`] takes them back.
    pub(super) fn take(&mut self, wanted: impl Fn(&Range) -> bool) -> Vec<Range> {
        let (taken, kept) = std::mem::take(&mut self.ranges)
            .into_iter()
            .partition(wanted);
        self.ranges = kept;
        taken
    }

    pub(super) fn put_back(&mut self, ranges: Vec<Range>) {
        self.ranges.extend(ranges);
    }

    /// Makes the project one like any other.
    pub(super) async fn finish(self, target: &Endpoint) -> anyhow::Result<()> {
        target
            .run(doc! { "drop": COLLECTION })
            .await
            .map_err(|error| target.explain(error))?;
        Ok(())
    }
}

impl Range {
    /// Bytes of its documents, as far as they are known.
    pub(super) fn bytes(&self) -> u64 {
        self.content
            .map_or(self.bytes_expected, |content| content.bytes)
    }

    /// Writes down how far this range is.
    pub(super) async fn save(&self, target: &Endpoint) -> Result<(), mongodb::error::Error> {
        let id = bson::serialize_to_bson(&self.id)?;
        let ranges = target.collection::<Range>(COLLECTION);
        ranges.replace_one(doc! { "_id": id }, self).await?;
        Ok(())
    }
}

/// Drops what an import made that was not planned to its end, its own collection last.
async fn withdraw(target: &Endpoint) -> anyhow::Result<()> {
    let explain = |error| target.explain(error);
    let listed = target
        .list(doc! { "listCollections": 1, "nameOnly": true })
        .await
        .map_err(explain)?;
    let names = listed.iter().filter_map(|entry| entry.get_str("name").ok());
    let made = names.filter(|name| *name != COLLECTION && !name.starts_with("system."));
    for name in made.chain([COLLECTION]) {
        match target.run(doc! { "drop": name }).await {
            Err(error) if code(&error) != Some(NAMESPACE_NOT_FOUND) => return Err(explain(error)),
            _ => {}
        }
    }
    Ok(())
}

/// Divides a collection: one range, or as many as it takes to have none of much more than [`RANGE_BYTES`].
async fn ranges(source: &Endpoint, definition: &Definition) -> anyhow::Result<Vec<Range>> {
    let explain = |error| source.explain(error);
    let name = &definition.name;
    // One document for each shard that has some of it.
    let storage = doc! { "aggregate": name, "pipeline": [{ "$collStats": { "storageStats": {} } }], "cursor": {} };
    let (mut bytes, mut documents) = (0, 0);
    for shard in source.list(storage).await.map_err(explain)? {
        let number = |key| {
            shard
                .get_document("storageStats")
                .map_or(0, |stats| number(stats.get(key)))
        };
        bytes += number("size");
        documents += number("count");
    }
    let wanted = (bytes / RANGE_BYTES).min(RANGES_MAX);
    // What is capped is in the order of its insertion, and a part of that is no range of _id.
    let whole = wanted < 2 || definition.options.get_bool("capped").unwrap_or_default();
    let ends = match whole {
        true => Vec::new(),
        false => ends(source, name, wanted, documents).await?,
    };
    let count = ends.len() as u64 + 1;
    let starts = std::iter::once(None).chain(ends.iter().cloned().map(Some));
    let stops = ends.iter().cloned().map(Some).chain([None]);
    Ok(starts
        .zip(stops)
        .zip(0..)
        .map(|((min, max), range)| Range {
            id: RangeId {
                collection: name.clone(),
                range,
            },
            min,
            max,
            bytes_expected: bytes / count,
            content: None,
            verified: false,
        })
        .collect())
}

/// Values of `_id` that cut a collection into about `wanted` parts of the same size: found in a sample, which the server
/// sorts, because nobody else knows its order of all types and collations.
async fn ends(
    source: &Endpoint,
    collection: &str,
    wanted: u64,
    documents: u64,
) -> anyhow::Result<Vec<Document>> {
    let most = (documents / SAMPLE_SHARE).max(wanted);
    let size = i64::try_from((wanted * SAMPLES_PER_RANGE).min(most)).unwrap_or(i64::MAX);
    let pipeline = vec![
        doc! { "$sample": { "size": size } },
        doc! { "$project": { "_id": 1 } },
        doc! { "$sort": { "_id": 1 } },
    ];
    let command =
        doc! { "aggregate": collection, "pipeline": pipeline, "cursor": {}, "allowDiskUse": true };
    let mut sample = source
        .list(command)
        .await
        .map_err(|error| source.explain(error))?;
    sample.dedup();
    let step = sample.len() / usize::try_from(wanted).unwrap_or(usize::MAX);
    let step = step.max(1);
    Ok(sample.into_iter().skip(step).step_by(step).collect())
}

/// A count or size, which shards and versions give as different types.
fn number(value: Option<&Bson>) -> u64 {
    match value {
        Some(Bson::Int32(number)) => u64::try_from(*number).unwrap_or_default(),
        Some(Bson::Int64(number)) => u64::try_from(*number).unwrap_or_default(),
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a size below 2^53, and casting saturates"
        )]
        Some(Bson::Double(number)) => *number as u64,
        _ => 0,
    }
}
