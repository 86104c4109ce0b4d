// The URL's fragment says what the page shows, so that a link can be shared: #theme=dark&server=Ball.

function read() {
  return new URLSearchParams(location.hash.slice(1));
}

// linkTo is the fragment with some values changed; an empty value is left out.
export function linkTo(values) {
  const all = read();
  for (const [name, value] of Object.entries(values)) {
    if (value === "") all.delete(name);
    else all.set(name, value);
  }
  return `#${all}`;
}

export class Fragment {
  constructor() {
    this.listeners = [];
    addEventListener("hashchange", () => this.changed());
  }

  get(name) {
    return read().get(name) ?? "";
  }

  // link is the fragment with one value changed.
  link(name, value) {
    return linkTo({ [name]: value });
  }

  // set changes a value. With keep, the browser's back button goes back to the one before.
  set(name, value, keep) {
    const link = this.link(name, value);
    if (link === (location.hash || "#")) return;
    if (keep) history.pushState(null, "", link);
    else history.replaceState(null, "", link);
    this.changed();
  }

  // listen calls f now and whenever the fragment has changed.
  listen(f) {
    this.listeners.push(f);
    f();
  }

  changed() {
    for (const f of this.listeners) f();
  }
}
