"""What the applications say when an answer is right, and how they stop when it is wrong."""

import os
import sys
import threading

# The server to test. Without it only the real one is asked.
ARGON_URI = os.environ.get("ARGON_URI")
# A real mongod: what is not about branches is asked there too, so that no expectation is a guess.
COMPARE_URI = os.environ.get("ARGON_COMPARE_URI")
# The engine of the branches, if it is not the default. Only a log has a past to look at.
ENGINE = os.environ.get("ARGON_ENGINE")
HAS_HISTORY = ENGINE != "prefix"

# Each thread counts its own checks.
_counts = threading.local()


def equal(what, got, want):
    if got != want:
        sys.exit(f"WRONG {what}\n  got  {got!r}\n  want {want!r}")
    _counts.checks = getattr(_counts, "checks", 0) + 1


def true(what, got):
    equal(what, bool(got), True)


def raises(what, kind, call, code=None, contains=None):
    """Calls `call`, which must fail with an exception of class `kind`; answers the exception."""
    try:
        got = call()
    except kind as error:
        if code is not None:
            equal(f"{what}: code", error.code, code)
        if contains is not None:
            true(f"{what}: {contains!r} in {error}", contains in str(error))
        return error
    sys.exit(f"WRONG {what}: no {kind.__name__}, but {got!r}")


def fork(db, name, **options):
    """Forks a branch called `name`, of the engine under test."""
    engine = {"engine": ENGINE} if ENGINE else {}
    return db.command({"createBranch": name, **options, **engine})


def done(section):
    """Prints how many checks the section made."""
    print(f"  {section}: {getattr(_counts, 'checks', 0)} checks")
    _counts.checks = 0
