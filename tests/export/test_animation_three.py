"""The animated glTF of a track, played by three.js in Debian's Chromium."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.browser import chromium, complaints, require_chromium, wait_for
from support.sequences import followed, mano_track

from handopt.export.animation import write_animation
from handopt.export.mesh import to_gltf
from handopt.rig.joints import BONES
from handopt.tracking.track import Track
from handopt.viewer.page import three

FRAMES = (0, 5, 9, 16, 22)
MOST_DEGREES, MOST_MM = 0.1, 0.01
PLAYER = """
let gltf, mixer, mesh;
async function load(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  gltf = await new THREE.GLTFLoader().parseAsync(bytes.buffer, "");
  mixer = new THREE.AnimationMixer(gltf.scene);
  gltf.animations.forEach((clip) => mixer.clipAction(clip).play());
  gltf.scene.traverse((node) => { if (node.isSkinnedMesh) mesh = node; });
}
function at(time) {
  mixer.setTime(time);
  gltf.scene.updateMatrixWorld(true);
  const place = new THREE.Vector3();
  const joints = mesh.skeleton.bones.map((bone) => bone.getWorldPosition(place).toArray());
  const vertices = Array.from({ length: mesh.geometry.attributes.position.count }, (_, index) =>
    mesh.getVertexPosition(index, place).applyMatrix4(mesh.matrixWorld).toArray());
  return { joints, vertices };
}
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    require_chromium()
    folder = tmp_path_factory.mktemp("player")
    (folder / "player.html").write_text(f"<meta charset=utf-8><script>{three()}</script><script>{PLAYER}</script>")
    with chromium(folder) as driver:
        driver.get((folder / "player.html").as_uri())
        yield driver


@pytest.mark.parametrize("kind", ["right", "left", "mano right", "mano left"])
def test_three_js_moves_bones_and_skin_as_the_track_says(browser: Any, kind: str, tmp_path: Path) -> None:
    of_mano, _, side = kind.rpartition(" ")
    track: Track = mano_track(side) if of_mano else followed(side)
    write_animation(track, tmp_path / "hand.glb")
    text = base64.b64encode((tmp_path / "hand.glb").read_bytes()).decode()
    browser.execute_script("window.loaded = false; load(arguments[0]).then(() => { window.loaded = true; });", text)
    wait_for(browser, "window.loaded")
    known = np.flatnonzero(track.known)
    few = np.count_nonzero(track.rig.skin_weights, axis=1) <= 4  # joints of a vertex that three.js takes
    assert few.mean() > 0.9
    for frame in FRAMES:
        found = browser.execute_script("return at(arguments[0])", float(track.time_s[frame] - track.time_s[known[0]]))
        joints = np.array(found["joints"])[track.rig.keypoint_joints]
        expected = to_gltf(track.joints_mm()[frame])
        degrees = [angle(joints[b] - joints[a], expected[b] - expected[a]) for a, b in BONES]
        assert max(degrees) < MOST_DEGREES, (frame, max(degrees))
        off_mm = 1000 * np.linalg.norm(np.array(found["vertices"]) - to_gltf(track.vertices_mm(frame)), axis=1)
        assert off_mm[few].max() < MOST_MM, (frame, off_mm[few].max())
    assert complaints(browser) == []


def angle(one: np.ndarray, other: np.ndarray) -> float:
    """Between two vectors, degrees."""
    return float(np.degrees(np.arctan2(np.linalg.norm(np.cross(one, other)), one @ other)))
