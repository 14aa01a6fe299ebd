"""How long a program takes from its start to its first answer."""

import socket
import subprocess
import time

from lib.server import base_env

from .rig import free_port


def first_answer(port, begin):
    """Milliseconds until something answers there."""
    while time.perf_counter() - begin < 60:
        try:
            with socket.create_connection(("127.0.0.1", port)) as connection:
                connection.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
                if connection.recv(4096).startswith(b"HTTP/1.1 200 "):
                    return (time.perf_counter() - begin) * 1000
        except OSError:
            pass
        time.sleep(0.0001)
    raise AssertionError("no answer")


def timed_start(command, folder, **options):
    port = free_port()
    begin = time.perf_counter()
    process = subprocess.Popen([word.replace("PORT", str(port)) for word in command], cwd=folder, stdin=subprocess.PIPE,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options)
    try:
        return first_answer(port, begin)
    finally:
        process.terminate()
        process.wait()
        process.stdin.close()


def server_start(server):
    return timed_start([str(server.binary), "server", "--state", str(server.state), "--listen", "127.0.0.1:PORT",
                        "--ingress", "127.0.0.1:0", *server.flags], server.folder, env=base_env(server.folder))
