"""Colours are for terminals; what is piped is plain."""

import os
import pty
import re
import subprocess

from lib.server import base_env


def on_terminal(pelton, *arguments, expect=0, when=None, **env):
    """What the command writes to a terminal. when: bytes, and what is to be done as soon as they have come."""
    master, slave = pty.openpty()
    settings = {"PELTON_URL": pelton.url, "PELTON_TOKEN": pelton.token, "TERM": "xterm", **env}
    command = subprocess.Popen([pelton.binary, *arguments], env={**base_env(pelton.folder), **settings},
                               stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    written = b""
    try:
        while piece := os.read(master, 65536):
            written += piece
            if when and when[0] in written:
                when[1]()
                when = None
    except OSError:  # EIO: the last writer has closed it
        pass
    os.close(master)
    assert command.wait(30) == expect, written
    return written


def test_colours_are_written_to_a_terminal_only(pelton):
    _, push = pelton.push("hello", {".pelton.yml": "jobs:\n  a: {checkout: false, steps: ['true']}\n"})
    pelton.wait_build(push.build, "success")
    shown = on_terminal(pelton, "builds")
    assert b"\x1b[" in shown and b"success" in shown
    assert b"\x1b[" not in on_terminal(pelton, "builds", NO_COLOR="1")
    assert "\x1b[" not in pelton.run("builds").stdout


def test_the_line_of_progress_says_what_runs_and_what_waits(pelton):
    number = pelton.push("slow", {".pelton.yml": """jobs:
  first: {checkout: false, steps: ["true", "sleep 5"]}
  second: {needs: first, checkout: false, runs-on: {labels: {gpu: "yes"}}, steps: ["true"]}
"""})[1].build
    waits = f"build {number}: second waits: no runner has label gpu=yes".encode()
    shown = on_terminal(pelton, "logs", "-f", str(number), expect=1,
                        when=(waits, lambda: pelton.api("POST", f"/api/builds/{number}/cancel")))
    assert re.search(rb"build \d+:  first \(step 2\) \d", shown), shown
