"""Opens what handopt wrote in other programs: three.js, the Khronos glTF validator and Blender.

    python scripts/check/check_outputs.py TRACK FILE.glb... [--blender PYTHON]

TRACK is a folder of handopt track, whose hand.glb and hand.bvh are played and compared with handopt's own vertices and
joints; other GLB files are validated and loaded. Needs node and npm, which install three and gltf-validator into a
folder for the time of the check. --blender: a Python that has the package bpy, whose files are then opened as well.
One line of JSON for each check; the exit code is 1 if one fails.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
NODE_PACKAGES = ("three", "gltf-validator")
FRAMES = 12
M_PER_MM = 1e-3


def expected(track: Path) -> dict[str, Any]:
    """Vertices and joints at some frames of a track, in metres, y up; only frames that have a hand."""
    from pygltflib import GLTF2

    from handopt.draw.film import load_film
    from handopt.export.gltf_buffer import Y_UP
    from handopt.tracking.track import ARRAYS_NAME

    film = load_film(track)
    with np.load(track / ARRAYS_NAME) as arrays:
        time_s = arrays["time_s"] - arrays["time_s"][0]
    names = [node.name for node in GLTF2().load(str(track / "hand.glb")).nodes][: len(film.hand.parents)]
    transforms = film.hand.transforms(film.rotation, film.translation_mm, film.angles_rad, film.scale)
    joints = transforms[..., :3] @ film.hand.bind[:, :, 3, None] + transforms[..., 3:]
    known = np.flatnonzero(film.known)
    frames = known[np.unique(np.linspace(0, len(known) - 1, FRAMES).round().astype(int))]
    return {
        "fps": film.fps,
        "frames": [
            {
                "frame": int(frame),
                "time_s": float(time_s[frame]),
                "vertices_m": (film.posed(frame)[0] @ Y_UP.T * M_PER_MM).tolist(),
                "joints_m": dict(zip(names, (joints[frame, :, :, 0] @ Y_UP.T * M_PER_MM).tolist(), strict=True)),
            }
            for frame in frames
        ],
    }


def in_node(work: Path, want: Path, files: list[Path]) -> int:
    """Validate, load and play GLB files; node finds packages beside a script only, so that one is copied."""
    script = Path(shutil.copy(HERE / "check_outputs.mjs", work))
    subprocess.run(["npm", "install", "--silent", "--prefix", work, *NODE_PACKAGES], check=True)
    return subprocess.run(["node", script, "--expect", want, *files]).returncode


def in_blender(python: str, want: Path, track: Path) -> int:
    """Open a track's GLB and BVH in Blender."""
    script = HERE / "check_outputs_blender.py"
    return subprocess.run([python, script, want, track / "hand.glb", track / "hand.bvh"]).returncode


def main(arguments: list[str]) -> int:
    """Check everything that is named."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("track", type=Path, help="folder of handopt track")
    parser.add_argument("files", type=Path, nargs="*", help="other GLB files")
    parser.add_argument("--blender", metavar="PYTHON", help="a Python with the package bpy")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        want = Path(name) / "expected.json"
        want.write_text(json.dumps(expected(options.track)))
        code = in_node(Path(name), want, [options.track / "hand.glb", *options.files])
        if options.blender is not None:
            code = max(code, in_blender(options.blender, want, options.track))
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
