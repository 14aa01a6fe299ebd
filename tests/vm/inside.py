"""Runs the tests within the machine of ./test vm. What came of them goes to the folder that is named:
programs.json, a line a program as in meson's testlog.json, and pytest.xml; `done` is written last.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

# the programs of tests/unit that have to do with control groups
PROGRAMS = ["executor_cgroup", "executor_shell", "executor_isolation", "runner_job"]
CONTROLLERS = {"memory", "pids", "cpu"}
ENV = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "HOME": "/tmp",
       "PELTON_TEST_SLOWER": "10", "PELTON_TEST_MACHINE": "vm", "PELTON_BIN": "/run/pelton"}


def not_pure():
    """Why this is not a machine with control groups v2 alone; "" when it is."""
    mounts = [line.split(" - ")[1].split()[0] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    groups = [kind for kind in mounts if kind.startswith("cgroup")]
    if groups != ["cgroup2"]:
        return f"mounted are {groups}, not cgroup2 alone"
    used = [line for line in Path("/proc/cgroups").read_text().splitlines()[1:] if line.split()[1] != "0"]
    if used:
        return f"controllers are in hierarchies of v1: {used}"
    missing = CONTROLLERS - set(Path("/sys/fs/cgroup/cgroup.controllers").read_text().split())
    return f"the root group does not have {sorted(missing)}" if missing else ""


def run(name):
    """The program's output goes to the console as it comes."""
    process = subprocess.Popen([f"build/tests/unit/test_{name}"], env=ENV, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    text = ""
    for line in process.stdout:
        print(line, end="", flush=True)
        text += line
    return {"name": name, "result": "OK" if process.wait() == 0 else "FAIL", "returncode": process.returncode,
            "stdout": text}


def run_pytest(report, match):
    # a copy, for the repository may be where only its owner may go
    shutil.copy("build/pelton", ENV["PELTON_BIN"])
    command = ["/usr/bin/python3", "-B", "-s", "-m", "pytest", "-v", "-p", "no:cacheprovider", "--tb=short",
               "--color=no", "--durations=5", f"--junitxml={report}", "tests/vm", *(["-k", match] if match else [])]
    subprocess.run(command, env=ENV, stdin=subprocess.DEVNULL, check=False)


def main():
    results, match = Path(sys.argv[1]), Path(sys.argv[1], "match").read_text()
    print("vm: is up", flush=True)
    problem = not_pure()
    with open(results / "programs.json", "w") as out:
        first = {"name": "nothing but control groups v2", "result": "FAIL" if problem else "OK", "stdout": problem}
        print(json.dumps(first), file=out)
        for name in PROGRAMS if not problem else []:
            if match in name:
                print(json.dumps(run(name)), file=out, flush=True)
    if not problem:
        run_pytest(results / "pytest.xml", match)
    (results / "done").touch()
    os.sync()


main()
