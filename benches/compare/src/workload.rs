//! What is measured: a row of the table each.

use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Result, ensure};
use argon_testkit::client::{Client, is_ok};
use bson::{RawDocument, RawDocumentBuf, rawdoc};

use crate::servers::{Layout, Side};

/// One step on one connection: how many operations it was.
pub(crate) type Step = Box<dyn FnMut(&mut Client) -> Result<u64>>;

/// One measurement.
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) connections: usize,
    /// The ratio to reach: issue and DESIGN.md section 9.
    pub(crate) target: f64,
    /// Whether it is measured on a large collection too.
    pub(crate) large: bool,
    /// Whether it is measured with a MongoDB behind Argon too.
    pub(crate) upstream: bool,
    /// Makes the step of one connection in one round: server, documents loaded, connection, round.
    pub(crate) prepare: fn(&Side, usize, usize, usize) -> Step,
}

impl Workload {
    /// The ratio to reach in `layout`: DESIGN.md, section 9.
    pub(crate) fn target_in(&self, layout: Layout) -> f64 {
        let writes = self.name.contains("durable") || self.name.contains("bulk");
        match layout {
            Layout::Beside => self.target,
            Layout::LogInside if writes => 0.8,
            Layout::LogInside => 2.0,
            Layout::PassThrough => 0.9,
        }
    }
}

/// Every measurement.
pub(crate) const ALL: &[Workload] = &[
    Workload {
        name: "find by _id",
        unit: "ops/s",
        connections: 1,
        target: 2.0,
        large: false,
        upstream: true,
        prepare: find_by_id,
    },
    Workload {
        name: "find by _id, 8 connections",
        unit: "ops/s",
        connections: 8,
        target: 2.0,
        large: false,
        upstream: true,
        prepare: find_by_id,
    },
    Workload {
        name: "find by _id, 64 connections",
        unit: "ops/s",
        connections: 64,
        target: 2.0,
        large: false,
        upstream: true,
        prepare: find_by_id,
    },
    Workload {
        name: "indexed find, 10 documents",
        unit: "ops/s",
        connections: 1,
        target: 2.0,
        large: false,
        upstream: true,
        prepare: indexed_find,
    },
    Workload {
        name: "indexed range, sorted, 100 documents",
        unit: "ops/s",
        connections: 1,
        target: 2.0,
        large: true,
        upstream: false,
        prepare: indexed_range,
    },
    Workload {
        name: "whole-collection filter",
        unit: "ops/s",
        connections: 1,
        target: 2.0,
        large: true,
        upstream: false,
        prepare: filter,
    },
    Workload {
        name: "whole-collection read",
        unit: "ops/s",
        connections: 1,
        target: 2.0,
        large: false,
        upstream: false,
        prepare: read_all,
    },
    Workload {
        name: "group by",
        unit: "ops/s",
        connections: 1,
        target: 2.0,
        large: true,
        upstream: false,
        prepare: group,
    },
    Workload {
        name: "sort + limit",
        unit: "ops/s",
        connections: 1,
        target: 2.0,
        large: true,
        upstream: false,
        prepare: sort_limit,
    },
    Workload {
        name: "distinct",
        unit: "ops/s",
        connections: 1,
        target: 2.0,
        large: true,
        upstream: false,
        prepare: distinct,
    },
    Workload {
        name: "lookup, 1,000 documents",
        unit: "ops/s",
        connections: 1,
        target: 2.0,
        large: true,
        upstream: false,
        prepare: lookup,
    },
    Workload {
        name: "unwind + group",
        unit: "ops/s",
        connections: 1,
        target: 2.0,
        large: false,
        upstream: false,
        prepare: unwind_group,
    },
    Workload {
        name: "project, then match",
        unit: "ops/s",
        connections: 1,
        target: 2.0,
        large: false,
        upstream: false,
        prepare: project_match,
    },
    Workload {
        name: "add fields, then match",
        unit: "ops/s",
        connections: 1,
        target: 2.0,
        large: false,
        upstream: false,
        prepare: add_fields_match,
    },
    Workload {
        name: "lookup without an index, 100 documents",
        unit: "ops/s",
        connections: 1,
        target: 2.0,
        large: false,
        upstream: false,
        prepare: lookup_unindexed,
    },
    Workload {
        name: "single insert, durable",
        unit: "ops/s",
        connections: 1,
        target: 1.5,
        large: false,
        upstream: true,
        prepare: insert,
    },
    Workload {
        name: "single insert, durable, 8 connections",
        unit: "ops/s",
        connections: 8,
        target: 1.5,
        large: false,
        upstream: true,
        prepare: insert,
    },
    Workload {
        name: "single insert, durable, 64 connections",
        unit: "ops/s",
        connections: 64,
        target: 1.5,
        large: false,
        upstream: true,
        prepare: insert,
    },
    Workload {
        name: "update by _id, durable",
        unit: "ops/s",
        connections: 1,
        target: 1.5,
        large: false,
        upstream: true,
        prepare: update,
    },
    Workload {
        name: "update by _id, durable, 8 connections",
        unit: "ops/s",
        connections: 8,
        target: 1.5,
        large: false,
        upstream: true,
        prepare: update,
    },
    Workload {
        name: "bulk load, batches of 1,000",
        unit: "documents/s",
        connections: 1,
        target: 1.0,
        large: false,
        upstream: true,
        prepare: bulk,
    },
    Workload {
        name: "bulk load, batches of 1,000, 8 connections",
        unit: "documents/s",
        connections: 8,
        target: 1.0,
        large: false,
        upstream: true,
        prepare: bulk,
    },
];

