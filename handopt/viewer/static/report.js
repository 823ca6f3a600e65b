// The page of `handopt report`: cards of fits, of which only those in view exist as elements.

const $ = (id) => document.getElementById(id);
const SETTINGS = JSON.parse($("settings").textContent);
const CARD = { width: 196, height: 252 };
const MOST_PX = 8e6; // browsers draw nothing far beyond this height
const REST_MS = 120;
const WORDS = { accept: "accepted", reject: "rejected", other_hand: "other hand", palm: "palm" };
const WITHOUT_PICTURE = new Set(SETTINGS.without_picture);
const FILTERS = ["search", "sort", "hand", "outcome", "state", "low", "high"];

const rows = SETTINGS.served ? new RowsOfServer(SETTINGS, () => draw(), (reason) => say(`The server does not answer: ${reason}`)) : new RowsInPage(SETTINGS);
const decisions = rows.decisions;
let current = 0; // place among the rows that pass the filter
let mode = ""; // what the dialog shows: "", "overlay", "view", "palm"

// ------------------------------------------------------------------------------------------------ filter and grid

function apply() {
  rows.find(Object.fromEntries(FILTERS.map((id) => [id, $(id).value])), rows.at(current), (place) => {
    current = place;
    count();
    draw();
    reveal();
    draw();
  });
}

function count() {
  const counts = rows.counts();
  const parts = Object.keys(WORDS).filter((name) => counts[name]).map((name) => `, ${counts[name]} ${WORDS[name]}`);
  $("counts").textContent = `${rows.length} of ${rows.total} fits${parts.join("")}`;
}

function columns() {
  return Math.max(Math.floor(($("scroll").clientWidth - 16) / CARD.width), 1);
}

let kept = new Map(); // cards in view by row: { box, place, mark }

// How many pixels of the list one pixel of the scroll bar stands for: 1, but for lists too high for a browser.
function scale() {
  const height = Math.ceil(rows.length / columns()) * CARD.height, seen = $("scroll").clientHeight;
  return height > MOST_PX ? (height - seen) / (MOST_PX - seen) : 1;
}

// Each card stands at its own place and stays as it is while it is in view, so that a browser draws only what comes
// into view anew.
function draw(scrolled = false) {
  const across = columns(), box = $("scroll"), height = Math.ceil(rows.length / across) * CARD.height, scrollTop = box.scrollTop;
  const seen = box.clientHeight, top = scrollTop * scale(), shift = scrollTop - top;
  setStyle($("space"), "height", `${Math.min(height, MOST_PX)}px`);
  const start = Math.max(Math.floor(top / CARD.height) - 1, 0) * across;
  const end = Math.min(start + (Math.ceil(seen / CARD.height) + 3) * across, rows.length);
  rows.ask(start, end - 1);
  const before = kept;
  kept = new Map();
  for (let place = start; place < end; place++) {
    const row = rows.at(place), name = row ? row.index : `at ${place}`;
    const each = before.get(name) ?? { box: row ? card(row) : element("div", { className: "card" }) };
    before.delete(name);
    kept.set(name, each);
    stand(each, place, across, shift);
    mark(each, row && decisions.get(row.folder)?.decision);
    each.box.classList.toggle("current", place === current);
  }
  for (const { box: gone } of before.values()) {
    gone.querySelector("img")?.removeAttribute("src"); // no answer is needed
    gone.remove();
  }
  let next = $("grid").firstChild; // in their order, for those who listen to the page
  for (const each of kept.values()) {
    if (each.box === next) next = next.nextSibling; else $("grid").insertBefore(each.box, next);
  }
  clearTimeout(resting);
  resting = setTimeout(loadPictures, scrolled && SETTINGS.served ? REST_MS : 0);
}

function setStyle(box, name, value) {
  if (box.style[name] !== value) box.style[name] = value;
}

