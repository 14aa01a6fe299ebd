"""Receivers of notifications: an HTTP server and an SMTP server that keep what they get."""

import json
import socketserver
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Web:
    """`with Web() as web`: web.url, web.calls [(path, headers, body)]. statuses: what the first calls are answered;
    read: what is made of a body; tls: the context of an https:// one, which is called localhost."""

    def __init__(self, *statuses, read=json.loads, tls=None):
        self.statuses, self.calls = list(statuses), []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                outer.calls.append((self.path, dict(self.headers), read(body)))
                self.send_response(outer.statuses.pop(0) if outer.statuses else 200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            do_PUT = do_POST

            def log_message(self, *_arguments):
                pass
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        if tls:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
            self.url = f"https://localhost:{self.server.server_port}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_error):
        self.server.shutdown()
        self.server.server_close()


class Mail:
    """`with Mail() as mail`: mail.url, mail.messages [(from, [to], text)]. refuse: of recipients."""

    def __init__(self, refuse=False):
        self.messages = []
        outer = self

        class Handler(socketserver.StreamRequestHandler):
            def say(self, text):
                self.wfile.write(f"{text}\r\n".encode())

            def data(self):
                self.say("354 go on")
                lines = []
                while (line := self.rfile.readline().decode().rstrip("\r\n")) != ".":
                    lines.append(line[1:] if line.startswith("..") else line)
                return "\n".join(lines)

            def handle(self):
                sender, to = "", []
                self.say("220 test")
                while line := self.rfile.readline().decode().strip():
                    verb = line.upper()
                    if verb.startswith("MAIL FROM:"):
                        sender, to = line[10:].split()[0], []
                    if verb.startswith("RCPT TO:"):
                        to.append(line[8:].split()[0])
                        if refuse:
                            self.say("550 nobody of that name")
                            continue
                    if verb == "DATA":
                        outer.messages.append((sender, to, self.data()))
                    self.say("221 bye" if verb == "QUIT" else "250 fine")
                    if verb == "QUIT":
                        return
        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"smtp://127.0.0.1:{self.server.server_address[1]}"

    __enter__, __exit__ = Web.__enter__, Web.__exit__
