"""Commands with one changed file: their last folder is where the file and what it needs beside it lie."""

from collections.abc import Sequence
from pathlib import Path

from click.testing import CliRunner

from support.fuzz_targets import TARGETS as READERS
from support.fuzzing import IN_JSON, Target
from support.mutators import damaged, deceptive_png

EXAMPLES = Path(__file__).resolve().parents[2] / "assets" / "examples"
HAND = (
    Target("pinch.png", (EXAMPLES / "pinch.png").read_bytes, print, (deceptive_png, damaged)),
    Target("pinch.json", (EXAMPLES / "pinch.json").read_bytes, print, IN_JSON),
)
BY_NAME = {each.name: each for each in (*READERS, *HAND)}
NUMBERS = "--camera=30,30,15.5,11.5"
ENDS = (0, 1, 2)
"""Exit codes of commands that are not stopped from outside, as handopt/cli/README.md has them."""


def ended(result: tuple[int, str], words: Sequence[str]) -> None:
    """Check how a command has ended: its exit code and what it said on standard error."""
    code, said = result
    for sign in ("Traceback", "-vv shows where"):
        assert sign not in said, f"{' '.join(words)}: {said}"
    assert code in ENDS, f"{' '.join(words)} ends with {code}: {said}"
    assert code == 0 or said, f"{' '.join(words)} ends with {code} and says nothing"


def _command(what: str, name: str, beside: tuple[str, ...], *words: str) -> Target:
    """A command. name: the file that is changed; in the words {0} is the file, {1} its folder, {2} that of the rest."""
    target = BY_NAME[name]

    def read(path: Path) -> None:
        from handopt.cli.main import main

        folder = path.parents[name.count("/")]
        for other in beside:
            (folder / other).write_bytes(BY_NAME[other].whole())
        given = [word.format(path, path.parent, folder) for word in words]
        done = CliRunner(env={"COLUMNS": "200"}).invoke(main, given)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        ended((done.exit_code, done.stderr), words)

    return Target(f"{what}/{name}", target.whole, read, target.mutators)


IMAGE = ("depth.png",)
PINCH = ("pinch.png", "pinch.json")
FIT_PINCH = ("fit", "{1}/pinch.png")
FIT = ("fit", "{1}/depth.png", NUMBERS)
TARGETS = (
    _command("fit an image", "depth.png", (), "fit", "{0}", NUMBERS, "-o", "{1}/out"),
    _command("fit with a camera", "camera.json", IMAGE, *FIT[:2], "--camera", "{0}", "-o", "{1}/out"),
    _command("fit with a config", "config.toml", IMAGE, *FIT, "--config", "{0}", "-o", "{1}/out"),
    _command("fit with a joint map", "map.toml", IMAGE, *FIT, "--joint-map", "{0}", "-o", "{1}/out"),
    _command("fit with a mask", "mask.png", IMAGE, *FIT, "--mask", "{0}", "-o", "{1}/out"),
    _command("fit beside a summary", "summary.jsonl", (*IMAGE, "depth.npy"), "fit", "{1}", NUMBERS, "-o", "{1}"),
    _command("fit with a rig", "hand.glb", IMAGE, *FIT, "--model", "{0}", "-o", "{1}/out"),
    _command("fit a hand", "pinch.png", PINCH[1:], "fit", "{0}", "-o", "{1}/out"),
    _command("fit a hand with its JSON", "pinch.json", PINCH[:1], *FIT_PINCH, "-o", "{1}/out"),
    _command("fit a hand with settings", "config.toml", PINCH, *FIT_PINCH, "--config", "{0}", "-o", "{1}/out"),
    _command("fit a hand with a rig", "hand.glb", PINCH, *FIT_PINCH, "--model", "{0}", "-o", "{1}/out"),
    _command("track a stack", "stack.npz", (), "track", "{0}", NUMBERS, "--unit=1", "--no-video", "-o", "{1}/out"),
    _command("model show", "hand.glb", (), "model", "show", "{0}", "-o", "{1}/out.png"),
    _command("model show of MANO", "mano.pkl", (), "model", "show", "{0}", "--hand=right", "-o", "{1}/out.png"),
    _command("report", "rows/summary.jsonl", (), "report", "{1}", "--html", "{1}/out.html"),
    _command("shape", "depth.tif", (), "shape", "{0}", NUMBERS, "-o", "{1}/out.glb"),
    _command("eval labels", "label.json", (), "eval", "{1}", "{1}"),
    _command("eval text", "icvl.txt", (), "eval", "{0}", "{0}"),
    _command("eval a mat file", "nyu.mat", (), "eval", "{0}", "{0}"),
    _command("eval a track", "walk/track.npz", ("label.json",), "eval", "{0}", "{2}/label.json"),
)
