"use strict";
// The page of `handopt report`: cards of fits, of which only those in view exist as elements.

const $ = (id) => document.getElementById(id);
const SETTINGS = JSON.parse($("settings").textContent);
const ROWS = SETTINGS.rows.map((values, index) => {
  const row = Object.fromEntries(SETTINGS.fields.map((name, place) => [name, values[place]]));
  return { ...row, index, error: SETTINGS.errors_mm?.[row.folder] ?? null };
});
const decisions = new Map(Object.entries(SETTINGS.decisions));
const CARD = { width: 196, height: 252 };
const WORDS = { accept: "accepted", reject: "rejected", other_hand: "other hand", palm: "palm" };
const BINS = 20;
const CURVE_MM = 80;

let shown = []; // rows that pass the filter, sorted
let current = 0; // place among them
let mode = ""; // what the dialog shows: "", "overlay", "view", "palm"

// ------------------------------------------------------------------------------------------------ filter and grid

function apply() {
  const words = $("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const [low, high] = [Number($("low").value), Number($("high").value)];
  const kept = shown[current];
  shown = ROWS.filter((row) => {
    const text = `${row.folder} ${row.status}`.toLowerCase();
    const state = decisions.get(row.folder)?.decision ?? "open";
    const confidence = row.confidence ?? 0;
    return words.every((word) => text.includes(word)) && (!$("hand").value || row.hand === $("hand").value) &&
      (!$("outcome").value || row.outcome === $("outcome").value) && (!$("state").value || state === $("state").value) &&
      confidence >= low && confidence <= high;
  });
  const key = $("sort").value.replace("-", ""), down = $("sort").value.startsWith("-");
  const worst = down ? -Infinity : Infinity;
  shown.sort((a, b) => {
    if (key === "folder") return a.folder < b.folder ? -1 : 1;
    const [x, y] = [a[key] ?? worst, b[key] ?? worst];
    return (x === y ? a.index - b.index : x - y) * (down && x !== y ? -1 : 1);
  });
  current = Math.max(shown.indexOf(kept), 0);
  count();
  draw();
}

function count() {
  const states = [...decisions.values()].map((each) => each.decision).filter(Boolean);
  const parts = Object.keys(WORDS).map((name) => [states.filter((each) => each === name).length, WORDS[name]]).filter(([n]) => n);
  $("counts").textContent = `${shown.length} of ${ROWS.length} fits` + parts.map(([n, word]) => `, ${n} ${word}`).join("");
}

function columns() {
  return Math.max(Math.floor(($("scroll").clientWidth - 16) / CARD.width), 1);
}

let kept = new Map(); // cards in view by row

function draw() {
  const across = columns(), box = $("scroll");
  $("space").style.height = `${Math.ceil(shown.length / across) * CARD.height}px`;
  const first = Math.max(Math.floor(box.scrollTop / CARD.height) - 1, 0);
  const rows = Math.ceil(box.clientHeight / CARD.height) + 3;
  $("grid").style.top = `${first * CARD.height}px`;
  const cards = shown.slice(first * across, (first + rows) * across);
  // Cards that stay in view are kept, so that scrolling neither builds nor loads them again.
  const before = kept;
  kept = new Map(cards.map((row, place) => {
    const at = first * across + place;
    const state = `${at} ${at === current} ${decisions.get(row.folder)?.decision ?? ""}`;
    const old = before.get(row.index);
    return [row.index, old?.state === state ? old : { state, box: card(row, at) }];
  }));
  $("grid").replaceChildren(...[...kept.values()].map((each) => each.box));
}

function card(row, place) {
  const box = element("div", { className: `card${place === current ? " current" : ""}`, title: row.status });
  box.setAttribute("role", "listitem");
  box.dataset.folder = row.folder;
  const source = SETTINGS.served ? `thumbnail/${row.index}` : SETTINGS.thumbnails[row.index];
  const none = element("div", { className: "none", textContent: row.status || "no picture" });
  if (source && row.outcome !== "skipped" && row.confidence !== null) {
    const picture = element("img", { src: source, alt: row.folder, loading: "lazy" });
    picture.onerror = () => picture.replaceWith(none);
    box.append(picture);
  } else box.append(none);
  const figures = [row.hand, row.confidence === null ? null : `conf ${text(row.confidence)}`, row.residual_mm === null ? null : `${row.residual_mm.toFixed(1)} mm`,
    row.error === null ? null : `off ${row.error.toFixed(0)} mm`];
  box.append(element("b", { textContent: row.folder }), element("small", { textContent: figures.filter(Boolean).join("  ") }));
  const decision = decisions.get(row.folder)?.decision;
  if (decision) box.append(element("span", { className: `mark ${decision}`, textContent: WORDS[decision] }));
  box.onclick = () => { select(place); open("overlay"); };
  return box;
}

function text(confidence) {
  return confidence > 0.99 ? ">0.99" : confidence.toFixed(2);
}

function element(tag, attributes) {
  return Object.assign(document.createElement(tag), attributes);
}

function select(place) {
  if (!shown.length) return;
  current = Math.min(Math.max(place, 0), shown.length - 1);
  const top = Math.floor(current / columns()) * CARD.height, box = $("scroll");
  if (top < box.scrollTop) box.scrollTop = top;
  if (top + CARD.height + 8 > box.scrollTop + box.clientHeight) box.scrollTop = top + CARD.height + 8 - box.clientHeight;
  draw();
  if ($("detail").open) open(mode === "palm" ? "overlay" : mode);
}

// ------------------------------------------------------------------------------------------------ decisions

function say(message) {
  $("message").textContent = message;
  $("message").hidden = !message;
}

async function decide(decision, center = null) {
  const row = shown[current];
  if (!row || !row.hand) return;
  const entry = { folder: row.folder, image: row.image, decision, hand: row.hand, center_px: center };
  const before = decisions.get(row.folder);
  decisions.set(row.folder, entry); // at once, so that keys may come faster than the server answers
  $("save").hidden = SETTINGS.served;
  count();
  if (decision) select(current + 1); else draw();
  if (!SETTINGS.served) return;
  sending = sending.then(() => send(entry, before));
  await sending;
}

let sending = Promise.resolve(); // decisions reach the server in their order

async function send(entry, before) {
  try {
    const reply = await fetch("review", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(entry) });
    if (!reply.ok) throw new Error(await reply.text());
    say("");
  } catch (error) {
    if (before) decisions.set(entry.folder, before); else decisions.delete(entry.folder);
    say(`${entry.folder} was not saved: ${error.message}`);
    count();
    draw();
  }
}

