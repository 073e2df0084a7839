// A small blog on Mongoose: schemas, models, populate, validation and versions, on main and two branches at once.
"use strict";

const mongoose = require("mongoose");
const { ARGON_URI, COMPARE_URI, HAS_HISTORY, equal, fails, fork, done } = require("../node/check");

const { Schema } = mongoose;

// The models of one connection; each database has a connection and models of its own.
function models(connection) {
    const author = new Schema(
        {
            name: { type: String, required: true, trim: true, minlength: 2 },
            email: { type: String, unique: true, lowercase: true, match: /@/ },
            role: { type: String, enum: ["writer", "editor"], default: "writer" },
            address: { city: String, zip: String },
        },
        { timestamps: true },
    );
    author.virtual("label").get(function () {
        return `${this.name} <${this.email}>`;
    });
    author.virtual("posts", { ref: "Post", localField: "_id", foreignField: "author" });
    const comment = new Schema({ by: { type: Schema.Types.ObjectId, ref: "Author" }, text: String, at: { type: Date, default: Date.now } });
    const post = new Schema(
        {
            title: { type: String, required: true },
            slug: { type: String, index: { unique: true, sparse: true } },
            author: { type: Schema.Types.ObjectId, ref: "Author", index: true },
            tags: [String],
            comments: [comment],
            views: { type: Number, default: 0, min: 0 },
            price: Schema.Types.Decimal128,
            extra: { type: Map, of: String },
        },
        { optimisticConcurrency: true },
    );
    post.index({ tags: 1, views: -1 });
    post.pre("save", function () {
        if (!this.slug) this.slug = this.title.toLowerCase().replace(/\W+/g, "-");
    });
    post.statics.popular = function () {
        return this.find({ views: { $gte: 10 } }).sort("-views title");
    };
    const event = new Schema({ what: String }, { discriminatorKey: "kind" });
    const Event = connection.model("Event", event);
    return {
        Author: connection.model("Author", author),
        Post: connection.model("Post", post),
        Event,
        Click: Event.discriminator("Click", new Schema({ url: String })),
        Session: Event.discriminator("Session", new Schema({ seconds: Number })),
    };
}

