#!/usr/bin/env python3
"""Runs one server of a herd on an event loop of Python's, for comparison. It needs Python 3.11,
and for Twisted, Twisted 22 (apt-get install python3-twisted):

    /usr/bin/python3 server.py --on asyncio --name Ball --listen 127.0.0.1:11501

It says "listening HOST:PORT" on standard output when clients may come. A herd is made of the same
with neighbors:

    --herd Alford,Ball,Welsh --neighbor Alford=127.0.0.1:11500 --neighbor Welsh=127.0.0.1:11504
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import resource
import socket
from pathlib import Path

import core

PLACES = Path(__file__).parent.parent / "places.json"


def endpoint(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def neighbor(text: str) -> core.Neighbor:
    name, _, address = text.partition("=")
    return core.Neighbor(name, *endpoint(address))


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="one server of a herd on a loop of Python's")
    parser.add_argument("--on", choices=("asyncio", "twisted"), required=True, help="the loop")
    parser.add_argument("--name", required=True, help="of this server")
    parser.add_argument("--herd", default="", help="the names of all servers, separated by commas")
    parser.add_argument("--neighbor", type=neighbor, action="append", default=[],
                        metavar="NAME=HOST:PORT", help="a server that updates are passed on to")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--listen", type=endpoint, metavar="HOST:PORT", help="port 0: any")
    where.add_argument("--fd", type=int, help="a descriptor of a socket that is bound already")
    parser.add_argument("--log", help="a file for every line in and out; without it none is logged")
    parser.add_argument("--places", type=Path, default=PLACES, help="the answer to every WHATSAT")
    parser.add_argument("--until-eof", action="store_true", help="end when standard input does")
    return parser.parse_args()


def listener(o: argparse.Namespace) -> socket.socket:
    if o.fd is not None:
        return socket.socket(fileno=o.fd)
    return socket.create_server(o.listen, backlog=core.BACKLOG)


def main() -> None:
    o = options()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    log = core.Log(o.log) if o.log else None
    herd = {o.name, *filter(None, o.herd.split(","))}
    server = core.Server(o.name, herd, log, json.loads(o.places.read_text()))
    sock = listener(o)
    host, port = sock.getsockname()[:2]
    engine = importlib.import_module("on_" + o.on)

    # Records are bytes and integers in tuples, and nothing here makes cycles: the collector would
    # only ever look through all of them in vain.
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 1000)

    def ready() -> None:
        print(f"listening {host}:{port}", flush=True)

    def flush() -> None:
        if log is not None:
            log.flush()

    engine.run(sock, server, o.neighbor, ready, flush, o.until_eof)
    flush()


if __name__ == "__main__":
    main()