function stand(each, place, across, shift) {
  each.place = place;
  setStyle(each.box, "left", `${(place % across) * CARD.width}px`);
  setStyle(each.box, "top", `${Math.floor(place / across) * CARD.height + shift}px`);
}

function mark(each, decision) {
  if (each.decision === decision) return;
  each.decision = decision;
  each.box.querySelector(".mark")?.remove();
  if (decision) each.box.append(element("span", { className: `mark ${decision}`, textContent: WORDS[decision] }));
}

let resting = 0;

// Pictures are asked for where scrolling rests, so that those passed by keep no others waiting.
function loadPictures() {
  let waits = false;
  for (const picture of document.querySelectorAll("#grid img:not([src])")) {
    const source = SETTINGS.served ? `thumbnail/${picture.dataset.index}` : pictureInPage(Number(picture.dataset.index));
    if (source) picture.src = source; else waits = true;
  }
  if (waits && document.readyState === "loading") resting = setTimeout(loadPictures, 20);
}

const blocks = []; // of pictures in the page, each as the list of its lines

// The picture of a row as it lies behind this script; null as long as the browser has not read that far.
function pictureInPage(index) {
  const number = Math.floor(index / SETTINGS.block);
  if (!blocks[number]) {
    const box = $(`pictures-${number}`);
    if (!box || (!box.nextElementSibling && document.readyState === "loading")) return null;
    blocks[number] = box.textContent.split("\n");
    box.remove();
  }
  return blocks[number][index % SETTINGS.block];
}

function card(row) {
  const box = element("div", { className: "card", title: row.status });
  box.setAttribute("role", "listitem");
  box.dataset.folder = row.folder;
  const none = element("div", { className: "none", textContent: row.status || "no picture" });
  if (!WITHOUT_PICTURE.has(row.index) && row.outcome !== "skipped" && row.confidence !== null) {
    const picture = element("img", { alt: row.folder, decoding: "async" });
    picture.dataset.index = row.index;
    picture.onerror = () => picture.replaceWith(none);
    box.append(picture);
  } else box.append(none);
  const figures = [row.hand, row.confidence === null ? null : `conf ${text(row.confidence)}`, row.residual_mm === null ? null : `${row.residual_mm.toFixed(1)} mm`,
    row.error === null ? null : `off ${row.error.toFixed(0)} mm`];
  box.append(element("b", { textContent: row.folder }), element("small", { textContent: figures.filter(Boolean).join("  ") }));
  return box;
}

function text(confidence) {
  return confidence > 0.99 ? ">0.99" : confidence.toFixed(2);
}

function element(tag, attributes) {
  return Object.assign(document.createElement(tag), attributes);
}

function reveal() {
  const top = Math.floor(current / columns()) * CARD.height, box = $("scroll"), times = scale();
  const seen = box.scrollTop * times;
  if (top < seen) box.scrollTop = top / times;
  if (top + CARD.height + 8 > seen + box.clientHeight) box.scrollTop = (top + CARD.height + 8 - box.clientHeight) / times;
}

function select(place) {
  if (!rows.length) return;
  current = Math.min(Math.max(place, 0), rows.length - 1);
  reveal();
  draw();
  if ($("detail").open) open(mode === "palm" ? "overlay" : mode);
}

// ------------------------------------------------------------------------------------------------ decisions

function say(message) {
  $("message").textContent = message;
  $("message").hidden = !message;
}

const unsaved = [], MOST_SENT = 200;

// Keeps a decision, or forgets one, and counts it.
function note(folder, entry) {
  const counts = rows.tally, before = decisions.get(folder)?.decision;
  if (counts && before) counts[before] -= 1;
  if (counts && entry?.decision) counts[entry.decision] = (counts[entry.decision] ?? 0) + 1;
  if (entry) decisions.set(folder, entry); else decisions.delete(folder);
}

