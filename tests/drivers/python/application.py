"""A small shop on PyMongo, run on main and on two branches at once."""

import hashlib
import os
import threading
from datetime import datetime, timezone

import gridfs
import pymongo
from bson import Binary, Decimal128, Int64, ObjectId, Regex, Timestamp
from bson.raw_bson import RawBSONDocument
from pymongo import DeleteOne, InsertOne, ReplaceOne, ReturnDocument, UpdateMany, UpdateOne
from pymongo.errors import (
    BulkWriteError,
    CursorNotFound,
    DuplicateKeyError,
    OperationFailure,
    WriteError,
)

from check import ARGON_URI, COMPARE_URI, HAS_HISTORY, done, equal, fork, raises, true


def types(db):
    """Every type comes back as it was sent."""
    document = {
        "_id": ObjectId(),
        "double": 1.5,
        "string": "žluťoučký kůň",
        "document": {"b": 1, "a": {"c": []}},
        "array": [1, "two", None, [3]],
        "binary": Binary(b"\0\1\2", 128),
        "bool": True,
        "date": datetime(2026, 11, 20, 9, tzinfo=timezone.utc),
        "null": None,
        "regex": Regex("^a.*", "i"),
        "int": 2**31 - 1,
        "timestamp": Timestamp(4, 7),
        "long": Int64(2**63 - 1),
        "decimal": Decimal128("0.10"),
    }
    aware = db.types.with_options(codec_options=db.codec_options.with_options(tz_aware=True))
    equal("insert_one", aware.insert_one(document).inserted_id, document["_id"])
    found = aware.find_one({"_id": document["_id"]})
    equal("every type", found, document)
    equal("order of fields", list(found), list(document))
    raw = db.get_collection(
        "types", codec_options=db.codec_options.with_options(document_class=RawBSONDocument)
    )
    true("raw documents", isinstance(raw.find_one(), RawBSONDocument))


def crud(db):
    c = db.items
    result = c.insert_many([{"_id": i, "n": i, "tags": ["a", "b"][: i % 3]} for i in range(10)])
    equal("insert_many", result.inserted_ids, list(range(10)))
    equal("find_one", c.find_one({"_id": 3}), {"_id": 3, "n": 3, "tags": []})
    equal("find_one of nothing", c.find_one({"_id": 99}), None)
    equal("sort, skip, limit", [d["_id"] for d in c.find().sort("n", -1).skip(2).limit(3)], [7, 6, 5])
    equal("projection", c.find_one({"_id": 4}, {"_id": 0, "n": 1}), {"n": 4})
    equal("array element", sorted(d["_id"] for d in c.find({"tags": "b"})), [2, 5, 8])
    equal("$gte, $in, $or", c.count_documents({"$or": [{"n": {"$gte": 8}}, {"n": {"$in": [1, 2]}}]}), 4)

    result = c.update_one({"_id": 1}, {"$inc": {"n": 10}, "$push": {"tags": "x"}})
    equal("update_one", (result.matched_count, result.modified_count, result.upserted_id), (1, 1, None))
    equal("updated", c.find_one({"_id": 1}), {"_id": 1, "n": 11, "tags": ["a", "x"]})
    result = c.update_many({"n": {"$gte": 8}}, {"$set": {"big": True}})
    equal("update_many", (result.matched_count, result.modified_count), (3, 3))
    result = c.update_many({"big": True}, {"$set": {"big": True}})
    equal("no change is no modification", (result.matched_count, result.modified_count), (3, 0))
    result = c.update_one({"_id": "new"}, {"$setOnInsert": {"n": -1}}, upsert=True)
    equal("upsert", (result.matched_count, result.upserted_id), (0, "new"))
    result = c.replace_one({"_id": "new"}, {"n": -2})
    equal("replace_one", (result.matched_count, result.modified_count), (1, 1))
    equal("replaced", c.find_one({"_id": "new"}), {"_id": "new", "n": -2})
    result = c.update_one({"_id": 5}, [{"$set": {"n": {"$add": ["$n", "$_id"]}}}])
    equal("update by pipeline", (result.modified_count, c.find_one({"_id": 5})["n"]), (1, 10))
    result = c.update_one({"_id": 8}, {"$set": {"tags.$[t]": "B"}}, array_filters=[{"t": "b"}])
    equal("array filters", c.find_one({"_id": 8})["tags"], ["a", "B"])

    equal(
        "find_one_and_update",
        c.find_one_and_update(
            {"_id": 2}, {"$inc": {"n": 1}}, projection={"n": 1}, return_document=ReturnDocument.AFTER
        ),
        {"_id": 2, "n": 3},
    )
    equal("find_one_and_replace", c.find_one_and_replace({"_id": 2}, {"n": 0})["n"], 3)
    equal("find_one_and_delete", c.find_one_and_delete({}, sort=[("n", 1)])["_id"], "new")
    equal("find_one_and_delete of nothing", c.find_one_and_delete({"_id": "new"}), None)
    equal("delete_one", c.delete_one({"_id": 0}).deleted_count, 1)
    equal("delete_many", c.delete_many({"n": {"$gte": 8}}).deleted_count, 4)
    equal("distinct", sorted(c.distinct("n")), [0, 3, 4, 6, 7])
    equal("count_documents", c.count_documents({}), 5)
    equal("estimated_document_count", c.estimated_document_count(), 5)


