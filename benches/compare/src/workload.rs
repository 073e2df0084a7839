//! What is measured: a row of the table each.

use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Result, ensure};
use argon_testkit::client::{Client, is_ok};
use bson::{RawDocument, RawDocumentBuf, rawdoc};

use crate::servers::{Layout, Side};

/// One step on one connection: how many operations it was.
pub(crate) type Step = Box<dyn FnMut(&mut Client) -> Result<u64>>;

/// A measurement, which makes a row of the table for each number of connections.
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    kind: Kind,
    /// The ratio to reach beside mongod: DESIGN.md, section 9.
    target: f64,
    /// Whether it is measured on a large collection too.
    pub(crate) large: bool,
    /// At how many connections it is measured beside mongod.
    beside: &'static [usize],
    /// The same in front of a mongod.
    in_front: &'static [usize],
    /// Makes the step of one connection in one round: server, documents loaded, connection, round.
    pub(crate) prepare: Prepare,
}

type Prepare = fn(&Side, usize, usize, usize) -> Step;

#[derive(Clone, Copy)]
enum Kind {
    Read,
    Write,
}

/// Every measurement.
pub(crate) const ALL: &[Workload] = &[
    read("find by _id", find_by_id).beside(MANY).in_front(MANY),
    read("indexed find, 10 documents", indexed_find).in_front(ONE),
    read("indexed range, sorted, 100 documents", indexed_range)
        .in_front(MANY)
        .large(),
    read("whole-collection filter", filter).large(),
    read("whole-collection read", read_all),
    read("group by", group).large(),
    read("sort + limit", sort_limit).large(),
    read("distinct", distinct).large(),
    read("lookup, 1,000 documents", lookup).large(),
    read("unwind + group", unwind_group),
    read("project, then match", project_match),
    read("add fields, then match", add_fields_match),
    read("lookup without an index, 100 documents", lookup_unindexed),
    write("single insert, durable", 1.5, insert)
        .beside(MANY)
        .in_front(MANY),
    write("update by _id, durable", 1.5, update)
        .beside(&[1, 8])
        .in_front(MANY),
    write("bulk load, batches of 1,000", 1.0, bulk)
        .unit("documents/s")
        .beside(&[1, 8])
        .in_front(MANY),
];

const ONE: &[usize] = &[1];
const MANY: &[usize] = &[1, 8, 64];

const fn read(name: &'static str, prepare: Prepare) -> Workload {
    Workload {
        name,
        unit: "ops/s",
        kind: Kind::Read,
        target: 2.0,
        large: false,
        beside: ONE,
        in_front: &[],
        prepare,
    }
}

const fn write(name: &'static str, target: f64, prepare: Prepare) -> Workload {
    Workload {
        kind: Kind::Write,
        target,
        ..read(name, prepare)
    }
}

impl Workload {
    const fn beside(self, connections: &'static [usize]) -> Workload {
        Workload {
            beside: connections,
            ..self
        }
    }

    const fn in_front(self, connections: &'static [usize]) -> Workload {
        Workload {
            in_front: connections,
            ..self
        }
    }

    const fn large(self) -> Workload {
        Workload {
            large: true,
            ..self
        }
    }

    const fn unit(self, unit: &'static str) -> Workload {
        Workload { unit, ..self }
    }

    /// At how many connections it is measured in `layout`.
    pub(crate) fn connections(&self, layout: Layout) -> &'static [usize] {
        match layout {
            Layout::Beside => self.beside,
            Layout::LogInside | Layout::PassThrough | Layout::Prefix => self.in_front,
        }
    }

    /// The ratio to reach in `layout`: DESIGN.md, section 9.
    pub(crate) fn target_in(&self, layout: Layout) -> f64 {
        match (layout, self.kind) {
            (Layout::Beside, _) => self.target,
            (Layout::LogInside, Kind::Write) => 0.8,
            (Layout::LogInside, Kind::Read) => 2.0,
            (Layout::PassThrough | Layout::Prefix, _) => 0.9,
        }
    }
}

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
    let ids: Vec<usize> = (0..count).collect();
    for batch in ids.chunks(100_000) {
        let documents: Vec<RawDocumentBuf> = batch.iter().map(|id| document(*id)).collect();
        insert_all(side, side.database, &documents)?;
    }
    Ok(())
}

/// Inserts `documents` into collection `c` of `database`, a thousand at a time.
pub(crate) fn insert_all(side: &Side, database: &str, documents: &[RawDocumentBuf]) -> Result<()> {
    let mut client = side.connect()?;
    let command = side.durable(rawdoc! { "insert": "c" });
    for batch in documents.chunks(1_000) {
        let reply = client.call(database, &command, Some(("documents", batch)))?;
        check_n(reply, batch.len())?;
    }
    Ok(())
}

/// Makes the indexes that the measurements use.
pub(crate) fn index(side: &Side, database: &str) -> Result<()> {
    let indexes = rawdoc! { "createIndexes": "c", "indexes": [
        { "key": { "group": 1 }, "name": "group_1" },
        { "key": { "email": 1 }, "name": "email_1" },
    ] };
    side.connect()?.run_ok(database, &indexes)?;
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
