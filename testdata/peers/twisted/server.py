"""A server of the paper's proxy server herd: what clients and neighbors connect to.

It is the paper as its text has it, with the names of its appendix: one LineReceiver and one port
for clients and servers (3.2), every location at every server, flooded at once (3.3, 3.3.1), a
dictionary as cache (4.1), a neighbor dialled when there is something to send it, and no recovery of
what was missed meanwhile (3.3.1). Lines end in CR LF, LineReceiver's default.

Where the printed code differs from the text, the text was followed:

  - A relay passes the origin's fields on as they came (4.4). The code writes its own name and clock
    into them, so that every server has another record.
  - The last field names the server that sends this copy, and the update does not go back to that
    one (3.3.1). The code excludes set("Ball"), the letters of its name, and so nobody.
  - A stored AT message has no sender (3.3.1, 4.4). The code appends it to what WHATSAT answers.
  - Times are compared as the decimals that they are. As floats some would be equal that are not,
    and NaN, which float() reads, is neither older nor newer than anything: it blocks its client.
  - Coordinates are all of a field, with or without a fraction, not something found in it.

Of 4.4 this was not followed: that a relay leaves the sender's name as it is. The receiver could not
know whom to exclude then, which is what 3.3.1 has the name for.

Also left behind: a dial for each update while the first dial is still under way (these wait for it
here, and are lost with it); help and quit, which are for people at a terminal; Python 2 and
getPage, which are gone: Google's answer is a file, see Places.
"""

from __future__ import annotations

import json
import logging
import time
from decimal import Decimal
from typing import Any, NamedTuple

from twisted.internet import defer, protocol
from twisted.protocols.basic import LineReceiver

import utils
from client import Neighbor, ProxyClientFactory

log = logging.getLogger("server")


class Location(NamedTuple):
    """What the cache holds of a client."""

    response: bytes  # the AT message that acknowledged it
    coordinates: bytes
    time: Decimal


class Places:
    """Google's Nearby Search, with one answer to all questions: a JSON object with results."""

    def __init__(self, answer: dict[str, Any]) -> None:
        self.answer = answer

    def nearby(self, coordinates: bytes, radius: int) -> defer.Deferred[dict[str, Any]]:
        """Fires with what is within radius kilometers."""
        return defer.succeed(self.answer)


class ProxyServerProtocol(LineReceiver):
    """A connection that a client or a neighbor made."""

    def __init__(self, factory: ProxyServerFactory) -> None:
        self.factory = factory
        self.commands = {
            b"IAMAT": self.processIAMAT,
            b"WHATSAT": self.processWHATSAT,
            b"AT": self.processAT,
        }

    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)
        self.factory.connections += 1
        log.info("CONNECTION ESTABLISHED; Total: %d", self.factory.connections)

    def connectionLost(self, reason: Any = protocol.connectionDone) -> None:
        self.factory.connections -= 1
        log.info("CONNECTION LOST; Total: %d", self.factory.connections)

    def lineReceived(self, line: bytes) -> None:
        log.debug("LINE RECEIVED: %a", line)
        name, *fields = line.split() or [b""]
        process = self.commands.get(name)
        if process is None:
            log.error("INVALID COMMAND: %a", line)
            self.respond(b"? " + line)
            return
        try:
            process(*fields)
        except utils.ValidationError as error:
            log.error("%s", error)
            self.respond(b"> %s\n? %s" % (str(error).encode(), line))

    def respond(self, response: bytes) -> None:
        log.debug("RESPONSE: %a", response)
        self.transport.write(response + b"\n\n")

    @utils.validate(utils.validateIAMAT)
    def processIAMAT(self, client: bytes, coordinates: bytes, client_time: bytes) -> None:
        stamp = utils.posixTime(client_time)
        difference = Decimal(time.time_ns()).scaleb(-9) - stamp
        response = b" ".join((b"AT", self.factory.server_name, f"{difference:+.9f}".encode(),
                              client, coordinates, client_time))
        self.respond(response)
        self.update(client, Location(response, coordinates, stamp))

    @utils.validate(utils.validateAT)
    def processAT(self, server: bytes, difference: bytes, client: bytes, coordinates: bytes,
                  client_time: bytes, sender: bytes) -> None:
        response = b" ".join((b"AT", server, difference, client, coordinates, client_time))
        location = Location(response, coordinates, utils.posixTime(client_time))
        self.update(client, location, exclude=sender)

    def update(self, client: bytes, location: Location, exclude: bytes = b"") -> None:
        """Stores and floods a location, unless one is known that is not older (3.3.1)."""
        known = self.factory.clients.get(client)
        if known is None or location.time > known.time:
            self.factory.clients[client] = location
            self.factory.propagate(location, exclude)

    @utils.validate(utils.validateWHATSAT)
    def processWHATSAT(self, client: bytes, radius: bytes, bound: bytes) -> None:
        location = self.factory.clients.get(client)
        if location is None:
            self.respond(b"> WHATSAT REQUEST: There is no location data at server %s for client %s"
                         % (self.factory.server_name, client))
            return

        def answer(found: dict[str, Any]) -> None:
            limited = {**found, "results": found["results"][: int(bound)]}
            self.respond(location.response + b"\n" + json.dumps(limited, indent=2).encode())

        def fail(failure: Any) -> None:
            log.error("WHATSAT PROCESS: %s", failure)
            self.respond(b"> WHATSAT PROCESS: Error processing Google Places Request")

        self.factory.places.nearby(location.coordinates, int(radius)).addCallbacks(answer, fail)


class ProxyServerFactory(protocol.ServerFactory):
    """A server: its cache of locations and its connections to its neighbors."""

    noisy = False

    def __init__(self, reactor: Any, name: str, neighbors: list[Neighbor], places: Places) -> None:
        self.server_name = name.encode()
        self.places = places
        self.connections = 0
        self.clients: dict[bytes, Location] = {}
        self.servers = [ProxyClientFactory(reactor, neighbor) for neighbor in neighbors]

    def buildProtocol(self, addr: Any) -> ProxyServerProtocol:
        return ProxyServerProtocol(self)

    def propagate(self, location: Location, exclude: bytes) -> None:
        """Sends a location to every neighbor but the one that it came from."""
        message = b"%s %s" % (location.response, self.server_name)
        for server in self.servers:
            if server.neighbor.name != exclude:
                server.sendAT(message)
