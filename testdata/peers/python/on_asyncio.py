"""The herd's server on asyncio: BufferedProtocol and Transport, not streams.

A stream costs a task, a future and a wake-up for each read; a protocol gets the chunk in the turn
in which it was read, and what it writes goes to the socket at once. uvloop would be faster, but it
is no part of Python.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from collections.abc import Callable

import core

LINGER = 5  # seconds for a client to take its last reply


class Client(asyncio.BufferedProtocol):
    """A connection that a client or a neighbor made."""

    # What is read is executed before the next read, so one buffer does for all connections. A
    # Protocol's would be 256 KiB, allocated anew for each read: four times the cost of the read.
    buffer = memoryview(bytearray(1 << 16))

    def __init__(self, server: core.Server) -> None:
        self.session = core.Session(server)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def get_buffer(self, sizehint: int) -> memoryview:
        return self.buffer

    def buffer_updated(self, size: int) -> None:
        reply = self.session.receive(bytes(self.buffer[:size]))
        if reply:
            self.transport.write(reply)
        if self.session.closing and not self.transport.is_closing():
            # Closed now, with input unread, it would be reset, and the reply lost.
            self.transport.write_eof()
            asyncio.get_running_loop().call_later(LINGER, self.transport.abort)

    def eof_received(self) -> bool:
        if reply := self.session.finish():
            self.transport.write(reply)
        return False  # it is closed when everything has been sent

    def pause_writing(self) -> None:
        """A client that does not read is not read from."""
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        self.transport.resume_reading()


class Link(core.Link, asyncio.Protocol):
    """The connection to a neighbor. Nothing is expected to come back on it."""

    def wake(self) -> None:
        asyncio.get_running_loop().call_soon(self.flush)

    def dial(self) -> None:
        self.attempt = asyncio.create_task(self._dial())

    async def _dial(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(1):
                await loop.create_connection(lambda: self, self.host, self.port)
        except OSError as error:
            self.lost(error)

    def abort(self) -> None:
        self.transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.connected(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self.lost(error or "closed by the neighbor")

    pause_writing = core.Link.pause
    resume_writing = core.Link.resume


class Leash(asyncio.Protocol):
    """Standard input, with which the server ends."""

    def __init__(self, stop: Callable[[], None]) -> None:
        self.stop = stop

    def connection_lost(self, error: Exception | None) -> None:
        self.stop()


def run(listener: socket.socket, server: core.Server, neighbors: list[core.Neighbor],
        ready: Callable[[], None], flush: Callable[[], None], until_eof: bool) -> None:
    asyncio.run(serve(listener, server, neighbors, ready, flush, until_eof))


async def serve(listener: socket.socket, server: core.Server, neighbors: list[core.Neighbor],
                ready: Callable[[], None], flush: Callable[[], None], until_eof: bool) -> None:
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    for neighbor in neighbors:
        server.link(Link(server, *neighbor))
    if until_eof:
        await loop.connect_read_pipe(lambda: Leash(stopped.set), sys.stdin)
    await loop.create_server(lambda: Client(server), sock=listener, backlog=core.BACKLOG)
    ready()
    while not stopped.is_set():
        flush()
        try:
            async with asyncio.timeout(1):
                await stopped.wait()
        except TimeoutError:
            pass
