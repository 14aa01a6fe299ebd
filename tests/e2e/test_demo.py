"""./demo --once, as a person runs it on a fresh clone."""

import os
import signal
import subprocess

from lib import processes
from lib.server import ROOT, base_env
from lib.wait import SLOWER, wait_for


def test_demo_once_checks_itself_and_leaves_nothing_behind(tmp_path, tmp_path_factory):
    env = {**base_env(tmp_path_factory.mktemp("home")), "TMPDIR": str(tmp_path)}
    done = subprocess.run([ROOT / "demo", "--once"], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=300 * SLOWER, check=False)
    left = {pid: processes.command_of(pid) for pid in processes.processes_of(tmp_path)}
    processes.kill_all(tmp_path)
    assert done.returncode == 0, done.stdout
    assert "checked: build 1 is a success" in done.stdout
    assert not left, f"still running: {left}\n{done.stdout}"
    assert not list(tmp_path.iterdir())


def hear_interrupts():
    """Who runs the tests in the background may have them ignore SIGINT; a shell cannot undo that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_demo_runs_until_it_is_interrupted_and_keeps_its_state(tmp_path):
    state, log = tmp_path / "state", tmp_path / "demo.log"
    with open(log, "wb") as out:
        demo = subprocess.Popen([ROOT / "demo", "--state", state], env=base_env(tmp_path), stdin=subprocess.DEVNULL,
                                stdout=out, stderr=out, start_new_session=True, preexec_fn=hear_interrupts)
    try:
        wait_for(lambda: f"live page\n{log.read_text()}", lambda: "live: http" in log.read_text(), 240)
        os.killpg(demo.pid, signal.SIGINT)
        assert demo.wait(60 * SLOWER) == 130, log.read_text()
        assert not processes.processes_of(state), log.read_text()
        assert (state / "pelton.db").exists()
    finally:
        demo.kill()
        demo.wait()
        processes.kill_all(tmp_path)
