// What a server of the herd does with bytes, which are Latin-1 strings here, a character a byte.
//
// Lines, replies and records are the herd's, byte for byte, as far as clients are concerned.
// Between servers it speaks as the paper does: a plain AT line with its sender's name for each
// update that is new (3.3.1).
//
// A time is kept as seconds and nanoseconds, which doubles hold exactly, and the digits beyond: a
// BigInt for each line would be slower than the rest of the line.
'use strict';

const MAX_LINE = 16384; // bytes before the terminator
const MAX_CLIENT = 1024;
const MAX_COORDS = 96;
const MAX_TIME = 96;
const MAX_DIFF = 32;
const MAX_FUTURE = 3600; // seconds that a client's clock may be ahead
const END_OF_TIME = 253402300800; // the year 10000, in POSIX seconds

// White space is these six bytes. JavaScript's \s would also take U+00A0, a byte of some names.
const WORD = '[^ \\t\\n\\r\\f\\v]';
const POSITION = '[+-](?:[0-8]?\\d(?:\\.\\d+)?|90(?:\\.0+)?)' +
  '[+-](?:(?:1[0-7]\\d|0?\\d?\\d)(?:\\.\\d+)?|180(?:\\.0+)?)/?';
const TIME = '(\\d{1,96})(?:\\.(\\d+))?';
const DIFF = '[+-]\\d{1,12}(?:\\.\\d{1,9})?';

// An IAMAT as clients write it and an AT line as neighbors do, each where lastIndex says. Whatever
// else is one is found by the long way.
const plainIAMAT = new RegExp(`IAMAT (${WORD}{1,1024}) (${POSITION}) (${TIME})\\r?\\n`, 'y');
const plainAT = new RegExp(
  `(AT (${WORD}+) (${DIFF}) (${WORD}{1,1024}) (${POSITION}) (${TIME})) (${WORD}+)\\r?\\n`, 'y');
const isPosition = new RegExp(`^${POSITION}$`);
const isTime = new RegExp(`^${TIME}$`);
// A diff as servers of other kinds may write it, a Python float for one.
const isDiff = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/;
const words = new RegExp(`${WORD}+`, 'g');

const HELP = 'Available commands:\n> IAMAT [client_id] [client_position] [client_time]\n' +
  '> WHATSAT [client_id] [radius] [bound]\n> help\n> quit\n\n';

// Refusal is why a known command cannot be executed, in the herd's words.
class Refusal extends Error {}

function refuse(verb, what, detail) {
  return new Refusal(`${verb} ${what}: ${detail}`);
}

