// A project tracker on the official Node.js driver, run on main and on two branches at once.
"use strict";

const { createHash, randomBytes } = require("node:crypto");
const { Readable } = require("node:stream");
const { pipeline } = require("node:stream/promises");
const mongodb = require("mongodb");
const { MongoClient, GridFSBucket, Long, ObjectId, Decimal128, Timestamp, Binary } = mongodb;
const { ARGON_URI, COMPARE_URI, HAS_HISTORY, equal, fails, fork, done } = require("./check");

async function crud(db) {
    const c = db.collection("tasks");
    const typed = {
        _id: new ObjectId(),
        double: 0.5,
        text: "Příliš žluťoučký",
        date: new Date(1763629200000),
        long: Long.fromString("9007199254740993"),
        decimal: Decimal128.fromString("1.10"),
        binary: new Binary(Buffer.from([1, 2, 3])),
        regexp: /^a/i,
        stamp: new Timestamp({ t: 5, i: 6 }),
        nested: { z: [1, [2], { a: null }], a: 1 },
    };
    await c.insertOne(typed);
    const back = await c.findOne({ _id: typed._id }, { promoteLongs: false });
    equal("every type", Object.keys(back), Object.keys(typed));
    equal("long", back.long.toString(), "9007199254740993");
    equal("decimal keeps its zero", back.decimal.toString(), "1.10");
    equal("the rest", [back.date, back.regexp.source, back.nested.z[1]], [typed.date, "^a", typed.nested.z[1]].map((v, i) => (i === 2 ? [back.nested.z[1][0]] : v)));
    await c.deleteOne({ _id: typed._id });

    const result = await c.insertMany(Array.from({ length: 20 }, (_, i) => ({ _id: i, state: i % 2 ? "open" : "closed", points: i })));
    equal("insertMany", [result.insertedCount, result.insertedIds[19]], [20, 19]);
    equal("find", await c.find({ state: "open", points: { $gt: 14 } }).sort({ points: -1 }).project({ points: 1 }).toArray(), [
        { _id: 19, points: 19 },
        { _id: 17, points: 17 },
        { _id: 15, points: 15 },
    ]);
    const update = await c.updateMany({ state: "open" }, { $inc: { points: 100 }, $currentDate: { changed: true } });
    equal("updateMany", [update.matchedCount, update.modifiedCount, update.upsertedId], [10, 10, null]);
    equal("$currentDate", (await c.findOne({ _id: 1 })).changed instanceof Date, true);
    const upsert = await c.updateOne({ _id: "up" }, { $set: { a: 1 } }, { upsert: true });
    equal("upsert", [upsert.upsertedCount, upsert.upsertedId], [1, "up"]);
    equal("replaceOne", (await c.replaceOne({ _id: "up" }, { b: 2 })).modifiedCount, 1);
    equal("findOneAndUpdate", await c.findOneAndUpdate({ _id: "up" }, { $inc: { b: 1 } }, { returnDocument: "after" }), { _id: "up", b: 3 });
    const meta = await c.findOneAndUpdate({ _id: "no" }, { $set: { b: 1 } }, { upsert: true, includeResultMetadata: true });
    equal("its metadata", meta.lastErrorObject, { n: 1, updatedExisting: false, upserted: "no" });
    equal("findOneAndDelete", await c.findOneAndDelete({ _id: "no" }), { _id: "no", b: 1 });
    equal("deleteMany", (await c.deleteMany({ points: { $gte: 100 } })).deletedCount, 10);
    equal("countDocuments", await c.countDocuments({ state: "closed" }), 10);
    equal("distinct", await c.distinct("state"), ["closed"]);
}

