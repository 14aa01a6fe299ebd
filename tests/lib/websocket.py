"""A WebSocket client (RFC 6455) that can also misbehave."""

import base64
import os
import struct

from .client import raw_connection

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


class WebSocket:
    def __init__(self, address, path, headers=None, timeout=30.0, tls=None):
        """tls: (ssl context, host name)."""
        self.socket = raw_connection(address, timeout)
        if tls:
            self.socket = tls[0].wrap_socket(self.socket, server_hostname=tls[1])
        self.buffer = b""
        lines = [f"GET {path} HTTP/1.1", f"Host: {address}", "Connection: Upgrade", "Upgrade: websocket",
                 "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        self.socket.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        while b"\r\n\r\n" not in self.buffer:
            self._more()
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        self.head = head.decode()
        self.status = int(self.head.split()[1])

    def _more(self):
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError("the server has closed the connection")
        self.buffer += data

    def _take(self, size):
        while len(self.buffer) < size:
            self._more()
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data

    def send(self, data, opcode=TEXT, masked=True, final=True):
        data = data.encode() if isinstance(data, str) else data
        mask = os.urandom(4)
        size = len(data)
        short = size if size < 126 else 126 if size < 65536 else 127
        head = struct.pack("!BB", (0x80 if final else 0) | opcode, (0x80 if masked else 0) | short)
        head += b"" if size < 126 else struct.pack("!H" if size < 65536 else "!Q", size)
        if masked:
            data = mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(data))
        self.socket.sendall(head + data)

    def frame(self):
        """(opcode, final, bytes) of the next frame."""
        first, second = self._take(2)
        size = second & 0x7F
        if size >= 126:
            size = struct.unpack("!H" if size == 126 else "!Q", self._take(2 if size == 126 else 8))[0]
        return first & 0x0F, bool(first & 0x80), self._take(size)

    def message(self):
        """The next whole text or binary message; pings are answered. None: the server said good-bye."""
        parts = []
        while True:
            opcode, final, data = self.frame()
            if opcode == CLOSE:
                return None
            if opcode == PING:
                self.send(data, PONG)
            elif opcode != PONG:
                parts.append(data)
                if final:
                    return b"".join(parts)

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