def bulk(db):
    c = db.bulk
    result = c.bulk_write(
        [
            InsertOne({"_id": 1}),
            InsertOne({"_id": 2}),
            UpdateOne({"_id": 1}, {"$set": {"x": 1}}),
            UpdateMany({}, {"$inc": {"y": 1}}),
            ReplaceOne({"_id": 3}, {"z": 1}, upsert=True),
            DeleteOne({"_id": 2}),
        ]
    )
    equal(
        "bulk_write",
        (
            result.inserted_count,
            result.matched_count,
            result.modified_count,
            result.upserted_ids,
            result.deleted_count,
        ),
        (2, 3, 3, {4: 3}, 1),
    )
    writes = [InsertOne({"_id": 10}), InsertOne({"_id": 1}), InsertOne({"_id": 11})]
    error = raises("ordered bulk", BulkWriteError, lambda: c.bulk_write(writes)).details
    equal("ordered bulk stops", (error["nInserted"], len(error["writeErrors"])), (1, 1))
    first = error["writeErrors"][0]
    equal(
        "its write error",
        (first["index"], first["code"], first["keyPattern"], first["keyValue"]),
        (1, 11000, {"_id": 1}, {"_id": 1}),
    )
    equal(
        "its message",
        first["errmsg"],
        f"E11000 duplicate key error collection: {c.full_name} index: _id_ dup key: {{ _id: 1 }}",
    )
    equal("the rest was not tried", c.find_one({"_id": 11}), None)
    error = raises("unordered", BulkWriteError, lambda: c.bulk_write(writes, ordered=False)).details
    equal("unordered goes on", error["nInserted"], 1)
    equal("unordered errors", [e["index"] for e in error["writeErrors"]], [0, 1])
    error = raises(
        "mixed unordered",
        BulkWriteError,
        lambda: c.bulk_write(
            [
                UpdateOne({"_id": 1}, {"$inc": {"x": "one"}}),
                UpdateOne({"_id": 1}, {"$set": {"_id": 2}}),
                UpdateOne({"_id": 1}, {"$set": {"ok": 1}}),
            ],
            ordered=False,
        ),
    ).details
    equal("codes of failed updates", [e["code"] for e in error["writeErrors"]], [14, 66])
    equal("the good one", (error["nModified"], c.find_one({"_id": 1})["ok"]), (1, 1))
    many = [{"_id": f"many{i}", "pad": "x" * 50} for i in range(12_345)]
    equal("a large insert_many", len(c.insert_many(many, ordered=False).inserted_ids), 12_345)
    equal("all there", c.count_documents({"_id": {"$regex": "^many"}}), 12_345)


