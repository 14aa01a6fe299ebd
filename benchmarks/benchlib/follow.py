"""Many followers of one log, all there before its first line."""

import json
import os
import subprocess

from .machine import MIB, cpu, rss


def prepare(rig, server):
    """The repository whose builds write the lines of `bench-lines rate`, once somebody opens the FIFO."""
    server.pipeline("ticker", step=f"{rig.tool('lines')} rate ${{RATE:-1000}} ${{COUNT:-10}} $FIFO")


def follow(rig, server, followers, rate, count, seconds):
    """What bench-follow tells, and of the server: CPU seconds while the lines came, MiB that the followers cost."""
    fifo = rig.folder / f"fifo-{followers}-{os.urandom(4).hex()}"
    os.mkfifo(fifo)
    builds = server.builds()
    before = rss(server.pid)
    number = builds.start("ticker", RATE=str(rate), COUNT=str(count), FIFO=str(fifo))
    port = server.address.rpartition(":")[2]
    client = subprocess.Popen([rig.tool("follow"), port, f"/api/builds/{number}/logs", server.token, str(followers),
                               str(count), str(seconds)], stdout=subprocess.PIPE, text=True)
    assert client.stdout.readline() == "ready\n"
    attached, begin = rss(server.pid), cpu(server.pid)
    with open(fifo, "w"):
        pass
    result = json.loads(client.stdout.readline())
    result["server_cpu_s"] = cpu(server.pid) - begin
    result["server_mib"] = (attached - before) / MIB
    client.wait()
    builds.wait(number)
    builds.close()
    return result
