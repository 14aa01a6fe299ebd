"""Many no-op builds, started as fast as the server takes them."""

import time

BUILDS, WINDOW = 500, 8


def start_all(calls, name, count):
    """Requests in a row on one connection, WINDOW of them under way."""
    request = calls.request("POST", f"/api/repos/{name}/builds", b"{}")
    numbers = set()
    for sent in range(count + WINDOW):
        if sent < count:
            calls.send(request)
        if sent >= WINDOW:
            status, body = calls.answer()
            assert status == 202, body
            numbers.add(int(body.partition(b'"id":')[2].partition(b",")[0]))
    return numbers


def rate(server, name, count=BUILDS):
    """(Builds a second, requests a second that started them)."""
    builds = server.builds()
    begin = time.perf_counter()
    waiting = start_all(builds.calls, name, count)
    started = time.perf_counter()
    for number, status in builds.ended():
        assert status == "success", f"build {number}: {status}"
        waiting.discard(number)
        if not waiting:
            break
    end = time.perf_counter()
    builds.close()
    return count / (end - begin), count / (started - begin)
