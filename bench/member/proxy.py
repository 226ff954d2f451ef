"""A TCP proxy before one ZooKeeper server that knows requests from answers, and can make answers late.

usage: proxy.py HOST:PORT

Says {"port": N}, then reads commands from stdin, one a line, and answers each with one line of JSON:
    delay MS   from here on each answer takes that much longer: a join then takes as many times MS more as it has
               requests that wait for each other
    reset      counts from here on
    count      what was counted; the times of requests are of CLOCK_MONOTONIC, in microseconds
"""
import asyncio
import json
import socket
import struct
import sys
import time

OPERATIONS = {1: "create", 2: "delete", 3: "exists", 4: "get", 5: "set", 8: "children", 9: "sync", 11: "ping",
              12: "children", 13: "check", 14: "multi", 15: "create", 100: "auth", 101: "watches", -11: "close"}
SEGMENTS = struct.Struct("=136xII")  # of struct tcp_info: tcpi_segs_out, tcpi_segs_in


class Connection:
    def __init__(self, proxy, reader, writer):
        self.proxy, self.reader, self.writer = proxy, reader, writer
        self.socket = writer.get_extra_info("socket")
        self.rest = b""
        self.greeted = False
        self.counted = 0

    def segments(self):
        info = self.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, SEGMENTS.size)
        return sum(SEGMENTS.unpack(info)) if len(info) == SEGMENTS.size else 0

    def requests(self, data):
        """A request is its length in four bytes, its number, what it is, and more; the first of a connection is the handshake."""
        now = time.monotonic() * 1e6
        data = self.rest + data
        while len(data) >= 4 and len(data) >= 4 + int.from_bytes(data[:4], "big"):
            size = 4 + int.from_bytes(data[:4], "big")
            kind = int.from_bytes(data[8:12], "big", signed=True) if self.greeted else None
            self.proxy.requests.append((now, OPERATIONS.get(kind, str(kind)) if self.greeted else "connect", size))
            self.greeted = True
            data = data[size:]
        self.rest = data

    async def to_server(self, writer):
        while data := await self.reader.read(65536):
            self.proxy.bytes += len(data)
            self.requests(data)
            writer.write(data)

    async def to_client(self, reader):
        loop = asyncio.get_running_loop()
        while data := await reader.read(65536):
            self.proxy.bytes += len(data)
            loop.call_later(self.proxy.delay, self.writer.write, data)


class Proxy:
    def __init__(self, host, port):
        self.host, self.port = host, port
        self.delay = 0
        self.connections = set()
        self.reset()

    def reset(self):
        self.requests = []
        self.bytes = 0
        self.ended = 0  # segments of connections that are over
        for connection in self.connections:
            connection.counted = connection.segments()

    async def accept(self, reader, writer):
        connection = Connection(self, reader, writer)
        self.connections.add(connection)
        there = None
        try:
            from_server, there = await asyncio.open_connection(self.host, self.port)
            flows = [asyncio.ensure_future(connection.to_server(there)),
                     asyncio.ensure_future(connection.to_client(from_server))]
            await asyncio.wait(flows, return_when=asyncio.FIRST_COMPLETED)
            for flow in flows:
                flow.cancel()
            await asyncio.gather(*flows, return_exceptions=True)
        except OSError:
            pass  # whoever is on the other side sees the end of the connection
        self.connections.discard(connection)
        self.ended += connection.segments() - connection.counted
        if there:
            there.close()
        writer.close()

    def command(self, line):
        if line.startswith("delay "):
            self.delay = float(line.split()[1]) / 1000
            return {}
        if line == "reset":
            self.reset()
            return {}
        return {"requests": self.requests, "bytes": self.bytes,
                "segments": self.ended + sum(c.segments() - c.counted for c in self.connections)}


async def main():
    host, port = sys.argv[1].rsplit(":", 1)
    proxy = Proxy(host, int(port))
    server = await asyncio.start_server(proxy.accept, "127.0.0.1", 0)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    commands = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    while line := await commands.readline():
        print(json.dumps(proxy.command(line.decode().strip())), flush=True)


asyncio.run(main())
