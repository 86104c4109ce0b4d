// How the last update of a client spread, as a tree in words, for the inspector of the map.
import { el, setText } from "./dom.js";
import { printable, seconds } from "./format.js";
import { linkTo } from "./fragment.js";
import { toFragment } from "./ids.js";

// floodOf asks the console for the flood of a client's last update: flood is as in console/replay/replay.go, or null if
// no flight recorder has it; nodes are those of herd trace --json. Or there is an error.
export async function floodOf(idB64) {
  const id = Array.from(atob(idB64), (c) => `%${c.charCodeAt(0).toString(16).padStart(2, "0")}`).join("");
  try {
    const answer = await fetch(`/flood.json?id=${id}`);
    const m = await answer.json();
    if (!answer.ok) return { error: printable(m.error) };
    if (!m.replay) return { tree: m, flood: null };
    const has = new Set(m.replay.steps.filter((s) => s.kind !== "sent" && s.kind !== "duplicate").map((s) => s.server));
    const missing = m.nodes.filter((n) => !has.has(n.server)).map((n) => ({ server: n.server, why: describe(n), silent: n.outcome === "unanswered" }));
    return { tree: m, flood: { hash: m.hash, id: m.id, id_b64: m.id_b64, missing, ...m.replay } };
  } catch {
    return { error: "The server does not answer." };
  }
}

// describe says how the update came to a server, or why not, as herd trace does.
function describe(n) {
  const from = n.from ? `from ${n.from}` : "from a neighbor";
  const after = n.after && n.outcome !== "client" ? ` after ${delay(n.after)}` : "";
  const how = {
    client: `from a client${n.at ? "" : ", too old for the flight recorder"}`, neighbor: `${from}${after}`,
    copied: `${from} in a copy or resume${after}`, journal: "loaded from the journal", bucket: "from the bucket", old: `${from}, too old for the flight recorder`,
    superseded: `superseded: ${n.why}`, behind: `behind: ${n.why}`,
  };
  const again = (n.duplicates ?? []).map((d) => d.from).join(", ");
  return (how[n.outcome] ?? n.why ?? "") + (again ? `; duplicate from ${again}` : "");
}

function delay(d) {
  return seconds(Math.max(0, d.seconds)) + (d.uncertainty > 0 ? ` ± ${seconds(d.uncertainty)}` : "");
}

export class Flood {
  constructor() {
    this.text = el("p", { class: "flood-text", role: "status" });
    this.tree = el("ul", { class: "tree", "aria-label": "Servers that have it" });
    this.replay = el("a", {}, "Replay");
    this.root = el("section", { class: "flood-tree", "aria-label": "How the last update spread", hidden: "" },
      el("h3", {}, "How it spread "), this.text, this.tree, this.replay);
    this.id = "";
  }

  // show asks for the last update of a client.
  async show(idB64) {
    this.id = idB64;
    this.root.hidden = idB64 === "";
    if (idB64 === "") return;
    const { tree, flood, error } = await floodOf(idB64);
    if (idB64 !== this.id) return;
    this.replay.hidden = !flood;
    this.replay.setAttribute("href", linkTo({ view: "replay", client: toFragment(idB64), at: "", follow: "" }));
    this.tree.replaceChildren(...(tree?.nodes ?? []).map(row));
    setText(this.text, error ?? totals(tree));
  }
}

function row(n) {
  const li = el("li", { "data-server": n.server, "data-outcome": n.outcome, "data-depth": n.depth },
    el("bdi", {}, printable(n.server)), ` ${printable(describe(n))}`);
  li.style.paddingLeft = `${Math.min(n.depth, 12) * 14}px`;
  return li;
}

function totals(tree) {
  const have = tree.nodes.filter((n) => n.holds || n.at).length;
  return `${have} of ${tree.nodes.length} servers have it; ${tree.received} AT lines, ${tree.duplicates} of them duplicates.`;
}
