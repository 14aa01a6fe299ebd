"""The page: its own code under node, and the whole of it in Chromium."""

import re

from . import py_tests
from .tally import JOBS, ROOT, output_of, say, tracked


def node(tally, match):
    command = ["/usr/bin/node", "--test", "--test-reporter=tap"]
    command += ["--test-name-pattern", match] if match else []
    for path in tracked("tests/browser/*.test.mjs"):
        status, text = output_of(*command, str(ROOT / path))
        counts = {word: int(number) for word, number in re.findall(r"^# (pass|fail|skipped) (\d+)$", text, re.M)}
        tally.ok(counts.get("pass", 0))
        tally.skip(0 if match else counts.get("skipped", 0))
        failed = re.findall(r"^\s*not ok \d+ - (.*)$", text, re.M)
        for name in failed:
            tally.fail(f"browser: {path}: {name}", text[-6000:] if name == failed[0] else "")
        if (status != 0 or not counts) and not failed:
            tally.fail(f"browser: {path}", text[-6000:])
        say(f"{path}: {counts.get('pass', 0)} passed")


def browser(tally, match):
    node(tally, match)
    py_tests.release(tally, "browser", ["tests/browser"], match, workers=JOBS)