// printable is a field as Go's %q prints its inside, cut at 64 bytes.
function printable(field) {
  const bytes = Buffer.from(field.slice(0, 64), 'latin1');
  let shown = '';
  for (let i = 0; i < bytes.length;) {
    const length = bytes[i] < 0x80 ? 1 : bytes[i] < 0xe0 ? 2 : bytes[i] < 0xf0 ? 3 : 4;
    let char;
    try {
      char = utf8.decode(bytes.subarray(i, i + length));
    } catch {
      shown += `\\x${hex(bytes[i++], 2)}`;
      continue;
    }
    i += length;
    const code = char.codePointAt(0);
    if (char === '"' || char === '\\') shown += `\\${char}`;
    else if (isPrint.test(char)) shown += Buffer.from(char).latin1Slice();
    else if (SHORT.has(char)) shown += SHORT.get(char);
    else if (code < 0x80) shown += `\\x${hex(code, 2)}`;
    else shown += code < 0x10000 ? `\\u${hex(code, 4)}` : `\\U${hex(code, 8)}`;
  }
  return shown;
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const hex = (n, digits) => n.toString(16).padStart(digits, '0');
const isPrint = /^[ \p{L}\p{M}\p{N}\p{P}\p{S}]$/u;
const SHORT = new Map([['\x07', '\\a'], ['\b', '\\b'], ['\f', '\\f'], ['\n', '\\n'], ['\r', '\\r'],
  ['\t', '\\t'], ['\v', '\\v']]);

const DEGREES = '([+-])(\\d{1,3})(?:\\.(\\d+))?';
const ALTITUDE = '[+-]\\d+(?:\\.\\d+)?(?:/?|CRS.*)';
const located = new RegExp(`^${DEGREES}${DEGREES}(?:/?|(${ALTITUDE}))$`, 's');

// positionFault is what is wrong with coordinates that are not accepted.
function positionFault(coords) {
  if (coords.length > MAX_COORDS) return `longer than ${MAX_COORDS} bytes`;
  const match = located.exec(coords);
  if (match !== null) {
    for (const [axis, limit, start] of [['latitude', 90, 1], ['longitude', 180, 4]]) {
      const [sign, whole, fraction] = match.slice(start, start + 3);
      if (whole > limit || Number(whole) === limit && /[1-9]/.test(fraction ?? '')) {
        return `${printable(coords)} has a ${axis} ${sign === '+' ? 'above ' : 'below -'}${limit}`;
      }
    }
    if (match[7] !== undefined) return `${printable(coords)} has an altitude, which is not accepted`;
  }
  return `${printable(coords)} is not a position in ISO 6709 decimal degrees`;
}

const UNITS = new Map([[13, 'milliseconds'], [16, 'microseconds'], [19, 'nanoseconds']]);

// timeFault is what is wrong with a time that is not accepted; match is its seconds.
function timeFault(stamp, match) {
  if (stamp.length > MAX_TIME) return `longer than ${MAX_TIME} bytes`;
  if (match === null) return `${printable(stamp)} is not a POSIX time`;
  const unit = UNITS.get(match[1].replace(/^0+/, '').length);
  if (unit !== undefined) return `${printable(stamp)} looks like ${unit}; a POSIX time is in seconds`;
  return `${printable(stamp)} is after the year 9999`;
}

// clock is the time in milliseconds, to the microsecond: Date.now has no fractions, and the
// monotonic clock, which has, does not follow when somebody sets the clock.
let origin = performance.timeOrigin;
function clock() {
  const now = origin + performance.now();
  const coarse = Date.now();
  if (now >= coarse - 1 && now < coarse + 2) return now;
  origin += coarse - now;
  return coarse;
}

// Record is what is known of a client: the AT line that acknowledged it, and its time.
class Record {
  constructor(response, seconds, nanoseconds, rest) {
    this.response = response;
    this.seconds = seconds;
    this.nanoseconds = nanoseconds;
    this.rest = rest; // digits beyond nanoseconds, without trailing zeros
  }

  // compareTime is negative, zero or positive as this one is older, the same or newer.
  compareTime(other) {
    if (this.seconds !== other.seconds) return this.seconds - other.seconds;
    if (this.nanoseconds !== other.nanoseconds) return this.nanoseconds - other.nanoseconds;
    return this.rest === other.rest ? 0 : this.rest < other.rest ? -1 : 1;
  }

  // compare orders records from elsewhere, on every server alike.
  compare(other) {
    const byTime = this.compareTime(other);
    if (byTime !== 0 || this.response === other.response) return byTime;
    const [mine, others] = [this.rank(), other.rank()];
    const i = mine.findIndex((field, k) => field !== others[k]);
    return mine[i] < others[i] ? -1 : 1;
  }

  rank() {
    const [, origin, diff, , coords, stamp] = this.response.split(' ');
    return [origin, stamp, coords, diff];
  }
}

const nanosecondsOf = (fraction = '') => Number(fraction.slice(0, 9).padEnd(9, '0'));
const restOf = (fraction = '') => (fraction.length > 9 ? fraction.slice(9).replace(/0+$/, '') : '');

// difference is now, in milliseconds, minus a time, with sign and nine decimals.
function difference(now, seconds, nanoseconds) {
  const second = Math.floor(now / 1000);
  let s = second - seconds;
  let n = Math.floor((now - second * 1000) * 1000) * 1000 - nanoseconds;
  if (n < 0) {
    s -= 1;
    n += 1e9;
  }
  let sign = '+';
  if (s < 0) {
    sign = '-';
    s = -s;
    if (n > 0) {
      s -= 1;
      n = 1e9 - n;
    }
  }
  return `${sign}${s}.${String(n).padStart(9, '0')}`;
}

// flat copies a string. What a regular expression finds is a view of the chunk, and a string put
// together is a tree of such views: kept, they would keep the chunk.
function flat(text) {
  return Buffer.from(text, 'latin1').latin1Slice();
}

// Server is a server's state: its records, and the neighbors to pass them on to.
class Server {
  constructor(name, herd, log, answer) {
    this.name = name;
    this.herd = new Set([name, ...herd]);
    this.links = [];
    this.neighbors = new Set();
    this.log = log;
    this.records = new Map();
    this.sessions = 0;
    // The answer to every WHATSAT, rendered once for each bound.
    this.places = Array.from({ length: 21 }, (_, bound) => {
      const cut = { ...answer, results: answer.results.slice(0, bound) };
      return `${Buffer.from(JSON.stringify(cut, null, 2)).latin1Slice()}\n\n`;
    });
  }

  link(link) {
    this.links.push(link);
    this.neighbors.add(link.name);
  }

  // store keeps a record, instead of the known one if there is one, and passes it on to every
  // neighbor but the one that sent it.
  store(client, record, known, sender) {
    record.response = flat(record.response);
    this.records.set(known === undefined ? flat(client) : client, record);
    const line = `${record.response} ${this.name}\r\n`;
    for (const link of this.links) {
      if (link.name !== sender) link.send(line);
    }
  }
}

// Session is a connection that a client or a neighbor made.
class Session {
  constructor(server) {
    this.server = server;
    this.number = ++server.sessions;
    this.tail = '';
    this.closing = false; // what receive returned last is the last reply
    this.neighbor = false; // it has sent a neighbor's AT line
  }

  // receive executes the lines of a chunk and returns the replies.
  receive(data) {
    const text = this.tail === '' ? data : this.tail + data;
    const replies = this.execute(text);
    if (this.tail.length > MAX_LINE && !this.closing && withoutCR(this.tail).length > MAX_LINE) {
      return replies + this.tooLong();
    }
    return replies;
  }

  // finish executes what a client sent last without LF. From a neighbor it is a torn line.
  finish() {
    const line = this.tail;
    return line === '' || this.neighbor ? '' : this.execute(`${line}\n`);
  }

  tooLong() {
    this.closing = true;
    return `> LINE: longer than ${MAX_LINE} bytes\n\n`;
  }

  execute(text) {
    const { log } = this.server;
    const now = clock();
    let replies = '';
    let from = 0;
    while (!this.closing) {
      const plain = this.neighbor ? plainAT : plainIAMAT;
      plain.lastIndex = from;
      const match = plain.exec(text);
      let reply = null;
      let end = plain.lastIndex;
      if (match !== null) reply = this.neighbor ? this.plainAT(match) : this.plainIAMAT(match, now);
      if (reply === null) {
        end = text.indexOf('\n', from) + 1;
        if (end === 0) break;
        reply = this.longWay(withoutCR(text.slice(from, end - 1)), now);
      }
      replies += reply;
      if (log) log.line(now, this.number, text.slice(from, end - 1), reply);
      from = end;
    }
    this.tail = from === text.length ? '' : flat(text.slice(from));
    return replies;
  }

  plainIAMAT([, client, coords, stamp, seconds, fraction], now) {
    if (coords.length > MAX_COORDS || stamp.length > MAX_TIME || seconds * 1000 > now) return null;
    return this.acknowledge(client, coords, stamp, seconds, fraction, now);
  }

  // plainAT takes a neighbor's line, which is not answered.
  plainAT([, response, origin, , client, coords, stamp, seconds, fraction, sender]) {
    const { herd, neighbors, records } = this.server;
    if (!herd.has(origin) || !neighbors.has(sender)) return null;
    if (coords.length > MAX_COORDS || stamp.length > MAX_TIME) return null;
    if (seconds >= END_OF_TIME) return null;
    const known = records.get(client);
    if (known !== undefined && known.response === response) return ''; // it has come by another way
    const record = new Record(response, Number(seconds), nanosecondsOf(fraction), restOf(fraction));
    if (known === undefined || record.compare(known) > 0) {
      this.server.store(client, record, known, sender);
    }
    return '';
  }

  // acknowledge answers an IAMAT, and stores it if it is new.
  acknowledge(client, coords, stamp, whole, fraction, now) {
    const { name, records } = this.server;
    const [seconds, nanoseconds] = [Number(whole), nanosecondsOf(fraction)];
    const diff = difference(now, seconds, nanoseconds);
    const response = `AT ${name} ${diff} ${client} ${coords} ${stamp}`;
    const record = new Record(response, seconds, nanoseconds, restOf(fraction));
    const known = records.get(client);
    if (known === undefined || record.compareTime(known) > 0) {
      this.server.store(client, record, known, '');
    }
    return `${response}\n\n`;
  }

  // longWay executes any line and returns its reply.
  longWay(line, now) {
    if (line.length > MAX_LINE) return this.tooLong();
    const fields = line.match(words) ?? [''];
    try {
      switch (fields[0]) {
        case 'IAMAT': return this.iamat(fields, now);
        case 'WHATSAT': return this.whatsat(fields);
        case 'AT': return this.at(fields, line);
        case 'help': return count(fields, 1) && HELP;
        case 'quit': return count(fields, 1) && this.quit();
        default: return `? ${line}\n\n`;
      }
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      return `> ${error.message}\n? ${line}\n\n`;
    }
  }

  iamat(fields, now) {
    count(fields, 4);
    const [verb, client, coords, stamp] = fields;
    if (client.length > MAX_CLIENT) throw refuse(verb, 'CLIENT', `longer than ${MAX_CLIENT} bytes`);
    if (coords.length > MAX_COORDS || !isPosition.test(coords)) {
      throw refuse(verb, 'POSITION', positionFault(coords));
    }
    const match = stamp.length > MAX_TIME ? null : isTime.exec(stamp);
    if (match === null || match[1] >= END_OF_TIME) {
      throw refuse(verb, 'TIME', timeFault(stamp, match));
    }
    const [, seconds, fraction] = match;
    if (Number(`${seconds}.${fraction ?? 0}`) > now / 1000 + MAX_FUTURE) {
      throw refuse(verb, 'TIME', `${printable(stamp)} is more than 1h0m0s ahead of this server`);
    }
    return this.acknowledge(client, coords, stamp, seconds, fraction, now);
  }

  whatsat(fields) {
    count(fields, 4);
    const [verb, client, radius, bound] = fields;
    if (client.length > MAX_CLIENT) throw refuse(verb, 'CLIENT', `longer than ${MAX_CLIENT} bytes`);
    for (const [what, field, most] of [['RADIUS', radius, 50], ['BOUND', bound, 20]]) {
      if (!/^\d+$/.test(field) || Number(field) > most) {
        throw refuse(verb, what, `${printable(field)} is not an integer from 0 to ${most}`);
      }
    }
    const { name, records, places } = this.server;
    const known = records.get(client);
    if (known === undefined) {
      return '> WHATSAT REQUEST: There is no location data at server ' +
        `${name} for client ${printable(client)}\n\n`;
    }
    return `${known.response}\n${places[Number(bound)]}`;
  }

  // at takes a neighbor's line, which is not answered. From anybody else, AT is no command.
  at(fields, line) {
    const [, origin, diff, client, coords, stamp, sender] = fields;
    const { herd, neighbors } = this.server;
    if (fields.length !== 7 || !neighbors.has(sender) || !herd.has(origin)) return `? ${line}\n\n`;
    this.neighbor = true;
    const match = isTime.exec(stamp);
    if (match === null || !isDiff.test(diff) || !isPosition.test(coords)) return '';
    if (diff.length > MAX_DIFF || !Number.isFinite(Number(diff))) return '';
    if (client.length > MAX_CLIENT) return '';
    const response = fields.slice(0, 6).join(' ');
    const [, seconds, fraction] = match;
    const found = [, response, origin, diff, client, coords, stamp, seconds, fraction, sender];
    return this.plainAT(found) ?? '';
  }

  quit() {
    this.closing = true;
    return '> Goodbye\n\n';
  }
}

function count(fields, want) {
  const got = fields.length;
  if (got !== want) throw refuse(fields[0], 'FIELDS', `${got} instead of ${want}`);
  return true;
}

const withoutCR = (line) => (line.endsWith('\r') ? line.slice(0, -1) : line);

module.exports = { Server, Session };
