//! `argon import`: makes a project out of a database of an existing MongoDB, through the wire on both sides.
//!
//! First everything that has no documents is made: collections, views, and each index once for trying, so that what
//! Argon cannot take is said before hours of copying. Then documents are copied in ranges of `_id`, several at a time,
//! read back and compared with what was read from the source, and then the indexes are made.
//!
//! What was done is kept in the project itself, in [`job::COLLECTION`]: the same store that has the documents, in the
//! same order, so it can neither run ahead of them nor get lost beside them, and the command can be run again from any
//! machine. The collection goes when the import is complete; while it is there the project is unfinished.

mod catalog;
mod content;
mod endpoint;
mod job;
mod progress;
mod transfer;

use anyhow::Context;
use bson::doc;
use clap::builder::NonEmptyStringValueParser;

use super::table;
use catalog::Definition;
use endpoint::Endpoint;
use job::Job;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The MongoDB to import from: its connection string
    #[arg(
        long,
        env = "ARGON_SOURCE_URI",
        value_name = "URI",
        hide_env_values = true
    )]
    uri: String,
    /// The database to import [default: the one in the connection string]
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    database: Option<String>,
    /// Argon's connection string
    #[arg(
        long,
        env = "ARGON_URI",
        default_value = "mongodb://127.0.0.1:27018",
        value_name = "URI",
        hide_env_values = true
    )]
    to: String,
    /// The project to make [default: the database's name]
    #[arg(long, short, env = "ARGON_PROJECT", value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    project: Option<String>,
    /// How many ranges of documents to copy at a time
    #[arg(long, default_value_t = 4, value_name = "NUMBER", value_parser = clap::value_parser!(u8).range(1..=64))]
    parallel: u8,
    /// Leave out what Argon does not support, and say so, in place of importing nothing
    #[arg(long)]
    skip_unsupported: bool,
}

pub(super) fn run(args: Args) -> anyhow::Result<()> {
    // Copying is work for more than one core: reading, hashing, and writing.
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(import(args))
}

async fn import(args: Args) -> anyhow::Result<()> {
    let source = Endpoint::connect("the source", &args.uri, args.database.as_deref()).await?;
    let project = args
        .project
        .unwrap_or_else(|| source.database.name().to_owned());
    let target = Endpoint::connect("Argon", &args.to, Some(&project)).await?;
    target.check_is_argon().await?;
    let made = target.make_project().await?;

    let mut job = match Job::find(&source, &target).await? {
        Some(job) => {
            progress::note(&format!(
                "going on with the import of {project} where it stopped"
            ));
            job
        }
        None => match plan(&source, &target, args.skip_unsupported).await {
            Ok(job) => job,
            Err(error) => {
                if made {
                    target.give_up_project().await?;
                }
                return Err(error);
            }
        },
    };
    transfer::copy(&source, &target, &mut job, args.parallel).await?;
    transfer::verify(&source, &target, &mut job, args.parallel).await?;
    create_indexes(&target, &job).await?;
    let report = report(&source, &target, &job).await?;
    job.finish(&target).await?;
    for line in report {
        table::print_line(&line)?;
    }
    Ok(())
}

/// Makes everything but documents and indexes, and writes down what is to be done.
async fn plan(source: &Endpoint, target: &Endpoint, skip: bool) -> anyhow::Result<Job> {
    let (definitions, mut refused) = catalog::read(source).await?;
    let job = Job::begin(source, target).await?;
    let mut taken = Vec::new();
    for definition in definitions {
        match create(target, definition).await? {
            (Some(definition), mut why) => {
                taken.push(definition);
                refused.append(&mut why);
            }
            (None, mut why) => refused.append(&mut why),
        }
    }
    for why in &refused {
        progress::note(&format!("not supported: {why}"));
    }
    if !refused.is_empty() && !skip {
        job.withdraw(target).await?;
        anyhow::bail!(
            "nothing was imported, because Argon does not support all of it; --skip-unsupported imports the rest"
        );
    }
    job.plan(source, target, taken, refused).await
}