async function bulk(db) {
    const c = db.collection("bulk");
    const result = await c.bulkWrite([
        { insertOne: { document: { _id: 1, n: 0 } } },
        { updateOne: { filter: { _id: 1 }, update: { $inc: { n: 5 } } } },
        { replaceOne: { filter: { _id: 2 }, replacement: { n: 9 }, upsert: true } },
        { updateMany: { filter: {}, update: { $mul: { n: 2 } } } },
        { deleteOne: { filter: { _id: 2 } } },
    ]);
    equal("bulkWrite", [result.insertedCount, result.matchedCount, result.modifiedCount, result.upsertedIds, result.deletedCount], [1, 3, 3, { 2: 2 }, 1]);
    const operations = [3, 1, 4, 1, 5].map((_id) => ({ insertOne: { document: { _id } } }));
    let error = await fails("ordered", c.bulkWrite(operations), 11000);
    equal("ordered stops", [error.constructor.name, error.result.insertedCount, error.writeErrors.length, error.writeErrors[0].index], ["MongoBulkWriteError", 1, 1, 1]);
    error = await fails("unordered", c.bulkWrite(operations, { ordered: false }), 11000);
    equal("unordered goes on", [error.result.insertedCount, error.writeErrors.map((e) => e.index)], [2, [0, 1, 3]]);
    equal("write error", error.writeErrors[1].errmsg, `E11000 duplicate key error collection: ${db.databaseName}.bulk index: _id_ dup key: { _id: 1 }`);
}

async function cursors(db) {
    const c = db.collection("cursors");
    await c.insertMany(Array.from({ length: 5000 }, (_, i) => ({ _id: i, pad: "x".repeat(200) })));
    let expected = 0;
    for await (const { _id } of c.find({}, { batchSize: 111 }).sort({ _id: 1 })) {
        if (_id !== expected++) equal("in order", _id, expected - 1);
    }
    equal("every batch", expected, 5000);
    const cursor = c.find({}, { batchSize: 10 });
    await cursor.next();
    const id = cursor.id;
    await cursor.close();
    await fails("closed early", db.command({ getMore: id, collection: "cursors" }), 43);
    for await (const _ of c.find({}, { batchSize: 2 })) break; // leaves the loop, which closes the cursor
    let streamed = 0;
    for await (const _ of c.find().batchSize(700).stream()) streamed += 1;
    equal("a stream", streamed, 5000);
    equal("large documents", (await db.collection("large").insertMany(Array.from({ length: 5 }, (_, i) => ({ _id: i, data: Buffer.alloc(7 << 20, i) })))).insertedCount, 5);
    equal("one reply holds 16 MB", (await db.collection("large").find().sort({ _id: 1 }).toArray()).map((d) => d.data.buffer[9]), [0, 1, 2, 3, 4]);
    const raw = await db.command({ find: "large", sort: { _id: 1 } });
    equal("so a batch has two", [raw.cursor.firstBatch.length, Number(raw.cursor.id) !== 0], [2, true]);
    await db.collection("large").drop();
    await fails("maxTimeMS of no number", db.command({ find: "cursors", maxTimeMS: "1" }), 2);
}

async function indexes(db) {
    const c = db.collection("users");
    equal("createIndexes", await c.createIndexes([{ key: { mail: 1 }, unique: true }, { key: { a: 1, b: -1 }, name: "ab" }, { key: { s: 1 }, sparse: true }]), ["mail_1", "ab", "s_1"]);
    equal("indexes", (await c.indexes()).map((i) => [i.name, i.key, i.v]), [
        ["_id_", { _id: 1 }, 2],
        ["mail_1", { mail: 1 }, 2],
        ["ab", { a: 1, b: -1 }, 2],
        ["s_1", { s: 1 }, 2],
    ]);
    await c.insertMany([{ mail: "a@x" }, { mail: "b@x" }, {}]);
    const error = await fails("unique", c.insertOne({ mail: "a@x" }), 11000);
    equal("its fields", [error.keyPattern, error.keyValue, error.name], [{ mail: 1 }, { mail: "a@x" }, "MongoServerError"]);
    const missing = await fails("a second missing key", c.insertOne({}), 11000);
    equal("is null", missing.keyValue, { mail: null });
    await fails("conflict", c.createIndex({ mail: 1 }, { name: "other", unique: true }), 85);
    const plan = await c.find({ mail: "b@x" }).explain("executionStats");
    equal("explain", [plan.executionStats.nReturned, plan.executionStats.totalDocsExamined, plan.executionStats.totalKeysExamined], [1, 1, 1]);
    equal("hint", (await c.find({ mail: "b@x" }).hint("mail_1").toArray()).length, 1);
    await c.dropIndex("ab");
    await fails("dropped", c.dropIndex("ab"), 27);
    equal("indexExists", [await c.indexExists("mail_1"), await c.indexExists("ab")], [true, false]);
}

