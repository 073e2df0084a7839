"""A client lives through restarts of its server: of a polite one and of a `kill -9`.

Starts its own server, from ARGON_BIN, since the one all programs share has to stay."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time

import pymongo
from bson import Int64
from pymongo.errors import PyMongoError

from check import done, equal, fork, true

ARGON = os.environ.get("ARGON_BIN")
# What the shared server was started with: a store that several servers share, or nothing.
SERVE_ARGS = os.environ.get("ARGON_SERVE_ARGS", "").split()


def start(folder, listen):
    server = subprocess.Popen(
        [ARGON, "serve", "--listen", listen, "--data-dir", folder, *SERVE_ARGS],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    line = server.stdout.readline()
    ready = re.match(r"argon ready on mongodb://([^/]*)/", line)
    true(f"ready: {line!r}", ready)
    return server, ready[1]


def main():
    with tempfile.TemporaryDirectory() as folder:
        server, address = start(folder, "127.0.0.1:0")
        try:
            client = pymongo.MongoClient(f"mongodb://{address}/", serverSelectionTimeoutMS=30_000)
            main, branch = client.reborn, client["reborn~work"]
            main.log.insert_one({"_id": "before"})
            main.log.create_index("n", unique=True, sparse=True)
            fork(main, "work")
            branch.log.insert_one({"_id": "on the branch", "n": 1})
            with client.start_session() as session:
                numbered = {
                    "update": "log",
                    "updates": [{"q": {"_id": "before"}, "u": {"$inc": {"times": 1}}}],
                    "txnNumber": Int64(900),
                }
                equal("a numbered write", main.command(numbered, session=session)["nModified"], 1)

                for how in (signal.SIGTERM, signal.SIGKILL):
                    acknowledged, stop = [], threading.Event()

                    def write():
                        n = 0
                        while not stop.is_set():
                            key = f"{how.name}-{n}"
                            try:
                                branch.log.insert_one({"_id": key})
                                acknowledged.append(key)
                            except pymongo.errors.DuplicateKeyError:
                                sys.exit(f"WRONG {key}: a retryable write was applied twice")
                            except PyMongoError:
                                pass
                            n += 1

                    writer = threading.Thread(target=write)
                    writer.start()
                    while len(acknowledged) < 50:
                        time.sleep(0.005)
                    server.send_signal(how)
                    server.wait(timeout=30)
                    server, _ = start(folder, address)
                    more = len(acknowledged) + 50
                    while len(acknowledged) < more:
                        time.sleep(0.005)
                    stop.set()
                    writer.join()
                    there = set(branch.log.distinct("_id", {"_id": {"$regex": f"^{how.name}"}}))
                    equal(f"{how.name}: acknowledged and lost", set(acknowledged) - there, set())
                    equal("retried after the restart", main.command(numbered, session=session)["nModified"], 1)
                    equal("and not applied again", main.log.find_one({"_id": "before"})["times"], 1)
                    equal("indexes survive", sorted(branch.log.index_information()), ["_id_", "n_1"])
                    equal("isolation survives", main.log.count_documents({}), 1)
                    done(f"restart after {how.name}, {len(acknowledged)} writes acknowledged around it")
                session._server_session._transaction_id = 900
            client.close()
        finally:
            server.kill()
            server.wait()


if ARGON:
    main()
else:
    print("  restart: skipped, ARGON_BIN names no server to start")
