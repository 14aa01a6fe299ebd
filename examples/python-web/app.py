"""Serves the guestbook on $PORT."""

import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

from guestbook import Guestbook

BOOK = Guestbook(os.environ.get("GUESTBOOK_TITLE", "Guestbook"))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/health":
            self.answer(200, "text/plain", "fine\n")
        elif self.path == "/":
            self.answer(200, "text/html; charset=utf-8", BOOK.page())
        else:
            self.answer(404, "text/plain", "no such page\n")

    def do_POST(self):
        size = min(int(self.headers.get("Content-Length") or 0), 65536)
        form = parse_qs(self.rfile.read(size).decode(errors="replace"))
        if not BOOK.sign(form.get("entry", [""])[0]):
            return self.answer(400, "text/plain", "an entry has 1 to 200 characters\n")
        self.send_response(303)
        self.send_header("Location", "/")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def answer(self, status, kind, text):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    port = int(os.environ["PORT"])
    print(f"{BOOK.title}: listening on {port}", flush=True)
    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
