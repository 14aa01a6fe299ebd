"""The black-box tests: pytest drives the built program."""

import os
import subprocess
import xml.etree.ElementTree

from .tally import JOBS, RELEASE, ROOT, build


def count(tally, part, report):
    for case in xml.etree.ElementTree.parse(report).getroot().iter("testcase"):
        name = f"{part}: {case.get('classname')}.{case.get('name')}"
        if case.find("failure") is not None or case.find("error") is not None:
            tally.fail(name)
        elif case.find("skipped") is not None:
            tally.skip()
        else:
            tally.ok()


# most of a test's time is waiting: a third one keeps two processors busy
WAITING = JOBS + 1


def run(tally, part, folders, match, env=None, workers=WAITING):
    report = ROOT / "build" / f"pytest-{part}.xml"
    report.parent.mkdir(exist_ok=True)
    report.unlink(missing_ok=True)
    # nothing of the caller's own Python, nothing of an own Pelton's settings
    base = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PELTON_"))}
    command = ["/usr/bin/python3", "-B", "-s", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", str(workers),
               "--durations=5", f"--junitxml={report}", *folders]
    if match:
        command += ["-k", match]
    status = subprocess.run(command, cwd=ROOT, env={**base, **(env or {})}, stdin=subprocess.DEVNULL,
                            check=False).returncode
    failed = tally.failed
    if report.exists():
        count(tally, part, report)
    nothing_fits = match and status == 5
    if status != 0 and tally.failed == failed and not nothing_fits:
        tally.fail(f"{part}: pytest", f"exit status {status}")


def release(tally, part, folders, match, workers=WAITING):
    build("build", RELEASE)
    run(tally, part, [folder for folder in folders if (ROOT / folder).is_dir()] or folders[:1], match, workers=workers)


def api(tally, match):
    release(tally, "api", ["tests/api"], match)


def e2e(tally, match):
    release(tally, "e2e", ["tests/e2e"], match)