async function application(connection) {
    const { Author, Post, Event, Click, Session } = models(connection);
    // autoCreate and autoIndex: init() is done when collections and indexes are there.
    await Promise.all([Author.init(), Post.init(), Event.init()]);
    equal("autoIndex", (await Post.listIndexes()).map((i) => i.name).sort(), ["_id_", "author_1", "slug_1", "tags_1_views_-1"]);
    equal("nothing left to index", await Post.diffIndexes(), { toDrop: [], toCreate: [] });

    // Validation.
    let error = await Author.create({ name: "x", email: "nobody", role: "boss" }).catch((e) => e);
    equal("validation", [error.name, Object.keys(error.errors).sort()], ["ValidationError", ["email", "name", "role"]]);
    const [ann, bob] = await Author.create([
        { name: " Ann ", email: "Ann@Example.org", address: { city: "Brno" } },
        { name: "Bob", email: "bob@example.org", role: "editor" },
    ]);
    equal("setters", [ann.name, ann.email, ann.role, ann.label], ["Ann", "ann@example.org", "writer", "Ann <ann@example.org>"]);
    equal("timestamps", ann.createdAt instanceof Date && ann.createdAt.getTime() === ann.updatedAt.getTime(), true);
    error = await fails("unique", Author.create({ name: "Ann II", email: "ann@example.org" }), 11000, "E11000 duplicate key error");
    equal("its fields", [error.keyPattern, error.keyValue], [{ email: 1 }, { email: "ann@example.org" }]);

    // Documents with arrays, subdocuments, maps and decimals.
    const first = await Post.create({ title: "Hello, World", author: ann._id, tags: ["a", "b"], price: "9.90", extra: { k: "v" } });
    equal("pre save", first.slug, "hello-world");
    first.comments.push({ by: bob._id, text: "nice" }, { by: ann._id, text: "thanks" });
    first.tags.addToSet("b", "c");
    first.extra.set("l", "w");
    first.views = 12;
    await first.save();
    let read = await Post.findById(first._id);
    equal("saved", [read.tags.toObject(), read.comments.length, read.extra.get("l"), read.price.toString(), read.views], [["a", "b", "c"], 2, "w", "9.90", 12]);
    read.comments.id(first.comments[0]._id).text = "very nice";
    read.comments.pull(first.comments[1]._id);
    await read.save();
    equal("subdocuments", (await Post.findById(first._id).lean()).comments.map((c) => c.text), ["very nice"]);

    // Two editors of one document: the second save is refused, not half done.
    const [one, two] = [await Post.findById(first._id), await Post.findById(first._id)];
    one.title = "By one";
    await one.save();
    two.title = "By two";
    error = await two.save().catch((e) => e);
    equal("optimistic versions", [error.name, (await Post.findById(first._id)).title], ["VersionError", "By one"]);

    // Populate, both ways.
    await Post.insertMany(Array.from({ length: 30 }, (_, i) => ({ title: `Post ${i}`, slug: `p${i}`, author: i % 3 ? ann._id : bob._id, views: i, tags: [`t${i % 5}`] })));
    read = await Post.findById(first._id).populate("author").populate({ path: "comments.by", select: "name" });
    equal("populate", [read.author.address.city, read.comments[0].by.name, read.comments[0].by.email], ["Brno", "Bob", undefined]);
    const authors = await Author.find().sort("name").populate({ path: "posts", match: { views: { $gt: 25 } }, options: { sort: { views: -1 } } });
    equal("virtual populate", authors.map((a) => a.posts.map((p) => p.views)), [[29, 28, 26], [27]]);

    // Queries.
    equal("statics", (await Post.popular().limit(2)).map((p) => p.title), ["Post 29", "Post 28"]);
    equal("where", await Post.where("views").gte(5).lt(8).where("tags").in(["t0", "t1"]).countDocuments(), 2);
    equal("distinct", (await Post.distinct("tags", { views: { $lt: 3 } })).sort(), ["t0", "t1", "t2"]);
    equal("exists", [!!(await Post.exists({ slug: "p1" })), await Post.exists({ slug: "none" })], [true, null]);
    let seen = 0;
    for await (const doc of Post.find().sort("slug").cursor({ batchSize: 4 })) seen += doc.slug ? 1 : 0;
    equal("cursor", seen, 31);
    seen = 0;
    await Post.find().cursor().eachAsync(async () => void (seen += 1), { parallel: 5 });
    equal("eachAsync", seen, 31);
    equal("findOneAndUpdate", (await Post.findOneAndUpdate({ slug: "p3" }, { $push: { tags: { $each: ["z", "y"], $sort: 1 } } }, { returnDocument: "after" })).tags.toObject(), ["t3", "y", "z"]);
    const upserted = await Post.findOneAndUpdate({ slug: "new" }, { title: "New" }, { upsert: true, returnDocument: "after", setDefaultsOnInsert: true });
    equal("upsert with defaults", [upserted.title, upserted.views, upserted.comments.length], ["New", 0, 0]);
    equal("updateMany", (await Post.updateMany({ author: bob._id }, { $inc: { views: 100 } })).modifiedCount, 10);
    error = await fails("runValidators", Post.updateOne({ slug: "p1" }, { views: -1 }, { runValidators: true }));
    equal("is a validation", error.name, "ValidationError");
    error = await Post.updateOne({ slug: "p1" }, { views: "many" }).catch((e) => e);
    equal("casting", error.name, "CastError");
    equal("bulkWrite", (({ insertedCount, modifiedCount, deletedCount }) => [insertedCount, modifiedCount, deletedCount])(
        await Post.bulkWrite([
            { insertOne: { document: { title: "bulk", slug: "bulk" } } },
            { updateOne: { filter: { slug: "bulk" }, update: { views: 3 } } },
            { deleteOne: { filter: { slug: "new" } } },
        ]),
    ), [1, 1, 1]);
    error = await fails("insertMany, unordered", Post.insertMany([{ title: "1", slug: "p1" }, { title: "2", slug: "u2" }], { ordered: false }), 11000);
    equal("the good one is there", await Post.countDocuments({ slug: "u2" }), 1);
    equal("deleteMany", (await Post.deleteMany({ slug: { $in: ["u2", "bulk"] } })).deletedCount, 2);

    // Aggregation.
    equal(
        "aggregate",
        await Post.aggregate()
            .match({ slug: /^p/ })
            .group({ _id: "$author", posts: { $sum: 1 }, views: { $sum: "$views" } })
            .lookup({ from: "authors", localField: "_id", foreignField: "_id", as: "a" })
            .unwind("a")
            .project({ _id: 0, name: "$a.name", posts: 1, views: 1 })
            .sort("name"),
        [
            { posts: 20, views: 300, name: "Ann" },
            { posts: 10, views: 1135, name: "Bob" },
        ],
    );

    // Discriminators share a collection.
    await Click.create({ what: "c", url: "/a" });
    await Session.create({ what: "s", seconds: 5 });
    equal("discriminators", [await Event.countDocuments(), await Click.countDocuments(), (await Session.findOne()).seconds], [2, 1, 5]);
    equal("hydrated", (await Event.find().sort("kind")).map((e) => e.constructor.modelName), ["Click", "Session"]);

    // A schema's change of indexes.
    await Author.collection.createIndex({ role: 1 });
    equal("syncIndexes", await Author.syncIndexes(), ["role_1"]);
    equal("model of a session", await connection.withSession(async (session) => (await Author.findOne({ name: "Ann" }).session(session)).name), "Ann");
    await Event.collection.drop();
    done(`${connection.name}`);
    return { Author, Post };
}