/// Groups that the documents fall into: ten documents each at the default size.
const GROUP: usize = 10;

/// Document `id` of the collection: about 500 bytes, of the kinds of field that applications have.
pub(crate) fn document(id: usize) -> RawDocumentBuf {
    let number = i32::try_from(id).unwrap_or(i32::MAX);
    rawdoc! {
        "_id": number,
        "group": number / i32::try_from(GROUP).unwrap_or(1),
        "rank": (number.wrapping_mul(7919)).rem_euclid(10_000),
        "name": format!("customer number {id}"),
        "email": format!("customer{id}@example.com"),
        "active": id.is_multiple_of(3),
        "balance": f64::from(number) * 1.25,
        "address": { "street": "1, Example Street", "city": format!("city {}", id % 97), "zip": "00100" },
        "tags": ["alpha", "beta", "gamma"],
        "note": "x".repeat(180),
    }
}

/// Loads `count` documents into collection `c` of the side's database.
pub(crate) fn load(side: &Side, count: usize) -> Result<()> {
    let mut client = side.connect()?;
    let ids: Vec<usize> = (0..count).collect();
    for batch in ids.chunks(1_000) {
        let documents: Vec<RawDocumentBuf> = batch.iter().map(|id| document(*id)).collect();
        let reply = client.call(
            side.database,
            &rawdoc! { "insert": "c" },
            Some(("documents", &documents)),
        )?;
        check_n(reply, batch.len())?;
    }
    Ok(())
}

/// Makes the indexes that the measurements use.
pub(crate) fn index(side: &Side) -> Result<()> {
    let indexes = rawdoc! { "createIndexes": "c", "indexes": [
        { "key": { "group": 1 }, "name": "group_1" },
        { "key": { "email": 1 }, "name": "email_1" },
    ] };
    side.connect()?.run_ok(side.database, &indexes)?;
    Ok(())
}

/// Pseudo-random numbers, the same for both servers.
struct Random(u64);

impl Random {
    fn new(connection: usize, round: usize) -> Random {
        Random((connection as u64 + 1) * 0x9E37_79B9_7F4A_7C15 + round as u64)
    }

    fn below(&mut self, bound: usize) -> i32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let bound = u64::try_from(bound.max(1)).unwrap_or(1);
        i32::try_from(self.0 % bound).unwrap_or(0)
    }
}

fn check_batch(reply: &RawDocument, expected: impl FnOnce(usize) -> bool) -> Result<()> {
    let cursor = reply.get_document("cursor")?;
    let found = cursor.get_array("firstBatch")?.into_iter().count();
    ensure!(expected(found), "unexpected number of documents: {found}");
    Ok(())
}

fn check_n(reply: &RawDocument, expected: usize) -> Result<()> {
    ensure!(is_ok(reply), "failed: {reply:?}");
    ensure!(
        reply.get_i32("n")? == i32::try_from(expected)?,
        "not all done: {reply:?}"
    );
    Ok(())
}

