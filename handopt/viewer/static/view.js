"use strict";
// The page of `handopt view`: one scene (a fit, a track, or a .glb) in 3D, with its controls.
// Lengths are mm. The camera frame (x right, y down, z forward) becomes three.js's by (x, -y, -z).

const $ = (id) => document.getElementById(id);
const SETTINGS = JSON.parse($("settings").textContent);
const COLOURS = SETTINGS.colours;
const ZERO_SCALE = new THREE.Matrix4().makeScale(0, 0, 0);
const JOINT_MM = 1.8; // radius of a joint as it is drawn
const GROW_MS = 1000; // between two questions for new results
const AWAY_MM = 520; // of the eye from the hand

// ------------------------------------------------------------------------------------------------ data

const READERS = { f4: Float32Array, u1: Uint8Array, u2: Uint16Array, u4: Uint32Array };

async function inflate(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).arrayBuffer();
}

async function unpack(packed) {
  const scene = { ...packed.facts, arrays: {}, shapes: {} };
  if (packed.kind === "glb") return { ...scene, kind: "glb", glb: await inflate(packed.data) };
  const buffer = await inflate(packed.data);
  for (const { name, type, shape, offset } of packed.arrays) {
    const count = shape.reduce((a, b) => a * b, 1);
    scene.arrays[name] = new READERS[type](buffer, offset, count);
    scene.shapes[name] = shape;
  }
  scene.kind = packed.kind;
  scene.count = scene.shapes.joints[0];
  return scene;
}

async function loadItem(index) {
  const inline = $(`item-${index}`);
  if (inline) return unpack(JSON.parse(inline.textContent));
  const answer = await fetch(`scene/${index}`);
  if (!answer.ok) throw new Error(await answer.text());
  return unpack(await answer.json());
}

// ------------------------------------------------------------------------------------------------ 3D

function makeRenderer() {
  try {
    return new THREE.WebGLRenderer({ canvas: $("view"), antialias: true, preserveDrawingBuffer: true });
  } catch (error) {
    say("This browser cannot show 3D (WebGL is off). Another browser may; overlay.png and the videos need none.");
    throw error;
  }
}

function say(text) {
  $("message").textContent = text;
  $("message").hidden = !text;
}

const renderer = makeRenderer();
renderer.setPixelRatio(Math.min(window.devicePixelRatio, 2));
const world = new THREE.Scene();
world.background = new THREE.Color(COLOURS.paper);
const eye = new THREE.PerspectiveCamera(40, 1, 1, 20000);
const controls = new THREE.OrbitControls(eye, renderer.domElement);
const sun = new THREE.DirectionalLight(0xffffff, 2.2);
world.add(eye, new THREE.HemisphereLight(0xdfe8ff, 0x2a2730, 1.3), sun);

const options = { mesh: "solid", points: true, skeleton: false, balls: false, frustum: false, alternative: -1, speed: 1 };
let scene = null; // what is shown
let parts = {}; // its objects in three.js
let frame = 0;
let playing = false;
let playedFrom = null; // {frame, at}: where and when play began
let dirty = true;
let current = 0;

function flip(array) {
  const out = new Float32Array(array.length);
  for (let i = 0; i < array.length; i += 3) {
    out[i] = array[i];
    out[i + 1] = -array[i + 1];
    out[i + 2] = -array[i + 2];
  }
  return out;
}

function build() {
  if (parts.root) {
    world.remove(parts.root);
    parts.root.traverse((object) => { object.geometry?.dispose(); object.material?.dispose?.(); });
  }
  parts = { root: new THREE.Group() };
  world.add(parts.root);
  buildMesh();
  buildPoints();
  buildSkeleton();
  buildFrustum();
}

function buildMesh() {
  const { faces, rest } = scene.arrays;
  const geometry = new THREE.BufferGeometry();
  geometry.setIndex(new THREE.BufferAttribute(new Uint32Array(faces), 1));
  geometry.setAttribute("position", new THREE.BufferAttribute(new Float32Array(rest.length), 3));
  geometry.setAttribute("normal", new THREE.BufferAttribute(new Float32Array(rest.length), 3));
  geometry.setAttribute("color", new THREE.BufferAttribute(new Float32Array(rest.length).fill(1), 3));
  const material = new THREE.MeshStandardMaterial({ color: COLOURS.skin, roughness: 0.62, metalness: 0, side: THREE.DoubleSide });
  parts.mesh = new THREE.Mesh(geometry, material);
  parts.mesh.frustumCulled = false;
  parts.root.add(parts.mesh);
}

