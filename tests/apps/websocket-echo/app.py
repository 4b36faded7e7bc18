"""A websocket server (RFC 6455) of one page: handshake, unfragmented frames, ping, close."""

import base64
import hashlib
import os
import signal
import socketserver
import struct
import sys

CLOSE, PING, PONG = 8, 9, 10


class Echo(socketserver.StreamRequestHandler):
    def handle(self):
        head = dict(line.split(": ", 1) for line in self.lines() if ": " in line)
        key = {name.lower(): value for name, value in head.items()}.get("sec-websocket-key")
        if key is None:
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 15\r\nConnection: close\r\n\r\nwebsocket-echo\n")
            return
        digest = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
        self.wfile.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n"
        )
        while (frame := self.frame()) is not None:
            opcode, payload = frame
            if opcode != PONG:
                self.send(PONG if opcode == PING else opcode, payload)
            if opcode == CLOSE:
                return

    def lines(self):
        while line := self.rfile.readline().decode("latin-1").rstrip("\r\n"):
            yield line

    def frame(self):
        head = self.rfile.read(2)
        if len(head) < 2:
            return None
        opcode, length = head[0] & 15, head[1] & 127
        if length >= 126:
            form = "!H" if length == 126 else "!Q"
            (length,) = struct.unpack(form, self.rfile.read(struct.calcsize(form)))
        mask, payload = self.rfile.read(4), self.rfile.read(length)
        return opcode, bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))

    def send(self, opcode, payload):
        size = len(payload)
        if size < 126:
            length = struct.pack("!B", size)
        elif size < 65536:
            length = struct.pack("!BH", 126, size)
        else:
            length = struct.pack("!BQ", 127, size)
        self.wfile.write(bytes([128 | opcode]) + length + payload)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128


signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
Server(("", int(os.environ["PORT"])), Echo).serve_forever()
