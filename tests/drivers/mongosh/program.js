// What mongosh and the tools ask at start-up and in their helpers, then branches.
"use strict";

let checks = 0;
const argon = db.hello().msg === "isdbgrid";
// The engine of the branches, if it is not the default. Only a log has a past to look at.
const engine = process.env.ARGON_ENGINE ? { engine: process.env.ARGON_ENGINE } : {};
const hasHistory = engine.engine !== "prefix";

function equal(what, got, want) {
    const [g, w] = [EJSON.stringify(got, { relaxed: false }), EJSON.stringify(want, { relaxed: false })];
    if (g !== w) {
        print(`WRONG ${what}\n  got  ${g}\n  want ${w}`);
        quit(1);
    }
    checks += 1;
}

function fails(what, call, code, contains) {
    let got;
    try {
        got = call();
    } catch (error) {
        if (code !== undefined) equal(`${what}: code (${error.message})`, error.code, code);
        if (contains !== undefined) equal(`${what}: ${contains} in: ${error.message}`, error.message.includes(contains), true);
        checks += 1;
        return error;
    }
    print(`WRONG ${what}: no error, but ${EJSON.stringify(got)}`);
    quit(1);
}

function done(section) {
    print(`  ${section}: ${checks} checks`);
    checks = 0;
}

// 1. What a shell, a GUI or a tool asks before its user can.
const admin = db.getSiblingDB("admin");
equal("buildInfo", admin.runCommand({ buildInfo: 1 }).version, "6.0.5");
equal("versionArray", [...admin.runCommand({ buildInfo: 1 }).versionArray], [6, 0, 5, 0]);
fails("atlasVersion is no command", () => admin.runCommand({ atlasVersion: 1 }), 59, "no such command: 'atlasVersion'");
equal("feature version", admin.runCommand({ getParameter: 1, featureCompatibilityVersion: 1 }).ok, 1);
fails("no such parameter", () => admin.runCommand({ getParameter: "foo" }));
equal("admin.atlascli", admin.atlascli.countDocuments({ managedClusterType: "atlasCliLocalDevCluster" }), 0);
equal("ping", admin.runCommand({ ping: 1 }).ok, 1);
equal("getLog", Array.isArray(admin.runCommand({ getLog: "startupWarnings" }).log), true);
equal("connectionStatus", [...admin.runCommand({ connectionStatus: 1, showPrivileges: true }).authInfo.authenticatedUsers], []);
equal("hostInfo", typeof db.hostInfo().system.hostname, "string");
equal("getCmdLineOpts", typeof db.serverCmdLineOpts().parsed, "object");
equal("whatsmyuri", /:\d+$/.test(admin.runCommand({ whatsmyuri: 1 }).you), true);
equal("isMaster", db.isMaster().ismaster, true);
equal("serverStatus", [db.serverStatus().version, db.serverStatus().connections.current > 0], ["6.0.5", true]);
equal("listCommands", "find" in admin.runCommand({ listCommands: 1 }).commands, true);
equal("free monitoring", admin.runCommand({ getFreeMonitoringStatus: 1 }).ok, 1);
equal("currentOp", admin.runCommand({ currentOp: 1 }).ok, 1);
equal("usersInfo", [...db.runCommand({ usersInfo: 1 }).users], []);
equal("profile", db.getProfilingStatus().was, 0);
equal("Mongo", db.getMongo().getDBNames().includes("admin"), true);
if (argon) {
    // As a mongos answers.
    fails("rs.status", () => rs.status(), undefined, "mongos");
    equal("listShards", admin.runCommand({ listShards: 1 }).ok, 1);
    equal("isdbgrid", admin.runCommand({ isdbgrid: 1 }).isdbgrid, 1);
}
done("start-up");