function buildPoints() {
  const [, rows, columns] = scene.shapes.depth;
  const geometry = new THREE.BufferGeometry();
  geometry.setAttribute("position", new THREE.BufferAttribute(new Float32Array(rows * columns * 3), 3));
  geometry.setAttribute("color", new THREE.BufferAttribute(new Float32Array(rows * columns * 3), 3));
  parts.points = new THREE.Points(geometry, new THREE.PointsMaterial({ size: 1.6, vertexColors: true }));
  parts.points.frustumCulled = false;
  parts.root.add(parts.points);
}

function buildSkeleton() {
  const count = scene.arrays.bones.length;
  const lines = new THREE.BufferGeometry();
  lines.setAttribute("position", new THREE.BufferAttribute(new Float32Array(count * 3), 3));
  lines.setAttribute("color", new THREE.BufferAttribute(new Float32Array(count * 3), 3));
  const material = new THREE.LineBasicMaterial({ vertexColors: true, depthTest: false, transparent: true });
  parts.bones = new THREE.LineSegments(lines, material);
  const ball = new THREE.SphereGeometry(1, 20, 14);
  parts.joints = new THREE.InstancedMesh(ball, new THREE.MeshBasicMaterial({ depthTest: false, transparent: true }), 21);
  parts.hidden = new THREE.InstancedMesh(ball, new THREE.MeshBasicMaterial({ depthTest: false, transparent: true, wireframe: true }), 21);
  parts.balls = new THREE.InstancedMesh(
    ball, new THREE.MeshBasicMaterial({ transparent: true, opacity: 0.3, depthWrite: false, depthTest: false }), 21);
  for (const name of ["bones", "joints", "hidden", "balls"]) {
    parts[name].frustumCulled = false;
    parts[name].renderOrder = name === "balls" ? 1 : 2;
    parts.root.add(parts[name]);
  }
  for (let joint = 0; joint < 21; joint++) {
    const colour = new THREE.Color(fingerColour(joint));
    for (const name of ["joints", "hidden", "balls"]) parts[name].setColorAt(joint, colour);
  }
}

function fingerColour(joint) {
  return joint === 0 ? COLOURS.ink : COLOURS.fingers[(joint - 1) >> 2];
}

function buildFrustum() {
  const { fx, fy, cx, cy, width, height } = scene.camera;
  const far = median(knownDepths()) * 1.25;
  const corner = (u, v) => [((u - cx) / fx) * far, -((v - cy) / fy) * far, -far];
  const corners = [corner(-0.5, -0.5), corner(width - 0.5, -0.5), corner(width - 0.5, height - 0.5), corner(-0.5, height - 0.5)];
  const lines = [];
  corners.forEach((each, index) => lines.push(0, 0, 0, ...each, ...each, ...corners[(index + 1) % 4]));
  const geometry = new THREE.BufferGeometry();
  geometry.setAttribute("position", new THREE.BufferAttribute(new Float32Array(lines), 3));
  parts.frustum = new THREE.LineSegments(geometry, new THREE.LineBasicMaterial({ color: COLOURS.faint }));
  parts.frustum.frustumCulled = false;
  parts.root.add(parts.frustum);
}

function knownDepths() {
  const out = [];
  for (let t = 0; t < scene.count; t++) if (scene.arrays.known[t]) out.push(scene.arrays.joints[t * 63 + 2]);
  return out.length ? out : [500];
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1];
}

// ------------------------------------------------------------------------------------------------ one frame

function restOf(t) {
  // p_i + sum_f c_f C_fi: what pose correctives make of the rest vertices, where the hand has some
  const { rest, correctives, features } = scene.arrays;
  if (!correctives) return rest;
  const count = scene.shapes.features[1];
  const out = new Float64Array(rest);
  for (let f = 0; f < count; f++) {
    const share = features[t * count + f];
    for (let p = 0, c = f * rest.length; p < rest.length; p++, c++) out[p] += share * correctives[c];
  }
  return out;
}

