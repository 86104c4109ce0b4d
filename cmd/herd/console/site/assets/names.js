// The ids of dots, asked from the server one at a time.

const most = 2000; // kept
const patience = 1000; // ms for an answer: there is none if the dots have begun anew

export class Names {
  constructor(send) {
    this.send = send;
    this.reset(-1);
  }

  reset(generation) {
    this.generation = generation;
    this.known = new Map(); // by slot
    this.asked = null; // { slot, then, at }
    this.next = null;
  }

  // get calls then with the id of a slot, a message "name", unless another one is asked for before that can be asked.
  get(slot, then) {
    const known = this.known.get(slot);
    if (known) then(known);
    else if (this.asked && performance.now() - this.asked.at < patience) this.next = { slot, then };
    else this.ask({ slot, then });
  }

  ask(one) {
    this.asked = { ...one, at: performance.now() };
    this.next = null;
    this.send({ type: "name", generation: this.generation, slot: one.slot });
  }

  answer(m) {
    if (m.generation !== this.generation) return;
    if (this.known.size >= most) this.known.clear();
    this.known.set(m.slot, m);
    const { asked, next } = this;
    this.asked = null;
    if (asked?.slot === m.slot) asked.then(m);
    if (next && next === this.next) this.ask(next);
  }
}
