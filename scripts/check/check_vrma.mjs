// Plays a VRM animation on a VRM avatar with @pixiv/three-vrm: node check_vrma.mjs EXPECTED.json avatar.vrm hand.vrma
// EXPECTED.json: time_s, and for each pair of bones of the avatar where the track's bone points at those times.
// Prints the largest angle in degrees as one line of JSON. Exits with 1 beyond MOST_DEGREES.
import { readFileSync } from "node:fs";
import { AnimationMixer, LoopOnce, Vector3 } from "three";
import { GLTFLoader } from "three/addons/loaders/GLTFLoader.js";
import { VRMLoaderPlugin } from "@pixiv/three-vrm";
import { VRMAnimationLoaderPlugin, createVRMAnimationClip } from "@pixiv/three-vrm-animation";

const MOST_DEGREES = 1;
const [expected, avatar, motion] = process.argv.slice(2).map((name) => readFileSync(name));
const { time_s: times, bones } = JSON.parse(expected);

async function load(bytes, plugin) {
  const loader = new GLTFLoader();
  loader.register(plugin);
  return loader.parseAsync(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length), "");
}

const { vrm } = (await load(avatar, (parser) => new VRMLoaderPlugin(parser))).userData;
const [animation] = (await load(motion, (parser) => new VRMAnimationLoaderPlugin(parser))).userData.vrmAnimations;
const mixer = new AnimationMixer(vrm.scene);
const action = mixer.clipAction(createVRMAnimationClip(animation, vrm)).setLoop(LoopOnce);
action.clampWhenFinished = true;
action.play();

const place = (bone) => vrm.humanoid.getRawBoneNode(bone).getWorldPosition(new Vector3());
let most = 0;
times.forEach((time, row) => {
  mixer.setTime(time);
  vrm.update(0);
  vrm.scene.updateMatrixWorld(true);
  for (const { from, to, points } of bones) {
    const angle = place(to).sub(place(from)).angleTo(new Vector3(...points[row]));
    most = Math.max(most, (angle * 180) / Math.PI);
  }
});
console.log(JSON.stringify({ frames: times.length, bones: bones.length, largest_degrees: most }));
process.exit(times.length && bones.length && most <= MOST_DEGREES ? 0 : 1);