fn find_by_id(side: &Side, documents: usize, connection: usize, round: usize) -> Step {
    let database = side.database;
    let mut random = Random::new(connection, round);
    Box::new(move |client| {
        let command = rawdoc! { "find": "c", "filter": { "_id": random.below(documents) }, "limit": 1, "singleBatch": true };
        check_batch(client.call(database, &command, None)?, |found| found == 1)?;
        Ok(1)
    })
}

fn indexed_find(side: &Side, documents: usize, connection: usize, round: usize) -> Step {
    let database = side.database;
    let mut random = Random::new(connection, round);
    Box::new(move |client| {
        let command =
            rawdoc! { "find": "c", "filter": { "group": random.below(documents / GROUP) } };
        check_batch(client.call(database, &command, None)?, |found| {
            found == GROUP
        })?;
        Ok(1)
    })
}

fn indexed_range(side: &Side, documents: usize, connection: usize, round: usize) -> Step {
    let database = side.database;
    let mut random = Random::new(connection, round);
    Box::new(move |client| {
        let from = random.below(documents / GROUP - 20);
        let command = rawdoc! { "find": "c", "filter": { "group": { "$gte": from, "$lt": from + 10 } }, "sort": { "group": 1 } };
        check_batch(client.call(database, &command, None)?, |found| found == 100)?;
        Ok(1)
    })
}

fn filter(side: &Side, documents: usize, connection: usize, round: usize) -> Step {
    let database = side.database;
    let mut random = Random::new(connection, round);
    Box::new(move |client| {
        let rank = random.below(10_000);
        let command = rawdoc! { "find": "c", "filter": { "rank": rank, "active": true } };
        check_batch(client.call(database, &command, None)?, |found| {
            found <= documents
        })?;
        Ok(1)
    })
}

fn read_all(side: &Side, documents: usize, _: usize, _: usize) -> Step {
    let database = side.database;
    Box::new(move |client| {
        let command = rawdoc! { "find": "c", "projection": { "rank": 1 }, "batchSize": 1_000_000 };
        check_batch(client.call(database, &command, None)?, |found| {
            found == documents
        })?;
        Ok(1)
    })
}

fn group(side: &Side, _: usize, _: usize, _: usize) -> Step {
    let database = side.database;
    let command = rawdoc! { "aggregate": "c", "cursor": {}, "pipeline": [
        { "$group": { "_id": "$address.city", "n": { "$sum": 1 }, "balance": { "$avg": "$balance" } } },
    ] };
    Box::new(move |client| {
        check_batch(client.call(database, &command, None)?, |found| found == 97)?;
        Ok(1)
    })
}

fn sort_limit(side: &Side, _: usize, _: usize, _: usize) -> Step {
    let database = side.database;
    let command = rawdoc! { "find": "c", "sort": { "rank": -1, "_id": 1 }, "limit": 20 };
    Box::new(move |client| {
        check_batch(client.call(database, &command, None)?, |found| found == 20)?;
        Ok(1)
    })
}

fn distinct(side: &Side, _: usize, _: usize, _: usize) -> Step {
    let database = side.database;
    let command = rawdoc! { "distinct": "c", "key": "address.city" };
    Box::new(move |client| {
        let reply = client.call(database, &command, None)?;
        ensure!(
            reply.get_array("values")?.into_iter().count() == 97,
            "wrong values"
        );
        Ok(1)
    })
}

fn lookup(side: &Side, _: usize, _: usize, _: usize) -> Step {
    let database = side.database;
    let command = rawdoc! { "aggregate": "c", "cursor": { "batchSize": 2_000 }, "pipeline": [
        { "$match": { "group": { "$lt": 100 } } },
        { "$lookup": { "from": "c", "localField": "rank", "foreignField": "_id", "as": "other" } },
        { "$project": { "n": { "$size": "$other" } } },
    ] };
    Box::new(move |client| {
        check_batch(client.call(database, &command, None)?, |found| {
            found == 1_000
        })?;
        Ok(1)
    })
}

fn unwind_group(side: &Side, _: usize, _: usize, _: usize) -> Step {
    let database = side.database;
    let command = rawdoc! { "aggregate": "c", "cursor": {}, "pipeline": [
        { "$unwind": "$tags" },
        { "$group": { "_id": "$tags", "n": { "$sum": 1 }, "balance": { "$max": "$balance" } } },
    ] };
    Box::new(move |client| {
        check_batch(client.call(database, &command, None)?, |found| found == 3)?;
        Ok(1)
    })
}

