"""The fuzz targets of tests/fuzz: their corpora again, then libFuzzer for some seconds each."""

import json
import os
from concurrent.futures import ThreadPoolExecutor

from . import c_tests
from .tally import JOBS, ROOT, Broken, build, output_of, say

OPTIONS = ["buildtype=debugoptimized", "b_sanitize=address,undefined", "b_lundef=false", "fuzz=true"]


def target_names(directory):
    status, text = output_of("/usr/bin/meson", "introspect", "--targets", directory)
    if status != 0:
        raise Broken(text)
    names = [target["name"] for target in json.loads(text)]
    return sorted(name for name in names if name.startswith(("fuzz_", "replay_")))


def fuzz_one(program, seconds):
    """(name, what it complains of or "", a line about the run). What it found stays in build-fuzz/."""
    name = program.removeprefix("fuzz_")
    seeds = ROOT / "tests" / "fuzz" / "corpus" / name
    grown = ROOT / "build-fuzz" / "corpus" / name
    grown.mkdir(parents=True, exist_ok=True)
    status, text = output_of(
        f"build-fuzz/tests/fuzz/{program}", f"-max_total_time={seconds}", "-timeout=20", "-rss_limit_mb=2048",
        "-max_len=65536", "-print_final_stats=1", f"-artifact_prefix=build-fuzz/found-{name}-",
        str(grown), str(seeds), env={**os.environ, **c_tests.sanitizer_env()})
    done = [line.split()[-1] for line in text.splitlines() if line.startswith("stat::number_of_executed_units")]
    return name, "" if status == 0 else text[-6000:], f"{done[0] if done else 'no'} inputs"


def fuzz(tally, match):
    seconds = os.environ.get("PELTON_FUZZ_SECONDS", "15")
    # the targets are known only when the directory is set up: an empty list of targets would build all
    build("build-fuzz", OPTIONS, env={"CC": "clang-14"}, targets=["build.ninja"])
    names = target_names("build-fuzz")
    build("build-fuzz", OPTIONS, targets=[f"tests/fuzz/{name}" for name in names])
    c_tests.run(tally, "fuzz", "build-fuzz", suites=["fuzz"], match=match, env=c_tests.sanitizer_env())
    programs = [name for name in names if name.startswith("fuzz_") and (not match or match in name)]
    with ThreadPoolExecutor(JOBS) as pool:
        for name, problem, line in pool.map(lambda program: fuzz_one(program, seconds), programs):
            say(f"{name}: {line}")
            tally.check(f"fuzz: {name} for {seconds} s", problem)
