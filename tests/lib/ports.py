"""Ports that a test tells two programs of, before either of them listens."""

import random
import socket

BELOW_EPHEMERAL = range(20000, 32000)  # those that the kernel gives to others who ask for any


def free_port():
    while True:
        port = random.choice(BELOW_EPHEMERAL)
        with socket.socket() as one:
            try:
                one.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
