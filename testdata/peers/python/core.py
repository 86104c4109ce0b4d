"""What a server of the herd does with bytes, whichever engine moves them: sans I/O.

Lines, replies and records are the herd's, byte for byte, as far as clients are concerned. Between
servers it speaks as the paper does: a plain AT line with its sender's name for each update that
is new, over a connection that is dialled when there is something to send (3.3.1).

It is written for speed, as far as one writes Python for it: one expression takes a well-formed
IAMAT apart and checks it, ranges included; a chunk is one split, one reading of the clock and one
joined write; integers and bytes, never Decimal, hold a time exactly.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Callable, Iterable
from time import gmtime, monotonic, strftime, time_ns
from typing import Any, NamedTuple

MAX_LINE = 16384  # bytes before the terminator
MAX_CLIENT = 1024
MAX_COORDS = 96
MAX_TIME = 96
MAX_DIFF = 32
MAX_FUTURE = 3600 * 10**9  # nanoseconds that a client's clock may be ahead
END_OF_TIME = 253402300800  # the year 10000, in POSIX seconds
SECOND = 10**9
BACKLOG = 4096  # connections that wait to be accepted
RETRY = 0.1  # seconds after a connection to a neighbor is lost, or failed
MAX_WAITING = 500_000  # lines for a neighbor that does not read

# Possessive quantifiers, new in Python 3.11, never go back, which saves a third of the time.
POSITION = (
    rb"[+-](?:[0-8]?\d(?:\.\d++)?|90(?:\.0++)?)"
    rb"[+-](?:(?:1[0-7]\d|0?\d?\d)(?:\.\d++)?|180(?:\.0++)?)/?"
)
TIME = rb"(\d{1,96}+)(?:\.(\d++))?"

# An IAMAT as clients write it. Whatever else is one is found by the long way.
plain_iamat = re.compile(
    rb"IAMAT (\S{1,1024}+) (" + POSITION + rb") (" + TIME + rb")\r?").fullmatch
# An AT line as neighbors write it: what comes before the sender is passed on as it is.
plain_at = re.compile(
    rb"(AT (\S++) ([+-]\d{1,12}+(?:\.\d{1,9}+)?) (\S{1,1024}+) (" + POSITION + rb") (" + TIME
    + rb")) (\S++)\r?").fullmatch
is_position = re.compile(POSITION).fullmatch
is_time = re.compile(TIME).fullmatch
# A diff as servers of other kinds may write it, a Python float for one.
is_diff = re.compile(rb"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?").fullmatch
is_digits = re.compile(rb"\d+").fullmatch

HELP = (
    b"Available commands:\n> IAMAT [client_id] [client_position] [client_time]\n"
    b"> WHATSAT [client_id] [radius] [bound]\n> help\n> quit\n\n"
)

# Of a client: the AT line that acknowledged it, its time in nanoseconds, and the digits of the time
# beyond those, without trailing zeros.
Record = tuple[bytes, int, bytes]


class Refusal(Exception):
    """Why a known command cannot be executed, in the herd's words."""


def refuse(verb: bytes, what: str, detail: str) -> Refusal:
    return Refusal(f"{verb.decode()} {what}: {detail}")


