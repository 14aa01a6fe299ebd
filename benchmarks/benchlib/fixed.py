"""The least that an HTTP server can do here, for a reference."""

import subprocess
import time

from .rig import free_port
from .wire import Connection


class Fixed:
    """bench-fixed, with an answer of `size` bytes."""

    def __init__(self, rig, size):
        self.address = f"127.0.0.1:{free_port()}"
        self.process = subprocess.Popen([rig.tool("fixed"), self.address.rpartition(":")[2], "2", str(size)],
                                        stdin=subprocess.PIPE)
        for _ in range(1000):
            try:
                Connection(self.address).close()
                return
            except OSError:
                time.sleep(0.005)

    def close(self):
        self.process.stdin.close()
        self.process.wait()
