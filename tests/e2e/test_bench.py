"""./bench where nothing can be measured: what is missing is said, and the exit status is not that of a bad figure."""

import shutil
import subprocess

import pytest

from lib.server import ROOT, base_env


@pytest.fixture
def clone(tmp_path):
    """What ./bench reads before it measures, as in a fresh clone: nothing is built."""
    shutil.copy(ROOT / "bench", tmp_path)
    shutil.copytree(ROOT / "benchmarks", tmp_path / "benchmarks")
    shutil.copytree(ROOT / "tests" / "lib", tmp_path / "tests" / "lib")
    return tmp_path


def bench(clone, *arguments):
    done = subprocess.run([*arguments], cwd=clone, env=base_env(clone), stdin=subprocess.DEVNULL, text=True,
                          capture_output=True, timeout=60, check=False)
    assert done.returncode == 2, done.stderr
    return done.stderr


@pytest.mark.parametrize("arguments", [["./bench"], ["./bench", "noop"], ["./bench", "crash", "--kills", "1"],
                                       ["benchmarks/noop"]], ids=" ".join)
def test_without_a_build_it_says_what_to_run_first(clone, arguments):
    said = bench(clone, *arguments)
    assert "./setup" in said and len(said.splitlines()) == 1


def test_a_build_that_fails_is_told_in_its_own_words(clone):
    (clone / "build").mkdir()
    (clone / "build" / "build.ninja").write_text("rule no\n command = echo the reason; false\n"
                                                 + "".join(f"build {target}: no\n" for target in TARGETS))
    said = bench(clone, "./bench", "noop")
    assert "the reason" in said and "Traceback" not in said


TARGETS = ["pelton", *(f"benchmarks/bench-{tool}" for tool in ("fan", "fixed", "follow", "lines", "mask", "plan", "spawn"))]