function pose(t) {
  // f_i = sum_j w_ij M_j p_i: linear blend skinning
  const { skin_indices: indices, skin_weights: weights, transforms } = scene.arrays;
  const rest = restOf(t);
  const width = scene.shapes.skin_indices[1];
  const joints = scene.shapes.transforms[1];
  const base = t * joints * 12;
  const out = parts.mesh.geometry.attributes.position.array;
  for (let v = 0, p = 0; p < rest.length; v++, p += 3) {
    let x = 0, y = 0, z = 0;
    for (let k = v * width; k < (v + 1) * width; k++) {
      const w = weights[k];
      if (!w) continue;
      const m = base + indices[k] * 12;
      const a = rest[p], b = rest[p + 1], c = rest[p + 2];
      x += w * (transforms[m] * a + transforms[m + 1] * b + transforms[m + 2] * c + transforms[m + 3]);
      y += w * (transforms[m + 4] * a + transforms[m + 5] * b + transforms[m + 6] * c + transforms[m + 7]);
      z += w * (transforms[m + 8] * a + transforms[m + 9] * b + transforms[m + 10] * c + transforms[m + 11]);
    }
    out[p] = x;
    out[p + 1] = -y;
    out[p + 2] = -z;
  }
  parts.mesh.geometry.attributes.position.needsUpdate = true;
  parts.mesh.geometry.computeVertexNormals();
}

function windowOf(t) {
  const [count, rows, columns] = scene.shapes.depth;
  const one = count === 1 ? 0 : t;
  const [ax, bx, ay, by, near, far] = scene.arrays.windows.subarray(one * 6, one * 6 + 6);
  const depth = scene.arrays.depth.subarray(one * rows * columns, (one + 1) * rows * columns);
  return { rows, columns, ax, bx, ay, by, near, far, depth };
}

function placePoints(t) {
  const { rows, columns, ax, bx, ay, by, near, far, depth } = windowOf(t);
  const { position, color } = parts.points.geometry.attributes;
  let n = 0;
  for (let i = 0, p = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++, p++) {
      const z = depth[p];
      if (z <= near || z >= far) continue;
      position.setXYZ(n, ((j - bx) / ax) * z, -((i - by) / ay) * z, -z);
      const shade = 1 - (0.75 * (z - near)) / (far - near);
      color.setXYZ(n, 0.35 * shade, 0.75 * shade, shade);
      n++;
    }
  }
  parts.points.geometry.setDrawRange(0, n);
  position.needsUpdate = color.needsUpdate = true;
  return n;
}

function colourResidual(t) {
  // Observed minus fitted depth at each vertex that faces the camera; grey where nothing is measured nearby.
  const { rows, columns, ax, bx, ay, by, depth } = windowOf(t);
  const { position, normal, color } = parts.mesh.geometry.attributes;
  const span = SETTINGS.residual_mm, table = COLOURS.diverging;
  for (let v = 0; v < position.count; v++) {
    const x = position.getX(v), y = -position.getY(v), z = -position.getZ(v);
    const j = Math.round((ax * x) / z + bx), i = Math.round((ay * y) / z + by);
    const facing = normal.getX(v) * x - normal.getY(v) * y - normal.getZ(v) * z < 0;
    const seen = i >= 0 && j >= 0 && i < rows && j < columns ? depth[i * columns + j] : 0;
    let rgb = COLOURS.neutral;
    if (facing && seen && Math.abs(seen - z) <= 2 * span) {
      const place = Math.min(Math.max((seen - z + span) / (2 * span), 0), 1);
      rgb = table[Math.round(place * (table.length - 1))];
    }
    color.setXYZ(v, ...rgb.map((value) => (value / 255) ** 2.2));
  }
  color.needsUpdate = true;
}