/// Makes a collection or view, and tries its indexes. What is left of it, and what Argon refused.
async fn create(
    target: &Endpoint,
    mut definition: Definition,
) -> anyhow::Result<(Option<Definition>, Vec<String>)> {
    let mut refused = Vec::new();
    let name = definition.name.clone();
    let mut command = doc! { "create": &name };
    command.extend(definition.options.clone());
    if let Err(error) = target.run(command).await {
        let why = endpoint::refusal(error)
            .with_context(|| format!("cannot create the collection {name}"))?;
        return Ok((None, vec![format!("{name}: {why}")]));
    }
    // One by one, so that each is told of; on an empty collection it costs nothing.
    let indexes = std::mem::take(&mut definition.indexes);
    for index in indexes {
        match target
            .run(catalog::create_indexes(&name, std::slice::from_ref(&index)))
            .await
        {
            Ok(_) => definition.indexes.push(index),
            Err(error) => {
                let called = index.get_str("name").unwrap_or_default();
                let why = endpoint::refusal(error)
                    .with_context(|| format!("cannot create the index {called} of {name}"))?;
                refused.push(format!("{name}, index {called}: {why}"));
            }
        }
    }
    if !definition.indexes.is_empty() {
        // Documents come in faster without them, and are all there when it is about what is unique.
        let drop = doc! { "dropIndexes": &name, "index": "*" };
        target
            .run(drop)
            .await
            .map_err(|error| target.explain(error))?;
    }
    Ok((Some(definition), refused))
}

async fn create_indexes(target: &Endpoint, job: &Job) -> anyhow::Result<()> {
    for collection in job
        .collections
        .iter()
        .filter(|collection| !collection.indexes.is_empty())
    {
        let name = &collection.name;
        target
            .run(catalog::create_indexes(name, &collection.indexes))
            .await
            .map_err(|error| target.explain(error))
            .with_context(|| format!("cannot create the indexes of {name}"))?;
    }
    Ok(())
}

/// Compares definitions and numbers on both sides; says what was imported.
async fn report(source: &Endpoint, target: &Endpoint, job: &Job) -> anyhow::Result<Vec<String>> {
    let mut lines = Vec::new();
    let mut differences = Vec::new();
    let (mut documents, mut bytes, mut indexes, mut views) = (0, 0, 0, 0);
    let (here, _) = catalog::read(target).await?;
    for collection in &job.collections {
        let found = here
            .iter()
            .find(|definition| definition.name == collection.name);
        differences.extend(catalog::differences(collection, found));
        if collection.is_view {
            views += 1;
            continue;
        }
        let content = job.content(&collection.name);
        let held = target.count(&collection.name).await?;
        anyhow::ensure!(
            held == content.documents,
            "{}: {} documents were copied and verified, but {held} are there: somebody else writes to the project",
            collection.name,
            content.documents
        );
        if source.count(&collection.name).await? != content.documents {
            differences.push(format!(
                "{}: the source has changed since it was read; what was read is what was imported",
                collection.name
            ));
        }
        documents += content.documents;
        bytes += content.bytes;
        indexes += collection.indexes.len() + 1;
        lines.push(format!(
            "{}: {} documents, hash {:032x}",
            collection.name, content.documents, content.hash
        ));
    }
    lines.extend(job.refused.iter().map(|why| format!("left out: {why}")));
    lines.extend(differences.into_iter().map(|what| format!("note: {what}")));
    lines.push(format!(
        "imported {} as project {}: {} collections, {views} views, {indexes} indexes, {documents} documents, {}, all verified",
        source.database.name(),
        target.database.name(),
        job.collections.len() - views,
        indicatif::BinaryBytes(bytes),
    ));
    Ok(lines)
}
