"""A client of WebSocket (RFC 6455), as small as watching a console and typing on it needs."""

import base64
import json
import os
import socket
import struct
import threading
import time

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


class Viewer:
    """A console that is watched: what came of it, kept by a thread of its own."""

    def __init__(self, port, path, token=None):
        self.output, self.notices, self.ended_at = bytearray(), [], None
        self.lock = threading.Lock()
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.file = self.socket.makefile("rb")
        lines = [
            f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Connection: Upgrade", "Upgrade: websocket",
            "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
            *([f"Authorization: Bearer {token}"] if token else []),
        ]  # fmt: skip
        self.socket.sendall("\r\n".join([*lines, "", ""]).encode())
        self.status = int(self.file.readline().split()[1])
        while self.file.readline().strip():
            pass
        self.socket.settimeout(None)
        if self.status == 101:
            threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        """Keeps what comes until the end."""
        try:
            while (frame := self.frame()) and frame[0] != CLOSE:
                kind, data = frame
                if kind == PING:
                    self.send(PONG, data)
                elif kind == BINARY:
                    self.output += data
                elif kind == TEXT:
                    self.notices.append(json.loads(data))
        except OSError:
            pass
        self.ended_at = time.monotonic()

    def frame(self):
        """The next frame's kind and data, none at the end. mrp sends each message in one frame."""
        head = self.file.read(2)
        if len(head) < 2:
            return None
        length = head[1] & 0x7F
        if length > 125:
            length = int.from_bytes(self.file.read(2 if length == 126 else 8), "big")
        return head[0] & 0x0F, self.file.read(length)

    def send(self, kind, data):
        """Sends a frame, masked as a client has to."""
        mask = os.urandom(4)
        length = bytes([0x80 | len(data)]) if len(data) < 126 else struct.pack("!BH", 0x80 | 126, len(data))
        with self.lock:
            self.socket.sendall(bytes([0x80 | kind]) + length + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(data)))

    def type(self, text):
        """Types."""
        self.send(BINARY, text.encode())

    def ask(self, request):
        """Asks for the keyboard, say."""
        self.send(TEXT, json.dumps({"type": request}).encode())

    def said(self, kind):
        """The notices of a kind that came."""
        return [notice for notice in list(self.notices) if notice["type"] == kind]
