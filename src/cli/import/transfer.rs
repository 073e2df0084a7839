//! Copies ranges of documents, and compares what was copied with what was read.

use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use bson::raw::cstr;
use bson::{Document, RawDocumentBuf, doc, rawdoc};
use futures::{StreamExt, TryStreamExt, stream};
use mongodb::error::Error;
use mongodb::options::{FindOptions, Hint};
use mongodb::raw_batch_cursor::{RawBatch, RawBatchCursor};

use super::content::Content;
use super::endpoint::{Endpoint, may_pass};
use super::job::{Job, Range};
use super::progress::Progress;

/// Most documents of a batch: as many as one insert may have. In bytes the server bounds a batch, to what one document may
/// have. Source: MongoDB manual, "hello", `maxWriteBatchSize`.
const BATCH_DOCUMENTS: u32 = 100_000;
/// How often a range is begun again while a server goes away, comes up, or hands its office over. The client waits for it.
const ATTEMPTS: u32 = 5;
const PAUSE: Duration = Duration::from_secs(1);
/// Documents deleted with one command, which names each.
const CLEAR_DOCUMENTS: i64 = 10_000;

/// Why a range has to be begun again, or given up.
struct Failure {
    error: anyhow::Error,
    may_pass: bool,
}

impl Failure {
    fn on(side: &Endpoint) -> impl Fn(Error) -> Failure {
        |error| Failure {
            may_pass: may_pass(&error),
            error: side.explain(error),
        }
    }
}

/// One side's range, as the workers have it.
struct Work {
    source: Endpoint,
    target: Endpoint,
    progress: Progress,
}

/// Copies the ranges that are not copied yet, `parallel` at a time.
pub(super) async fn copy(
    source: &Endpoint,
    target: &Endpoint,
    job: &mut Job,
    parallel: u8,
) -> anyhow::Result<()> {
    let begun = job.resumed;
    let ranges = job.take(|range| range.content.is_none());
    let work = Work::new("copied", source, target, &ranges);
    let done = each(ranges, parallel, &work, move |work, range| async move {
        copy_patiently(&work, range, begun).await
    });
    job.put_back(done.await?);
    work.progress.finish();
    Ok(())
}

/// Reads back the ranges that are not compared yet, `parallel` at a time.
pub(super) async fn verify(
    source: &Endpoint,
    target: &Endpoint,
    job: &mut Job,
    parallel: u8,
) -> anyhow::Result<()> {
    let ranges = job.take(|range| !range.verified);
    let work = Work::new("verified", source, target, &ranges);
    let done = each(ranges, parallel, &work, |work, range| async move {
        compare(&work, range).await
    });
    job.put_back(done.await?);
    work.progress.finish();
    Ok(())
}

impl Work {
    fn new(
        what: &'static str,
        source: &Endpoint,
        target: &Endpoint,
        ranges: &[Range],
    ) -> Arc<Work> {
        let bytes = ranges.iter().map(Range::bytes).sum();
        Arc::new(Work {
            source: source.clone(),
            target: target.clone(),
            progress: Progress::start(what, bytes),
        })
    }
}

/// Does `task` for each range, each a task of its own so that they use more than one core.
async fn each<F>(
    ranges: Vec<Range>,
    parallel: u8,
    work: &Arc<Work>,
    task: impl Fn(Arc<Work>, Range) -> F,
) -> anyhow::Result<Vec<Range>>
where
    F: Future<Output = anyhow::Result<Range>> + Send + 'static,
{
    stream::iter(ranges)
        .map(|range| tokio::spawn(task(Arc::clone(work), range)))
        .buffer_unordered(parallel.into())
        .map(|ended| ended?)
        .try_collect()
        .await
}

async fn copy_patiently(work: &Work, mut range: Range, begun: bool) -> anyhow::Result<Range> {
    let mut attempt = 1;
    loop {
        let mut content = Content::default();
        match copy_range(work, &mut range, begun || attempt > 1, &mut content).await {
            Ok(()) => return Ok(range),
            Err(failure) if failure.may_pass && attempt < ATTEMPTS => {
                work.progress.take_back(content.documents, content.bytes);
                attempt += 1;
                tokio::time::sleep(PAUSE).await;
            }
            Err(failure) => return Err(failure.error),
        }
    }
}

