"""Waiting for a condition, with a deadline. PELTON_TEST_SLOWER stretches every deadline (sanitizers)."""

import os
import threading
import time

SLOWER = float(os.environ.get("PELTON_TEST_SLOWER", "1"))


class TooLate(AssertionError):
    """What was waited for has not come."""


def wait_for(what, condition, timeout=20.0, every=0.01):
    """Gives the first true value of condition(). `what` is a text, or a function that tells how things stand."""
    deadline = time.monotonic() + timeout * SLOWER
    pause = threading.Event()
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TooLate(f"after {timeout * SLOWER:.0f} s still no {what() if callable(what) else what}")
        pause.wait(every)
