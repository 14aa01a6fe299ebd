"""HTTP with as little of Python in the way as can be: one kept-alive connection, requests made beforehand."""

import json
import re
import socket


class Connection:
    def __init__(self, address, token=None):
        host, _, port = address.rpartition(":")
        self.socket = socket.create_connection((host, int(port)), timeout=120)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.address, self.token, self.buffer = address, token, b""

    def request(self, method, path, body=b""):
        head = [f"{method} {path} HTTP/1.1", f"Host: {self.address}"]
        if self.token:
            head.append(f"Authorization: Bearer {self.token}")
        if method != "GET":
            head += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        return "\r\n".join(head).encode() + b"\r\n\r\n" + body

    def send(self, request):
        self.socket.sendall(request)

    def _more(self):
        data = self.socket.recv(262144)
        if not data:
            raise ConnectionError("the server has closed the connection")
        self.buffer += data

    def answer(self):
        """(status, body) of the next answer."""
        while b"\r\n\r\n" not in self.buffer:
            self._more()
        head, _, rest = self.buffer.partition(b"\r\n\r\n")
        size = int(re.search(rb"(?i)content-length: (\d+)", head)[1])
        while len(rest) < size:
            self._more()
            rest = self.buffer[len(head) + 4:]
        self.buffer = rest[size:]
        return int(head[9:12]), rest[:size]

    def call(self, method, path, body=b""):
        self.send(self.request(method, path, body))
        status, answer = self.answer()
        assert 200 <= status < 300, f"{method} {path}: {status} {answer[:500]!r}"
        return json.loads(answer)

    def close(self):
        self.socket.close()
