"""The herd's server on Twisted: a Protocol of its own, not LineReceiver.

LineReceiver copies what is left of a chunk for each line in it, and it knows one delimiter: CR LF,
or LF with the CR left on. The rest is Twisted as it is: the epoll reactor, one write for a chunk,
producers that keep a client who does not read from filling memory, and half-closed connections.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from twisted.internet import epollreactor

epollreactor.install()

from twisted.internet import protocol, reactor, stdio, task  # noqa: E402
from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer  # noqa: E402
from zope.interface import implementer  # noqa: E402

import core  # noqa: E402

LINGER = 5  # seconds for a client to take its last reply


@implementer(IHalfCloseableProtocol, IPushProducer)
class Client(protocol.Protocol):
    """A connection that a client or a neighbor made."""

    def __init__(self, server: core.Server) -> None:
        self.session = core.Session(server)

    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)
        self.transport.registerProducer(self, True)

    def dataReceived(self, data: bytes) -> None:
        if self.session.closing:
            return
        reply = self.session.receive(data)
        if reply:
            self.transport.write(reply)
        if self.session.closing:
            # Closed now, with input unread, it would be reset, and the reply lost.
            self.transport.unregisterProducer()
            self.transport.loseWriteConnection()
            reactor.callLater(LINGER, self.transport.abortConnection)

    def readConnectionLost(self) -> None:
        if reply := self.session.finish():
            self.transport.write(reply)
        self.transport.unregisterProducer()
        self.transport.loseConnection()  # when everything has been sent

    def writeConnectionLost(self) -> None:
        """Its last reply is sent."""

    def pauseProducing(self) -> None:
        """A client that does not read is not read from."""
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        self.transport.resumeProducing()

    def stopProducing(self) -> None:
        """The connection is lost."""


class ClientFactory(protocol.ServerFactory):
    noisy = False

    def __init__(self, server: core.Server) -> None:
        self.server = server

    def buildProtocol(self, addr: Any) -> Client:
        return Client(self.server)


@implementer(IPushProducer)
class Neighbor(protocol.Protocol):
    """A link's connection. Nothing is expected to come back on it."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.pauseProducing = link.pause
        self.resumeProducing = link.resume

    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)
        self.transport.registerProducer(self, True)
        self.link.connected(self.transport)

    def stopProducing(self) -> None:
        """The connection is lost, as the link's factory hears, too."""


class Link(core.Link, protocol.ClientFactory):
    """The connection to a neighbor."""

    noisy = False

    def wake(self) -> None:
        reactor.callLater(0, self.flush)

    def dial(self) -> None:
        reactor.connectTCP(self.host, self.port, self, timeout=1)

    def abort(self) -> None:
        self.transport.abortConnection()

    def buildProtocol(self, addr: Any) -> Neighbor:
        return Neighbor(self)

    def clientConnectionFailed(self, connector: Any, reason: Any) -> None:
        self.lost(reason.value)

    clientConnectionLost = clientConnectionFailed


class Leash(protocol.Protocol):
    """Standard input, with which the server ends."""

    def connectionLost(self, reason: Any = protocol.connectionDone) -> None:
        if reactor.running:
            reactor.stop()


def run(listener: socket.socket, server: core.Server, neighbors: list[core.Neighbor],
        ready: Callable[[], None], flush: Callable[[], None], until_eof: bool) -> None:
    for neighbor in neighbors:
        server.link(Link(server, *neighbor))
    listener.listen(core.BACKLOG)
    listener.setblocking(False)
    reactor.adoptStreamPort(listener.fileno(), listener.family, ClientFactory(server))
    if until_eof:
        stdio.StandardIO(Leash())
    task.LoopingCall(flush).start(1)
    reactor.callWhenRunning(ready)
    reactor.run()
