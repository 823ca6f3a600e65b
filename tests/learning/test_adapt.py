"""Adaptation: never worse on held-out frames, the same for a seed and after a stop, and what is refused."""

import csv
import dataclasses
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.commands import run
from support.sequences import CAMERA, samples

from handopt import atomic_folder
from handopt.errors import ConfigError, HandoptError, NumericalError, ObservationError, OutputError
from handopt.proposals import default_model
from handopt.proposals.model_file import load_model
from handopt.rig import default_rig, load_rig

torch = pytest.importorskip("torch", reason="not tested: torch is not installed; pip install -e '.[train]'")

from handopt.learning import adapt as adapting  # noqa: E402
from handopt.learning import adaptation, fitted_frames, frame_store  # noqa: E402
from handopt.learning.adapt import adapt  # noqa: E402
from handopt.learning.adapt_settings import AdaptSettings  # noqa: E402
from handopt.learning.adaptable import AdaptableNetwork  # noqa: E402
from handopt.learning.fitted_frames import AdaptFrame  # noqa: E402
from handopt.learning.images import render_images  # noqa: E402
from handopt.learning.losses import hypothesis_loss  # noqa: E402
from handopt.learning.own_hand import OwnHand  # noqa: E402
from handopt.learning.people import OnePerson  # noqa: E402
from handopt.learning.training import Progress  # noqa: E402

COUNT = 12
TINY = AdaptSettings(
    iterations=4, windows=2, report_every=2, warm_up=1, rate=1e-4, sure=0.2, rehearsed_images=16, rehearsed_poses=8,
    checkpoint_s=1000,
)  # fmt: skip


def frames() -> list[AdaptFrame]:
    return [
        AdaptFrame(f"{number:03d}.png", sample.counts.astype(np.float32), CAMERA)
        for number, sample in enumerate(samples()[:COUNT])
    ]


@pytest.fixture(autouse=True)
def few_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a dozen frames be enough."""
    monkeypatch.setattr(adapting, "LEAST_FRAMES", 8)
    monkeypatch.setattr(frame_store, "PART", 4)
    monkeypatch.setattr(frame_store, "BLOCK", 2)
    monkeypatch.setattr(adaptation, "RUN_LENGTH", 3)
    monkeypatch.setattr(adaptation, "OF_RUNS", 3)
    monkeypatch.setattr(adaptation, "RUN", 1)
    monkeypatch.setattr(adaptation, "FILMED", 1)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Any]:
    """The parts of the frames, for all tests."""
    given = frames()
    return {
        first: fitted_frames.fit_frames(given[first : first + 4], first, "right", None, 0)
        for first in range(0, COUNT, 4)
    }


@pytest.fixture(autouse=True)
def remembered(fitted: dict[int, Any], monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Fits of the frames come from the fixture; the first frames of the parts that are asked for."""
    asked: list[int] = []

    def fit_frames(given: list[AdaptFrame], first: int, *_: Any) -> Any:
        asked.append(first)
        return fitted[first]

    monkeypatch.setattr(frame_store, "fit_frames", fit_frames)
    return asked


def adapted(output: Path, settings: AdaptSettings = TINY, **options: Any) -> Any:
    return adapt(frames, output, settings, **{"hand": "right", "seed": 3, "workers": 0, **options})


def weights(path: Path) -> dict[str, bytes]:
    return {name: each.tobytes() for name, each in load_model(path).network.weights.items()}


def test_an_adaptation_writes_model_curves_hand_and_video_and_is_never_worse(tmp_path: Path) -> None:
    output = tmp_path / "mine.npz"
    found = adapted(output)
    assert found.frames == COUNT
    assert found.scores["depth"] <= found.before["depth"]
    beside = tmp_path / "mine-adaptation"
    names = {each.name for each in beside.iterdir()}
    assert names - {"curve.png"} == {"curve.csv", "hand.glb", "optimisation.mp4"}
    rows = list(csv.DictReader((beside / "curve.csv").read_text().splitlines()))
    assert [row["step"] for row in rows] == ["0", "2", "4"]
    model = load_model(output)
    told = model.metadata["training"]["adapted"]
    assert told["frames"] == COUNT
    assert told["held_out"]["depth"] <= told["held_out_before"]["depth"]
    rig = load_rig(beside / "hand.glb")
    assert rig.is_personal
    assert rig.side == "right"
    length = np.linalg.norm(rig.keypoints_mm[9] - rig.keypoints_mm[0])
    assert 70.0 < length < 110.0