def cursors(db):
    c = db.cursors
    c.insert_many({"_id": i, "pad": "p" * 100} for i in range(3000))
    cursor = c.find({}, batch_size=100).sort("_id", 1)
    ids, batches = [], 0
    for document in cursor:
        if not ids or len(cursor._data) == 99:
            batches += 1
        ids.append(document["_id"])
    equal("30 batches", (ids, batches), (list(range(3000)), 30))
    true("an exhausted cursor is dead", not cursor.alive)
    equal("by many batches, aggregate", sum(1 for _ in c.aggregate([{"$match": {}}], batchSize=7)), 3000)
    equal("limit over batches", len(list(c.find(batch_size=10).limit(25))), 25)
    equal("single batch", len(list(c.find().limit(-5))), 5)

    cursor = c.find(batch_size=10)
    next(cursor)
    cursor_id = cursor.cursor_id
    true("an open cursor has an id", cursor_id)
    cursor.close()
    error = raises(
        "a closed cursor",
        CursorNotFound,
        lambda: db.command("getMore", Int64(cursor_id), collection="cursors"),
    )
    equal("its code", error.code, 43)
    with c.find(batch_size=2) as cursor:
        [next(cursor) for _ in range(5)]
        killed = db.command("killCursors", "cursors", cursors=[cursor.cursor_id, Int64(12345)])
        equal(
            "killCursors",
            (killed["cursorsKilled"], killed["cursorsNotFound"]),
            ([cursor.cursor_id], [12345]),
        )
    cursor = c.find({}, batch_size=500).sort("_id", 1)
    next(cursor)
    c.delete_many({"_id": {"$gte": 2900}})
    true("writes do not end a cursor", len(list(cursor)) >= 2899)


def indexes(db):
    c = db.people
    equal("create_index", c.create_index("email", unique=True), "email_1")
    equal("compound", c.create_index([("city", 1), ("age", -1)]), "city_1_age_-1")
    equal("partial", c.create_index("k", unique=True, partialFilterExpression={"k": {"$gt": 5}}), "k_1")
    equal(
        "index_information",
        {name: (index["key"], index.get("unique")) for name, index in c.index_information().items()},
        {
            "_id_": ([("_id", 1)], None),
            "email_1": ([("email", 1)], True),
            "city_1_age_-1": ([("city", 1), ("age", -1)], None),
            "k_1": ([("k", 1)], True),
        },
    )
    c.insert_many([{"_id": i, "email": f"{i}@x", "city": "ABC"[i % 3], "age": i, "k": 1 if i < 9 else i} for i in range(30)])
    error = raises("unique", DuplicateKeyError, lambda: c.insert_one({"_id": 99, "email": "7@x"}), 11000).details
    equal("keyPattern, keyValue", (error["keyPattern"], error["keyValue"]), ({"email": 1}, {"email": "7@x"}))
    equal(
        "its message",
        error["errmsg"],
        f'E11000 duplicate key error collection: {c.full_name} index: email_1 dup key: {{ email: "7@x" }}',
    )
    raises("unique on update", DuplicateKeyError, lambda: c.update_one({"_id": 1}, {"$set": {"email": "2@x"}}), 11000)
    raises(
        "unique on findAndModify",
        DuplicateKeyError,
        lambda: c.find_one_and_update({"_id": 1}, {"$set": {"email": "2@x"}}),
        11000,
    )
    raises("unique over existing data", DuplicateKeyError, lambda: c.create_index("city", unique=True), 11000)
    raises("other options", OperationFailure, lambda: c.create_index("email"), 86)
    equal("indexed sort", [d["age"] for d in c.find({"city": "A"}).sort("age", -1).limit(3)], [27, 24, 21])
    plan = c.find({"email": "3@x"}).explain()["queryPlanner"]["winningPlan"]
    true("the index is used", "IXSCAN" in str(plan))
    raises("a hint of no index", OperationFailure, lambda: list(c.find().hint("nope")), 2)
    c.drop_index("k_1")
    raises("dropped twice", OperationFailure, lambda: c.drop_index("k_1"), 27)
    c.drop_indexes()
    equal("drop_indexes", list(c.index_information()), ["_id_"])