function saveReview() {
  const time = new Date().toISOString();
  const lines = [...decisions.values()].map((each) => JSON.stringify({ format: "handopt.review/1", ...each, time }) + "\n");
  const url = URL.createObjectURL(new Blob(lines, { type: "application/jsonl" }));
  element("a", { href: url, download: SETTINGS.review }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

// ------------------------------------------------------------------------------------------------ closer

function open(what) {
  const row = shown[current];
  if (!row) return;
  mode = what;
  const box = $("large");
  box.replaceChildren();
  $("name").textContent = row.folder;
  $("facts").textContent = row.status;
  $("hint").textContent = "";
  const path = row.folder.split("/").map(encodeURIComponent).join("/");
  if (what === "overlay") {
    const picture = element("img", { src: SETTINGS.served ? `overlay/${row.index}` : `${path}/overlay.png`, alt: "overlay" });
    picture.onerror = () => { $("hint").textContent = "There is no overlay.png beside this report."; picture.remove(); };
    box.append(picture);
  } else if (!SETTINGS.served) {
    $("hint").textContent = what === "view" ? `In 3D: handopt view ${row.folder}` : "The palm can be marked in the page that `handopt report` serves, without --html.";
  } else if (what === "view") {
    box.append(element("iframe", { src: `view/${row.index}`, title: "The hand in 3D" }));
  } else {
    $("hint").textContent = "Click on the middle of the palm.";
    const picture = element("img", { src: `depth/${row.index}`, alt: "the whole depth image", className: "pick", id: "depth" });
    picture.onerror = () => { $("hint").textContent = `The depth image ${row.image} cannot be shown.`; picture.remove(); };
    picture.onclick = (event) => {
      const place = picture.getBoundingClientRect();
      const column = ((event.clientX - place.left) / place.width) * picture.naturalWidth - 0.5;
      const line = ((event.clientY - place.top) / place.height) * picture.naturalHeight - 0.5;
      close();
      decide("palm", [Math.round(column * 10) / 10, Math.round(line * 10) / 10]);
    };
    box.append(picture);
  }
  if (!$("detail").open) $("detail").showModal();
}

function close() {
  $("detail").close();
  $("large").replaceChildren();
  mode = "";
}

const KEYS = {
  y: () => decide("accept"), n: () => decide("reject"), o: () => decide("other_hand"), u: () => decide(null), p: () => open("palm"),
  Enter: () => open("overlay"), 3: () => open("view"), Escape: close,
  ArrowRight: () => select(current + 1), ArrowLeft: () => select(current - 1),
  ArrowDown: () => select(current + columns()), ArrowUp: () => select(current - columns()),
  Home: () => select(0), End: () => select(shown.length - 1),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || ["INPUT", "SELECT", "BUTTON"].includes(event.target.tagName)) return;
  if (event.key in KEYS) { KEYS[event.key](); event.preventDefault(); }
});

