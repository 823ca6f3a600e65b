"use strict";
// The page of `handopt track --view`: it asks for the newest frame, again and again.
const EVERY_MS = 40, FINGERS = ["#ff5c5c", "#ffb03b", "#7ad65c", "#40baff", "#d67aff"];
const told = document.getElementById("told");
const renderer = new THREE.WebGLRenderer({ canvas: document.getElementById("view"), antialias: true, preserveDrawingBuffer: true });
const world = new THREE.Scene();
world.background = new THREE.Color("#121419");
const eye = new THREE.PerspectiveCamera(40, 1, 1, 20000); // mm
const controls = new THREE.OrbitControls(eye, renderer.domElement);
const sun = new THREE.DirectionalLight(0xffffff, 2.2);
world.add(eye, new THREE.HemisphereLight(0xdfe8ff, 0x2a2730, 1.3), sun);
let mesh = null, seen = -1, placed = false;
const joints = Array.from({ length: 21 }, (_, joint) => {
  const colour = joint === 0 ? "#eceff3" : FINGERS[(joint - 1) >> 2];
  const ball = new THREE.Mesh(new THREE.SphereGeometry(4, 16, 12), new THREE.MeshBasicMaterial({ color: colour, depthTest: false, transparent: true }));
  ball.visible = false;
  world.add(ball);
  return ball;
});

function show(frame) {
  seen = frame.number;
  const sure = frame.confidence === null ? "unknown" : frame.confidence.toFixed(2);
  told.textContent = frame.vertices ? `frame ${frame.number}, ${frame.hand} hand, confidence ${sure}` : `frame ${frame.number}, no hand`;
  told.className = frame.confidence !== null && frame.confidence < 0.5 ? "doubtful" : "";
  for (const ball of joints) ball.visible = Boolean(frame.vertices);
  if (mesh) mesh.visible = Boolean(frame.vertices);
  if (!frame.vertices) return;
  // The camera frame has y down and z forward, three.js y up and z backward.
  const points = Float32Array.from(frame.vertices, (value, at) => (at % 3 === 0 ? value : -value));
  if (!mesh || mesh.geometry.attributes.position.count * 3 !== points.length) {
    if (mesh) world.remove(mesh);
    mesh = new THREE.Mesh(new THREE.BufferGeometry(), new THREE.MeshStandardMaterial({ color: "#d9a586", roughness: 0.62, side: THREE.DoubleSide }));
    mesh.geometry.setIndex(frame.faces);
    mesh.geometry.setAttribute("position", new THREE.BufferAttribute(points, 3));
    mesh.frustumCulled = false;
    world.add(mesh);
  } else {
    mesh.geometry.attributes.position.copyArray(points).needsUpdate = true;
  }
  mesh.geometry.computeVertexNormals();
  frame.joints.forEach(([x, y, z], joint) => joints[joint].position.set(x, -y, -z));
  if (!placed) {
    controls.target.copy(joints[9].position);
    eye.position.set(0, 0, 0);
    placed = true;
  }
}

async function ask() {
  try {
    const answer = await fetch(`frame?after=${seen}`);
    if (answer.status === 200) {
      const frame = await answer.json();
      if (frame.number !== undefined) show(frame);
    }
  } catch {
    told.textContent += told.textContent.endsWith("ended.") ? "" : " — the track has ended.";
    return;
  }
  setTimeout(ask, EVERY_MS);
}

function draw() {
  const { clientWidth: width, clientHeight: height } = renderer.domElement;
  renderer.setSize(width, height, false);
  eye.aspect = width / height;
  eye.updateProjectionMatrix();
  controls.update();
  sun.position.copy(eye.position);
  renderer.render(world, eye);
  requestAnimationFrame(draw);
}
window.live = { get seen() { return seen; } };
ask();
draw();
