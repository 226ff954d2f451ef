"""A TCP proxy before one ZooKeeper server that knows requests from answers, and can make answers late.

usage: proxy.py HOST:PORT

Says {"port": N}, then reads commands from stdin, one a line, and answers each with one line of JSON:
    delay MS   from here on each answer takes that much longer: a join then takes as many times MS more as it has
               requests that wait for each other
    reset      counts from here on
    count      what was counted; the times of requests are of CLOCK_MONOTONIC, in microseconds
"""
import collections
import json
import os
import selectors
import socket
import struct
import sys
import time

OPERATIONS = {1: "create", 2: "delete", 3: "exists", 4: "get", 5: "set", 8: "children", 9: "sync", 11: "ping",
              12: "children", 13: "check", 14: "multi", 15: "create", 100: "auth", 101: "watches", -11: "close"}
SEGMENTS = struct.Struct("=136xII")  # of struct tcp_info: tcpi_segs_out, tcpi_segs_in


class Connection:
    def __init__(self, client, server):
        self.client, self.server = client, server
        self.rest = b""
        self.greeted = False
        self.counted = 0
        for side in (client, server):
            side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def segments(self):
        """Those between the client and us, both ways, since they were last counted."""
        info = self.client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, SEGMENTS.size)
        total = sum(SEGMENTS.unpack(info)) if len(info) == SEGMENTS.size else 0
        since, self.counted = total - self.counted, total
        return since

    def split(self, data):
        """A request is its length in four bytes, its number, what it is, and more; but the first is the handshake."""
        data = self.rest + data
        found = []
        while len(data) >= 4 and len(data) >= 4 + int.from_bytes(data[:4], "big"):
            size = 4 + int.from_bytes(data[:4], "big")
            kind = int.from_bytes(data[8:12], "big", signed=True)
            found.append((OPERATIONS.get(kind, str(kind)) if self.greeted else "connect", size))
            self.greeted = True
            data = data[size:]
        self.rest = data
        return found


class Proxy:
    def __init__(self, host, port):
        self.server = (host, port)
        self.selector = selectors.DefaultSelector()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.selector.register(self.listener, selectors.EVENT_READ, self.accept)
        self.selector.register(sys.stdin.fileno(), selectors.EVENT_READ, self.read_commands)
        self.connections = {}               # by either socket
        self.late = collections.deque()     # answers: when they are due, to whom, what
        self.delay = 0
        self.lines = b""
        self.requests, self.bytes, self.segments = [], 0, 0

    def accept(self, _):
        client, _ = self.listener.accept()
        try:
            server = socket.create_connection(self.server)
        except OSError:
            client.close()
            return
        connection = Connection(client, server)
        for side in (client, server):
            self.connections[side] = connection
            self.selector.register(side, selectors.EVENT_READ, self.forward)

    def drop(self, connection):
        self.segments += connection.segments()
        for side in (connection.client, connection.server):
            del self.connections[side]
            self.selector.unregister(side)
            side.close()

    def forward(self, side):
        connection = self.connections.get(side)
        if not connection:
            return  # it ended by the other side just now
        now = time.monotonic()
        try:
            data = side.recv(65536)
            if data and side is connection.client:
                self.requests += [(now * 1e6, kind, size) for kind, size in connection.split(data)]
                connection.server.sendall(data)
            elif data and self.delay:
                self.late.append((now + self.delay, connection, data))
            elif data:
                connection.client.sendall(data)
            self.bytes += len(data)
        except OSError:
            data = b""
        if not data:
            self.drop(connection)

    def send_late(self):
        while self.late and self.late[0][0] <= time.monotonic():
            _, connection, data = self.late.popleft()
            if connection.client in self.connections:
                try:
                    connection.client.sendall(data)
                except OSError:
                    self.drop(connection)

    def command(self, line):
        if line.startswith("delay "):
            self.delay = float(line.split()[1]) / 1000
            return {}
        self.segments += sum(c.segments() for c in set(self.connections.values()))
        counted = {"requests": self.requests, "bytes": self.bytes, "segments": self.segments}
        if line == "count":
            return counted
        self.requests, self.bytes, self.segments = [], 0, 0
        return {}

    def read_commands(self, stdin):
        data = os.read(stdin, 4096)
        if not data:
            sys.exit(0)
        *lines, self.lines = (self.lines + data).split(b"\n")
        for line in lines:
            print(json.dumps(self.command(line.decode())), flush=True)

    def run(self):
        print(json.dumps({"port": self.listener.getsockname()[1]}), flush=True)
        while True:
            wait = max(0, self.late[0][0] - time.monotonic()) if self.late else None
            for key, _ in self.selector.select(wait):
                key.data(key.fileobj)
            self.send_late()


host, port = sys.argv[1].rsplit(":", 1)
Proxy(host, int(port)).run()
