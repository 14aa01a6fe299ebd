"""Colours are for terminals; what is piped is plain."""

import os
import pty
import subprocess

from lib.server import base_env


def on_terminal(pelton, *arguments, **env):
    """What the command writes to a terminal."""
    master, slave = pty.openpty()
    settings = {"PELTON_URL": pelton.url, "PELTON_TOKEN": pelton.token, "TERM": "xterm", **env}
    command = subprocess.Popen([pelton.binary, *arguments], env={**base_env(pelton.folder), **settings},
                               stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    written = b""
    try:
        while piece := os.read(master, 65536):
            written += piece
    except OSError:  # EIO: the last writer has closed it
        pass
    os.close(master)
    assert command.wait(30) == 0, written
    return written


def test_colours_are_written_to_a_terminal_only(pelton):
    _, push = pelton.push("hello", {".pelton.yml": "jobs:\n  a: {checkout: false, steps: ['true']}\n"})
    pelton.wait_build(push.build, "success")
    shown = on_terminal(pelton, "builds")
    assert b"\x1b[" in shown and b"success" in shown
    assert b"\x1b[" not in on_terminal(pelton, "builds", NO_COLOR="1")
    assert "\x1b[" not in pelton.run("builds").stdout