function placeSkeleton(t) {
  const alternative = options.alternative >= 0;
  const offset = alternative ? options.alternative * 63 : t * 63;
  const joints = flip((alternative ? scene.arrays.alternatives : scene.arrays.joints).slice(offset, offset + 63));
  const { bones, visible, uncertainty } = scene.arrays;
  const lines = parts.bones.geometry.attributes;
  bones.forEach((joint, index) => {
    lines.position.setXYZ(index, joints[joint * 3], joints[joint * 3 + 1], joints[joint * 3 + 2]);
    const colour = new THREE.Color(fingerColour(bones[index | 1]));
    lines.color.setXYZ(index, colour.r, colour.g, colour.b);
  });
  lines.position.needsUpdate = lines.color.needsUpdate = true;
  for (let joint = 0; joint < 21; joint++) {
    const at = (size) => new THREE.Matrix4().makeScale(size, size, size)
      .setPosition(joints[joint * 3], joints[joint * 3 + 1], joints[joint * 3 + 2]);
    const seen = alternative || visible[(visible.length > 21 ? t * 21 : 0) + joint];
    const radius = alternative ? 0 : uncertainty[(uncertainty.length > 21 ? t * 21 : 0) + joint];
    parts.joints.setMatrixAt(joint, seen ? at(JOINT_MM) : ZERO_SCALE);
    parts.hidden.setMatrixAt(joint, seen ? ZERO_SCALE : at(JOINT_MM * 1.6));
    parts.balls.setMatrixAt(joint, radius > 0 ? at(radius) : ZERO_SCALE);
  }
  for (const name of ["joints", "hidden", "balls"]) parts[name].instanceMatrix.needsUpdate = true;
}

function showFrame() {
  if (scene.kind === "glb") {
    if (scene.mixer) scene.mixer.setTime((frame / Math.max(scene.count - 1, 1)) * scene.duration);
    $("caption").textContent = scene.mixer ? `${((frame / Math.max(scene.count - 1, 1)) * scene.duration).toFixed(2)} s` : "";
  } else {
    const known = Boolean(scene.arrays.known[frame]);
    const skin = parts.mesh.material, residual = options.mesh === "residual";
    if (known) pose(frame);
    if (known && residual) colourResidual(frame);
    if (known || options.alternative >= 0) placeSkeleton(frame);
    scene.point_count = placePoints(frame);
    parts.mesh.visible = known && options.mesh !== "off" && options.alternative < 0;
    if (skin.vertexColors !== residual) { skin.vertexColors = residual; skin.needsUpdate = true; }
    skin.color.set(residual ? 0xffffff : COLOURS.skin);
    const half = options.mesh === "half";
    if (skin.transparent !== half) {
      Object.assign(skin, { transparent: half, opacity: half ? 0.4 : 1, side: half ? THREE.FrontSide : THREE.DoubleSide, needsUpdate: true });
    }
    parts.points.visible = options.points;
    const skeleton = (known && options.skeleton) || options.alternative >= 0;
    for (const name of ["bones", "joints", "hidden"]) parts[name].visible = skeleton;
    parts.balls.visible = known && options.balls && options.alternative < 0;
    parts.frustum.visible = options.frustum;
    $("caption").textContent = scene.captions[frame] ?? "";
    $("scale").hidden = $("ticks").hidden = options.mesh !== "residual";
  }
  $("slider").value = frame;
  $("frame").textContent = `${frame + 1} / ${scene.count}`;
  $("slider").setAttribute("aria-valuetext", $("caption").textContent);
  drawStrip();
}

// ------------------------------------------------------------------------------------------------ timeline

const STATES = { 0: COLOURS.nothing, 2: COLOURS.bridged, 3: COLOURS.doubtful };

function stripColour(t) {
  if (scene.kind === "glb") return COLOURS.nothing;
  const state = scene.arrays.state[t];
  if (state in STATES) return STATES[state];
  const value = scene.arrays.strip[t];
  const from = new THREE.Color(COLOURS.low), to = new THREE.Color(COLOURS.high);
  return `#${from.lerp(to, Math.min(Math.max(value, 0), 1)).getHexString()}`;
}

function drawStrip() {
  const strip = $("strip"), paint = strip.getContext("2d");
  if (strip.width !== strip.clientWidth) strip.width = strip.clientWidth;
  const { width, height } = strip;
  for (let x = 0; x < width; x++) {
    // Of the frames that share a column the worst is shown, so that a doubtful one is never lost.
    const first = Math.floor((x * scene.count) / width), last = Math.max(Math.floor(((x + 1) * scene.count) / width), first + 1);
    let shown = first;
    for (let t = first + 1; t < last && scene.kind !== "glb"; t++) if (rank(t) > rank(shown)) shown = t;
    paint.fillStyle = stripColour(shown);
    paint.fillRect(x, 0, 1, height);
  }
  paint.fillStyle = COLOURS.ink;
  paint.fillRect(Math.round(((frame + 0.5) / scene.count) * width) - 1, 0, 2, height);
}