// ------------------------------------------------------------------------------------------------ figures

function histogram() {
  const canvas = $("histogram"), paint = canvas.getContext("2d"), counts = new Array(BINS).fill(0);
  for (const { confidence } of ROWS) if (confidence !== null) counts[Math.min(Math.floor(confidence * BINS), BINS - 1)]++;
  const most = Math.max(...counts, 1), width = canvas.width / BINS;
  counts.forEach((n, bin) => {
    const height = n ? Math.max((n / most) * (canvas.height - 14), 2) : 0;
    paint.fillStyle = bin < BINS / 2 ? "#e0453a" : bin < 0.9 * BINS ? "#d9b23a" : "#28aa8a";
    paint.fillRect(bin * width + 1, canvas.height - 12 - height, width - 2, height);
  });
  paint.fillStyle = "#949daa";
  paint.font = "10px sans-serif";
  ["0", "confidence", "1"].forEach((word, place) => {
    paint.textAlign = ["left", "center", "right"][place];
    paint.fillText(word, (place * canvas.width) / 2 + [2, 0, -2][place], canvas.height - 2);
  });
  canvas.onclick = (event) => {
    const bin = Math.floor((event.offsetX / canvas.clientWidth) * BINS);
    $("low").value = (bin / BINS).toFixed(2);
    $("high").value = ((bin + 1) / BINS).toFixed(2);
    apply();
  };
}

function curve() {
  const errors = ROWS.map((row) => row.error).filter((each) => each !== null).sort((a, b) => a - b);
  if (!errors.length) { $("sort").querySelector('[value="-error"]').remove(); return; }
  const canvas = $("curve"), paint = canvas.getContext("2d"), high = canvas.height - 14;
  canvas.hidden = false;
  paint.strokeStyle = "#40baff";
  paint.lineWidth = 1.5;
  paint.beginPath();
  for (let x = 0; x <= canvas.width; x++) {
    const within = errors.filter((each) => each <= (x / canvas.width) * CURVE_MM).length / errors.length;
    paint.lineTo(x, 2 + (1 - within) * high);
  }
  paint.stroke();
  paint.fillStyle = "#949daa";
  paint.font = "10px sans-serif";
  paint.fillText(`worst joint within 0 to ${CURVE_MM} mm, ${errors.length} labelled fits`, 4, canvas.height - 2);
}

// ------------------------------------------------------------------------------------------------ start

for (const id of ["search", "sort", "hand", "outcome", "state", "low", "high"]) $(id).addEventListener("input", apply);
$("save").onclick = saveReview;
$("detail").addEventListener("close", () => { if (!$("detail").open) $("large").replaceChildren(); });
let waiting = false;
$("scroll").addEventListener("scroll", () => {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; draw(); });
});
window.addEventListener("resize", draw);
window.report = { get shown() { return shown; }, get current() { return current; }, decisions, select, decide, open, close };
histogram();
curve();
apply();
$("scroll").focus();