async fn copy_range(
    work: &Work,
    range: &mut Range,
    begun: bool,
    content: &mut Content,
) -> Result<(), Failure> {
    let Work {
        source,
        target,
        progress,
    } = work;
    let collection = range.id.collection.clone();
    if begun {
        // An attempt before this one may have written some of it, of what the source had then.
        clear(target, range).await?;
    }
    let mut cursor = open(source, range).await.map_err(Failure::on(source))?;
    let mut batch = cursor
        .next()
        .await
        .transpose()
        .map_err(Failure::on(source))?;
    while let Some(read) = batch {
        // The next batch is on its way while this one is written.
        let (written, next) = tokio::join!(insert(target, &collection, &read), cursor.next());
        written?;
        let before = *content;
        count(&read, content).map_err(Failure::on(source))?;
        progress.add(
            content.documents - before.documents,
            content.bytes - before.bytes,
        );
        batch = next.transpose().map_err(Failure::on(source))?;
    }
    range.content = Some(*content);
    range.save(target).await.map_err(Failure::on(target))
}

/// Compares what the project has with what was read from the source.
async fn compare(work: &Work, mut range: Range) -> anyhow::Result<Range> {
    let target = &work.target;
    let explain = |error| target.explain(error);
    let mut found = Content::default();
    let mut cursor = open(target, &range).await.map_err(explain)?;
    while let Some(batch) = cursor.next().await.transpose().map_err(explain)? {
        let before = found;
        count(&batch, &mut found).map_err(explain)?;
        work.progress.add(
            found.documents - before.documents,
            found.bytes - before.bytes,
        );
    }
    let read = range.content.unwrap_or_default();
    range.verified = found == read;
    if !range.verified {
        // The next run copies it again.
        range.content = None;
    }
    range.save(target).await.map_err(explain)?;
    anyhow::ensure!(
        range.verified,
        "{}: {} documents with hash {:032x} were read from the source, but the project has {} with hash {:032x}: does \
         somebody else write to it? Running the same command again copies these documents once more",
        range.id.collection,
        read.documents,
        read.hash,
        found.documents,
        found.hash
    );
    Ok(range)
}

/// The documents of a range.
async fn open(side: &Endpoint, range: &Range) -> Result<RawBatchCursor, Error> {
    let mut options = bounded(range);
    options.batch_size = Some(BATCH_DOCUMENTS);
    options.no_cursor_timeout = Some(true);
    let collection = side.collection::<RawDocumentBuf>(&range.id.collection);
    collection.find(doc! {}).with_options(options).batch().await
}

/// Bounds of the index, not a filter: they reach over values of all types, in the collection's own order.
fn bounded(range: &Range) -> FindOptions {
    let mut options = FindOptions::default();
    if range.min.is_some() || range.max.is_some() {
        options.hint = Some(Hint::Keys(doc! { "_id": 1 }));
    }
    options.min.clone_from(&range.min);
    options.max.clone_from(&range.max);
    options
}

fn count(batch: &RawBatch, content: &mut Content) -> Result<(), Error> {
    for document in batch.doc_slices()? {
        if let Some(document) = document?.as_document() {
            content.add(document);
        }
    }
    Ok(())
}

/// Writes a batch as it came: the array of one reply is the array of one command.
async fn insert(target: &Endpoint, collection: &str, batch: &RawBatch) -> Result<(), Failure> {
    let documents = batch.doc_slices().map_err(Failure::on(target))?;
    if documents.is_empty() {
        return Ok(());
    }
    let mut command = rawdoc! {
        "insert": collection,
        "ordered": false,
        // A rule may be younger than the documents, which are what they are.
        "bypassDocumentValidation": true,
    };
    command.append(cstr!("documents"), documents);
    let reply = target.run_raw(command).await.map_err(Failure::on(target))?;
    let first = reply
        .get_array("writeErrors")
        .ok()
        .and_then(|errors| errors.first());
    match first.and_then(|error| error.as_document()) {
        None => Ok(()),
        Some(error) => Err(Failure {
            may_pass: false,
            error: anyhow!(
                "{collection}: Argon does not take a document: {}",
                error.get_str("errmsg").unwrap_or("it does not say why")
            ),
        }),
    }
}

/// Deletes what the project has of a range.
async fn clear(target: &Endpoint, range: &Range) -> Result<(), Failure> {
    let name = &range.id.collection;
    loop {
        let mut options = bounded(range);
        options.projection = Some(doc! { "_id": 1 });
        options.limit = Some(CLEAR_DOCUMENTS);
        let found = target
            .collection::<Document>(name)
            .find(doc! {})
            .with_options(options)
            .await;
        let found = found.map_err(Failure::on(target))?;
        let found: Vec<Document> = found.try_collect().await.map_err(Failure::on(target))?;
        if found.is_empty() {
            return Ok(());
        }
        let ids: Vec<_> = found
            .into_iter()
            .filter_map(|mut document| document.remove("_id"))
            .collect();
        let delete = doc! { "q": { "_id": { "$in": ids } }, "limit": 0 };
        let command = doc! { "delete": name, "deletes": [delete] };
        target.run(command).await.map_err(Failure::on(target))?;
    }
}
