"""Many followers of one log, all there before its first line."""

import json
import os
import resource
import subprocess

from .machine import MIB, cpu, rss
from .rig import free_port


def prepare(rig, server):
    """The repository whose builds write the lines of `bench-lines rate`, once somebody opens the FIFO."""
    server.pipeline("ticker", step=f"{rig.tool('lines')} rate ${{RATE:-1000}} ${{COUNT:-10}} $FIFO")


def attach(rig, port, path, token, followers, count, seconds):
    """bench-follow, when every follower has the head of its answer."""
    client = subprocess.Popen([rig.tool("follow"), str(port), path, token, str(followers), str(count), str(seconds)],
                              stdout=subprocess.PIPE, text=True)
    assert client.stdout.readline() == "ready\n"
    return client


def fan(rig, followers, rate, count, seconds):
    """The same lines from a loop that writes each to every socket: what bench-follow tells, and the loop's CPU seconds."""
    port = free_port()
    writer = subprocess.Popen([rig.tool("fan"), str(port), str(followers), str(rate), str(count)],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert writer.stdout.readline() == "ready\n"
    client = attach(rig, port, "/", "none", followers, count, seconds)
    begin = resource.getrusage(resource.RUSAGE_CHILDREN)
    writer.stdin.close()
    assert writer.wait() == 0
    end = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = json.loads(client.stdout.readline())
    result["server_cpu_s"] = end.ru_utime + end.ru_stime - begin.ru_utime - begin.ru_stime
    client.wait()
    writer.stdout.close()
    assert result["complete"] == followers, result
    return result


def follow(rig, server, followers, rate, count, seconds):
    """What bench-follow tells, and of the server: CPU seconds while the lines came, MiB that the followers cost."""
    fifo = rig.folder / f"fifo-{followers}-{os.urandom(4).hex()}"
    os.mkfifo(fifo)
    builds = server.builds()
    before = rss(server.pid)
    number = builds.start("ticker", RATE=str(rate), COUNT=str(count), FIFO=str(fifo))
    port = server.address.rpartition(":")[2]
    client = attach(rig, port, f"/api/builds/{number}/logs", server.token, followers, count, seconds)
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
