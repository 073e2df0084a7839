#!/bin/sh
# Runs the whole comparison: ./run.sh [directory on the disk to measure]. Prints one line per measurement.
set -eu
cd "$(dirname "$0")"
cargo build --release --quiet
program="${CARGO_TARGET_DIR:-target}/release/store-compare"
data="${1:-/tmp}/store-compare-data"
for bytes in 300 4096; do for appenders in 1 8 64; do for round in 1 2 3; do
    for engine in fjall redb segment segment0; do
        rm -rf "$data"
        "$program" append $engine "$data" $appenders $bytes 2
    done
done; done; done
for round in 1 2 3; do for engine in fjall redb segment segment0; do
    rm -rf "$data"
    "$program" append $engine "$data" 1 1048576 2
done; done
for engine in fjall redb segment; do
    rm -rf "$data"
    "$program" fill $engine "$data" 4096 1000000000
    echo "disk   $engine $(du -s --block-size=1 "$data" | cut -f1)"
    "$program" reopen $engine "$data"
done
rm -rf "$data"
for engine in fjall redb; do for kind in flip tear; do
    python3 damage.py "$program" "$data" $engine $kind
done; done
rm -rf "$data"
