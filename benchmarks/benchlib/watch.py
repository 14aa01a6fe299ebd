"""What a server goes through while it is busy with something else: its memory, and how long others wait."""

import threading
import time
from pathlib import Path

from .machine import MIB
from .rig import quantile


class Memory:
    """The peak of each program's resident memory between begin and end, in MiB, as the kernel keeps it."""

    def __init__(self, server):
        self.server, self.stopped = server, threading.Event()
        self.before, self.peak = {}, {}
        for pid, name in server.programs().items():
            Path(f"/proc/{pid}/clear_refs").write_text("5")
            self.before[name] = _peak(pid)
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()

    def _watch(self):
        while not self.stopped.wait(0.02):
            self._look()

    def _look(self):
        for pid, name in self.server.programs().items():
            self.peak[name] = max(self.peak.get(name, 0), _peak(pid))

    def end(self):
        """What the programs have grown by, all together; one that is new counts whole."""
        self.stopped.set()
        self.thread.join()
        self._look()
        return sum(peak - self.before.get(name, 0) for name, peak in self.peak.items())

    def told(self):
        return ", ".join(f"{name} {self.before.get(name, 0):.1f} → {peak:.1f} MiB" for name, peak in self.peak.items())


def _peak(pid):
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / MIB
    except OSError:
        pass
    return 0


class Others:
    """Asks for /health again and again, from begin to end."""

    def __init__(self, server, pause=0.002):
        self.connection = server.connection()
        self.request = self.connection.request("GET", "/health")
        self.pause, self.milliseconds = pause, []
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self._ask)
        self.thread.start()

    def _ask(self):
        while not self.stopped.wait(self.pause):
            begin = time.perf_counter()
            self.connection.send(self.request)
            status, _ = self.connection.answer()
            assert status == 200, status
            self.milliseconds.append((time.perf_counter() - begin) * 1000)

    def end(self):
        """The 99th percentile, in milliseconds."""
        self.stopped.set()
        self.thread.join()
        self.connection.close()
        return quantile(self.milliseconds, 0.99)