fn project_match(side: &Side, documents: usize, connection: usize, round: usize) -> Step {
    let database = side.database;
    let mut random = Random::new(connection, round);
    Box::new(move |client| {
        let command = rawdoc! { "aggregate": "c", "cursor": {}, "pipeline": [
            { "$project": { "name": 1, "twice": { "$multiply": ["$rank", 2] } } },
            { "$match": { "twice": 2 * random.below(10_000) } },
        ] };
        check_batch(client.call(database, &command, None)?, |found| {
            found <= documents
        })?;
        Ok(1)
    })
}

fn add_fields_match(side: &Side, documents: usize, connection: usize, round: usize) -> Step {
    let database = side.database;
    let mut random = Random::new(connection, round);
    Box::new(move |client| {
        let command = rawdoc! { "aggregate": "c", "cursor": {}, "pipeline": [
            { "$addFields": { "twice": { "$multiply": ["$rank", 2] } } },
            { "$match": { "twice": 2 * random.below(10_000) } },
        ] };
        check_batch(client.call(database, &command, None)?, |found| {
            found <= documents
        })?;
        Ok(1)
    })
}

fn lookup_unindexed(side: &Side, _: usize, _: usize, _: usize) -> Step {
    let database = side.database;
    let command = rawdoc! { "aggregate": "c", "cursor": { "batchSize": 2_000 }, "pipeline": [
        { "$match": { "group": { "$lt": 10 } } },
        { "$lookup": { "from": "c", "localField": "rank", "foreignField": "rank", "as": "other" } },
        { "$project": { "n": { "$size": "$other" } } },
    ] };
    Box::new(move |client| {
        check_batch(client.call(database, &command, None)?, |found| found == 100)?;
        Ok(1)
    })
}

/// The first of a million ids that no other connection or round inserts.
fn unused_ids() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed) * 1_000_000
}

fn insert(side: &Side, _: usize, _: usize, _: usize) -> Step {
    let database = side.database;
    let command = side.durable(rawdoc! { "insert": "inserted" });
    let mut next = unused_ids();
    Box::new(move |client| {
        let mut document = rawdoc! { "_id": i64::try_from(next)? };
        next += 1;
        for element in self::document(next % 1_000_000).iter().skip(1) {
            let (key, value) = element?;
            document.append(key, value);
        }
        check_n(
            client.call(database, &command, Some(("documents", &[document])))?,
            1,
        )?;
        Ok(1)
    })
}

fn update(side: &Side, documents: usize, connection: usize, round: usize) -> Step {
    let database = side.database;
    let mut random = Random::new(connection, round);
    let command = side.durable(rawdoc! { "update": "c" });
    Box::new(move |client| {
        let statement =
            rawdoc! { "q": { "_id": random.below(documents) }, "u": { "$inc": { "visits": 1 } } };
        check_n(
            client.call(database, &command, Some(("updates", &[statement])))?,
            1,
        )?;
        Ok(1)
    })
}

fn bulk(side: &Side, _: usize, _: usize, _: usize) -> Step {
    let database = side.database;
    let command = side.durable(rawdoc! { "insert": "bulk", "ordered": true });
    let mut next = unused_ids();
    // Made beforehand: making a document takes the client a third as long as inserting it takes a server.
    let mut documents: Vec<RawDocumentBuf> = (0..1_000).map(document).collect();
    Box::new(move |client| {
        for document in &mut documents {
            renumber(document, next)?;
            next += 1;
        }
        check_n(
            client.call(database, &command, Some(("documents", &documents)))?,
            1_000,
        )?;
        Ok(1_000)
    })
}

/// Gives a document of [`document`] another `_id`, of the same length.
fn renumber(document: &mut RawDocumentBuf, id: usize) -> Result<()> {
    const ID_AT: usize = 4 + 1 + "_id\0".len();
    let mut bytes = std::mem::take(document).into_bytes();
    bytes[ID_AT..ID_AT + 4].copy_from_slice(&i32::try_from(id)?.to_le_bytes());
    *document = RawDocumentBuf::from_bytes(bytes)?;
    Ok(())
}
