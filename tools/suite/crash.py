"""The crash harness: each of its rounds counts as a test."""

import json
import os
import subprocess

from .tally import RELEASE, ROOT, build

TOOLS = ["pelton", "tests/crash/crash-step", "tests/crash/crash-shim.so"]


def crash(tally, match, arguments=()):
    """arguments: of the harness, see python3 -m crash --help."""
    build("build", RELEASE, targets=TOOLS)
    report = ROOT / "build" / "crash.json"
    report.unlink(missing_ok=True)
    status = subprocess.run(["/usr/bin/python3", "-B", "-s", "-m", "crash", "--json", str(report), *arguments],
                            cwd=ROOT / "tests", stdin=subprocess.DEVNULL, check=False,
                            env={**os.environ, "CRASH_COMMAND": " ".join(["./test", "crash", *arguments])}).returncode
    if not report.exists():
        tally.fail("crash", f"exit status {status}")
        return
    for result in json.loads(report.read_text())["results"]:
        problems = "\n".join(f"{one['category']}: {one['text']}" for one in result["violations"])
        tally.check(f"crash: seed {result['seed']}", problems)