function rank(t) {
  return [2, 0, 1, 3][scene.arrays.state[t]];
}

function seek(t) {
  frame = Math.min(Math.max(Math.round(t), 0), scene.count - 1);
  if (playedFrom) playedFrom = { frame, at: performance.now() };
  showFrame();
  dirty = true;
}

function play(on) {
  playing = on && scene.count > 1;
  if (playing && frame === scene.count - 1) seek(0);
  playedFrom = playing ? { frame, at: performance.now() } : null;
  $("play").innerHTML = playing ? "&#10074;&#10074;" : "&#9654;";
}

function advance(now) {
  const seconds = ((now - playedFrom.at) / 1000) * options.speed;
  let next;
  if (scene.times) {
    const goal = scene.times[playedFrom.frame] + seconds;
    next = frame;
    while (next < scene.count - 1 && scene.times[next + 1] <= goal) next++;
  } else {
    next = Math.min(playedFrom.frame + Math.floor(seconds * scene.fps), scene.count - 1);
  }
  if (next !== frame) {
    const from = playedFrom;
    frame = next;
    showFrame();
    playedFrom = from;
    dirty = true;
  }
  if (frame === scene.count - 1) play(false);
}

// ------------------------------------------------------------------------------------------------ controls

function element(tag, attributes, ...children) {
  const made = Object.assign(document.createElement(tag), attributes);
  made.append(...children);
  return made;
}

function changed(name, value) {
  options[name] = value;
  if (name === "speed" && playedFrom) playedFrom = { frame, at: performance.now() };
  showFrame();
  dirty = true;
}

function buildPanel() {
  const panel = $("panel");
  panel.replaceChildren();
  if (scene.kind !== "glb") {
    const mesh = element("fieldset", {}, element("legend", { textContent: "Mesh" }));
    for (const [value, text, key] of [["solid", "solid", "1"], ["half", "half transparent", "2"], ["residual", "residual", "3"], ["off", "off", "4"]]) {
      const radio = element("input", { type: "radio", name: "mesh", value, checked: options.mesh === value });
      radio.onchange = () => changed("mesh", value);
      mesh.append(element("label", {}, radio, text, element("kbd", { textContent: key })));
    }
    mesh.append(element("div", { id: "scale", title: "observed minus fitted depth, mm" }),
      element("div", { id: "ticks" }, element("span", { textContent: `-${SETTINGS.residual_mm}` }), element("span", { textContent: "0" }),
        element("span", { textContent: `${SETTINGS.residual_mm} mm` })));
    const shown = element("fieldset", {}, element("legend", { textContent: "Shown" }));
    const toggles = [["points", "observed points", "p"], ["skeleton", "skeleton", "k"], ["balls", "uncertainty", "u"], ["frustum", "camera", "c"]];
    for (const [name, text, key] of toggles) {
      const box = element("input", { type: "checkbox", id: name, checked: options[name] });
      box.onchange = () => changed(name, box.checked);
      shown.append(element("label", {}, box, text, element("kbd", { textContent: key })));
    }
    panel.append(mesh, shown);
    const table = COLOURS.diverging.map((rgb) => `rgb(${rgb})`);
    $("scale").style.background = `linear-gradient(90deg, ${table})`;
    if (scene.alternatives.length) {
      const choice = element("select", { id: "alternative" }, element("option", { value: -1, textContent: "the fit" }),
        ...scene.alternatives.map((text, index) => element("option", { value: index, textContent: text })));
      choice.onchange = () => changed("alternative", Number(choice.value));
      choice.value = options.alternative;
      panel.append(element("fieldset", {}, element("legend", { textContent: "Pose (a)" }), choice));
    }
  }
  const buttons = element("fieldset", {}, element("legend", { textContent: "View" }));
  for (const [text, action] of [["as the camera (v)", asCamera], ["from the side", fromSide], ["save a picture (s)", savePicture]]) {
    buttons.append(element("button", { className: "wide", textContent: text, onclick: action }));
  }
  if (scene.count > 1) {
    buttons.append(element("button", { className: "wide", textContent: "save a video", onclick: saveVideo }));
    const speed = element("select", { title: "Speed" }, ...[0.1, 0.25, 0.5, 1, 2].map((value) =>
      element("option", { value, textContent: `speed × ${value}`, selected: value === options.speed })));
    speed.onchange = () => changed("speed", Number(speed.value));
    buttons.append(speed);
  }
  panel.append(buttons);
}

