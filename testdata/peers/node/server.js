#!/usr/bin/env node
// Runs one server of a herd on Node.js, for comparison. It needs Node.js 18 or newer:
//
//     node server.js --name Ball --listen 127.0.0.1:11501
//
// It says "listening HOST:PORT" on standard output when clients may come. A herd is made of the
// same with neighbors:
//
//     --herd Alford,Ball,Welsh --neighbor Alford=127.0.0.1:11500 --neighbor Welsh=127.0.0.1:11504
'use strict';

const fs = require('node:fs');
const net = require('node:net');
const path = require('node:path');
const { parseArgs } = require('node:util');
const { Log } = require('./log.js');
const { Server, Session } = require('./core.js');

const BACKLOG = 4096; // connections that wait to be accepted
const LINGER = 5000; // milliseconds for a client to take its last reply
const RETRY = 100; // milliseconds after a connection to a neighbor is lost, or failed
const MAX_WAITING = 64 << 20; // bytes for a neighbor that does not read
// Of a socket's buffer, beyond which its client is not read from. Node's own 16 KiB, which counts
// also what is sent already, until the turn ends, would pause a connection at every larger reply.
const HIGH_WATER = 256 << 10;

// serve takes the bytes of a connection that a client or a neighbor made: one string for a chunk,
// and one write for all replies to it.
function serve(server, socket) {
  const session = new Session(server);
  socket.on('data', (chunk) => {
    if (session.closing) return;
    // Latin-1 is a byte for a character: names are any bytes, and V8 keeps such strings as bytes.
    const replies = session.receive(chunk.latin1Slice());
    if (session.closing) {
      // Closed now, with input unread, it would be reset, and the reply lost.
      socket.end(replies, 'latin1');
      setTimeout(() => socket.destroy(), LINGER).unref();
    } else if (replies !== '' && !socket.write(replies, 'latin1')) {
      socket.pause(); // a client that does not read is not read from
    }
  });
  socket.on('drain', () => socket.resume());
  socket.on('end', () => {
    if (!session.closing) socket.end(session.finish(), 'latin1');
  });
  socket.on('error', () => {}); // 'close' follows, and there is nothing to be done
}

// Link is the connection to a neighbor and the lines for it, which go out together, once in a turn.
// It is dialled when there is a line for it. What cannot be sent is lost, as in the paper.
class Link {
  constructor(server, name, host, port) {
    Object.assign(this, { server, name, host, port });
    this.lines = '';
    this.socket = null;
    this.connected = false;
    this.full = false; // the socket's buffer
    this.notBefore = 0; // on the monotonic clock: the next dial
    this.saidLost = false;
  }

  send(line) {
    if (this.lines === '') setImmediate(() => this.flush());
    this.lines += line;
    if (this.lines.length > MAX_WAITING) {
      this.lines = '';
      if (this.connected) this.socket.destroy(new Error('it does not read'));
    }
  }

  flush() {
    if (this.socket === null) {
      this.dial();
    } else if (this.connected && !this.full && this.lines !== '') {
      const lines = this.lines;
      this.lines = '';
      this.full = !this.socket.write(lines, 'latin1');
      if (this.server.log) this.server.log.sent(this.name, lines);
    }
  }

  dial() {
    if (performance.now() < this.notBefore) {
      this.lines = '';
      return;
    }
    const { host, port } = this;
    this.socket = net.connect({ host, port, noDelay: true, highWaterMark: HIGH_WATER });
    let reason = 'closed by the neighbor';
    const timer = setTimeout(() => this.socket.destroy(new Error('timeout')), 1000);
    this.socket.on('connect', () => {
      clearTimeout(timer);
      this.connected = true;
      this.saidLost = false;
      this.flush();
    });
    this.socket.on('drain', () => {
      this.full = false;
      this.flush();
    });
    this.socket.on('error', (error) => { reason = error.message; });
    this.socket.on('close', () => {
      clearTimeout(timer);
      this.lost(reason);
    });
    this.socket.resume(); // nothing is expected to come back, and its end is to be seen
  }

  lost(reason) {
    if (this.lines !== '' && !this.saidLost) {
      this.saidLost = true;
      process.stderr.write(`lines for ${this.name} are lost: ${reason}\n`);
    }
    this.socket = null;
    this.connected = this.full = false;
    this.lines = '';
    this.notBefore = performance.now() + RETRY;
  }
}

function endpoint(text) {
  const colon = text.lastIndexOf(':');
  return [text.slice(0, colon).replace(/^\[|\]$/g, ''), Number(text.slice(colon + 1))];
}

function main() {
  const { values: o } = parseArgs({
    options: {
      name: { type: 'string' }, // of this server
      herd: { type: 'string', default: '' }, // the names of all servers, separated by commas
      neighbor: { type: 'string', multiple: true, default: [] }, // NAME=HOST:PORT
      listen: { type: 'string' }, // HOST:PORT; port 0: any
      fd: { type: 'string' }, // or a descriptor of a socket that listens already
      log: { type: 'string' }, // a file for every line in and out; without it none is logged
      places: { type: 'string', default: path.join(__dirname, '..', 'places.json') },
      'until-eof': { type: 'boolean', default: false }, // end when standard input does
    },
  });
  if (!o.name || !o.listen === !o.fd) {
    process.stderr.write('needed: --name NAME, and one of --listen HOST:PORT and --fd N\n');
    process.exit(2);
  }
  const log = o.log ? new Log(o.log) : null;
  const answer = JSON.parse(fs.readFileSync(o.places, 'utf8'));
  const server = new Server(o.name, o.herd.split(','), log, answer);
  for (const text of o.neighbor) {
    const [name, address] = text.split('=');
    server.link(new Link(server, name, ...endpoint(address)));
  }

  const listener = net.createServer(
    { allowHalfOpen: true, noDelay: true, highWaterMark: HIGH_WATER },
    (socket) => serve(server, socket));
  const ready = () => {
    const { address, port } = listener.address();
    process.stdout.write(`listening ${address}:${port}\n`);
  };
  if (o.fd) {
    listener.listen({ fd: Number(o.fd) }, BACKLOG, ready);
  } else {
    const [host, port] = endpoint(o.listen);
    listener.listen(port, host, BACKLOG, ready);
  }

  const stop = () => (log ? log.close(() => process.exit(0)) : process.exit(0));
  process.on('SIGTERM', stop).on('SIGINT', stop);
  if (o['until-eof']) process.stdin.on('end', stop).on('error', stop).resume();
}

main();