async function aggregation(db) {
    await db.collection("authors").insertMany([{ _id: "ann", team: 1 }, { _id: "bob", team: 2 }]);
    await db.collection("commits").insertMany(Array.from({ length: 40 }, (_, i) => ({ _id: i, by: ["ann", "bob", "eve"][i % 3], lines: i, at: new Date(Date.UTC(2026, i % 12, 1)) })));
    const commits = db.collection("commits");
    equal(
        "$group, $lookup, $unwind",
        await commits
            .aggregate([
                { $group: { _id: "$by", lines: { $sum: "$lines" }, avg: { $avg: "$lines" }, first: { $min: "$at" } } },
                { $lookup: { from: "authors", localField: "_id", foreignField: "_id", as: "author" } },
                { $unwind: "$author" },
                { $project: { lines: 1, avg: 1, team: "$author.team", month: { $month: "$first" } } },
                { $sort: { _id: 1 } },
            ])
            .toArray(),
        [
            { _id: "ann", lines: 273, avg: 19.5, team: 1, month: 1 },
            { _id: "bob", lines: 247, avg: 19, team: 2, month: 2 },
        ],
    );
    equal(
        "$facet, $bucketAuto, $sortByCount",
        await commits
            .aggregate([{ $facet: { who: [{ $sortByCount: "$by" }, { $limit: 1 }], sizes: [{ $bucketAuto: { groupBy: "$lines", buckets: 2 } }], n: [{ $count: "n" }] } }])
            .toArray(),
        [
            {
                who: [{ _id: "ann", count: 14 }],
                sizes: [
                    { _id: { min: 0, max: 20 }, count: 20 },
                    { _id: { min: 20, max: 39 }, count: 20 },
                ],
                n: [{ n: 40 }],
            },
        ],
    );
    equal(
        "dates and strings",
        await commits
            .aggregate([{ $match: { _id: 5 } }, { $project: { s: { $concat: ["$by", "@", { $dateToString: { date: "$at", format: "%Y-%m" } }] }, t: { $cond: [{ $gt: ["$lines", 3] }, "big", "small"] } } }])
            .toArray(),
        [{ _id: 5, s: "eve@2026-06", t: "big" }],
    );
    equal("over batches", (await commits.aggregate([{ $project: { x: 1 } }], { batchSize: 3 }).toArray()).length, 40);
    await fails("a stage with two fields", commits.aggregate([{ $match: {}, $limit: 1 }]).toArray(), 40323);
    await fails("unknown expression", commits.aggregate([{ $project: { a: { $frob: 1 } } }]).toArray(), 31325);
}

async function sessions(client, db) {
    const c = db.collection("sessions");
    await client.withSession(async (session) => {
        await c.insertOne({ _id: 1 }, { session });
        equal("read your write", await c.findOne({ _id: 1 }, { session }), { _id: 1 });
        equal("operationTime", session.operationTime instanceof Timestamp, true);
        const numbered = { update: "sessions", updates: [{ q: { _id: 1 }, u: { $inc: { n: 1 } } }], txnNumber: Long.fromNumber(70) };
        for (let i = 0; i < 3; i++) {
            equal("retried", (await db.command({ ...numbered }, { session })).nModified, 1);
        }
        equal("applied once", (await c.findOne({ _id: 1 }, { session })).n, 1);
        await fails("an old number", db.command({ ...numbered, txnNumber: Long.fromNumber(69) }, { session }), 225);
        session.serverSession.txnNumber = 70; // the driver goes on counting from here
    });
    // What the driver itself sends: every write of these is numbered.
    const seen = [];
    const watched = new MongoClient(client.s.url, { monitorCommands: true });
    watched.on("commandStarted", (event) => seen.push([event.commandName, event.command.txnNumber !== undefined]));
    await watched.db(db.databaseName).collection("sessions").insertOne({ _id: 2 });
    await watched.db(db.databaseName).collection("sessions").updateMany({}, { $set: { m: 1 } });
    await watched.close();
    equal("retryable writes are on", seen.slice(0, 2), [["insert", true], ["update", false]]);
}

