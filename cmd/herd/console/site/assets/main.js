// Connects the parts of the page.
import { Connection } from "./connection.js";
import { HerdView } from "./herd.js";
import { Fragment } from "./fragment.js";
import { MapView } from "./map.js";
import { ReplayView } from "./replay.js";
import { State } from "./state.js";
import { TryView } from "./try.js";
import { Views } from "./views.js";
import { setData, setText } from "./dom.js";
import { clock, printable } from "./format.js";
import { showUser } from "./login.js";

const fragment = new Fragment();
const state = new State(document.getElementById("state"));
const status = document.getElementById("connection");
const news = document.getElementById("news");
let hello = null; // of the present connection, or the last one
let lostAt = null;

// say shows a message below the header; an empty one hides it.
function say(text) {
  setText(news, text);
  news.hidden = text === "";
}

// welcome compares a connection with the one before.
function welcome(m) {
  const before = hello;
  hello = m;
  const server = printable(m.server);
  document.title = `Herd ${printable(m.herd)}`;
  setText(document.getElementById("title"), document.title);
  setText(status, `connected to ${server}`);
  showUser(m.user);
  views.each("hello", m);
  if (!before) return;
  if (before.page !== m.page) {
    say(`${server} has another version of this page. Load it again.`);
  } else if (before.epoch !== m.epoch) {
    say(`${server} was restarted. Connected again at ${clock(new Date())}.`);
  } else {
    say(`Connected to ${server} again at ${clock(new Date())}.`);
  }
}

function lost() {
  lostAt ??= new Date();
  const server = hello ? printable(hello.server) : "the server";
  setText(status, "not connected");
  say(`No connection to ${server} since ${clock(lostAt)}. Trying again. What is shown is from before.`);
}

const connection = new Connection({
  state(name) {
    setData(document.documentElement, "connection", name);
    if (name === "lost") lost();
    if (name === "open") lostAt = null;
  },
  message(m) {
    if (m.type === "hello") {
      welcome(m);
      return;
    }
    state.message(m);
    views.each("message", m);
  },
  binary(data) {
    views.each("binary", data);
  },
  denied() {
    location.reload(); // which leads to the login
  },
  mismatch(protocol) {
    say(`The server speaks version ${protocol} of the page's protocol. Load the page again.`);
  },
});
const views = new Views(document.getElementById("views"), document.getElementById("view"), fragment, [
  new HerdView(fragment),
  new MapView(fragment, connection),
  new ReplayView(fragment, connection),
  new TryView(fragment),
]);
connection.open();