def aggregation(db):
    db.customers.insert_many([{"_id": n, "name": f"C{n}", "vip": n == 1} for n in range(3)])
    db.orders.insert_many(
        [
            {"_id": i, "customer": i % 4, "total": i * 10, "lines": [{"sku": "ab"[i % 2], "qty": i}]}
            for i in range(12)
        ]
    )
    equal(
        "$group",
        list(
            db.orders.aggregate(
                [
                    {"$group": {"_id": "$customer", "sum": {"$sum": "$total"}, "n": {"$sum": 1}, "max": {"$max": "$_id"}}},
                    {"$sort": {"_id": 1}},
                ]
            )
        ),
        [{"_id": c, "sum": 120 + c * 30, "n": 3, "max": 8 + c} for c in range(4)],
    )
    equal(
        "$lookup, $unwind",
        list(
            db.orders.aggregate(
                [
                    {"$match": {"_id": {"$lt": 4}}},
                    {"$lookup": {"from": "customers", "localField": "customer", "foreignField": "_id", "as": "c"}},
                    {"$unwind": {"path": "$c", "preserveNullAndEmptyArrays": True}},
                    {"$project": {"name": {"$ifNull": ["$c.name", "?"]}}},
                    {"$sort": {"_id": 1}},
                ]
            )
        ),
        [{"_id": 0, "name": "C0"}, {"_id": 1, "name": "C1"}, {"_id": 2, "name": "C2"}, {"_id": 3, "name": "?"}],
    )
    equal(
        "$lookup with a pipeline",
        list(
            db.customers.aggregate(
                [
                    {
                        "$lookup": {
                            "from": "orders",
                            "let": {"id": "$_id"},
                            "pipeline": [
                                {"$match": {"$expr": {"$eq": ["$customer", "$$id"]}}},
                                {"$group": {"_id": None, "n": {"$sum": 1}}},
                            ],
                            "as": "o",
                        }
                    },
                    {"$sort": {"_id": 1}},
                    {"$project": {"n": {"$first": "$o.n"}}},
                ]
            )
        ),
        [{"_id": n, "n": 3} for n in range(3)],
    )
    equal(
        "$facet",
        list(
            db.orders.aggregate(
                [
                    {
                        "$facet": {
                            "bySku": [{"$unwind": "$lines"}, {"$sortByCount": "$lines.sku"}, {"$sort": {"_id": 1}}],
                            "buckets": [{"$bucket": {"groupBy": "$total", "boundaries": [0, 50, 200]}}],
                            "count": [{"$count": "n"}],
                        }
                    }
                ]
            )
        ),
        [
            {
                "bySku": [{"_id": "a", "count": 6}, {"_id": "b", "count": 6}],
                "buckets": [{"_id": 0, "count": 5}, {"_id": 50, "count": 7}],
                "count": [{"n": 12}],
            }
        ],
    )
    equal(
        "$replaceRoot, $addFields, $sort, $limit",
        list(
            db.orders.aggregate(
                [
                    {"$sort": {"total": -1}},
                    {"$limit": 2},
                    {"$replaceRoot": {"newRoot": {"$mergeObjects": [{"_id": "$_id"}, {"$first": "$lines"}]}}},
                    {"$addFields": {"twice": {"$multiply": ["$qty", 2]}}},
                ]
            )
        ),
        [{"_id": 11, "sku": "b", "qty": 11, "twice": 22}, {"_id": 10, "sku": "a", "qty": 10, "twice": 20}],
    )
    list(db.orders.aggregate([{"$match": {"total": {"$gte": 100}}}, {"$out": "big"}]))
    equal("$out", db.big.count_documents({}), 2)
    list(db.orders.aggregate([{"$match": {"_id": {"$lt": 11}}}, {"$merge": {"into": "big"}}]))
    equal("$merge", db.big.count_documents({}), 12)
    db.create_collection("vips", viewOn="customers", pipeline=[{"$match": {"vip": True}}])
    equal("a view", list(db.vips.find({}, {"name": 1})), [{"_id": 1, "name": "C1"}])
    raises("a view is not written", WriteError, lambda: db.vips.insert_one({}))


def errors(db):
    raises("unknown command", OperationFailure, lambda: db.command("frobnicate"), 59, "no such command: 'frobnicate'")
    raises("unknown field", OperationFailure, lambda: db.command("find", "items", frob=1), 40415)
    raises("unknown operator", OperationFailure, lambda: list(db.items.find({"a": {"$frob": 1}})), 2, "unknown operator: $frob")
    raises("unknown stage", OperationFailure, lambda: list(db.items.aggregate([{"$frob": 1}])), 40324)
    raises("unknown modifier", WriteError, lambda: db.items.update_one({"_id": 3}, {"$frob": {"a": 1}}), 9)
    raises("immutable _id", WriteError, lambda: db.items.update_one({"_id": 3}, {"$set": {"_id": 4}}), 66)
    raises("wrong type", OperationFailure, lambda: db.command("find", 3), 2)
    raises("indexes of nothing", OperationFailure, lambda: db.command("listIndexes", "nothing"), 26)
    raises("collection exists", OperationFailure, lambda: db.command("create", "items"), 48)