async function files(db) {
    const content = randomBytes(5 * 1024 * 1024 + 1);
    const bucket = new GridFSBucket(db, { bucketName: "assets" });
    const upload = bucket.openUploadStream("video.bin", { chunkSizeBytes: 200_000, metadata: { by: "node" } });
    await pipeline(Readable.from(content), upload);
    const hash = createHash("sha256");
    await pipeline(bucket.openDownloadStream(upload.id), hash);
    equal("checksum", hash.digest("hex"), createHash("sha256").update(content).digest("hex"));
    const part = await bucket.openDownloadStream(upload.id, { start: 199_990, end: 400_010 }).toArray();
    equal("a range over chunks", Buffer.concat(part).equals(content.subarray(199_990, 400_010)), true);
    const [file] = await bucket.find({ "metadata.by": "node" }).toArray();
    equal("its file", [file.length, file.chunkSize, file.filename], [content.length, 200_000, "video.bin"]);
    equal("its chunks", await db.collection("assets.chunks").countDocuments({ files_id: upload.id }), 27);
    await bucket.rename(upload.id, "new name");
    await bucket.delete(upload.id);
    equal("deleted", await db.collection("assets.chunks").countDocuments(), 0);
}

async function concurrent(db) {
    const c = db.collection("slots");
    await c.createIndex({ slot: 1 }, { unique: true });
    // Two hundred tasks want fifty slots: each slot has exactly one winner.
    const outcomes = await Promise.allSettled(Array.from({ length: 200 }, (_, i) => c.insertOne({ slot: i % 50, task: i })));
    equal("winners", outcomes.filter((o) => o.status === "fulfilled").length, 50);
    equal("losers", outcomes.filter((o) => o.reason?.code === 11000).length, 150);
    await c.insertOne({ slot: "sum", n: 0 });
    await Promise.all(Array.from({ length: 200 }, () => c.findOneAndUpdate({ slot: "sum" }, { $inc: { n: 1 } })));
    equal("sum", (await c.findOne({ slot: "sum" })).n, 200);
}

// More documents than one command may carry: the driver splits them.
async function splitting(db) {
    const c = db.collection("splitting");
    const big = Array.from({ length: 110_000 }, (_, i) => ({ _id: `b${i}` }));
    equal("more than one batch", (await c.insertMany(big, { ordered: false })).insertedCount, 110_000);
    equal("deleted", (await c.deleteMany({ _id: /^b/ })).deletedCount, 110_000);
}

async function errors(db) {
    await fails("unknown command", db.command({ frobnicate: 1 }), 59, "no such command: 'frobnicate'");
    await fails("unknown field", db.command({ count: "tasks", frob: 1 }), 40415);
    await fails("bad operator", db.collection("tasks").find({ a: { $frob: 1 } }).toArray(), 2);
    await fails("conflicting updates", db.collection("tasks").updateOne({}, { $set: { a: 1 }, $inc: { a: 1 } }), 40);
    await fails("bad collection name", db.command({ insert: "$x", documents: [{}] }), 73);
    await fails("missing field", db.command({ insert: "x" }), 40414);
    const missing = await db.command({ dropDatabase: 1, comment: "nothing is there" }).catch((e) => e.code);
    equal("dropDatabase", missing.ok, 1);
}

async function application(client, db) {
    for (const part of [crud, bulk, cursors, indexes, aggregation]) {
        await part(db);
        done(`${db.databaseName} ${part.name}`);
    }
    await sessions(client, db);
    done(`${db.databaseName} sessions`);
    for (const part of [files, concurrent]) {
        await part(db);
        done(`${db.databaseName} ${part.name}`);
    }
}

async function compression(uri, name) {
    for (const compressors of [["zlib"], ["snappy"], ["zstd"], ["none"]]) {
        let client;
        try {
            client = new MongoClient(uri, { compressors });
            const c = client.db(name).collection("compressed");
            const text = compressors[0].repeat(40_000);
            await c.insertOne({ _id: compressors[0], text });
            equal(compressors[0], (await c.findOne({ _id: compressors[0] })).text, text);
        } catch (error) {
            if (error.name !== "MongoMissingDependencyError") throw error;
            console.log(`  (the driver has no ${compressors[0]} here)`);
        } finally {
            await client?.close();
        }
    }
}

