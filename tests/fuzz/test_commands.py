"""Whatever the files of a command hold, it ends with a documented exit code and sentences instead of a traceback."""

from pathlib import Path
from random import Random

import pytest
from support.commands import run
from support.fuzz_targets import TARGETS
from support.fuzzing import mutated

BY_NAME = {each.name: each for each in TARGETS}
INPUTS = 5
NUMBERS = "--camera=30,30,15.5,11.5"
# The file that is changed, other files that lie beside it, and the command: {0} is the file, {1} its folder.
COMMANDS = {
    "fit an image": ("depth.png", (), ("fit", "{0}", NUMBERS, "-o", "{1}/out")),
    "fit with a camera": ("camera.json", ("depth.png",), ("fit", "{1}/depth.png", "--camera", "{0}", "-o", "{1}/out")),
    "fit with a config": ("config.toml", ("depth.png",), ("fit", "{1}/depth.png", NUMBERS, "--config", "{0}")),
    "fit with a joint map": ("map.toml", ("depth.png",), ("fit", "{1}/depth.png", NUMBERS, "--joint-map", "{0}")),
    "fit with a mask": ("mask.png", ("depth.png",), ("fit", "{1}/depth.png", NUMBERS, "--mask", "{0}")),
    "fit beside a summary": ("summary.jsonl", ("depth.png", "depth.npy"), ("fit", "{1}", NUMBERS, "-o", "{1}")),
    "track a stack": ("stack.npz", (), ("track", "{0}", NUMBERS, "--unit=1", "--no-video", "-o", "{1}/out")),
    "fit with a rig": (
        "hand.glb",
        ("depth.png",),
        ("fit", "{1}/depth.png", NUMBERS, "--model", "{0}"),
    ),
    "model show": ("hand.glb", (), ("model", "show", "{0}", "-o", "{1}/out.png")),
    "model show of MANO": ("mano.pkl", (), ("model", "show", "{0}", "--hand=right", "-o", "{1}/out.png")),
    "report": ("rows/summary.jsonl", (), ("report", "{1}", "--html", "{1}/out.html")),
    "shape": ("depth.tif", (), ("shape", "{0}", NUMBERS, "-o", "{1}/out.glb")),
    "eval labels": ("label.json", (), ("eval", "{1}", "{1}")),
    "eval text": ("icvl.txt", (), ("eval", "{0}", "{0}")),
    "eval a mat file": ("nyu.mat", (), ("eval", "{0}", "{0}")),
    "eval a track": ("walk/track.npz", ("label.json",), ("eval", "{0}", "{1}/../label.json")),
}


@pytest.mark.parametrize("what", COMMANDS)
def test_a_command_ends_as_documented(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name, beside, words = COMMANDS[what]
    monkeypatch.chdir(tmp_path)
    for number in range(INPUTS):
        folder = tmp_path / str(number)
        path = folder / name
        path.parent.mkdir(parents=True)
        for other in beside:
            (folder / other).write_bytes(BY_NAME[other].whole())
        path.write_bytes(mutated(BY_NAME[name], Random(f"{what} {number}")))
        done = run(*(word.format(path, path.parent) for word in words))
        assert done.exit_code in (0, 1, 2), done.output
        for sign in ("Traceback", "-vv shows where"):
            assert sign not in done.stderr, done.stderr
        assert done.exit_code == 0 or done.stderr
