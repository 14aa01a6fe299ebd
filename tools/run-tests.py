#!/usr/bin/python3
"""Runs the tests and ends with one line: N passed, N failed, N skipped."""

import argparse
import signal
import sys
import time

from suite import c_tests, crash, fuzzing, lint, py_tests, vm, web_tests
from suite.tally import Broken, Tally, say

PARTS = {
    "unit": ("the C tests of every room, on the release build", c_tests.unit),
    "api": ("the HTTP interface and the command line of the release build", py_tests.api),
    "e2e": ("real pushes, builds and deployments on the release build", py_tests.e2e),
    "crash": ("kills everything at random, some 100 times, and looks whether anything was lost", crash.crash),
    "vm": ("control groups under Debian's kernel in qemu, with nothing but control groups v2", vm.vm),
    "browser": ("the page: its code under node, the whole in Chromium", web_tests.browser),
    "asan": ("unit, corpora and api under AddressSanitizer and UndefinedBehaviorSanitizer", c_tests.asan),
    "tsan": ("the rooms that have threads under ThreadSanitizer", c_tests.tsan),
    "fuzz": ("the corpora, and every fuzz target for a while (PELTON_FUZZ_SECONDS, 15)", fuzzing.fuzz),
    "lint": ("layers, format, clang's build, clang-tidy, shellcheck, sizes", lint.lint),
}


def arguments():
    described = "\n".join(f"  {name:8} {text}" for name, (text, _) in PARTS.items())
    parser = argparse.ArgumentParser(
        prog="./test",
        description=__doc__,
        epilog=f"parts (all when none is named):\n{described}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("part", nargs="*", metavar="PART", help="what to run")
    parser.add_argument("-k", metavar="TEXT", dest="match", help="only tests whose name has TEXT")
    given, given.further = parser.parse_known_args()
    if given.further and given.part != ["crash"]:
        parser.error(f"unknown: {' '.join(given.further)} (crash, named alone, has flags of its own: --seed, --rounds, --kills, --builds, --only, --without, --keep, --stop)")
    unknown = [part for part in given.part if part not in PARTS]
    if unknown:
        parser.error(f"no part {unknown[0]!r}; there are: {' '.join(PARTS)}")
    return given


def run(part, match, further=()):
    text, function = PARTS[part]
    say(f"\n=== {part}: {text}")
    started = time.monotonic()
    tally = Tally()
    try:
        function(tally, match, *([further] if further else []))
    except Broken as error:
        tally.fail(part, str(error))
    say(f"--- {part}: {tally} in {time.monotonic() - started:.0f} s")
    return tally


def main():
    given = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    total = Tally()
    for part in given.part or PARTS:
        total.add(run(part, given.match, given.further))
    if total.failures:
        say("\nfailed:")
        for name in total.failures:
            say(f"  {name}")
    say("")
    say(str(total))
    sys.exit(1 if total.failed else 0)


if __name__ == "__main__":
    main()