async function branches(client) {
    const main = client.db("nodeshop");
    await main.collection("c").insertMany(Array.from({ length: 2000 }, (_, i) => ({ _id: i, v: 1 })));
    await fork(main, "Ticket #12").then(
        (made) => equal("createBranch", [made.name, made.project], ["Ticket #12", "nodeshop"]),
    );
    const listed = (await main.command({ listBranches: 1 })).cursor.firstBatch;
    const one = client.db(listed.find((b) => b.name === "Ticket #12").database);
    await fork(one, "deeper", "Ticket #12");
    const two = client.db("nodeshop~deeper");
    const head = listed.find((b) => b.name === "main").headLsn;

    // A cursor opened before a write sees its own branch and its own moment.
    const cursor = one.collection("c").find({}, { batchSize: 100 });
    await cursor.next();
    await Promise.all([
        main.collection("c").updateMany({}, { $set: { v: 2 } }),
        one.collection("c").deleteMany({ _id: { $gte: 1000 } }),
        two.collection("c").insertMany(Array.from({ length: 500 }, (_, i) => ({ _id: `two${i}`, v: 3 }))),
    ]);
    await cursor.close();
    const sum = async (db) => (await db.collection("c").aggregate([{ $group: { _id: null, n: { $sum: 1 }, v: { $sum: "$v" } } }]).toArray())[0];
    equal("main", await sum(main), { _id: null, n: 2000, v: 4000 });
    equal("one", await sum(one), { _id: null, n: 1000, v: 1000 });
    equal("two", await sum(two), { _id: null, n: 2500, v: 3500 });
    await main.collection("c").drop();
    equal("dropped on main only", [await main.listCollections().toArray(), (await one.listCollections().toArray()).length], [[], 1]);
    if (HAS_HISTORY) {
        const before = client.db(`nodeshop~main~${head}`);
        equal("time travel sees it", await sum(before), { _id: null, n: 2000, v: 2000 });
        await fails("the past is read-only", before.collection("c").insertOne({}));
        await fails("in bulk too", before.collection("c").bulkWrite([{ deleteOne: { filter: {} } }]));
    }
    await fails("unknown branch", client.db("nodeshop~nope").collection("c").find().toArray(), 26, "createBranch");
    await fails("unknown branch, aggregate", client.db("nodeshop~nope").collection("c").aggregate([]).toArray(), 26, "createBranch");
    await fails("unknown parent", fork(main, "x", "nope"));
    await fails("no project", client.db("nodenothing").command({ createBranch: "x" }));
    await fails("parent stays", main.command({ dropBranch: "Ticket #12" }));
    await main.command({ dropBranch: "deeper" });
    await main.command({ dropBranch: "Ticket #12" });
    equal("main is left", (await main.command({ listBranches: 1 })).cursor.firstBatch.map((b) => b.name), ["main"]);

    // Twenty branches at once, each with its own worker.
    await main.collection("jobs").insertMany(Array.from({ length: 100 }, (_, i) => ({ _id: i, done: false })));
    await Promise.all(
        Array.from({ length: 20 }, async (_, n) => {
            await fork(main, `w${n}`);
            const jobs = client.db(`nodeshop~w${n}`).collection("jobs");
            await jobs.updateMany({ _id: { $lt: n } }, { $set: { done: true } });
            equal(`worker ${n}`, await jobs.countDocuments({ done: true }), n);
        }),
    );
    equal("main's jobs", await main.collection("jobs").countDocuments({ done: true }), 0);
    done("branches");
}

async function main() {
    if (COMPARE_URI) {
        const client = new MongoClient(COMPARE_URI);
        await client.db("nodeapp").dropDatabase();
        await application(client, client.db("nodeapp"));
        await splitting(client.db("nodeapp"));
        await errors(client.db("nodeapp"));
        await compression(COMPARE_URI, "nodeapp");
        await client.db("nodeapp").dropDatabase();
        await client.close();
        done("the same on the real mongod");
    }
    if (!ARGON_URI) return;
    const client = new MongoClient(ARGON_URI, { appName: "node application" });
    const empty = client.db("nodeapp");
    if (HAS_HISTORY) await empty.command({ createProject: 1 });
    for (const name of ["red", "blue"]) await fork(empty, name);
    await Promise.all(["nodeapp", "nodeapp~red", "nodeapp~blue"].map((name) => application(client, client.db(name))));
    await branches(client);
    await splitting(client.db("nodeapp~blue"));
    await errors(client.db("nodeerrors"));
    done("splitting, errors");
    await compression(ARGON_URI, "nodeapp~red");
    done("compression");
    await client.close();
}

console.log(`Node.js driver ${require("mongodb/package.json").version}`);
main().catch((error) => {
    console.log(error);
    process.exit(1);
});
