"""Values that nobody asked for in the place of others, and what a server must do with each: the same as before."""

import copy
import gzip
import json
import re

from .client import request

LONG = 70_000


class Raw:
    """JSON as it stands, for what json.dumps does not write."""

    def __init__(self, text):
        self.text = text

    def __repr__(self):
        return self.text[:40]


OTHERS = [None, True, -1, Raw("1e300"), Raw("1e999"), 1.5, 2 ** 63 - 1, -2 ** 63, 2 ** 63, 0, "", "x", "x" * LONG,
          Raw(r'"a\u0000b"'), "a\x01\x1b\x7f\n b", Raw(r'"\ud800"'), "ä€😀\u202e", "../../etc", "-x", "%s%n'\";",
          [], [[1]], [None], {}, {"x": []}, {"": 1}]
# What an error says instead of a field's name: where the body is no JSON, or what the text that the field has is not.
WORDS = r"line \d+, column \d+: |^build \d+ has no job|^there is no input|has no job \"|YAML|^expected a mapping|a field \"value\" alone"
SENTINEL = "\x01swapped\x02"


def encode(value):
    """The bytes of a value that may have Raw in it."""
    raws = []

    def plain(part):
        if isinstance(part, Raw):
            raws.append(part.text)
            return SENTINEL
        if isinstance(part, dict):
            return {key: plain(inner) for key, inner in part.items()}
        return [plain(inner) for inner in part] if isinstance(part, list) else part

    text = json.dumps(plain(value))
    for raw in raws:
        text = text.replace(json.dumps(SENTINEL), raw, 1)
    return text.encode()


def places(value, at=()):
    """The path of every value inside one, itself first."""
    yield at
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inner:
        yield from places(part, (*at, key))


def at(value, place):
    for key in place:
        value = value[key]
    return value


def put(value, place, other):
    """A copy that has the other value at the place."""
    if not place:
        return other
    changed = copy.deepcopy(value)
    at(changed, place[:-1])[place[-1]] = other
    return changed


def swaps(value, wanted=lambda place: True):
    """(place, what is done there, the changed value) for every kind in every place, each field that is left out, and a field
    too many in each object."""
    for place in filter(wanted, places(value)):
        for other in OTHERS:
            yield place, f"{other!r:.40}", put(value, place, other)
        if place and isinstance(place[-1], str):
            changed = copy.deepcopy(value)
            del at(changed, place[:-1])[place[-1]]
            yield place, "left out", changed
        if isinstance(at(value, place), dict):
            yield (*place, "unknown"), "unknown field", put(value, (*place, "unknown"), [{"x": "y"}])


def broken(body):
    """(what, bytes, further headers) of bodies that are no JSON, or not what they say."""
    text = json.dumps(body)
    yield "deep lists", b"[" * 100_000, {}
    yield "deep objects", b'{"a":' * 100_000, {}
    yield "deep and whole", b"[" * 65 + b"]" * 65, {}
    yield "only ends", b"]" * 100_000, {}
    yield "deep inside", ('{"x":' * 50_000 + "1" + "}" * 50_000).encode(), {}
    yield "a huge number", b'{"x": ' + b"9" * 10_000 + b"}", {}
    yield "a huge exponent", b'{"x": 1e' + b"9" * 400 + b"}", {}
    yield "twice the same key", text[:-1].encode() + b',"x":1,"x":2}' if body else b'{"x":1,"x":2}', {}
    yield "half", text.encode()[:-1], {}
    yield "more behind", text.encode() + b"x", {}
    yield "bytes", bytes(range(256)), {}
    yield "not UTF-8", b'{"x": "\xff\xfe\xc0\x80"}', {}
    yield "a zero byte", text.encode() + b"\0", {}
    yield "UTF-16", text.encode("utf-16"), {}
    yield "a byte order mark", b"\xef\xbb\xbf" + text.encode(), {}
    yield "not a number", b'{"x": NaN}', {}
    yield "blanks", b" \n" * 1000, {}
    yield "another type", text.encode(), {"Content-Type": "text/plain"}
    yield "compressed", gzip.compress(text.encode()), {"Content-Encoding": "gzip"}
    yield "said to be compressed", text.encode(), {"Content-Encoding": "gzip"}


class Judge:
    """Sends what is hostile and says what was wrong with the answers."""

    def __init__(self, bench, documented=()):
        self.bench, self.pid, self.documented = bench, bench.pid, documented
        self.faults, self.sent, self.taken = [], 0, 0

    def send(self, what, method, path, body=None, headers=None, client=None, field=None):
        """The Reply, or None where there was none. field: what the text of an error must have in it."""
        client = client or self.bench.client
        headers = {"Accept": "application/json", "Content-Type": "application/json", **(headers or {})}
        if client.token:
            headers.setdefault("Authorization", f"Bearer {client.token}")
        self.sent += 1
        try:
            reply = request(client.address, method, path, body, headers)
        except OSError as error:
            self.fault(what, method, path, f"no answer: {error!r}")
            return None
        self.look(what, method, path, reply, field, headers["Accept"])
        return reply

    def look(self, what, method, path, reply, field, accept):
        if reply.status < 400:
            self.taken += 1
        elif reply.status >= 500 and reply.status not in self.documented:
            self.fault(what, method, path, reply)
        else:
            kind = reply.headers["Content-Type"] or ""
            message = reply.json.get("message") if "json" in kind else reply.text if accept in kind else None
            if not message:
                self.fault(what, method, path, f"no word of what is wrong: {reply}")
            elif reply.status in (400, 422) and field and field not in message and not re.search(WORDS, message):
                self.fault(what, method, path, f"{field!r} is not named: {reply.status} {message!r:.200}")
        try:
            self.bench.client.schemas.check(method, path, reply)
        except (AssertionError, ValueError) as error:
            self.fault(what, method, path, error)

    def fault(self, what, method, path, why):
        assert self.bench.process.poll() is None, f"{method} {path} with {what}: the server is gone\n{self.bench.server_log()}"
        self.faults.append(f"{method} {path} with {what}: {why!s:.700}")

    def sentence(self):
        """Fails when something was wrong, or the server is another one."""
        assert self.bench.process.poll() is None and self.bench.pid == self.pid, self.bench.server_log()
        assert "runtime error:" not in self.bench.server_log(), self.bench.server_log()
        assert not self.faults, f"{len(self.faults)} of {self.sent}:\n" + "\n".join(self.faults[:40])