def namespaces(db):
    db.create_collection("made")
    true("create_collection", "made" in db.list_collection_names())
    made = next(db.list_collections(filter={"name": "made"}))
    equal("list_collections", (made["type"], made["options"], made["idIndex"]["name"]), ("collection", {}, "_id_"))
    db.made.insert_one({"_id": 1})
    db.made.rename("renamed")
    equal("rename", (db.renamed.count_documents({}), "made" in db.list_collection_names()), (1, False))
    raises("rename of nothing", OperationFailure, lambda: db.made.rename("x"), 26)
    db.renamed.drop()
    db.create_collection("checked", validator={"$jsonSchema": {"required": ["n"], "properties": {"n": {"bsonType": "int"}}}})
    db.checked.insert_one({"n": 1})
    invalid = raises("validation", WriteError, lambda: db.checked.insert_one({"n": "one"}), 121)
    true("it says why", invalid.details["errInfo"]["details"]["schemaRulesNotSatisfied"])
    db.create_collection("last", capped=True, size=100_000, max=3)
    db.last.insert_many([{"_id": i} for i in range(10)])
    equal("capped", [d["_id"] for d in db.last.find()], [7, 8, 9])
    true("drop", "renamed" not in db.list_collection_names())
    stats = db.command("dbStats")
    equal("dbStats", (stats["db"], stats["collections"] > 0, stats["objects"] > 0), (db.name, True, True))
    equal("collStats", db.command("collStats", "customers")["count"], 3)


def sessions(client, db):
    with client.start_session(causal_consistency=True) as session:
        db.sessions.insert_one({"_id": 1}, session=session)
        equal("reads its write", db.sessions.find_one({"_id": 1}, session=session), {"_id": 1})
        true("operationTime", session.operation_time is not None)
        true("$clusterTime", session.cluster_time is not None)
        later = session.operation_time
        db.sessions.insert_one({"_id": 2}, session=session)
        true("operationTime grows", session.operation_time >= later)
        # What a driver does after a lost reply: the same command again, with the same number.
        insert = {"insert": "sessions", "documents": [{"_id": 3}, {"_id": 4}], "txnNumber": Int64(4000)}
        first = db.command(insert, session=session)
        second = db.command(insert, session=session)
        equal("a retry gets the first outcome", (first["n"], second["n"]), (2, 2))
        equal("and is not applied twice", db.sessions.count_documents({}), 4)
        increment = {
            "findAndModify": "sessions",
            "query": {"_id": 1},
            "update": {"$inc": {"n": 1}},
            "new": True,
            "txnNumber": Int64(4001),
        }
        for _ in range(3):
            equal("retried findAndModify", db.command(increment, session=session)["value"], {"_id": 1, "n": 1})
        raises(
            "an old number",
            OperationFailure,
            lambda: db.command({**insert, "txnNumber": Int64(3999)}, session=session),
            225,
        )
        # The driver reuses the session, and has to go on from the numbers used here.
        session._server_session._transaction_id = 4001
    for concern in ("local", "majority"):
        c = db.get_collection(
            "sessions",
            read_concern=pymongo.read_concern.ReadConcern(concern),
            write_concern=pymongo.WriteConcern(w="majority", j=True),
        )
        c.update_one({"_id": 2}, {"$set": {concern: True}})
        true(f"read concern {concern}", c.find_one({"_id": 2})[concern])
    unacknowledged = db.get_collection("sessions", write_concern=pymongo.WriteConcern(w=0))
    unacknowledged.insert_one({"_id": "w0"})
    for _ in range(200):
        if db.sessions.find_one({"_id": "w0"}):
            break
    true("unacknowledged write", db.sessions.find_one({"_id": "w0"}))


def files(db):
    content = os.urandom(3 * 1024 * 1024 + 17)
    bucket = gridfs.GridFSBucket(db)
    file_id = bucket.upload_from_stream("photo.raw", content, metadata={"kind": "noise"})
    with bucket.open_download_stream(file_id) as stream:
        equal("length", stream.length, len(content))
        equal("checksum", hashlib.sha256(stream.read()).digest(), hashlib.sha256(content).digest())
        stream.seek(1_000_000)
        equal("read in the middle", stream.read(1000), content[1_000_000:1_001_000])
    bucket.upload_from_stream("photo.raw", b"second revision")
    equal("newest revision", bucket.open_download_stream_by_name("photo.raw").read(), b"second revision")
    equal("oldest revision", len(bucket.open_download_stream_by_name("photo.raw", revision=0).read()), len(content))
    equal("find", [f.filename for f in bucket.find({"metadata.kind": "noise"})], ["photo.raw"])
    bucket.delete(file_id)
    raises("deleted", gridfs.NoFile, lambda: bucket.open_download_stream(file_id))
    equal("no chunk is left", db.fs.chunks.count_documents({"files_id": file_id}), 0)


