"""The C tests: meson runs the programs; cmocka's own output tells the tests in each of them."""

import json
import os
import re
import subprocess

from . import py_tests
from .tally import JOBS, RELEASE, ROOT, Broken, build, output_of, say

ASAN = ["buildtype=debugoptimized", "b_sanitize=address,undefined"]
TSAN = ["buildtype=debugoptimized", "b_sanitize=thread"]
# the program, and what `meson test` needs, which is not built by default
EVERYTHING = ["all", "meson-test-prereq"]
# the rooms where threads meet, and the tests of others where they do
TSAN_SUITES = ["http", "db", "bus", "blob", "build", "queue", "ingress", "deploy", "git",
               "threads"]
MODELS = ["models"]  # not under sanitizers: what they visit so often other tests visit once

CMOCKA = re.compile(r"^\[ *(RUN|OK|FAILED|SKIPPED) *\] (\w+)$")


def cmocka_results(text):
    """{test: "OK" | "FAILED" | "SKIPPED"} of one program; a test that never ended has FAILED."""
    results = {}
    for line in text.splitlines():
        match = CMOCKA.match(line.strip())
        if not match:
            continue
        word, name = match.groups()
        results[name] = "FAILED" if word == "RUN" else word
    return results


def count(tally, part, entry):
    """One line of meson's testlog.json."""
    name = f"{part}: {entry['name']}"
    text = entry.get("stdout", "") + entry.get("stderr", "")
    results = cmocka_results(text)
    good = entry["result"] in ("OK", "SKIP")
    bad = [test for test, result in results.items() if result == "FAILED"]
    for test, result in results.items():
        if result == "OK":
            tally.ok()
        elif result == "SKIPPED":
            tally.skip()
    for test in bad:
        tally.fail(f"{name}: {test}", text[-8000:] if test == bad[0] else "")
    if not good and not bad:
        tally.fail(name, f"{entry['result']}, exit status {entry.get('returncode')}\n{text[-8000:]}")
    elif not results and good:
        tally.ok() if entry["result"] == "OK" else tally.skip()


def chosen_tests(directory, suites, without, match):
    """Names for meson's command line, or None when nothing fits."""
    status, text = output_of("/usr/bin/meson", "introspect", "--tests", directory)
    if status != 0:
        raise Broken(text)
    suites_of = [(test["name"], [suite.split(":")[-1] for suite in test["suite"]]) for test in json.loads(text)]
    return [name for name, own in suites_of
            if (not suites or set(own) & set(suites)) and not set(own) & set(without)
            and (not match or match in name or match in own)]


def run(tally, part, directory, suites=(), without=(), match=None, slower=1, env=None, wrap=None):
    names = chosen_tests(directory, suites, without, match)
    if not names:
        if not match:
            raise Broken(f"{directory} has no tests")
        return
    command = ["/usr/bin/meson", "test", "-C", directory, "--no-rebuild", "--num-processes", str(JOBS),
               "--timeout-multiplier", str(slower), "--logbase", f"{part}log"]
    for suite in suites:
        command += ["--suite", suite]
    for suite in without:
        command += ["--no-suite", suite]
    if wrap:
        command += ["--wrapper", wrap]
    if match:
        command += names
    log = ROOT / directory / "meson-logs" / f"{part}log{'-' + wrap.split()[0] if wrap else ''}.json"
    log.unlink(missing_ok=True)
    subprocess.run(command, cwd=ROOT, env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL, check=False)
    if not log.exists():
        raise Broken(f"{' '.join(command)} has left no {log}")
    for line in log.read_text(errors="replace").splitlines():
        count(tally, part, json.loads(line))


def sanitizer_env(log_path=None):
    """Reports go to log_path.<pid> when it is given, else to standard error; any report ends the process."""
    common = "exitcode=99" + (f":log_path={log_path}" if log_path else "")
    return {
        "ASAN_OPTIONS": f"detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=1:{common}",
        "UBSAN_OPTIONS": f"print_stacktrace=1:halt_on_error=1:{common}",
        # a job process ends with its uploader's thread, which nobody joins
        "TSAN_OPTIONS": f"halt_on_error=1:second_deadlock_stack=1:die_after_fork=0:report_thread_leaks=0:{common}",
    }


def unit(tally, match):
    build("build", RELEASE, targets=EVERYTHING)
    run(tally, "unit", "build", match=match)


def asan(tally, match):
    build("build-asan", ASAN, targets=EVERYTHING)
    run(tally, "asan", "build-asan", without=MODELS, match=match, slower=3, env=sanitizer_env())
    reports = ROOT / "build-asan" / "reports"
    reports.mkdir(exist_ok=True)
    for old in reports.iterdir():
        old.unlink()
    py_tests.run(tally, "asan-api", ["tests/api"], match,
                 env={**sanitizer_env(reports / "report"), "PELTON_BIN": str(ROOT / "build-asan" / "pelton"),
                      "PELTON_TEST_SLOWER": "4"})
    for report in sorted(reports.iterdir()):
        tally.fail(f"asan: {report.name}", report.read_text(errors="replace")[:8000])


def fixed_addresses():
    """ThreadSanitizer of gcc 12 and clang 14 cannot live with the address space layout of newer kernels."""
    if output_of("setarch", "-R", "true")[0] == 0:
        return "setarch -R"
    say("setarch -R is not allowed here: tried without")
    return None


def tsan(tally, match):
    build("build-tsan", TSAN, targets=EVERYTHING)
    run(tally, "tsan", "build-tsan", suites=TSAN_SUITES, without=MODELS, match=match, slower=5, env=sanitizer_env(),
        wrap=fixed_addresses())
