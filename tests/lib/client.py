"""HTTP as a test wants it: every byte of the request is the test's own, every answer is kept whole."""

import base64
import http.client
import json
import socket
from urllib.parse import urlsplit

from .wait import SLOWER, wait_for


class Reply:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def text(self):
        return self.body.decode(errors="replace")

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"{self.status} {dict(self.headers)} {self.text[:2000]}"


def encode_body(body, headers):
    """JSON, unless the body is bytes already."""
    if body is None or isinstance(body, (bytes, bytearray)) or hasattr(body, "read"):
        return body
    headers.setdefault("Content-Type", "application/json")
    return json.dumps(body).encode()


def basic(user, password):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def request(address, method, path, body=None, headers=None, timeout=30.0):
    """One request on a connection of its own. address: "127.0.0.1:8080"."""
    headers = dict(headers or {})
    body = encode_body(body, headers)
    connection = http.client.HTTPConnection(address, timeout=timeout * SLOWER)
    try:
        connection.request(method, path, body=body, headers=headers)
        answer = connection.getresponse()
        return Reply(answer.status, answer.headers, answer.read())
    finally:
        connection.close()


class Client:
    """The API with one token. schemas: what every answer is checked against (lib/schemas.py); None: not."""

    def __init__(self, url, token=None, schemas=None):
        self.url, self.token, self.schemas = url.rstrip("/"), token, schemas
        self.address = urlsplit(url).netloc

    def _headers(self, headers):
        headers = {"Accept": "application/json", **(headers or {})}
        if self.token:
            headers.setdefault("Authorization", f"Bearer {self.token}")
        return headers

    def call(self, method, path, body=None, headers=None, expect=range(200, 300), timeout=30.0):
        """A Reply whose status must be `expect` (a number or several; None: any)."""
        reply = request(self.address, method, path, body, self._headers(headers), timeout)
        wanted = (expect,) if isinstance(expect, int) else expect
        assert wanted is None or reply.status in wanted, f"{method} {path}: {reply}"
        if self.schemas:
            self.schemas.check(method, path, reply)
        return reply

    def get(self, path, **options):
        return self.call("GET", path, **options).json

    def post(self, path, body=None, **options):
        return self.call("POST", path, body, **options).json

    def delete(self, path, **options):
        return self.call("DELETE", path, **options)

    def stream(self, path, headers=None, timeout=30.0):
        return Stream(self.address, path, self._headers(headers), timeout)

    def events(self, path, last_id=None, timeout=30.0):
        """An open event stream (SSE)."""
        headers = {"Accept": "text/event-stream"}
        if last_id is not None:
            headers["Last-Event-ID"] = str(last_id)
        return Events(self.address, path, self._headers(headers), timeout, self.schemas)


class Stream:
    """A GET whose answer is read as it comes. timeout: of each read."""

    def __init__(self, address, path, headers, timeout):
        self.connection = http.client.HTTPConnection(address, timeout=timeout * SLOWER)
        self.connection.request("GET", path, headers=headers)
        self.answer = self.connection.getresponse()
        self.status, self.headers = self.answer.status, self.answer.headers

    def line(self):
        """The next line, or b"" at the end."""
        return self.answer.readline()

    def read(self, size):
        return self.answer.read(size)

    def close(self):
        self.answer.close()  # it may hold the socket, with or without the connection
        self.connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Event:
    def __init__(self, name, event_id, data):
        self.name, self.id, self.data = name, event_id, data

    @property
    def json(self):
        return json.loads(self.data)

    def __repr__(self):
        return f"Event({self.name!r}, id={self.id!r}, {self.data[:300]!r})"


class Events(Stream):
    """Server-sent events; iterating gives each Event until the server ends the stream."""

    def __init__(self, address, path, headers, timeout, schemas=None):
        super().__init__(address, path, headers, timeout)
        self.path, self.schemas = path, schemas
        assert self.status == 200, f"GET {path}: {self.status} {self.read(2000)}"

    def __iter__(self):
        name, event_id, data = "message", None, []
        for raw in iter(self.line, b""):
            line = raw.decode().rstrip("\r\n")
            field, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if not line and data:
                yield self._checked(Event(name, event_id, "\n".join(data)))
            if not line:
                name, event_id, data = "message", event_id, []
            elif field == "event":
                name = value
            elif field == "id":
                event_id = value
            elif field == "data":
                data.append(value)

    def _checked(self, event):
        if self.schemas:
            self.schemas.check_event(self.path, event.data)
        return event

    def until(self, condition):
        """Every event up to the first that fulfils the condition."""
        seen = []
        for event in self:
            seen.append(event)
            if condition(event):
                return seen
        raise AssertionError(f"the stream ended first: {seen}")


def raw_connection(address, timeout=30.0):
    """A socket, for what no HTTP library would send."""
    host, _, port = address.rpartition(":")
    return socket.create_connection((host.strip("[]"), int(port)), timeout=timeout * SLOWER)


def wait_page(address, host, condition, path="/", timeout=60.0):
    """The first answer for the host that fulfils the condition, through whatever listens at address."""
    last = []

    def try_once():
        try:
            last[:] = [request(address, "GET", path, headers={"Host": host})]
        except OSError as error:
            last[:] = [error]
            return None
        return last[0] if condition(last[0]) else None

    return wait_for(lambda: f"such page at {host}{path}; it gives {last}", try_once, timeout)
