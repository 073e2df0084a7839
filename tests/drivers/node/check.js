// What the applications say when an answer is right, and how they stop when it is wrong.
"use strict";

const { isDeepStrictEqual, inspect } = require("node:util");

// The server to test. Without it only the real one is asked.
exports.ARGON_URI = process.env.ARGON_URI;
// A real mongod: what is not about branches is asked there too, so that no expectation is a guess.
exports.COMPARE_URI = process.env.ARGON_COMPARE_URI;
// The engine of the branches, if it is not the default. Only a log has a past to look at.
const engine = process.env.ARGON_ENGINE ? { engine: process.env.ARGON_ENGINE } : {};
exports.HAS_HISTORY = engine.engine !== "prefix";

let count = 0;

function wrong(text) {
    console.log(`WRONG ${text}`);
    process.exit(1);
}

function equal(what, got, want) {
    if (!isDeepStrictEqual(got, want)) {
        wrong(`${what}\n  got  ${inspect(got, { depth: 9 })}\n  want ${inspect(want, { depth: 9 })}`);
    }
    count += 1;
}

// Awaits `promise`, which has to fail with `code`; answers the error.
async function fails(what, promise, code, contains) {
    let got;
    try {
        got = await promise;
    } catch (error) {
        if (code !== undefined) equal(`${what}: code (${error.message})`, error.code, code);
        if (contains !== undefined) equal(`${what}: ${contains} in: ${error.message}`, error.message.includes(contains), true);
        return error;
    }
    return wrong(`${what}: no error, but ${inspect(got)}`);
}

// Forks a branch called `name`, of the engine under test. `db` is a database of any driver that has `command`.
function fork(db, name, from = "main") {
    return db.command({ createBranch: name, from, ...engine });
}

// Prints how many checks were made since the last call.
function done(section) {
    console.log(`  ${section}: ${count} checks`);
    count = 0;
}

Object.assign(exports, { fork, equal, fails, done });