def better_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each score be better than the one before."""
    scores = itertools.count()
    monkeypatch.setattr(adaptation, "worth", lambda *_: (-float(next(scores)), True))


def test_the_same_seed_gives_the_same_model_after_a_stop(
    tmp_path: Path, remembered: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, parts = tmp_path / "whole.npz", tmp_path / "parts.npz"
    better_each_time(monkeypatch)
    settings = dataclasses.replace(TINY, iterations=5, report_every=1, steps_per_personal_block=2)
    assert adapted(whole, settings).step == 5
    remembered.clear()
    assert adapted(parts, settings, fitted=lambda count: count < 8) is None
    assert remembered == [0, 4]
    assert adapted(parts, settings, resume=True, progress=lambda state: state.step < 3) is None
    assert remembered == [0, 4, 8], "what was fitted is not fitted again"
    assert adapted(parts, settings, resume=True) is not None
    assert weights(parts) == weights(whole)


def test_renders_of_the_own_hand_teach_where_its_shape_is_free_and_fits_are_certain(
    tmp_path: Path, fitted: dict[int, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    people: list[Any] = []

    def rendered(hands: Any, *given: Any) -> Any:
        people.append(hands)
        return render_images(hands, *given)

    def fit_frames(_: Any, first: int, *__: Any) -> Any:
        arrays = fitted[first].arrays
        return dataclasses.replace(
            fitted[first], arrays={**arrays, "proportions": np.full_like(arrays["proportions"], 0.05)}
        )

    monkeypatch.setattr("handopt.learning.image_pool.render_images", rendered)
    monkeypatch.setattr(frame_store, "fit_frames", fit_frames)
    for name, settings, shape in (
        ("scale", TINY, "scale"), ("none", TINY, "none"), ("unsure", dataclasses.replace(TINY, sure=1.0), "scale"),
    ):  # fmt: skip
        people.clear()
        adapted(tmp_path / f"{name}.npz", settings, shape=shape)
        own = [each for each in people if isinstance(each, OnePerson)]
        rows = list(csv.DictReader((tmp_path / f"{name}-adaptation" / "curve.csv").read_text().splitlines()))
        assert bool(own) == (float(rows[-1]["of_personal"]) > 0) == (name == "scale")
        if own:
            assert own[0].scale == pytest.approx(float(rows[0]["scale"]))
            assert own[0].proportions == pytest.approx(0.05), "as fits have them, though they are not free"


def test_a_shape_that_is_no_number_is_said_and_leaves_what_was_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    better_each_time(monkeypatch)
    clamp, steps = OwnHand.clamp, []

    def failing(self: OwnHand) -> None:
        clamp(self)
        steps.append(1)
        if len(steps) == 3:
            self.log_scale.data.fill_(float("nan"))

    monkeypatch.setattr(OwnHand, "clamp", failing)
    with pytest.raises(NumericalError, match=r"the shape of the hand after step 2 is nan: lower the rate"):
        adapted(tmp_path / "mine.npz", dataclasses.replace(TINY, report_every=1))
    assert load_model(tmp_path / "mine.npz").metadata["training"]["adapted"]["step"] == 2


def test_a_stopped_one_is_neither_lost_nor_mixed_with_other_frames(tmp_path: Path) -> None:
    output = tmp_path / "mine.npz"
    with pytest.raises(HandoptError, match="holds no adaptation to go on from: begin one without resume=True"):
        adapted(output, resume=True)
    adapted(output, fitted=lambda _: False)
    with pytest.raises(OutputError, match="go on with resume=True or begin anew with overwrite=True"):
        adapted(output)
    with pytest.raises(OutputError, match="begun with other frames"):
        adapted(output, resume=True, identity="others")
    adapted(output, resume=True, progress=lambda _: False)
    with pytest.raises(OutputError, match="begun with other settings"):
        adapted(output, dataclasses.replace(TINY, rate=1e-5), resume=True)
    block = next((tmp_path / "mine-adaptation" / "frames").glob("*.npz"))
    block.write_bytes(block.read_bytes()[:100])
    with pytest.raises(HandoptError, match="is damaged: begin anew with overwrite=True"):
        adapted(output, resume=True)


def test_what_a_kill_left_and_other_files_are_no_obstacle(tmp_path: Path) -> None:
    output, folder = tmp_path / "mine.npz", tmp_path / "mine-adaptation"
    adapted(output, fitted=lambda _: False)
    name = f".handopt-{atomic_folder._host()}-{2**22 + 1}-0a.partial"
    for place in (folder, folder / "frames"):
        (place / name).mkdir()
        (place / name / "file.npz").write_bytes(b"half")
    adapted(output, overwrite=True, fitted=lambda _: False)
    assert not list(folder.rglob("*.partial"))
    (folder / "frames" / "notes.txt").write_text("not handopt's")
    short = dataclasses.replace(TINY, iterations=1)
    assert adapted(output, short, overwrite=True) is not None
    assert [each.name for each in (folder / "frames").iterdir()] == ["notes.txt"]
    output.unlink()
    assert adapted(output, short, fitted=lambda _: False) is None, "nothing of ours is in the way"


def test_the_checkpoint_before_the_last_is_gone_on_from_where_it_is_alone(tmp_path: Path) -> None:
    output, folder = tmp_path / "mine.npz", tmp_path / "mine-adaptation"
    notes: list[str] = []
    steps: list[int] = []

    def stopped(state: Progress) -> bool:
        steps.append(state.step)
        return False

    adapted(output, progress=stopped)
    (folder / "checkpoint.pt").replace(folder / "checkpoint.previous.pt")
    adapted(output, resume=True, note=notes.append, progress=stopped)
    assert steps == [1, 2]
    assert "checkpoint.previous.pt, the one before it, was taken" in notes[0]


def test_a_model_that_gets_worse_is_not_given(tmp_path: Path) -> None:
    output = tmp_path / "mine.npz"
    found = adapted(output, dataclasses.replace(TINY, rate=0.004))
    assert not found.improved
    assert found.step == 0
    layers = AdaptableNetwork(default_model().network)
    assert weights(output) == {
        name: each.astype(np.float16).astype(np.float32).tobytes() for name, each in layers.export().items()
    }


def test_a_loss_that_is_no_number_is_said_and_leaves_what_was_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    better_each_time(monkeypatch)
    loss, steps = hypothesis_loss, []

    def failing(*arguments: Any) -> Any:
        steps.append(1)
        return loss(*arguments) * (float("nan") if len(steps) > 2 else 1.0)

    monkeypatch.setattr("handopt.learning.adapt_losses.hypothesis_loss", failing)
    with pytest.raises(NumericalError, match=r"the loss of step 2 is nan: lower the rate.*config="):
        adapted(tmp_path / "mine.npz", dataclasses.replace(TINY, report_every=1, rehearse=0.0, personal=0.0))
    told = load_model(tmp_path / "mine.npz").metadata["training"]["adapted"]
    assert told["step"] == 2


def test_a_full_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("handopt.learning.frame_store.np.savez", full)
    with pytest.raises(OutputError, match="No space left on device; free some space"):
        adapted(tmp_path / "mine.npz")


def test_frames_that_teach_nothing_are_refused(
    tmp_path: Path, fitted: dict[int, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapting, "LEAST_FRAMES", 40)
    with pytest.raises(ObservationError, match="12 of 12 frames show a hand, and 40 are needed"):
        adapted(tmp_path / "few.npz")
    assert not (tmp_path / "few-adaptation" / "frames").exists(), "a refusal leaves nothing to go on from"
    adapted(tmp_path / "begun.npz", fitted=lambda _: False)
    with pytest.raises(ObservationError, match="12 of 12 frames show a hand"):
        adapted(tmp_path / "begun.npz", resume=True)
    assert (tmp_path / "begun-adaptation" / "frames").exists(), "an earlier run made it"
    monkeypatch.setattr(adapting, "LEAST_FRAMES", 8)
    first = {name: np.repeat(each[:1], 4, axis=0) for name, each in fitted[0].arrays.items()}

    def alike(_: Any, number: int, *__: Any) -> Any:
        return dataclasses.replace(fitted[0], arrays={**first, "number": fitted[number].arrays["number"]})

    monkeypatch.setattr(frame_store, "fit_frames", alike)
    with pytest.raises(ObservationError, match=r"the 12 frames are all alike \(the joints move by 0.0 mm\)"):
        adapted(tmp_path / "alike.npz")
    other = {first: dataclasses.replace(each, other_side=4) for first, each in fitted.items()}
    monkeypatch.setattr(frame_store, "fit_frames", lambda _, first, *__: other[first])
    with pytest.raises(ObservationError, match=r"12 of 12 frames look more like a left hand.*hand='left'"):
        adapted(tmp_path / "other.npz")


@pytest.mark.parametrize("shape", ["none", "scale", "vertices"])
def test_the_shape_says_what_is_free(shape: str, tmp_path: Path) -> None:
    assert adapted(tmp_path / "mine.npz", dataclasses.replace(TINY, iterations=2), shape=shape) is not None
    rest, generic = load_rig(tmp_path / "mine-adaptation" / "hand.glb").rest_mm, default_rig("right").rest_mm
    factor = (rest * generic).sum() / (generic * generic).sum()
    off = np.abs(rest - factor * generic).max()
    assert (abs(factor - 1) > 0.01) == (shape != "none"), "the samples' hand is not of the generic size"
    assert (off > 0.1) == (shape == "vertices")


def test_settings_and_shape_are_checked(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="shape: expected one of none, scale, proportions, vertices"):
        adapted(tmp_path / "mine.npz", shape="all")
    with pytest.raises(ConfigError, match="window"):
        AdaptSettings(window=2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "-o MODEL is missing"),
        (("-o", "mine.pt"), "choose one that ends in .npz"),
        (("-o", "mine.npz", "--from", "broken.npz"), "--from"),
        (("-o", "mine.npz", "--time", "soon"), "not a time such as 90s, 40m or 2h"),
    ],
)
def test_the_command_refuses(arguments: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 no archive")
    np.save(tmp_path / "frames.npy", np.stack([each.depth_mm for each in frames()]))
    done = run("adapt", "frames.npy", "--camera", "237.5,237.5,159.5,119.5", "--unit", "1", *arguments)
    assert done.exit_code == 2, done.stderr
    assert message in done.stderr


def test_the_command_adapts_to_a_stack_and_says_where(tmp_path: Path) -> None:
    np.save(tmp_path / "frames.npy", np.stack([each.depth_mm for each in frames()]))
    config = tmp_path / "tiny.toml"
    config.write_text("".join(f"{name} = {value}\n" for name, value in TINY.to_dict().items()))
    given = ("adapt", tmp_path / "frames.npy", "--camera", "237.5,237.5,159.5,119.5", "--unit", "1", "--hand", "right")
    output = tmp_path / "mine.npz"
    done = run(*given, "-o", output, "--config", config, "--workers", "0", "--iterations", "2", "--json")
    assert done.exit_code == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["frames"] == COUNT
    assert facts["hand"] == "right"
    assert facts["held_out"]["depth"] <= facts["held_out_before"]["depth"]
    assert "mine-adaptation has curves" in done.stderr
    again = run(*given, "-o", output)
    assert again.exit_code == 2
    assert "replace it with --overwrite" in again.stderr
