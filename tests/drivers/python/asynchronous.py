"""PyMongo's asynchronous client: many tasks over main and two branches at once."""

import asyncio
import hashlib
import os

from bson import Int64
from gridfs.asynchronous import AsyncGridFSBucket
from pymongo import AsyncMongoClient
from pymongo.errors import BulkWriteError, DuplicateKeyError, OperationFailure

from check import ARGON_URI, COMPARE_URI, done, equal, fork


async def application(db):
    """One task's work on one database."""
    c = db.readings
    await c.create_index([("sensor", 1), ("at", 1)], unique=True)
    await asyncio.gather(
        *(
            c.insert_many([{"sensor": sensor, "at": at, "value": sensor * at} for at in range(500)])
            for sensor in range(8)
        )
    )
    equal("count", await c.count_documents({}), 4000)
    seen = 0
    async for reading in c.find({"sensor": 5}, batch_size=33).sort("at", 1):
        equal("in order", (reading["at"], reading["value"]), (seen, 5 * seen))
        seen += 1
    equal("all batches", seen, 500)
    cursor = c.find(batch_size=10)
    await anext(cursor)
    cursor_id = cursor.cursor_id
    await cursor.close()
    try:
        await db.command("getMore", Int64(cursor_id), collection="readings")
        equal("a closed cursor", "there", "gone")
    except OperationFailure as error:
        equal("a closed cursor", error.code, 43)
    sums = await (await c.aggregate([{"$group": {"_id": "$sensor", "sum": {"$sum": "$value"}}}, {"$sort": {"_id": 1}}])).to_list()
    equal("$group", sums, [{"_id": s, "sum": s * 499 * 250} for s in range(8)])
    try:
        await c.insert_one({"sensor": 1, "at": 1})
        equal("unique", "inserted", "refused")
    except DuplicateKeyError as error:
        equal("keyValue", error.details["keyValue"], {"sensor": 1, "at": 1})
    try:
        await c.insert_many([{"sensor": 9, "at": 1}, {"sensor": 1, "at": 1}, {"sensor": 9, "at": 2}], ordered=False)
        equal("bulk", "inserted", "refused")
    except BulkWriteError as error:
        equal("bulk", (error.details["nInserted"], error.details["writeErrors"][0]["index"]), (2, 1))
    await asyncio.gather(
        *(db.counter.update_one({"_id": 1}, {"$inc": {"n": 1}}, upsert=True) for _ in range(200)),
        return_exceptions=False,
    )
    equal("no increment is lost", await db.counter.find_one(), {"_id": 1, "n": 200})
    content = os.urandom(2_000_000)
    bucket = AsyncGridFSBucket(db)
    file_id = await bucket.upload_from_stream("blob", content)
    async with await bucket.open_download_stream(file_id) as stream:
        read = await stream.read()
    equal("GridFS", hashlib.sha256(read).hexdigest(), hashlib.sha256(content).hexdigest())
    done(f"{db.name} async")


async def main():
    if COMPARE_URI:
        async with AsyncMongoClient(COMPARE_URI) as client:
            await client.drop_database("pyasync")
            await client.pyasync.counter.insert_one({"_id": 1, "n": 0})
            await application(client.pyasync)
            await client.drop_database("pyasync")
    if not ARGON_URI:
        return
    async with AsyncMongoClient(ARGON_URI, maxPoolSize=20) as client:
        main = client.pyasync
        await main.counter.insert_one({"_id": 1, "n": 0})
        for name in ("left", "right"):
            await fork(main, name)
        await asyncio.gather(*(application(client[name]) for name in ("pyasync", "pyasync~left", "pyasync~right")))
        await client["pyasync~left"].readings.delete_many({"sensor": {"$gt": 0}})
        for name, count in (("pyasync", 4002), ("pyasync~left", 500), ("pyasync~right", 4002)):
            equal(f"isolation of {name}", await client[name].readings.count_documents({}), count)
        try:
            await client["pyasync~none"].readings.find_one()
            equal("unknown branch", "found", "refused")
        except OperationFailure as error:
            equal("unknown branch", (error.code, "createBranch" in str(error)), (26, True))
        # A task that is cancelled in the middle of a read leaves the client usable.
        task = asyncio.create_task(main.readings.find(batch_size=2).to_list())
        await asyncio.sleep(0.05)
        task.cancel()
        equal("after a cancelled task", await main.readings.count_documents({}), 4002)
    done("async over branches")


asyncio.run(main())