// 2. Helpers on a collection.
const shop = db.getSiblingDB("shellshop");
if (!argon) shop.dropDatabase();
for (let i = 0; i < 300; i++) shop.items.insertOne({ _id: i, price: i % 30, at: new Date(2026, 0, 1 + (i % 28)), name: `n${i}` });
equal("nameOnly", admin.runCommand({ listDatabases: 1, nameOnly: true, filter: { name: "shellshop" } }).databases, [{ name: "shellshop" }]);
equal("listDatabases", admin.runCommand({ listDatabases: 1, filter: { name: "shellshop" } }).databases[0].empty, false);
const stats = shop.stats();
equal("db.stats", [stats.db, Number(stats.collections), Number(stats.objects), Number(stats.indexes)], ["shellshop", 1, 300, 1]);
const collStats = shop.runCommand({ collStats: "items" });
equal("collStats", [collStats.ns, collStats.count, collStats.nindexes, collStats.size > 1000], ["shellshop.items", 300, 1, true]);
equal("stats of a collection", Number(shop.items.stats().count), 300);
equal("dataSize", shop.items.dataSize() > 1000, true);
equal("$indexStats", shop.items.aggregate([{ $indexStats: {} }]).toArray().map((i) => i.name), ["_id_"]);
equal("db.currentOp", Array.isArray(db.currentOp().inprog), true);
equal("validate", shop.items.validate().valid, true);
equal("explain, all modes", ["queryPlanner", "executionStats", "allPlansExecution"].map((mode) => "queryPlanner" in shop.items.find({ price: 3 }).explain(mode)), [true, true, true]);
equal("explain of count", shop.items.explain("executionStats").count({ price: 3 }).executionStats.executionSuccess, true);
equal("explain of update changes nothing", [shop.runCommand({ explain: { update: "items", updates: [{ q: { price: 3 }, u: { $set: { x: 1 } } }] } }).ok, shop.items.countDocuments({ x: 1 })], [1, 0]);
equal("explain of aggregate", shop.items.explain().aggregate([{ $match: { price: 3 } }]).ok, 1);
equal("forEach and map", shop.items.find({ price: 29 }).map((d) => d._id).toArray().slice(0, 3), [29, 59, 89]);
const cursor = shop.items.find().batchSize(7);
let seen = 0;
while (cursor.hasNext()) {
    cursor.next();
    seen += 1;
}
equal("hasNext, next", seen, 300);
equal("itcount", shop.items.find().batchSize(11).itcount(), 300);
equal("objsLeftInBatch", (() => { const c = shop.items.find().batchSize(5); c.next(); const left = c.objsLeftInBatch(); c.close(); return left; })(), 4);
const bulk = shop.items.initializeUnorderedBulkOp();
bulk.insert({ _id: 1000 });
bulk.find({ _id: 1 }).updateOne({ $set: { b: 1 } });
bulk.find({ _id: 2000 }).upsert().replaceOne({ b: 2 });
bulk.find({ _id: { $gte: 1000 } }).delete();
const result = bulk.execute();
equal("bulk api", [result.insertedCount, result.modifiedCount, result.upsertedCount, result.deletedCount], [1, 1, 1, 2]);
equal("findAndModify", shop.items.findAndModify({ query: { _id: 1 }, update: { $inc: { b: 1 } }, new: true }).b, 2);
equal("$lookup on itself", shop.items.aggregate([{ $match: { _id: 5 } }, { $lookup: { from: "items", localField: "price", foreignField: "price", as: "same" } }, { $project: { n: { $size: "$same" } } }]).toArray(), [{ _id: 5, n: 10 }]);
equal("$sample", shop.items.aggregate([{ $sample: { size: 5 } }]).toArray().length, 5);
equal("createIndexes", shop.items.createIndexes([{ price: 1 }, { at: -1 }]), ["price_1", "at_-1"]);
equal("hint", shop.items.find({ price: 3 }).hint({ price: 1 }).itcount(), 10);
const session = db.getMongo().startSession({ causalConsistency: true });
session.getDatabase("shellshop").items.insertOne({ _id: "s" });
equal("session", session.getDatabase("shellshop").items.findOne({ _id: "s" }), { _id: "s" });
session.endSession();
shop.items.deleteOne({ _id: "s" });
done("helpers");

// 3. What the database tools read to dump a database.
const dump = {};
for (const info of shop.getCollectionInfos()) {
    equal("uuid", info.info.uuid instanceof UUID, true);
    dump[info.name] = {
        indexes: shop.runCommand({ listIndexes: info.name }).cursor.firstBatch.map((i) => i.name),
        count: Number(shop.runCommand({ count: info.name, query: {} }).n),
        byId: shop.getCollection(info.name).find().hint({ _id: 1 }).noCursorTimeout().itcount(),
        natural: shop.getCollection(info.name).find().hint({ $natural: 1 }).itcount(),
    };
}
equal("a dump", dump, { items: { indexes: ["_id_", "price_1", "at_-1"], count: 300, byId: 300, natural: 300 } });
done("tools");

// 4. Branches.
if (argon) {
    const made = shop.runCommand({ createBranch: "feature/shell", from: "main", ...engine });
    equal("createBranch", [made.ok, made.database], [1, "shellshop~feature-shell"]);
    shop.runCommand({ createBranch: "other", ...engine });
    const [feature, other] = ["feature-shell", "other"].map((slug) => db.getSiblingDB(`shellshop~${slug}`));
    const head = shop.runCommand({ listBranches: 1 }).cursor.firstBatch.find((b) => b.name === "main").headLsn;
    feature.items.updateMany({}, { $mul: { price: 2 } });
    other.items.drop();
    shop.items.deleteMany({ _id: { $gte: 150 } });
    const total = (d) => d.items.aggregate([{ $group: { _id: null, n: { $sum: 1 }, sum: { $sum: "$price" } } }]).toArray();
    equal("main", total(shop), [{ _id: null, n: 150, sum: 2175 }]);
    equal("feature", total(feature), [{ _id: null, n: 300, sum: 8700 }]);
    equal("other", [total(other), other.getCollectionNames()], [[], []]);
    equal("stats of a branch", [feature.stats().db, Number(feature.stats().objects)], ["shellshop~feature-shell", 300]);
    equal("getCollection of a branch", feature.items.getFullName(), "shellshop~feature-shell.items");
    if (hasHistory) {
        const then = db.getSiblingDB(`shellshop~main~${head}`);
        equal("then", total(then), [{ _id: null, n: 300, sum: 4350 }]);
        fails("is read-only", () => then.items.insertOne({}));
    }
    fails("unknown branch", () => db.getSiblingDB("shellshop~nope").items.findOne(), 26, "createBranch");
    fails("unknown branch, stats", () => db.getSiblingDB("shellshop~nope").stats(), 26, "createBranch");
    fails("dropBranch main", () => shop.runCommand({ dropBranch: "main" }));
    equal("dropBranch", shop.runCommand({ dropBranch: "other" }).ok, 1);
    equal("show dbs", db.getMongo().getDBNames().filter((n) => n.startsWith("shellshop")).sort(), ["shellshop", "shellshop~feature-shell"]);
    feature.dropDatabase();
    equal("dropDatabase of a branch", [feature.getCollectionNames(), shop.items.countDocuments()], [[], 150]);
    done("branches");
} else {
    shop.dropDatabase();
}
