// Opens GLB files in three.js and in the Khronos validator:
//   node check_outputs.mjs [--expect EXPECTED.json] FILE.glb...
// Prints one line of JSON a file: the validator's counts, and its messages by code. With --expect the first file is
// played in three.js: the largest distance in mm between skinned vertices at some times of the animation and those
// expected. Exits with 1 at any error.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { AnimationMixer, LoopOnce, Vector3 } from "three";
import { GLTFLoader } from "three/addons/loaders/GLTFLoader.js";

const validator = createRequire(import.meta.url)("gltf-validator");
const MM_PER_M = 1000;
const MOST_OFF_MM = 0.01;

const files = process.argv.slice(2);
const expected = files[0] === "--expect" ? JSON.parse(readFileSync(files.splice(0, 2)[1])) : null;

async function load(file) {
  const bytes = readFileSync(file);
  const buffer = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);
  return new Promise((resolve, reject) => new GLTFLoader().parse(buffer, "", resolve, reject));
}

function skinned(scene) {
  const meshes = [];
  scene.traverse((node) => node.isMesh && meshes.push(node));
  return meshes[0];
}

function farthest(mesh, vertices) {
  const point = new Vector3();
  return vertices.reduce((most, [x, y, z], index) => {
    mesh.getVertexPosition(index, point).applyMatrix4(mesh.matrixWorld);
    return Math.max(most, MM_PER_M * point.distanceTo({ x, y, z }));
  }, 0);
}

function play(gltf) {
  const mixer = new AnimationMixer(gltf.scene);
  gltf.animations.forEach((clip) => {
    const action = mixer.clipAction(clip).setLoop(LoopOnce);
    action.clampWhenFinished = true; // the last frame, not the first again
    action.play();
  });
  const mesh = skinned(gltf.scene);
  return expected.frames.map(({ time_s, vertices_m }) => {
    mixer.setTime(time_s);
    gltf.scene.updateMatrixWorld(true);
    return farthest(mesh, vertices_m);
  });
}

let failed = false;
for (const file of files) {
  const report = await validator.validateBytes(new Uint8Array(readFileSync(file)));
  const { numErrors: errors, numWarnings: warnings, messages } = report.issues;
  const gltf = await load(file);
  const codes = {};
  messages.forEach(({ code }) => (codes[code] = (codes[code] ?? 0) + 1));
  const line = { file, errors, warnings, codes };
  line.vertices = skinned(gltf.scene).geometry.attributes.position.count;
  if (expected && file === files[0]) line.off_mm = Math.max(...play(gltf));
  failed ||= errors > 0 || line.off_mm > MOST_OFF_MM;
  console.log(JSON.stringify(line));
}
process.exit(failed ? 1 : 0);
