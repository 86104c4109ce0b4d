"""Tests of a server without network and time: /usr/bin/python3 -m twisted.trial test_server"""

from __future__ import annotations

import json
import logging
import re

from twisted.internet.error import ConnectionRefusedError
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from client import Neighbor
from server import Places, ProxyServerFactory, ProxyServerProtocol

IAMAT = b"IAMAT kiwi +34.068930-118.445127 1520023934.918963997"
AT = b"AT Holiday +0.1 kiwi +34.068930-118.445127 1520023934.918963997"

logging.disable()


class Transport(StringTransport):
    def setTcpNoDelay(self, enabled: bool) -> None:
        pass


class ServerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        neighbors = [Neighbor(b"Holiday", "127.0.0.1", 1), Neighbor(b"Welsh", "127.0.0.1", 2)]
        places = Places({"results": ["a", "b", "c"], "status": "OK"})
        self.server = ProxyServerFactory(self.reactor, "Ball", neighbors, places)

    def connect(self) -> ProxyServerProtocol:
        connection = self.server.buildProtocol(None)
        connection.makeConnection(Transport())
        return connection

    def say(self, *lines: bytes) -> bytes:
        """What a fresh connection answers to lines."""
        connection = self.connect()
        connection.dataReceived(b"".join(line + b"\r\n" for line in lines))
        return connection.transport.value()

    def dials(self) -> list[int]:
        """The ports dialled so far."""
        return [port for _, port, *_ in self.reactor.tcpClients]

    def accept(self, dial: int) -> Transport:
        """Lets a dial succeed."""
        connection = self.reactor.tcpClients[dial][2].buildProtocol(None)
        transport = Transport()
        connection.makeConnection(transport)
        return transport

    def test_iamat(self) -> None:
        self.assertRegex(
            self.say(IAMAT), rb"^AT Ball \+\d+\.\d{9} " + re.escape(IAMAT[6:]) + rb"\n\n$")
        self.assertEqual(self.dials(), [1, 2])
        self.assertRegex(self.accept(1).value(), rb"^AT Ball .* Ball\r\n$")

    def test_repeated(self) -> None:
        self.assertEqual(self.say(IAMAT, IAMAT).count(b"\n\n"), 2)
        to = self.accept(0)
        self.assertEqual(to.value().count(b"\r\n"), 1)
        self.say(IAMAT.replace(b"963997", b"963996"))
        self.assertEqual(to.value().count(b"\r\n"), 1)
        self.say(IAMAT.replace(b"963997", b"963998"))
        self.assertEqual(to.value().count(b"\r\n"), 2)

    def test_at_is_passed_on_as_it_came(self) -> None:
        self.assertEqual(self.say(AT + b" Holiday"), b"")
        self.assertEqual(self.dials(), [2])  # and not back to Holiday
        self.assertEqual(self.accept(0).value(), AT + b" Ball\r\n")
        self.say(AT + b" Welsh")
        self.assertEqual(self.dials(), [2])
        self.assertTrue(self.say(b"WHATSAT kiwi 10 2").startswith(AT + b"\n{"))

    def test_whatsat(self) -> None:
        self.say(AT + b" Holiday")
        first, _, rest = self.say(b"WHATSAT kiwi 10 2").partition(b"\n")
        self.assertEqual(first, AT)
        self.assertEqual(json.loads(rest), {"results": ["a", "b"], "status": "OK"})
        self.assertTrue(rest.endswith(b"}\n\n"))
        self.assertRegex(self.say(b"WHATSAT moa 10 2"), b"^> WHATSAT REQUEST: .* moa\n\n$")

    def test_nonsense(self) -> None:
        for line in (b"", b"HELLO herd/1 ucla", b"iamat kiwi +1-1 1"):
            self.assertEqual(self.say(line), b"? " + line + b"\n\n")
        for line in (
            b"IAMAT kiwi +1-1", b"IAMAT kiwi +91-1 1", b"IAMAT kiwi +1.5-181 1",
            b"IAMAT kiwi x+1-1 1", b"IAMAT kiwi +1-1 nan", b"IAMAT kiwi +1-1 1e9",
            b"IAMAT kiwi +1-1 253402300800", b"IAMAT " + 1025 * b"k" + b" +1-1 1",
            b"WHATSAT kiwi 51 1", b"WHATSAT kiwi 1 21", b"WHATSAT kiwi -1 1", b"WHATSAT kiwi 1",
            AT, AT.replace(b"+0.1", b"nan") + b" Holiday",
        ):
            reason, _, rest = self.say(line).partition(b"\n")
            self.assertEqual((reason[:2], rest), (b"> ", b"? " + line + b"\n\n"))
        self.assertEqual((self.server.clients, self.dials()), ({}, []))

    def test_dial_on_demand(self) -> None:
        self.say(IAMAT, b"IAMAT moa +1-1 5")
        self.assertEqual(self.dials(), [1, 2])  # one dial each, for which the second update waits
        holiday, welsh = (client[2] for client in self.reactor.tcpClients)
        welsh.clientConnectionFailed(None, Failure(ConnectionRefusedError()))
        self.assertEqual(self.accept(0).value().count(b"\r\n"), 2)
        self.say(b"IAMAT emu +1-1 5")
        self.assertEqual(self.dials(), [1, 2, 2])
        self.assertEqual(self.accept(2).value().count(b"\r\n"), 1)  # what was missed is lost
        holiday.clientConnectionLost(None, Failure(ConnectionRefusedError()))
        self.assertEqual(self.dials(), [1, 2, 2])  # until there is something to send
        self.say(b"IAMAT kea +1-1 5")
        self.assertEqual(self.dials(), [1, 2, 2, 1])

    def test_whatever_a_neighbor_answers(self) -> None:
        self.say(IAMAT)
        connection = self.reactor.tcpClients[0][2].buildProtocol(None)
        connection.makeConnection(Transport())
        connection.dataReceived(b"? AT x\n\n" * 10000)
        self.assertFalse(connection.transport.disconnecting)
