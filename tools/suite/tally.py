"""What the parts of ./test share: counting, running commands, build directories."""

import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
JOBS = max(2, min(os.cpu_count() or 2, len(os.sched_getaffinity(0))))
# what ./setup builds
RELEASE = ["buildtype=release", "b_sanitize=none", "fuzz=false"]


class Broken(Exception):
    """A part cannot go on: a build that fails, a tool that is missing."""


def say(text):
    print(text, flush=True)


@dataclass
class Tally:
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    failures: list = field(default_factory=list)

    def ok(self, count=1):
        self.passed += count

    def skip(self, count=1):
        self.skipped += count

    def fail(self, name, text=""):
        self.failed += 1
        self.failures.append(name)
        say(f"FAILED {name}" + (f"\n{text.rstrip()}" if text.strip() else ""))

    def check(self, name, problem):
        """One check that has passed when it has nothing to say."""
        if problem:
            self.fail(name, problem)
        else:
            self.ok()
            say(f"ok     {name}")

    def add(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped
        self.failures += other.failures

    def __str__(self):
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def output_of(*command, env=None):
    """Exit status, and both outputs as one text."""
    done = subprocess.run(command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace")
    return done.returncode, done.stdout


def tracked(*patterns):
    """The repository's files of these git patterns, also new ones."""
    listed = output_of("git", "ls-files", "-co", "--exclude-standard", "--", *patterns)[1]
    return [line for line in listed.splitlines() if (ROOT / line).is_file()]


def build(name, options, env=None, targets=(), keep_going=False):
    """Sets the build directory up with "option=value" options, unless it has them, and builds. Gives the output of
    the compilers; a failure is Broken unless keep_going, then it is given as (False, output)."""
    env = {**os.environ, **(env or {})}
    path = ROOT / name
    wanted = [f"-D{option}" for option in options]
    if not (path / "build.ninja").exists():
        status, text = output_of("/usr/bin/meson", "setup", name, *wanted, env=env)
    elif output_of("/usr/bin/python3", "tools/build-options.py", name, *options)[0] != 0:
        status, text = output_of("/usr/bin/meson", "setup", "--reconfigure", name, *wanted, env=env)
    else:
        status, text = 0, ""
    if status != 0:
        raise Broken(f"meson setup {name}:\n{text}")
    command = ["/usr/bin/ninja", "-C", name, "-k", "0" if keep_going else "1", *targets]
    status, text = output_of(*command, env=env)
    if status != 0 and not keep_going:
        raise Broken(f"{' '.join(command)}:\n{text[-20000:]}")
    return status == 0, text
