// What a flood looks like when some of its steps have happened: a pure function of the flood and the position, so that a
// step back restores what was there. Position is the number of steps that have happened. A flood is as in
// console/replay/replay.go.

// timeAt is the time of a position: that of its last step.
export function timeAt(flood, position) {
  return position === 0 ? 0 : flood.steps[position - 1].ns;
}

// positionAt is the position at a time.
export function positionAt(flood, ns) {
  const i = flood.steps.findIndex((s) => s.ns > ns);
  return i < 0 ? flood.steps.length : i;
}

// flights are the AT lines of a flood: indexes of the steps at which each departs and arrives, or -1. Where the
// departure is not known, the line departs when its sender has the update.
export function flights(flood) {
  const { steps } = flood, all = [];
  steps.forEach((s, arrival) => {
    if (!came(s) || !s.neighbor) return;
    let departure = steps.findIndex((d, i) => i < arrival && d.kind === "sent" && d.server === s.neighbor && d.neighbor === s.server);
    if (departure < 0 || all.some((f) => f.departure === departure)) departure = steps.findIndex((d, i) => i < arrival && gives(d) && d.server === s.neighbor);
    all.push({ from: s.neighbor, to: s.server, departure, arrival, duplicate: s.kind === "duplicate" });
  });
  steps.forEach((s, departure) => {
    if (s.kind === "sent" && !all.some((f) => f.departure === departure)) {
      all.push({ from: s.server, to: s.neighbor, departure, arrival: -1, duplicate: false });
    }
  });
  return all;
}

// stateAt is the state at a position, and at a time between it and the next step.
//
//	has      by server: the index of the step by which it has the update
//	lines    AT lines on their way: from, to, how far (0 to 1), duplicate
//	arrived  likewise those that have arrived
//	current  the server of the last step
export function stateAt(flood, position, ns = timeAt(flood, position)) {
  const { steps } = flood, has = new Map(), lines = [], arrived = [];
  for (let i = 0; i < position; i++) if (gives(steps[i]) && !has.has(steps[i].server)) has.set(steps[i].server, i);
  for (const f of flights(flood)) {
    if (f.arrival >= 0 && f.arrival < position) {
      arrived.push(f);
    } else if (f.departure >= 0 && f.departure < position) {
      const begun = steps[f.departure].ns;
      const took = f.arrival < 0 ? 0 : steps[f.arrival].ns - begun;
      lines.push({ ...f, far: f.arrival < 0 ? 0.5 : took === 0 ? 0.5 : Math.min(0.96, Math.max(0.04, (ns - begun) / took)) });
    }
  }
  const last = steps[position - 1];
  return { position, has, lines, arrived, current: last ? last.server : "", sending: last?.kind === "sent" ? last.neighbor : "" };
}

// totals are the numbers of a whole flood.
export function totals(flood) {
  const count = (f) => flood.steps.filter(f).length;
  return {
    servers: new Set(flood.steps.filter(gives).map((s) => s.server)).size,
    lines: count((s) => s.kind === "applied" || s.kind === "duplicate"),
    duplicates: count((s) => s.kind === "duplicate"),
  };
}

function gives(s) {
  return s.kind === "stored" || s.kind === "applied" || s.kind === "read" || s.kind === "copied";
}

function came(s) {
  return s.kind === "applied" || s.kind === "duplicate" || s.kind === "copied";
}
