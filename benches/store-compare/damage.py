"""Damages a store's files and opens it: what is noticed, what is lost without a word?

usage: damage.py <store-compare binary> <scratch directory> <engine> <flip|tear>
flip: one bit of one byte, anywhere in the used part of the files. tear: a 4 KiB page of the last
group, which was being written when the power went, is still zeros (pages reach the disk in any order).
"""
import collections, glob, os, random, re, shutil, subprocess, sys

binary, scratch, engine, kind = sys.argv[1:]
random.seed(7)
RECORDS, GROUP = 1028, 257
base, copy = scratch + "/base", scratch + "/copy"
shutil.rmtree(scratch, ignore_errors=True)
subprocess.run([binary, "fill", engine, base, "4096", str(4 << 20)], check=True, stdout=subprocess.DEVNULL)

def files(root):
    return [f for f in glob.glob(root + "/**", recursive=True) if os.path.isfile(f) and os.path.getsize(f)]

def used(path):
    data = open(path, "rb").read()
    return len(data.rstrip(b"\0"))

log = max(files(base), key=lambda f: used(f))
size = used(log)
outcomes = collections.Counter()
for run in range(40):
    shutil.rmtree(copy, ignore_errors=True)
    subprocess.run(["cp", "-a", "--sparse=always", base, copy], check=True)
    target = copy + log[len(base):]
    with open(target, "r+b") as f:
        if kind == "flip":
            at = random.randrange(size // 8, size)
            f.seek(at); byte = f.read(1); f.seek(at); f.write(bytes([byte[0] ^ (1 << random.randrange(8))]))
        else:
            page = random.randrange((size - (400 << 10)) // 4096, size // 4096 - 1)
            f.seek(page * 4096); f.write(bytes(4096))
    out = subprocess.run([binary, "check", engine, copy], capture_output=True, text=True)
    found = re.search(r"records=(\d+)", out.stdout)
    if found:
        lost = RECORDS - int(found[1])
        outcomes["opens, all there" if lost == 0 else "opens, last group gone" if lost == GROUP
                 else "opens, acknowledged groups gone too"] += 1
    else:
        outcomes["does not open"] += 1
print(engine, kind, dict(outcomes))
