"""The server's settings: file, environment, flags, in that order; what is wrong stops the start with its place."""

import json
import socket
import subprocess

import pytest

from lib.server import BINARY, Pelton, base_env
from lib.wait import wait_for


def server(tmp_path, *flags, file=None, env=None):
    state = tmp_path / "state"
    if file is not None:
        state.mkdir(exist_ok=True)
        (state / "pelton.yml").write_text(file)
    return subprocess.run([BINARY, "server", "--state", state, *flags], cwd=tmp_path, capture_output=True, text=True,
                          env={**base_env(tmp_path), **(env or {})}, stdin=subprocess.DEVNULL, timeout=60, check=False)


def config(tmp_path, *flags, **options):
    done = server(tmp_path, *flags, "--print-config", "--json", **options)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_flags_win_over_the_environment_and_that_over_the_file(tmp_path):
    file, env = "slots: 3\nlease: 20s\nworkers: 5\n", {"PELTON_LEASE": "40s", "PELTON_WORKERS": "6"}
    held = config(tmp_path, "--workers", "7", file=file, env=env)
    assert (held["slots"]["value"], held["slots"]["from"].endswith("pelton.yml:1")) == (3, True)
    assert (held["lease"]["value"], held["lease"]["from"]) == ("40s", "PELTON_LEASE")
    assert (held["workers"]["value"], held["workers"]["from"]) == (7, "--workers")
    assert held["domain"]["from"] == "default"


def test_a_server_can_be_started_in_a_step_of_a_job(tmp_path):
    env = {"PELTON": "true", "PELTON_EVENT": "push", "PELTON_JOB": "7", "PELTON_JOB_NAME": "test", "PELTON_LEASE": "40s"}
    assert config(tmp_path, env=env)["lease"]["value"] == "40s"


def test_what_is_printed_can_be_read_back(tmp_path):
    first = server(tmp_path, "--print-config", "--slots", "9").stdout
    lines = [line for line in first.splitlines() if not line.startswith(("config:", "state:", "print-config:"))]
    again = config(tmp_path, file="\n".join(lines) + "\n")
    assert again["slots"]["value"] == 9


def test_times_as_json_can_be_given_again(tmp_path):
    held = config(tmp_path, "--lease", "90s", "--cancel-grace", "0", "--request-timeout", "1500ms")
    times = {name: held[name]["value"] for name in ("lease", "cancel-grace", "request-timeout", "session")}
    assert times == {"lease": "1m30s", "cancel-grace": "0s", "request-timeout": "1s500ms", "session": "7d"}
    again = config(tmp_path, *[f"--{name}={value}" for name, value in times.items()])
    assert {name: again[name]["value"] for name in times} == times


@pytest.mark.parametrize("file, words", [
    ("lisen: 1\n", ("pelton.yml:1:1", "lisen", 'did you mean "listen"')),
    ("slots: 3\nlease: 5 parsecs\n", ("pelton.yml:2:8", "lease", "duration")),
    ("slots: 0\n", ("pelton.yml:1:8", "slots", "1 to 256")),
    ("log-level: loud\n", ("pelton.yml:1:12", "log-level", "debug")),
    ("listen: nowhere\n", ("pelton.yml:1:9", "listen")),
    ("slots: [1\n", ("pelton.yml",)),
])
def test_a_mistake_in_the_file_stops_the_start_with_its_place(tmp_path, file, words):
    done = server(tmp_path, file=file)
    assert done.returncode == 2 and all(word in done.stderr for word in words), done.stderr
    assert not (tmp_path / "state" / "pelton.db").exists()


@pytest.mark.parametrize("flags, env, words", [
    (["--slots", "many"], {}, ("--slots", "many")),
    (["--slotz", "1"], {}, ("--slotz", 'did you mean "--slots"?')),
    (["--config", "missing.yml"], {}, ("missing.yml",)),
    (["stray"], {}, ("stray",)),
    ([], {"PELTON_SLOTS": "-1"}, ("PELTON_SLOTS",)),
    ([], {"PELTON_SLOTZ": "1"}, ("PELTON_SLOTZ", 'did you mean "PELTON_SLOTS"?')),
])
def test_a_mistake_in_a_flag_or_the_environment_stops_the_start(tmp_path, flags, env, words):
    done = server(tmp_path, *flags, env=env)
    assert done.returncode == 2 and all(word in done.stderr for word in words), done.stderr


def test_the_command_lines_own_variables_do_not_concern_the_server(tmp_path):
    env = {"PELTON_URL": "http://x", "PELTON_TOKEN": "t", "PELTON_CONFIG": "/nonexistent/config.yml"}
    held = config(tmp_path, env=env)
    assert held["config"] == held["url"] == {"value": None, "from": "default"}


def test_the_help_says_which_variables_do_not_concern_the_server(tmp_path):
    lines = server(tmp_path, "--help").stdout.splitlines()
    named = {name: [line for line in lines if f"PELTON_{name.upper()} is the command line's" in line] for name in ("url", "config")}
    assert all(len(found) == 1 and f"--{name} " in found[0] for name, found in named.items()), named


def test_a_state_directory_that_cannot_be_made_is_not_said_to_be_missing(tmp_path):
    done = server(tmp_path, "--state", "/proc/x")
    assert done.returncode not in (0, 3) and "state directory: create folder /proc/x" in done.stderr, done


def test_a_second_server_on_the_same_state_is_told_so(start_pelton):
    first = start_pelton()
    done = subprocess.run([first.binary, "server", "--state", first.state, "--listen", "127.0.0.1:0"],
                          capture_output=True, text=True, env=base_env(first.folder), timeout=60, check=False)
    assert done.returncode == 6 and "another server works on" in done.stderr
    assert "stopping" not in done.stderr, "of jobs and releases that are the other's"
    assert first.client.get("/health")["status"] == "ok"


def test_an_address_that_is_taken_is_a_clear_error(start_pelton, tmp_path):
    first = start_pelton()
    (tmp_path / "second").mkdir()
    done = server(tmp_path / "second", "--listen", first.address, "--runners", "0")
    assert done.returncode == 6 and first.address in done.stderr and "stopping" not in done.stderr


def test_an_address_for_applications_that_is_taken_stops_the_start_with_what_to_do(start_pelton, tmp_path):
    taken = start_pelton().address
    (tmp_path / "second").mkdir()
    done = server(tmp_path / "second", "--listen", "127.0.0.1:0", "--ingress", taken, "--runners", "0")
    assert done.returncode != 0 and "applications:" not in done.stdout + done.stderr
    assert taken in done.stderr and "--ingress ADDR:PORT" in done.stderr and "--ingress off" in done.stderr


def test_applications_are_not_served_where_the_server_itself_listens(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        both = f"127.0.0.1:{free.getsockname()[1]}"
    done = server(tmp_path, "--listen", both, "--ingress", both, "--runners", "0")
    assert done.returncode != 0 and f"applications cannot be served at {both}" in done.stderr


def test_the_way_to_log_in_is_told_by_the_first_start_that_comes_up(start_pelton, tmp_path):
    folder, taken = tmp_path / "second", start_pelton().address
    folder.mkdir()
    assert server(folder, "--listen", taken, "--runners", "0").returncode != 0
    with Pelton(folder, "--runners", "0") as second:
        told = wait_for("login", lambda: f"pelton login {second.url} --token-file" in second.server_log())
        assert told and second.client.get("/api/me")["role"] == "admin"
        second.restart()
        wait_for("address", lambda: second.server_log().count("Pelton ") > 1)
        assert second.server_log().count("pelton login") == 1
