"""What the steps really did, told by themselves: outside of Pelton, past its logs, and whatever dies."""

import json
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from .machine import datagrams


@dataclass
class Run:
    """One process of a step. bytes and crc: of what it has printed, when it came to its end."""
    build: int
    trigger: str
    step: int
    started: float
    pid: int
    ended: float = 0
    exit_code: int | None = None
    bytes: int = 0
    crc: int = 0
    asked: bool = False
    files: dict = field(default_factory=dict)


class Ledger:
    """runs: {(job, attempt): [Run, …]}, in the order of their beginning."""

    def __init__(self, path, name, links):
        self.name, self.path = name, Path(path)
        self.runs = defaultdict(list)
        self.strange = []
        self._lock = threading.Lock()
        self._file = open(self.path, "w", encoding="utf-8")
        self._sockets = [link.socket(name) for link in links] or [datagrams(name)]
        self._closing = False
        self._threads = [threading.Thread(target=self._listen, args=(end,), daemon=True) for end in self._sockets]
        for thread in self._threads:
            thread.start()

    def _listen(self, end):
        end.settimeout(0.2)
        while True:
            try:
                text = end.recv(4096).decode(errors="replace")
            except TimeoutError:
                if self._closing:
                    return
                continue
            with self._lock:
                self._file.write(json.dumps([round(time.time(), 6), text]) + "\n")
                self._take(text.split(" "))

    def _take(self, words):
        kind, build, job, attempt, name, step, trigger, *rest = words
        key = int(job), int(attempt)
        if kind == "start":
            self.runs[key].append(Run(int(build), trigger, int(step), time.time(), int(rest[0])))
            return
        run = next((run for run in reversed(self.runs[key]) if run.step == int(step)), None)
        if run is None:
            self.strange.append(f"{kind} of step {step} of job {name} without a start")
        elif kind == "file":
            run.files[rest[0]] = int(rest[1])
        elif kind == "term":
            run.asked, run.ended = True, time.time()
        else:
            run.ended, run.exit_code, run.bytes, run.crc = time.time(), int(rest[0]), int(rest[1]), int(rest[2])

    def of(self, job, attempt):
        with self._lock:
            return list(self.runs.get((job, attempt), ()))

    def count(self):
        with self._lock:
            return sum(map(len, self.runs.values()))

    def close(self):
        self._closing = True
        for thread in self._threads:
            thread.join()
        for end in self._sockets:
            end.close()
        self._file.close()