function middle() {
  if (scene.kind === "glb") parts.root.updateMatrixWorld(true);
  if (scene.kind === "glb") return new THREE.Box3().setFromObject(parts.root).getCenter(new THREE.Vector3());
  const known = scene.arrays.known;
  let t = frame;
  if (!known[t]) t = Math.max(known.indexOf(1), 0);
  const out = new THREE.Vector3();
  for (let joint = 0; joint < 21; joint++) {
    const p = t * 63 + joint * 3;
    out.add(new THREE.Vector3(scene.arrays.joints[p], -scene.arrays.joints[p + 1], -scene.arrays.joints[p + 2]));
  }
  return out.divideScalar(21);
}

function look(direction) {
  const target = middle();
  controls.target.copy(target);
  eye.position.copy(target).addScaledVector(direction.normalize(), AWAY_MM);
  eye.up.set(0, 1, 0);
  controls.update();
  dirty = true;
}

function asCamera() {
  look(scene.kind === "glb" ? new THREE.Vector3(0, 0, 1) : middle().negate());
}

function fromSide() {
  look(new THREE.Vector3(1, 0.25, scene.kind === "glb" ? 0.3 : 0.25));
}

function download(blob, name) {
  const url = URL.createObjectURL(blob);
  element("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

function fileName(ending) {
  return `${scene.title.replace(/[^\w.-]+/g, "_")}-${frame}.${ending}`;
}

function savePicture() {
  renderer.render(world, eye);
  renderer.domElement.toBlob((blob) => download(blob, fileName("png")));
}

function saveVideo() {
  if (!renderer.domElement.captureStream || !window.MediaRecorder) {
    say("This browser cannot record a video. `handopt video` writes one.");
    return;
  }
  const recorder = new MediaRecorder(renderer.domElement.captureStream(30));
  const chunks = [];
  recorder.ondataavailable = (event) => chunks.push(event.data);
  recorder.onstop = () => download(new Blob(chunks, { type: recorder.mimeType }), fileName("webm"));
  seek(0);
  recorder.start();
  play(true);
  const wait = setInterval(() => {
    if (!playing) { clearInterval(wait); recorder.stop(); }
  }, 50);
}

const KEYS = {
  " ": () => play(!playing),
  ArrowLeft: (event) => { play(false); seek(frame - (event.shiftKey ? 10 : 1)); },
  ArrowRight: (event) => { play(false); seek(frame + (event.shiftKey ? 10 : 1)); },
  Home: () => seek(0),
  End: () => seek(scene.count - 1),
  ArrowUp: () => show(current - 1),
  ArrowDown: () => show(current + 1),
  v: asCamera,
  s: savePicture,
  d: () => { // the next doubtful frame
    for (let t = frame + 1; t < scene.count; t++) if (scene.kind !== "glb" && [0, 3].includes(scene.arrays.state[t])) return seek(t);
    return undefined;
  },
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || !scene || event.target.tagName === "SELECT") return;
  const toggles = { p: "points", k: "skeleton", u: "balls", c: "frustum" }, meshes = { 1: "solid", 2: "half", 3: "residual", 4: "off" };
  if (scene.kind !== "glb" && event.key in toggles) changed(toggles[event.key], !options[toggles[event.key]]);
  else if (scene.kind !== "glb" && event.key in meshes) changed("mesh", meshes[event.key]);
  else if (event.key === "a" && scene.alternatives?.length) {
    changed("alternative", ((options.alternative + 2) % (scene.alternatives.length + 1)) - 1);
  } else if (event.key in KEYS) { KEYS[event.key](event); event.preventDefault(); return; } else return;
  buildPanel();
  showFrame();
});
$("play").onclick = () => play(!playing);
$("slider").oninput = () => { play(false); seek(Number($("slider").value)); };
$("strip").onclick = (event) => {
  const box = $("strip").getBoundingClientRect();
  play(false);
  seek(Math.floor(((event.clientX - box.left) / box.width) * scene.count));
};

// ------------------------------------------------------------------------------------------------ start