def printable(field: bytes) -> str:
    """A field as Go's %q prints its inside, cut at 64 bytes."""
    shown = []
    for char in field[:64].decode(errors="surrogateescape"):
        code = ord(char)
        if char in '"\\':
            shown.append("\\" + char)
        elif 0xDC80 <= code <= 0xDCFF:  # a byte that is no UTF-8
            shown.append(f"\\x{code - 0xDC00:02x}")
        elif char.isprintable():
            shown.append(char)
        elif char in _SHORT:
            shown.append(_SHORT[char])
        elif code < 0x80:
            shown.append(f"\\x{code:02x}")
        else:
            shown.append(f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")
    return "".join(shown)


_SHORT = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v"}


_DEGREES = rb"([+-])(\d{1,3})(?:\.(\d+))?"
_ALTITUDE = rb"[+-]\d+(?:\.\d+)?(?:/?|CRS.*)"
_located = re.compile(_DEGREES + _DEGREES + rb"(?:/?|(" + _ALTITUDE + rb"))", re.DOTALL).fullmatch


def position_fault(coords: bytes) -> str:
    """What is wrong with coordinates that are not accepted."""
    if len(coords) > MAX_COORDS:
        return f"longer than {MAX_COORDS} bytes"
    if match := _located(coords):
        for axis, limit, start in (("latitude", 90, 1), ("longitude", 180, 4)):
            sign, whole, fraction = match.group(start, start + 1, start + 2)
            if int(whole) > limit or int(whole) == limit and (fraction or b"").strip(b"0"):
                side = "above " if sign == b"+" else "below -"
                return f"{printable(coords)} has a {axis} {side}{limit}"
        if match[7]:
            return printable(coords) + " has an altitude, which is not accepted"
    return printable(coords) + " is not a position in ISO 6709 decimal degrees"


_UNITS = {13: "milliseconds", 16: "microseconds", 19: "nanoseconds"}


def time_fault(stamp: bytes, match: re.Match[bytes] | None) -> str:
    """What is wrong with a time that is not accepted; match is its seconds."""
    if len(stamp) > MAX_TIME:
        return f"longer than {MAX_TIME} bytes"
    if match is None:
        return printable(stamp) + " is not a POSIX time"
    if unit := _UNITS.get(len(match[1].lstrip(b"0"))):
        return f"{printable(stamp)} looks like {unit}; a POSIX time is in seconds"
    return printable(stamp) + " is after the year 9999"


def exact(seconds: bytes, fraction: bytes | None) -> tuple[int, bytes]:
    """A time as nanoseconds and what is left: tuples compare as the decimals do."""
    if not fraction:
        return int(seconds) * SECOND, b""
    return int(seconds + fraction[:9].ljust(9, b"0")), fraction[9:].rstrip(b"0")


def difference(now: int, then: int) -> bytes:
    sign, nanoseconds = (b"+", now - then) if now >= then else (b"-", then - now)
    return b"%b%d.%09d" % (sign, nanoseconds // SECOND, nanoseconds % SECOND)


def newer(response: bytes, time: int, rest: bytes, known: Record) -> bool:
    """Whether a record from elsewhere replaces the known one: the herd's order, a total one."""
    if time != known[1] or rest != known[2]:
        return (time, rest) > known[1:]
    return response != known[0] and rank(response) > rank(known[0])


def rank(response: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    """What decides between records of the same time, on every server alike."""
    _, origin, diff, _, coords, stamp = response.split()
    return origin, stamp, coords, diff


class Server:
    """A server's state: its records, and the neighbors to pass them on to. The loop's alone."""

    def __init__(self, name: str, herd: Iterable[str], log: Log | None,
                 answer: dict[str, Any]) -> None:
        self.name = name.encode()
        self.herd = frozenset(each.encode() for each in herd)
        self.links: list[Link] = []
        self.neighbors: set[bytes] = set()
        self.log = log
        self.records: dict[bytes, Record] = {}
        self.sessions = 0
        # The answer to every WHATSAT, rendered once for each bound.
        self.places = [
            json.dumps({**answer, "results": answer["results"][:bound]}, indent=2,
                       ensure_ascii=False).encode() + b"\n\n"
            for bound in range(21)
        ]

    def link(self, link: Link) -> None:
        """Adds a neighbor."""
        self.links.append(link)
        self.neighbors.add(link.name)

    def flood(self, response: bytes, sender: bytes = b"") -> None:
        """Passes an AT line on to every neighbor but the one that sent it."""
        line = b"%b %b\r\n" % (response, self.name)
        for link in self.links:
            if link.name != sender:
                if not link.lines:
                    link.wake()
                elif link.paused and len(link.lines) >= MAX_WAITING:
                    link.abort()
                link.lines.append(line)


class Neighbor(NamedTuple):
    """Where a neighbor is."""

    name: str
    host: str
    port: int


class Link:
    """The connection to a neighbor and the lines for it, which go out together, once in a turn.

    It is dialled when there is a line for it. What cannot be sent is lost, as in the paper. An
    engine says how the three actions are done, and calls the four events.
    """

    def __init__(self, server: Server, name: str, host: str, port: int) -> None:
        self.server = server
        self.name = name.encode()
        self.host = host
        self.port = port
        self.lines: list[bytes] = []
        self.transport: Any = None  # has write, as Twisted's and asyncio's have
        self.dialling = False
        self.paused = False
        self.not_before = 0.0  # on the monotonic clock: the next dial
        self.said_lost = False

    def wake(self) -> None:
        """Has flush called at the end of this turn."""
        raise NotImplementedError

    def dial(self) -> None:
        """Begins to connect. One of connected and lost is called then."""
        raise NotImplementedError

    def abort(self) -> None:
        """Closes the connection to a neighbor that does not read. lost is called then."""
        raise NotImplementedError

    def flush(self) -> None:
        if self.transport is None:
            if monotonic() < self.not_before:
                self.lines.clear()
            elif not self.dialling:
                self.dialling = True
                self.dial()
        elif self.lines and not self.paused:
            lines, self.lines = self.lines, []
            self.transport.write(b"".join(lines))
            if self.server.log is not None:
                self.server.log.sent(self.name, lines)

    def connected(self, transport: Any) -> None:
        self.transport, self.dialling, self.said_lost = transport, False, False
        self.flush()

    def pause(self) -> None:
        """The neighbor does not read as fast as it is written to."""
        self.paused = True

    def resume(self) -> None:
        self.paused = False
        self.flush()

    def lost(self, reason: object) -> None:
        """There is no connection, or none any more."""
        if self.lines and not self.said_lost:
            self.said_lost = True
            print(f"lines for {self.name.decode()} are lost: {reason}", file=sys.stderr, flush=True)
        self.transport, self.dialling, self.paused = None, False, False
        self.not_before = monotonic() + RETRY
        self.lines.clear()


class Session:
    """A connection that a client or a neighbor made."""

    __slots__ = ("server", "number", "tail", "closing", "neighbor")

    def __init__(self, server: Server) -> None:
        server.sessions += 1
        self.server = server
        self.number = server.sessions
        self.tail = b""
        self.closing = False  # what receive returned last is the last reply
        self.neighbor = False  # it has sent a neighbor's AT line

    def receive(self, data: bytes) -> bytes:
        """Executes the lines of a chunk and returns the replies."""
        if self.closing:
            return b""
        if self.tail:
            data = self.tail + data
        lines = data.split(b"\n")
        self.tail = lines.pop()
        excess = False
        if len(data) > MAX_LINE:  # or no line can be too long
            lines, excess = self._cut(lines)
        replies = self._execute(lines) if lines else []
        if excess and not self.closing:
            replies.append(b"> LINE: longer than %d bytes\n\n" % MAX_LINE)
            self.closing = True
        return b"".join(replies)

    def finish(self) -> bytes:
        """Executes what a client sent last without LF. From a neighbor it is a torn line."""
        line, self.tail = self.tail, b""
        if not line or self.closing or self.neighbor:
            return b""
        return b"".join(self._execute([line]))

    def _cut(self, lines: list[bytes]) -> tuple[list[bytes], bool]:
        """The lines before one that is too long, and whether there is one; the tail counts."""
        for i, line in enumerate(lines):
            if len(line) > MAX_LINE and len(line.removesuffix(b"\r")) > MAX_LINE:
                return lines[:i], True
        return lines, len(self.tail.removesuffix(b"\r")) > MAX_LINE

    def _execute(self, lines: list[bytes]) -> list[bytes]:
        if self.neighbor:
            return self._take(lines)
        server = self.server
        records, links = server.records, server.links
        acknowledge = b"AT " + server.name + b" +"
        now = time_ns()
        replies = []
        for line in lines:
            match = plain_iamat(line)
            if match is None:
                replies.append(self._long_way(line, now))
                if self.closing:
                    break
                continue
            client, coords, stamp, seconds, fraction = match.groups()
            if fraction is not None and len(fraction) <= 9:
                time, rest = int(seconds + fraction.ljust(9, b"0")), b""
            else:
                time, rest = exact(seconds, fraction)
            age = now - time
            if age < 0 or len(coords) > MAX_COORDS or len(stamp) > MAX_TIME:
                replies.append(self._long_way(line, now))
                continue
            digits = b"%010d" % age
            response = b"".join((acknowledge, digits[:-9], b".", digits[-9:],
                                 b" ", client, b" ", coords, b" ", stamp))
            replies.append(response + b"\n\n")
            known = records.get(client)
            if known is None or time > known[1] or time == known[1] and rest > known[2]:
                records[client] = response, time, rest
                if links:
                    server.flood(response)
        if server.log is not None:
            server.log.lines(now, self.number, lines, replies)
        return replies

    def _take(self, lines: list[bytes]) -> list[bytes]:
        """Executes a neighbor's lines."""
        server = self.server
        records = server.records
        replies = []
        now = time_ns()
        for line in lines:
            match = plain_at(line)
            if match is None:
                replies.append(self._long_way(line, now))
                continue
            response, origin, _, client, coords, stamp, seconds, fraction, sender = match.groups()
            known = records.get(client)
            if known is not None and known[0] == response and sender in server.neighbors:
                replies.append(b"")  # it has come by another way, as half of them do in a ring
                continue
            time, rest = exact(seconds, fraction)
            if (origin not in server.herd or sender not in server.neighbors
                    or len(coords) > MAX_COORDS or len(stamp) > MAX_TIME
                    or time >= END_OF_TIME * SECOND):
                replies.append(self._long_way(line, now))
                continue
            replies.append(b"")
            if known is None or newer(response, time, rest, known):
                records[client] = response, time, rest
                server.flood(response, sender)
        if server.log is not None:
            server.log.lines(now, self.number, lines, replies)
        return replies

    def _long_way(self, line: bytes, now: int) -> bytes:
        """Executes any line and returns its reply."""
        line = line.removesuffix(b"\r")
        fields = line.split()
        execute = _COMMANDS.get(fields[0]) if fields else None
        if execute is None:
            return b"? %b\n\n" % line
        try:
            return execute(self, fields, line, now)
        except Refusal as refusal:
            return b"> %b\n? %b\n\n" % (str(refusal).encode(), line)

    def _iamat(self, fields: list[bytes], line: bytes, now: int) -> bytes:
        count(fields, 4)
        _, client, coords, stamp = fields
        if len(client) > MAX_CLIENT:
            raise refuse(fields[0], "CLIENT", f"longer than {MAX_CLIENT} bytes")
        if len(coords) > MAX_COORDS or not is_position(coords):
            raise refuse(fields[0], "POSITION", position_fault(coords))
        match = is_time(stamp) if len(stamp) <= MAX_TIME else None
        if match is None or int(match[1]) >= END_OF_TIME:
            raise refuse(fields[0], "TIME", time_fault(stamp, match))
        time, rest = exact(*match.groups())
        if (time, rest) > (now + MAX_FUTURE, b""):
            raise refuse(fields[0], "TIME",
                         printable(stamp) + " is more than 1h0m0s ahead of this server")
        diff = difference(now, time)
        response = b" ".join((b"AT", self.server.name, diff, client, coords, stamp))
        known = self.server.records.get(client)
        if known is None or (time, rest) > known[1:]:
            self.server.records[client] = response, time, rest
            self.server.flood(response)
        return response + b"\n\n"

    def _whatsat(self, fields: list[bytes], line: bytes, now: int) -> bytes:
        count(fields, 4)
        _, client, radius, bound = fields
        if len(client) > MAX_CLIENT:
            raise refuse(fields[0], "CLIENT", f"longer than {MAX_CLIENT} bytes")
        for what, field, most in (("RADIUS", radius, 50), ("BOUND", bound, 20)):
            if not is_digits(field) or len(field.lstrip(b"0")) > 2 or int(field) > most:
                raise refuse(fields[0], what,
                             f"{printable(field)} is not an integer from 0 to {most}")
        known = self.server.records.get(client)
        if known is None:
            return (b"> WHATSAT REQUEST: There is no location data at server %b for client %b\n\n"
                    % (self.server.name, printable(client).encode()))
        return b"%b\n%b" % (known[0], self.server.places[int(bound)])

    def _at(self, fields: list[bytes], line: bytes, now: int) -> bytes:
        """A neighbor's line is not answered; from anybody else, AT is no command."""
        server = self.server
        if len(fields) != 7 or fields[6] not in server.neighbors or fields[1] not in server.herd:
            return b"? %b\n\n" % line
        self.neighbor = True
        _, origin, diff, client, coords, stamp, sender = fields
        match = is_time(stamp) if len(stamp) <= MAX_TIME else None
        if (match is None or int(match[1]) >= END_OF_TIME or len(diff) > MAX_DIFF
                or not is_diff(diff) or math.isinf(float(diff)) or len(coords) > MAX_COORDS
                or not is_position(coords) or len(client) > MAX_CLIENT):
            return b""
        time, rest = exact(*match.groups())
        response = b" ".join((b"AT", origin, diff, client, coords, stamp))
        known = server.records.get(client)
        if known is None or newer(response, time, rest, known):
            server.records[client] = response, time, rest
            server.flood(response, sender)
        return b""

    def _help(self, fields: list[bytes], line: bytes, now: int) -> bytes:
        count(fields, 1)
        return HELP

    def _quit(self, fields: list[bytes], line: bytes, now: int) -> bytes:
        count(fields, 1)
        self.closing = True
        return b"> Goodbye\n\n"


def count(fields: list[bytes], want: int) -> None:
    if len(fields) != want:
        raise refuse(fields[0], "FIELDS", f"{len(fields)} instead of {want}")


_COMMANDS: dict[bytes, Callable[[Session, list[bytes], bytes, int], bytes]] = {
    b"IAMAT": Session._iamat,
    b"WHATSAT": Session._whatsat,
    b"AT": Session._at,
    b"help": Session._help,
    b"quit": Session._quit,
}


class Log:
    """Each line in and out, with its time, in a file that is written a quarter of a MiB at a time.

    The standard library's logging costs more for an entry than the line itself does. Lines are
    shown as ascii() has them, which is safe in a terminal, and 1,024 bytes of them at most.
    """

    def __init__(self, path: str) -> None:
        self.file = open(path, "ab", buffering=1 << 18)
        self.second = 0
        self.date = b""  # of that second

    def lines(self, now: int, number: int, received: list[bytes], replies: list[bytes]) -> None:
        """Logs the lines of a chunk and the replies to them in the order in which they came."""
        head = b"%b %d" % (self.time(now), number)
        entries = []
        for line, reply in zip(received, replies):
            entries.append(b"%b received %a\n" % (head, line[:1024]))
            if reply:
                entries.append(b"%b sent %a\n" % (head, reply[:1024]))
        self.file.write(b"".join(entries))

    def sent(self, neighbor: bytes, lines: list[bytes]) -> None:
        """Logs lines to a neighbor."""
        head = b"%b %b" % (self.time(time_ns()), neighbor)
        self.file.write(b"".join([b"%b sent %a\n" % (head, line[:1024]) for line in lines]))

    def time(self, now: int) -> bytes:
        """A time of nanoseconds in UTC."""
        second, nanoseconds = divmod(now, SECOND)
        if second != self.second:
            self.second, self.date = second, strftime("%Y-%m-%dT%H:%M:%S", gmtime(second)).encode()
        return b"%b.%06dZ" % (self.date, nanoseconds // 1000)

    def flush(self) -> None:
        self.file.flush()
