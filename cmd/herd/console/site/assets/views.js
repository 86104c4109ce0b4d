// The views of the page, of which one is shown: that which the fragment names, or the first one.
//
// A view is an object with
//
//	name, title      in the fragment, and for people
//	root             its element
//	show(), hide()   it is shown, or not any more. It is hidden at first, and then asks for nothing and draws nothing
//	hello(m)         a connection begins
//	message(m)       a text message of /ws, but hello; also while it is hidden
//	binary(data)     a binary one, a DataView
//
// All but the first three may be missing.
import { el, setAttribute } from "./dom.js";

export class Views {
  constructor(nav, main, fragment, views) {
    this.views = views;
    this.fragment = fragment;
    this.shown = null;
    this.links = views.map((v) => el("a", { "data-view": v.name }, v.title));
    this.links.forEach((a, i) => a.addEventListener("click", (e) => {
      if (e.ctrlKey || e.metaKey || e.shiftKey) return; // another tab or window
      e.preventDefault();
      this.open(views[i].name);
    }));
    nav.append(...this.links);
    nav.hidden = views.length < 2;
    for (const v of views) v.root.hidden = true;
    main.append(...views.map((v) => v.root));
    fragment.listen(() => this.select());
  }

  open(name) {
    this.fragment.set("view", name === this.views[0].name ? "" : name, true);
  }

  select() {
    const name = this.fragment.get("view");
    const next = this.views.find((v) => v.name === name) ?? this.views[0];
    this.links.forEach((a, i) => {
      setAttribute(a, "href", this.fragment.link("view", i === 0 ? "" : this.views[i].name));
      if (this.views[i] === next) setAttribute(a, "aria-current", "page");
      else a.removeAttribute("aria-current");
    });
    if (next === this.shown) return;
    if (this.shown) {
      this.shown.root.hidden = true;
      this.shown.hide?.();
    }
    this.shown = next;
    document.documentElement.dataset.view = next.name;
    next.root.hidden = false;
    next.show?.();
  }

  // each calls a method of all views that have it.
  each(method, argument) {
    for (const v of this.views) v[method]?.(argument);
  }
}