async function buildGlb() {
  if (parts.root) world.remove(parts.root);
  parts = { root: new THREE.Group() };
  const gltf = await new THREE.GLTFLoader().parseAsync(scene.glb, "");
  gltf.scene.scale.setScalar(1000);
  parts.root.add(gltf.scene);
  world.add(parts.root);
  scene.count = 1;
  scene.alternatives = [];
  if (gltf.animations.length) {
    scene.mixer = new THREE.AnimationMixer(gltf.scene);
    for (const clip of gltf.animations) scene.mixer.clipAction(clip).play();
    scene.duration = Math.max(...gltf.animations.map((clip) => clip.duration));
    scene.fps = 30;
    scene.count = Math.max(Math.round(scene.duration * 30) + 1, 1);
    scene.mixer.setTime(0);
    gltf.scene.traverse((object) => { object.frustumCulled = false; });
  }
}

async function show(index) {
  if (index < 0 || index >= SETTINGS.items.length) return;
  play(false);
  try {
    scene = await loadItem(index);
  } catch (error) {
    say(String(error.message ?? error));
    return;
  }
  say("");
  current = index;
  options.alternative = -1;
  if (scene.kind === "glb") await buildGlb(); else build();
  frame = scene.kind === "fit" ? scene.count - 1 : 0;
  if (scene.kind === "track") frame = Math.max(scene.arrays.known.indexOf(1), 0);
  $("title").textContent = document.title = scene.title;
  $("subtitle").textContent = scene.subtitle;
  $("timeline").hidden = scene.count < 2;
  $("slider").max = scene.count - 1;
  document.querySelectorAll("#items a").forEach((link, place) => {
    if (place === index) { link.setAttribute("aria-current", "true"); link.scrollIntoView({ block: "nearest" }); } else link.removeAttribute("aria-current");
  });
  buildPanel();
  showFrame();
  asCamera();
  window.handopt.ready = true;
}

function listItems() {
  if (SETTINGS.items.length < 2) return;
  document.body.classList.add("with-items");
  $("items").hidden = false;
  const first = $("items").childElementCount;
  $("items").append(...SETTINGS.items.slice(first).map(({ title, note }, at) => {
    const index = first + at;
    const link = element("a", { href: `#${index}`, title }, title, element("small", { textContent: note }));
    link.onclick = (event) => { event.preventDefault(); show(index); };
    return link;
  }));
}

async function grow() {
  // Results come while the page is open: the newest one is shown unless another one was chosen.
  try {
    const more = await (await fetch(`items?after=${SETTINGS.items.length}`)).json();
    const follows = !scene || current === SETTINGS.items.length - 1;
    if (more.length) {
      SETTINGS.items.push(...more);
      listItems();
      resize();
      if (follows) await show(SETTINGS.items.length - 1);
    }
  } catch {
    return; // the command has ended
  }
  setTimeout(grow, GROW_MS);
}

function resize() {
  const left = SETTINGS.items.length > 1 ? 200 : 0;
  renderer.setSize(window.innerWidth, window.innerHeight, false);
  eye.aspect = window.innerWidth / window.innerHeight;
  eye.setViewOffset(window.innerWidth, window.innerHeight, -left / 2, 0, window.innerWidth, window.innerHeight);
  eye.updateProjectionMatrix();
  if (scene) drawStrip();
  dirty = true;
}

controls.addEventListener("change", () => { dirty = true; });
window.addEventListener("resize", resize);
window.handopt = {
  ready: false, seek, show, changed, play,
  vertices: () => Array.from(flip(parts.mesh.geometry.attributes.position.array)), // mm, in the camera frame
  get frame() { return frame; }, get scene() { return scene; }, get options() { return options; }, get playing() { return playing; },
};

function loop(now) {
  if (playing) advance(now);
  if (dirty) {
    sun.position.copy(eye.position).add(new THREE.Vector3(-120, 200, 60));
    sun.target.position.copy(controls.target);
    sun.target.updateMatrixWorld();
    renderer.render(world, eye);
    dirty = false;
  }
  requestAnimationFrame(loop);
}

resize();
listItems();
if (SETTINGS.grows && !SETTINGS.items.length) say("Waiting for the first result.");
show(Number(location.hash.slice(1)) || 0).then(() => {
  requestAnimationFrame(loop);
  if (SETTINGS.grows) setTimeout(grow, GROW_MS);
});
