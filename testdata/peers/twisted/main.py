#!/usr/bin/env python3
"""Runs one server of the paper's herd. It needs Twisted 22 and Python 3.11:

    apt-get install python3-twisted
    /usr/bin/python3 main.py Ball --config herd.toml [--places places.json] [--logs logs]

It takes from herd.toml where it listens and where its neighbors are. Its own tests, which need no
network:

    /usr/bin/python3 -m twisted.trial test_server
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tomllib
from pathlib import Path
from typing import Any

from twisted.internet import protocol, reactor, stdio, task
from twisted.internet.error import CannotListenError

from client import Neighbor
from server import Places, ProxyServerFactory


class BufferedLog(logging.FileHandler):
    """A log file that is written when 64 KiB have come together, and whenever sync is called."""

    def _open(self) -> Any:
        return open(self.baseFilename, self.mode, buffering=1 << 16, encoding="ascii")

    def flush(self) -> None:
        """Does nothing: it is called after each entry, which is too often."""

    def sync(self) -> None:
        self.stream.flush()


class UntilEOF(protocol.Protocol):
    """Standard input, with which the server ends."""

    def connectionLost(self, reason: Any = protocol.connectionDone) -> None:
        if reactor.running:
            reactor.stop()


def configure(path: Path, name: str) -> tuple[tuple[str, int], list[Neighbor]]:
    """Reads from herd.toml where a server listens and who its neighbors are."""
    servers = {server["name"]: server for server in tomllib.loads(path.read_text())["server"]}
    if name not in servers:
        sys.exit(f"{name} is not a valid server name; there are {', '.join(servers)}")
    this = servers[name]
    neighbors = [Neighbor(other.encode(), *endpoint(servers[other]["address"]))
                 for other in this["neighbors"]]
    return endpoint(this.get("listen", this["address"])), neighbors


def endpoint(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def startLog(path: Path, level: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = BufferedLog(path)
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging.basicConfig(format="%(asctime)s %(message)s", handlers=[handler], level=level)
    task.LoopingCall(handler.sync).start(1)
    reactor.addSystemEventTrigger("after", "shutdown", handler.sync)


def main() -> None:
    parser = argparse.ArgumentParser(description="a server of the paper's proxy server herd")
    parser.add_argument("name", help="which of the servers in the configuration it is")
    parser.add_argument("--config", type=Path, default=Path("herd.toml"))
    parser.add_argument("--places", type=Path, help="a JSON file, the answer to every WHATSAT")
    parser.add_argument("--logs", type=Path, default=Path("logs"), help="the directory of the log")
    parser.add_argument("--no-lines", action="store_true", help="log no lines, in or out")
    parser.add_argument("--until-eof", action="store_true", help="end when standard input does")
    options = parser.parse_args()

    (host, port), neighbors = configure(options.config, options.name)
    startLog(options.logs / f"server-{options.name}.log",
             logging.INFO if options.no_lines else logging.DEBUG)
    answer = json.loads(options.places.read_text()) if options.places else {"results": []}
    factory = ProxyServerFactory(reactor, options.name, neighbors, Places(answer))
    try:
        reactor.listenTCP(port, factory, interface=host)
    except CannotListenError as error:
        sys.exit(str(error))
    logging.info("SERVER STARTED %s:%d", options.name, port)
    reactor.addSystemEventTrigger("before", "shutdown",
                                  logging.info, "SERVER SHUTDOWN %s:%d", options.name, port)
    if options.until_eof:
        stdio.StandardIO(UntilEOF())
    reactor.run()


if __name__ == "__main__":
    main()