async function decide(decision, center = null) {
  const row = rows.at(current);
  if (!row || !row.hand) return;
  const entry = { folder: row.folder, image: row.image, decision, hand: row.hand, center_px: center };
  const before = decisions.get(row.folder);
  note(row.folder, entry); // at once, so that keys may come faster than the server answers
  $("save").hidden = SETTINGS.served;
  count();
  if (decision) select(current + 1); else draw();
  if (!SETTINGS.served) return;
  unsaved.push({ entry, before });
  rows.sent = rows.sent.then(send); // decisions reach the server in their order
  await rows.sent;
}

// Sends what was decided meanwhile in one go, so that a slow server does not fall behind.
async function send() {
  const sent = unsaved.slice(0, MOST_SENT);
  if (!sent.length) return;
  try {
    const body = JSON.stringify(sent.map((each) => each.entry));
    const reply = await fetch("review", { method: "POST", headers: { "Content-Type": "application/json" }, body, priority: "high" });
    if (!reply.ok) throw new Error(await reply.text());
    say("");
  } catch (error) {
    for (const each of [...sent].reverse()) note(each.entry.folder, each.before);
    const more = sent.length > 1 ? ` and ${sent.length - 1} more` : "";
    say(`${sent[0].entry.folder}${more} was not saved: ${error.message}`);
    count();
    draw();
  }
  unsaved.splice(0, sent.length);
}

// Asks before the page is left while something is not saved.
window.addEventListener("beforeunload", (event) => { if (unsaved.length) event.preventDefault(); });

function saveReview() {
  const time = new Date().toISOString();
  const lines = [...decisions.values()].map((each) => JSON.stringify({ format: "handopt.review/1", ...each, time }) + "\n");
  const url = URL.createObjectURL(new Blob(lines, { type: "application/jsonl" }));
  element("a", { href: url, download: SETTINGS.review }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

// ------------------------------------------------------------------------------------------------ closer

function open(what) {
  const row = rows.at(current);
  if (!row) { close(); return; } // it has not come yet: no decision may be about what is still shown
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
  Home: () => select(0), End: () => select(rows.length - 1),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || ["INPUT", "SELECT", "BUTTON"].includes(event.target.tagName)) return;
  if (event.key in KEYS) { KEYS[event.key](); event.preventDefault(); }
});

// ------------------------------------------------------------------------------------------------ figures

function histogram() {
  const canvas = $("histogram"), paint = canvas.getContext("2d"), counts = SETTINGS.figures.bins, BINS = counts.length;
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
  const { within, labelled, curve_mm } = SETTINGS.figures;
  if (!labelled) { $("sort").querySelector('[value="-error"]').remove(); return; }
  const canvas = $("curve"), paint = canvas.getContext("2d"), high = canvas.height - 14;
  canvas.hidden = false;
  paint.strokeStyle = "#40baff";
  paint.lineWidth = 1.5;
  paint.beginPath();
  within.forEach((share, limit) => paint.lineTo((limit / curve_mm) * canvas.width, 2 + (1 - share) * high));
  paint.stroke();
  paint.fillStyle = "#949daa";
  paint.font = "10px sans-serif";
  paint.fillText(`worst joint within 0 to ${curve_mm} mm, ${labelled} labelled fits`, 4, canvas.height - 2);
}

// ------------------------------------------------------------------------------------------------ start

for (const id of FILTERS) $(id).addEventListener("input", apply);
$("save").onclick = saveReview;
$("detail").addEventListener("close", () => { if (!$("detail").open) $("large").replaceChildren(); });
$("grid").addEventListener("click", (event) => {
  const box = event.target.closest("[data-folder]"), each = [...kept.values()].find((one) => one.box === box);
  if (each) { select(each.place); open("overlay"); }
});
let waiting = false;
$("scroll").addEventListener("scroll", () => {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; draw(true); });
});
window.addEventListener("resize", () => draw());
window.report = { get shown() { return rows.list(); }, get count() { return rows.length; }, rows, get current() { return current; }, decisions, unsaved, select, decide, open, close };
histogram();
curve();
apply();
$("scroll").focus();