def threads(db):
    """Sixteen threads share a client; no increment is lost."""
    db.counter.insert_one({"_id": 0, "n": 0})

    failures = []

    def work(thread):
        try:
            for i in range(25):
                db.counter.update_one({"_id": 0}, {"$inc": {"n": 1}})
                db.counter.insert_one({"thread": thread, "i": i})
        except Exception as error:
            failures.append(error)

    all_threads = [threading.Thread(target=work, args=(n,)) for n in range(16)]
    [t.start() for t in all_threads]
    [t.join() for t in all_threads]
    equal("failures of threads", failures, [])
    equal("increments", db.counter.find_one({"_id": 0})["n"], 400)
    equal("inserts", db.counter.count_documents({"thread": {"$exists": True}}), 400)


def compression(uri, name):
    for compressor in ("zlib", "snappy", "zstd"):
        try:
            client = pymongo.MongoClient(uri, compressors=compressor)
        except pymongo.errors.ConfigurationError:
            continue
        with client:
            if not client.options.pool_options._compression_settings.compressors:
                print(f"  (PyMongo has no {compressor} here)")
                continue
            c = client[name].compressed
            c.insert_one({"_id": compressor, "text": "compress me " * 5000})
            equal(compressor, len(c.find_one({"_id": compressor})["text"]), 60_000)


def application(client, db):
    for part in (types, crud, bulk, cursors, indexes, aggregation, namespaces, errors):
        part(db)
        done(f"{db.name} {part.__name__}")
    sessions(client, db)
    done(f"{db.name} sessions")
    for part in (files, threads):
        part(db)
        done(f"{db.name} {part.__name__}")


