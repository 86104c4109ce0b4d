'use strict';

const fs = require('node:fs');

const CHUNK = 256 << 10; // characters that are written together

// Log keeps each line in and out, with its time, in a file that is written a quarter of a MiB at a
// time, by a thread of libuv's. Lines are shown as JSON has them, without what a terminal would
// obey, and 1,024 bytes of them at most.
class Log {
  constructor(file) {
    this.stream = fs.createWriteStream(file, { flags: 'a' });
    this.entries = '';
    this.second = 0;
    this.date = ''; // of that second
    setInterval(() => this.flush(), 1000).unref();
  }

  // line logs a line and the reply to it, if there is one. now is in milliseconds.
  line(now, connection, line, reply) {
    const head = `${this.time(now)} ${connection} `;
    this.entries += `${head}received ${show(line)}\n`;
    // The two ends of line of a reply go unsaid, and so nothing in most replies needs an escape.
    if (reply !== '') this.entries += `${head}sent ${show(reply.slice(0, -2))}\n`;
    if (this.entries.length > CHUNK) this.flush();
  }

  // sent logs lines to a neighbor, each with its end.
  sent(neighbor, lines) {
    const head = `${this.time(Date.now())} ${neighbor} sent `;
    for (let from = 0; from < lines.length;) {
      const end = lines.indexOf('\r\n', from);
      this.entries += `${head}${show(lines.slice(from, end))}\n`;
      from = end + 2;
    }
    if (this.entries.length > CHUNK) this.flush();
  }

  time(now) {
    const second = Math.floor(now / 1000);
    if (second !== this.second) {
      this.second = second;
      this.date = new Date(second * 1000).toISOString().slice(0, 19);
    }
    return `${this.date}.${String(Math.floor((now - second * 1000) * 1000)).padStart(6, '0')}Z`;
  }

  flush() {
    if (this.entries === '') return;
    this.stream.write(this.entries, 'latin1');
    this.entries = '';
  }

  close(done) {
    this.flush();
    this.stream.end(done);
  }
}

const harmless = /^[ !#-[\]-~]*$/;
const dangerous = /[^ -~]/g;

function show(text) {
  if (text.length > 1024) text = text.slice(0, 1024);
  if (harmless.test(text)) return `"${text}"`;
  return JSON.stringify(text).replace(dangerous,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

module.exports = { Log };