async function branches(root) {
    const onMain = await application(root);
    const make = async (name) => {
        await fork(root.db, name);
        return mongoose.createConnection(ARGON_URI, { dbName: `blog~${name}` }).asPromise();
    };
    const draft = await make("draft");
    const empty = await make("empty");
    equal("a branch has main's posts", await models(draft).Post.countDocuments(), 31);
    for (const { name } of await empty.db.listCollections().toArray()) await empty.db.dropCollection(name);
    const post = models(empty);
    equal("emptied", [await post.Post.countDocuments(), await onMain.Post.countDocuments()], [0, 31]);

    // The whole application on one branch, and an editor's work on another, while main is read.
    const reads = (async () => {
        for (let i = 0; i < 50; i++) equal("main stays", await onMain.Post.countDocuments({ views: { $gte: 0 } }), 31);
    })();
    const edit = (async () => {
        const { Post } = { Post: draft.model("Post") };
        for (const doc of await Post.find()) {
            doc.title = `Draft of ${doc.title}`;
            await doc.save();
        }
        await Post.deleteMany({ slug: /^p1/ });
        equal("drafts", await Post.countDocuments({ title: /^Draft of / }), 20);
    })();
    for (const name of Object.keys(empty.models)) empty.deleteModel(name);
    await Promise.all([reads, edit, application(empty)]);
    equal("no draft on main", await onMain.Post.countDocuments({ title: /^Draft/ }), 0);
    equal("none on the other branch", await empty.model("Post").countDocuments({ title: /^Draft/ }), 0);

    // The past and a branch that is not there.
    const head = (await root.db.command({ listBranches: 1 })).cursor.firstBatch.find((b) => b.name === "main").headLsn;
    await onMain.Author.create({ name: "Late", email: "late@example.org" });
    if (HAS_HISTORY) {
        const past = root.useDb(`blog~main~${head}`, { useCache: false });
        // Nothing may be created there, so the model is told not to try.
        const Then = past.model("Author", onMain.Author.schema, "authors", { autoCreate: false });
        Then.schema.set("autoIndex", false);
        equal("time travel", [await Then.countDocuments(), await onMain.Author.countDocuments()], [2, 3]);
        await fails("is read-only", past.db.collection("authors").insertOne({}));
    }
    const nowhere = root.useDb("blog~nowhere");
    await fails("unknown branch", nowhere.db.collection("posts").findOne(), 26, "createBranch");
    await Promise.all([draft.close(), empty.close()]);
    done("branches");
}

async function main() {
    if (COMPARE_URI) {
        const connection = await mongoose.createConnection(COMPARE_URI, { dbName: "blog" }).asPromise();
        await connection.dropDatabase();
        await application(connection);
        await connection.dropDatabase();
        await connection.close();
        done("the same on the real mongod");
    }
    if (!ARGON_URI) return;
    const root = await mongoose.createConnection(ARGON_URI, { dbName: "blog" }).asPromise();
    await branches(root);
    await root.close();
}

console.log(`Mongoose ${mongoose.version}`);
main().catch((error) => {
    console.log(error);
    process.exit(1);
});