def branches(client):
    """Main and two branches with the same collections, each with a life of its own."""
    main = client.pyshop
    main.stock.insert_many([{"_id": i, "qty": 100} for i in range(1000)])
    main.stock.create_index("qty")
    made = fork(main, "feature/prices", **{"from": "main"})
    equal("createBranch", (made["name"], made["database"], made["parent"]), ("feature/prices", "pyshop~feature-prices", "main"))
    fork(main, "test")
    feature, test = client["pyshop~feature-prices"], client["pyshop~test"]
    equal("branches of a project", sorted(b["name"] for b in main.command("listBranches")["cursor"]["firstBatch"]), ["feature/prices", "main", "test"])
    equal(
        "listDatabases",
        sorted(n for n in client.list_database_names() if n.startswith("pyshop")),
        ["pyshop", "pyshop~feature-prices", "pyshop~test"],
    )
    equal("a branch starts as its parent", feature.stock.count_documents({"qty": 100}), 1000)
    equal("indexes too", sorted(feature.stock.index_information()), ["_id_", "qty_1"])

    listed = next(b for b in main.command("listBranches")["cursor"]["firstBatch"] if b["name"] == "main")

    main.stock.update_many({"_id": {"$lt": 100}}, {"$inc": {"qty": 1}})
    feature.stock.update_many({"_id": {"$lt": 200}}, {"$inc": {"qty": 2}})
    test.stock.delete_many({"_id": {"$gte": 500}})
    feature.extra.insert_one({"_id": 1})
    main.stock.create_index("only_main", unique=True, sparse=True)
    test.stock.drop_index("qty_1")

    total = lambda db: next(db.stock.aggregate([{"$group": {"_id": None, "n": {"$sum": 1}, "qty": {"$sum": "$qty"}}}]))
    equal("main", total(main), {"_id": None, "n": 1000, "qty": 100_100})
    equal("feature", total(feature), {"_id": None, "n": 1000, "qty": 100_400})
    equal("test", total(test), {"_id": None, "n": 500, "qty": 50_000})
    equal("collections of main", main.list_collection_names(), ["stock"])
    equal("collections of feature", sorted(feature.list_collection_names()), ["extra", "stock"])
    equal("indexes of main", sorted(main.stock.index_information()), ["_id_", "only_main_1", "qty_1"])
    equal("indexes of test", sorted(test.stock.index_information()), ["_id_"])
    equal("namespace of a cursor", feature.command("find", "stock", batchSize=1)["cursor"]["ns"], "pyshop~feature-prices.stock")
    error = raises("unique on main", DuplicateKeyError, lambda: [main.stock.insert_one({"only_main": 1}) for _ in range(2)], 11000)
    feature.stock.insert_many([{"only_main": 1}, {"only_main": 1}])
    equal("and not on the branch", feature.stock.count_documents({"only_main": 1}), 2)
    error = raises("the branch's name in errors", DuplicateKeyError, lambda: feature.extra.insert_one({"_id": 1}), 11000)
    true("its collection", "pyshop~feature-prices.extra" in str(error))

    # All three at once, from threads of one client.
    def work(db, key, n):
        for _ in range(n):
            db.race.update_one({"_id": key}, {"$inc": {"n": 1}}, upsert=True)

    workers = [threading.Thread(target=work, args=(db, "k", 40)) for db in (main, feature, test) for _ in range(2)]
    [w.start() for w in workers]
    [w.join() for w in workers]
    for db in (main, feature, test):
        equal(f"race on {db.name}", list(db.race.find()), [{"_id": "k", "n": 80}])

    if HAS_HISTORY:
        old = client[f"pyshop~main~{listed['headLsn']}"]
        equal("time travel", total(old), {"_id": None, "n": 1000, "qty": 100_000})
        raises("the past is read-only", OperationFailure, lambda: old.stock.insert_one({"_id": -1}))
        raises("nor updated", OperationFailure, lambda: old.stock.update_one({}, {"$set": {"x": 1}}))
        raises("nor dropped", OperationFailure, lambda: old.stock.drop())
        equal("and unchanged", old.stock.count_documents({}), 1000)

    nowhere = client["pyshop~nowhere"]
    raises("unknown branch, read", OperationFailure, lambda: nowhere.stock.find_one(), 26, "createBranch")
    raises("unknown branch, write", OperationFailure, lambda: nowhere.stock.insert_one({}), 26, "createBranch")
    raises("taken name", OperationFailure, lambda: fork(main, "test"))
    raises("main stays", OperationFailure, lambda: main.command("dropBranch", "main"))
    fork(feature, "child", **{"from": "feature/prices"})
    raises("a parent stays", OperationFailure, lambda: main.command("dropBranch", "feature/prices"))
    equal("a branch of a branch", client["pyshop~child"].stock.count_documents({"only_main": 1}), 2)
    for name in ("child", "test"):
        main.command("dropBranch", name)
    raises("dropped", OperationFailure, lambda: test.stock.insert_one({}), 26)
    equal("the others stay", (main.stock.count_documents({}), feature.stock.count_documents({})), (1001, 1002))
    done("branches")


def main():
    if COMPARE_URI:
        with pymongo.MongoClient(COMPARE_URI) as client:
            client.drop_database("pyapp")
            application(client, client.pyapp)
            compression(COMPARE_URI, "pyapp")
            client.drop_database("pyapp")
        done("the same on the real mongod")
    if not ARGON_URI:
        return
    with pymongo.MongoClient(ARGON_URI) as client:
        equal("is a mongos", client.admin.command("hello")["msg"], "isdbgrid")
        application(client, client.pyapp)
        fork(client.pyapp, "one")
        fork(client.pyapp, "two")
        before = client.pyapp.items.count_documents({})
        for name in ("pyapp~one", "pyapp~two"):
            for collection in client[name].list_collection_names(filter={"name": {"$not": Regex("^system[.]")}}):
                client[name][collection].drop()
        equal("main keeps what branches drop", client.pyapp.items.count_documents({}), before)
        # The whole application on both branches, at the same time.
        failures = []

        def run(name):
            try:
                with pymongo.MongoClient(ARGON_URI) as own:
                    application(own, own[name])
            except BaseException as error:
                failures.append(f"{name}: {error}")

        both = [threading.Thread(target=run, args=(name,)) for name in ("pyapp~one", "pyapp~two")]
        [t.start() for t in both]
        [t.join() for t in both]
        equal("on branches", failures, [])
        branches(client)
    compression(ARGON_URI, "pyapp~one")
    done("compression")


print(f"PyMongo {pymongo.version}")
main()
