"""The connections that a server makes to its neighbors, as a client of theirs (3.2, 4.1)."""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

from twisted.internet import protocol
from twisted.protocols.basic import LineReceiver

log = logging.getLogger("client")


class Neighbor(NamedTuple):
    """A server that another one is connected with."""

    name: bytes
    host: str
    port: int


class ProxyClientProtocol(LineReceiver):
    """A connection to a neighbor. AT messages go over it, and nothing is expected to come back."""

    factory: ProxyClientFactory

    def connectionMade(self) -> None:
        self.setRawMode()
        self.transport.setTcpNoDelay(True)
        self.factory.connected(self)

    def rawDataReceived(self, data: bytes) -> None:
        log.error("RESPONSE from %a: %a", self.factory.neighbor.name, data)


class ProxyClientFactory(protocol.ClientFactory):
    """What a server knows of one neighbor: the connection to it, if there is one (3.3.1)."""

    noisy = False
    protocol = ProxyClientProtocol

    def __init__(self, reactor: Any, neighbor: Neighbor) -> None:
        self.reactor = reactor
        self.neighbor = neighbor
        self.connection: ProxyClientProtocol | None = None
        self.waiting: list[bytes] | None = None  # for the dial under way; None if there is none

    def sendAT(self, message: bytes) -> None:
        """Sends a message, over a new connection if there is none."""
        if self.connection is not None:
            log.debug("LINE SENT to %a: %a", self.neighbor.name, message)
            self.connection.sendLine(message)
        elif self.waiting is not None:
            self.waiting.append(message)
        else:
            self.waiting = [message]
            self.reactor.connectTCP(self.neighbor.host, self.neighbor.port, self, timeout=1)

    def connected(self, connection: ProxyClientProtocol) -> None:
        """Sends what has waited for the connection."""
        log.info("CONNECTION MADE to %a", self.neighbor.name)
        self.connection, waiting, self.waiting = connection, self.waiting or [], None
        for message in waiting:
            self.sendAT(message)

    def clientConnectionFailed(self, connector: Any, reason: Any) -> None:
        log.error("CONNECTION FAILED to %a, %d messages are lost: %s", self.neighbor.name,
                  len(self.waiting or []), reason.value)
        self.waiting = None

    def clientConnectionLost(self, connector: Any, reason: Any) -> None:
        log.info("CONNECTION LOST to %a: %s", self.neighbor.name, reason.value)
        self.connection = None
