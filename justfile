# The front door; `just` alone lists the recipes. `scripts/setup` installs what they need.

set shell := ["bash", "-euc"]
set positional-arguments

_default:
    @just --list

# Install mongod, mongosh, drivers and the like into .cache/
setup:
    scripts/setup

# Everything that CI checks
ci:
    scripts/test

# Unit tests, case files, crash and malformed-input tests
test *args:
    @source scripts/env; if [ $# = 0 ]; then set -- --workspace; fi; cargo nextest run "$@"

# Play case files on Argon
cases filter="":
    @source scripts/env; cargo build --quiet --bin argon; cargo run --quiet -p argon-testkit --bin check -- argon "$1"

# Play case files on mongod, on Argon, and on mongod through Argon
compat filter="":
    @source scripts/env; cargo run --quiet -p argon-testkit --bin check -- mongod "$1"
    @just cases "$1"
    @source scripts/env; cargo run --quiet -p argon-testkit --bin check -- upstream "$1"
    @source scripts/env; cargo run --quiet -p argon-testkit --bin check -- argon-mongodb "$1"

# Play random commands on mongod and on Argon, which must agree: just differ --subject prefix --seed 7 --cases 5000 --area update
differ *args:
    @source scripts/env; cargo build --quiet --bin argon; cargo run --quiet -p argon-testkit --bin differ -- "$@"

# Write mongod's answers into case files
record filter="":
    @source scripts/env; cargo run --quiet -p argon-testkit --bin record -- "$1"

# Write docs/operators.md; `just operators names` asks mongod for the names that it knows first
operators *args:
    @source scripts/env; cargo run --quiet -p argon-testkit --bin operators -- "$@"

# Kill, pause and cut off servers at random, and prove that nothing is lost: just consistency --mode prefix --seconds 600 --fault-seconds 60
consistency *args:
    @source scripts/env; cargo build --quiet -p argon -p argon-consistency; cargo run --quiet -p argon-consistency -- "$@"

# Driver tests, each against a server of its own: just drivers; just drivers mongodb; just drivers all python
drivers *args:
    scripts/drivers "$@"

# Feed random bytes to a fuzz target (fuzz/fuzz_targets); needs a nightly toolchain
fuzz target seconds="60":
    cargo fuzz --version >/dev/null 2>&1 || cargo install --locked cargo-fuzz
    cargo +nightly fuzz run "$1" -- "-max_total_time=$2"

# Benchmarks against mongod, on this machine
bench *args:
    @source scripts/env; cargo build --release --quiet -p argon -p argon-compare; cargo run --release --quiet -p argon-compare -- "$@"

# Start a server for trying things out
serve *args:
    @cargo run --release --quiet -- serve "$@"
