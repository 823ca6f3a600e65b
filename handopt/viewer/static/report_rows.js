"use strict";
// Where the rows of `handopt report` come from: all of them lie in the page, or its server gives a part at a time.

const PART = 200; // rows of one answer
const PARTS_KEPT = 40; // so that memory is bounded, however many fits there are

// Rows of a page that stands alone.
class RowsInPage {
  constructor(settings) {
    this.total = settings.rows.length;
    this.decisions = new Map(Object.entries(settings.decisions));
    this.rows = settings.rows.map((values, index) => {
      const row = Object.fromEntries(settings.fields.map((name, place) => [name, values[place]]));
      return { ...row, index, error: settings.errors_mm?.[row.folder] ?? null };
    });
    this.found = [];
  }

  get length() { return this.found.length; }
  at(place) { return this.found[place]; }
  list() { return this.found; }

  counts() {
    const counts = {};
    for (const { decision } of this.decisions.values()) if (decision) counts[decision] = (counts[decision] ?? 0) + 1;
    return counts;
  }

  // Filters and sorts; then calls done(place of the row that was current).
  find(wanted, keep, done) {
    const words = wanted.search.toLowerCase().split(/\s+/).filter(Boolean);
    this.found = this.rows.filter((row) => {
      const text = `${row.folder} ${row.status}`.toLowerCase(), confidence = row.confidence ?? 0;
      const state = this.decisions.get(row.folder)?.decision ?? "open";
      return words.every((word) => text.includes(word)) && (!wanted.hand || row.hand === wanted.hand) &&
        (!wanted.outcome || row.outcome === wanted.outcome) && (!wanted.state || state === wanted.state) &&
        confidence >= Number(wanted.low) && confidence <= Number(wanted.high);
    });
    const key = wanted.sort.replace("-", ""), down = wanted.sort.startsWith("-"), worst = down ? -Infinity : Infinity;
    this.found.sort((a, b) => {
      if (key === "folder") return a.folder < b.folder ? -1 : 1;
      const [x, y] = [a[key] ?? worst, b[key] ?? worst];
      return (x === y ? a.index - b.index : x - y) * (down && x !== y ? -1 : 1);
    });
    done(Math.max(this.found.indexOf(keep), 0));
  }

  ask() {}
}

// Rows that the server filters and sorts. Parts of the list are fetched when they come into view, and forgotten again.
class RowsOfServer {
  constructor(settings, loaded, failed) {
    this.total = settings.count;
    this.fields = settings.fields;
    this.decisions = new Map(); // of rows that were seen
    this.tally = {};
    this.length = 0;
    this.parts = new Map(); // by number, the latest used last; null while it is on its way
    this.turn = 0;
    this.sent = Promise.resolve(); // when all decisions have reached the server
    this.loaded = loaded;
    this.failed = failed;
  }

  counts() { return this.tally; }
  list() { return [...this.parts.entries()].filter(([, rows]) => rows).sort(([a], [b]) => a - b).flatMap(([, rows]) => rows); }

  async find(wanted, keep, done) {
    const turn = ++this.turn;
    await this.sent;
    const reply = await this.fetched(`find?${new URLSearchParams({ ...wanted, keep: keep?.index ?? -1 })}`);
    if (!reply || turn !== this.turn) return; // a later one is on its way
    this.order = reply.number;
    this.length = reply.total;
    this.tally = reply.counts;
    this.parts.clear();
    this.decisions.clear();
    this.wanted = wanted;
    done(reply.place);
  }

  at(place) {
    return this.parts.get(Math.floor(place / PART))?.[place % PART];
  }

  // Fetches the rows of these places that are not here yet.
  ask(first, last) {
    const end = Math.min(last, this.length - 1);
    for (let number = Math.floor(Math.max(first, 0) / PART); number * PART <= end; number++) {
      const rows = this.parts.get(number);
      this.parts.delete(number);
      this.parts.set(number, rows ?? null); // now it is the latest used
      if (rows === undefined) this.fetchPart(number);
    }
    for (const number of this.parts.keys()) {
      if (this.parts.size <= PARTS_KEPT) break;
      for (const row of this.parts.get(number) ?? []) this.decisions.delete(row.folder);
      this.parts.delete(number);
    }
  }

  async fetchPart(number) {
    const order = this.order;
    const reply = await this.fetched(`rows?${new URLSearchParams({ number: order, start: number * PART, count: PART })}`);
    if (order !== this.order || !this.parts.has(number)) return;
    if (!reply) { this.parts.delete(number); return; }
    if (!reply.rows) { this.find(this.wanted, null, this.loaded); return; } // the server forgot this order
    this.parts.set(number, reply.rows.map(({ index, values, error, decision }) => {
      const row = { ...Object.fromEntries(this.fields.map((name, place) => [name, values[place]])), index, error };
      if (decision && !this.decisions.has(row.folder)) this.decisions.set(row.folder, { decision });
      return row;
    }));
    this.loaded();
  }

  async fetched(path) {
    try {
      const reply = await fetch(path);
      if (!reply.ok) throw new Error(await reply.text());
      return await reply.json();
    } catch (error) {
      this.failed(error.message);
      return null;
    }
  }
}
