//! Commands that one upstream command cannot answer for a branch: of a database shared with others it would say too much.

use argon_mql::Doc;
use argon_prefix::stats::Totals;
use argon_prefix::{Names, listing};
use argon_upstream::Upstream;
use bson::rawdoc;
use bytes::Bytes;

use super::{documents, run};
use crate::error::Result;

/// Where MongoDB keeps the definitions of a database's views.
const VIEWS: &str = "system.views";

/// A collection of the branch.
struct Own {
    /// Its name in the upstream.
    name: String,
    is_view: bool,
    /// As `listCollections` shows it to the client.
    shown: Bytes,
}

/// The branch's collections, without those of the upstream itself.
async fn own(upstream: &Upstream, names: &Names) -> Result<Vec<Own>> {
    Ok(list(upstream, names)
        .await?
        .into_iter()
        .filter(|own| !listing::is_internal(own.name.as_bytes()))
        .collect())
}

async fn list(upstream: &Upstream, names: &Names) -> Result<Vec<Own>> {
    let command = rawdoc! { "listCollections": 1, "filter": listing::filter(names) };
    let all = documents(upstream, names.upstream(), command).await?;
    let own = all.iter().filter_map(|item| {
        let shown = listing::listed(names, item)?;
        Some(Own {
            name: text(Doc::new(item), "name")?.to_owned(),
            is_view: text(Doc::new(item), "type") == Some("view"),
            shown,
        })
    });
    Ok(own.collect())
}

/// The branch's collections as `listCollections` shows them, by the client's names.
///
/// `system.views` has the views of all branches; it is shown to those that have any, as a database of their own would.
pub(crate) async fn list_collections(upstream: &Upstream, names: &Names) -> Result<Vec<Bytes>> {
    let list = list(upstream, names).await?;
    let has_views = list.iter().any(|own| own.is_view);
    let hidden = |own: &Own| own.name == VIEWS && !has_views && !names.is_transparent();
    Ok(list
        .into_iter()
        .filter(|own| !hidden(own))
        .map(|own| own.shown)
        .collect())
}

/// `dbStats` of the branch alone.
pub(crate) async fn db_stats(
    upstream: &Upstream,
    names: &Names,
    scale: f64,
    free_storage: bool,
) -> Result<Bytes> {
    let whole = run(
        upstream,
        names.upstream(),
        rawdoc! { "dbStats": 1, "freeStorage": i32::from(free_storage) },
    )
    .await?;
    let mut totals = Totals::default();
    for own in own(upstream, names).await? {
        if own.is_view {
            totals.add_view();
        } else {
            let stats = rawdoc! { "collStats": own.name };
            totals.add_collection(run(upstream, names.upstream(), stats).await?.as_bytes());
        }
    }
    let mut reply = whole;
    // The server appends its own.
    for field in ["ok", "$clusterTime", "operationTime"] {
        reply = without(&reply, field);
    }
    Ok(totals.reply(names, reply.as_bytes(), scale))
}

/// Drops what the branch has, and nothing of others.
///
/// Views go first, so that none is left over what is gone if this ends half-way.
pub(crate) async fn drop_database(upstream: &Upstream, names: &Names) -> Result<()> {
    let own = own(upstream, names).await?;
    let views = own.iter().filter(|own| own.is_view);
    let collections = own.iter().filter(|own| !own.is_view);
    for own in views.chain(collections) {
        drop_collection(upstream, names.upstream(), &own.name).await?;
    }
    Ok(())
}

/// Drops a collection of the upstream; one that is not there is dropped already.
pub(super) async fn drop_collection(upstream: &Upstream, database: &str, name: &str) -> Result<()> {
    let command = rawdoc! { "drop": name, "writeConcern": { "w": "majority" } };
    match run(upstream, database, command).await {
        Err(error) if error.code != argon_mql::ErrorCode::NamespaceNotFound => Err(error),
        _ => Ok(()),
    }
}

fn text<'a>(doc: Doc<'a>, field: &str) -> Option<&'a str> {
    doc.get(field).and_then(|value| value.as_str())
}

fn without(doc: &bson::RawDocument, field: &str) -> bson::RawDocumentBuf {
    let mut out = argon_mql::DocBuf::new();
    for element in Doc::new(doc.as_bytes()).iter() {
        if element.key() != field {
            out.append_element(&element);
        }
    }
    bson::RawDocumentBuf::from_bytes(out.finish().to_vec()).unwrap_or_default()
}
