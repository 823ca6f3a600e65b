"""Training: the same model for a seed, after a stop as well; checkpoints, curves, what is refused, and the command."""

import csv
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.commands import run
from support.compare import assert_close

from handopt.errors import ConfigError, HandoptError, NumericalError, OutputError
from handopt.learning.settings import TrainSettings
from handopt.proposals.features import network_input
from handopt.proposals.model_file import load_model

torch = pytest.importorskip("torch", reason="not tested: torch is not installed; pip install -e '.[train]'")

from handopt.learning import checkpoint, losses, training  # noqa: E402
from handopt.learning.encode import Views, encoded  # noqa: E402
from handopt.learning.losses import hypothesis_loss  # noqa: E402
from handopt.learning.train import train  # noqa: E402

TINY = TrainSettings(
    steps=12, batch=8, heads=3, warm_up_steps=2, block_images=32, block_poses=8, first_blocks=1, pool_blocks=2,
    steps_per_block=5, held_out_blocks=1, report_steps=4, checkpoint_s=1000, labelled_share=0.25, labelled_images=8,
    steps_per_labelled_block=6,
)  # fmt: skip
ARRAYS = ("stem.weight", "stage1.first.weight", "head.weight", "joints.bias")


def weights(path: Path) -> dict[str, bytes]:
    return {name: load_model(path).network.weights[name].tobytes() for name in ARRAYS}


def stopped_at(step: int, output: Path, settings: TrainSettings = TINY, **options: Any) -> None:
    train(output, settings, seed=5, workers=0, progress=lambda state: state.step < step, **options)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that was trained in one go."""
    output = tmp_path_factory.mktemp("whole") / "base.npz"
    scores = train(output, TINY, seed=5, workers=0)
    assert scores["likeliest_mm"] >= scores["best_mm"] > 0
    return output


def test_a_model_says_what_it_was_trained_on(whole: Path) -> None:
    model = load_model(whole)
    assert model.network.heads == 3
    assert model.metadata["training"]["seed"] == 5
    assert model.metadata["training"]["step"] == 12
    assert model.metadata["scores"]["best_mm"] > 0
    rows = list(csv.DictReader((whole.parent / "base-training" / "curve.csv").read_text().splitlines()))
    assert [row["step"] for row in rows] == ["4", "8", "12"]
    assert float(rows[-1]["likeliest_mm"]) == model.metadata["scores"]["likeliest_mm"]
    assert sorted(path.name for path in (whole.parent / "base-training").iterdir()) in (
        ["curve.csv", "curve.png"],
        ["curve.csv"],
    )


def test_the_same_seed_gives_the_same_model_with_other_workers_and_after_a_stop(whole: Path, tmp_path: Path) -> None:
    train(tmp_path / "two.npz", TINY, seed=5, workers=2)
    assert weights(tmp_path / "two.npz") == weights(whole)
    parts = tmp_path / "parts.npz"
    for step in (3, 7):
        stopped_at(step, parts, resume=step > 3)
    train(parts, TINY, seed=5, workers=0, resume=True)
    assert weights(parts) == weights(whole)
    train(tmp_path / "other.npz", TINY, seed=6, workers=0)
    assert weights(tmp_path / "other.npz") != weights(whole)


def test_a_damaged_checkpoint_gives_way_to_the_one_before_it(whole: Path, tmp_path: Path) -> None:
    output = tmp_path / "base.npz"
    notes: list[str] = []
    stopped_at(6, output, dataclasses.replace(TINY, checkpoint_s=0))
    newest = tmp_path / "base-training" / checkpoint.NAME
    newest.write_bytes(newest.read_bytes()[:5000])
    train(output, dataclasses.replace(TINY, checkpoint_s=0), seed=5, workers=0, resume=True, note=notes.append)
    assert weights(output) == weights(whole)
    assert "damaged" in notes[0]
    assert checkpoint.PREVIOUS in notes[0]


def test_a_training_that_was_stopped_is_neither_lost_nor_mixed_with_another(tmp_path: Path) -> None:
    output = tmp_path / "base.npz"
    stopped_at(2, output)
    with pytest.raises(OutputError, match="go on with resume=True or begin anew with overwrite=True"):
        stopped_at(3, output)
    folder = tmp_path / "base-training"  # a cut between two renames leaves the checkpoint before the last alone
    (folder / checkpoint.NAME).rename(folder / checkpoint.PREVIOUS)
    with pytest.raises(OutputError, match="go on with resume=True or begin anew with overwrite=True"):
        stopped_at(3, output)
    (folder / checkpoint.PREVIOUS).rename(folder / checkpoint.NAME)
    with pytest.raises(OutputError, match="begun with other settings"):
        stopped_at(3, output, dataclasses.replace(TINY, batch=9), resume=True)
    stopped_at(2, output, overwrite=True)
    with pytest.raises(HandoptError, match="begin anew with overwrite=True"):
        stopped_at(3, tmp_path / "none.npz", resume=True)


def test_a_loss_that_is_no_number_ends_the_training_and_keeps_the_last_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, loss = tmp_path / "base.npz", hypothesis_loss
    steps = []

    def failing(*arguments: Any) -> Any:
        steps.append(1)
        return loss(*arguments) * (float("nan") if len(steps) > 5 else 1.0)

    monkeypatch.setattr(training, "hypothesis_loss", failing)
    with pytest.raises(NumericalError, match=r"the loss of step 5 is nan: lower the rate.*config="):
        train(output, TINY, seed=5, workers=0)
    assert load_model(output).metadata["training"]["step"] == 4


def test_a_full_disk_is_said_and_leaves_the_last_model(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(training, "write_curves", full)
    with pytest.raises(OutputError, match="No space left on device; free some space"):
        train(tmp_path / "base.npz", TINY, seed=5, workers=0)
    load_model(tmp_path / "base.npz")


def test_the_model_computes_what_torch_does(whole: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    from handopt.learning.network import Network

    network = Network(3, 22)
    rng = np.random.default_rng(1)
    offset, measured = rng.uniform(-90, 90, (2, 6, 64, 64)).astype(np.float32)
    offset[offset > 60], measured[measured > 60] = np.nan, np.nan
    labels = rng.uniform(0, 1, (6, 64, 64, 3)).astype(np.float32)
    views = Views(*(torch.from_numpy(each) for each in (offset, measured, labels)))
    network.train()
    for _ in range(3):
        network(encoded(views))
    network.eval()
    from handopt.proposals.model_file import save_model

    save_model(tmp_path / "model.npz", network.export(), {"heads": 3, "stages": 3})
    with torch.no_grad():
        heads, joints, votes = network(encoded(views))
    model = load_model(tmp_path / "model.npz").network
    features, maps = model.look(network_input(offset, measured, labels))
    keypoints, radius = model.votes(features, maps)
    assert_close(keypoints, votes.keypoints.numpy(), of_max=3e-3, reason="weights are stored as float16")
    assert_close(np.log(radius), votes.log_mm.numpy(), of_max=3e-3, reason="weights are stored as float16")
    heads, joints = heads.numpy(), joints.numpy()
    assert_close(model.hypotheses(features), heads, of_max=3e-3, reason="weights are stored as float16")
    told = model.joints(features)
    assert_close(np.log(told[0]), joints[:, :21], of_max=3e-3, reason="weights are stored as float16")
    assert_close(told[1], 1 / (1 + np.exp(-joints[:, 21:])), of_max=3e-3, reason="weights are stored as float16")


def test_a_training_begins_with_another_model(whole: Path, tmp_path: Path) -> None:
    """It says the same of images before the first step, and tells what it began with."""
    begin, output = load_model(whole), tmp_path / "more.npz"
    settings = dataclasses.replace(TINY, steps=1, rate=1e-9, warm_up_steps=1)
    train(output, settings, seed=9, workers=0, begin=begin)
    more = load_model(output)
    assert more.metadata["training"]["begun_with"] == begin.digest
    views = network_input(np.random.default_rng(1).uniform(-90, 90, (4, 64, 64)).astype(np.float32))
    before, after = (model.network.hypotheses(model.network.features(views)) for model in (begin, more))
    assert_close(after, before, of_max=0.05, reason="normalisations are set anew from a batch of 8 images")
    train(tmp_path / "other.npz", settings, seed=9, workers=0)
    other = load_model(tmp_path / "other.npz").network
    assert np.abs(other.hypotheses(other.features(views)) - before).max() > 10 * np.abs(after - before).max()


def test_a_wider_model_is_no_beginning(whole: Path, tmp_path: Path) -> None:
    from handopt.proposals.model_file import save_model

    network = load_model(whole).network
    wide = dict(network.weights)
    wide["inner.weight"] = np.pad(wide["inner.weight"], ((0, 0), (0, 8)))
    wide["inner.bias"] = np.pad(wide["inner.bias"], (0, 8))
    for name in ("head", "joints", "votes.context"):
        wide[f"{name}.weight"] = np.pad(wide[f"{name}.weight"], ((0, 8), (0, 0)))
    save_model(tmp_path / "wide.npz", wide, {"heads": 3, "stages": 3})
    with pytest.raises(OutputError, match=r"has a wider layer \(inner\.weight is \(512, 520\), here \(512, 512\)\)"):
        train(tmp_path / "base.npz", TINY, seed=5, workers=0, begin=load_model(tmp_path / "wide.npz"))


def test_a_training_goes_on_only_with_the_model_that_it_began_with(whole: Path, tmp_path: Path) -> None:
    output = tmp_path / "more.npz"
    stopped_at(3, output, begin=load_model(whole))
    other = tmp_path / "other.npz"
    train(other, TINY, seed=7, workers=0)
    with pytest.raises(OutputError, match="was begun with other first weights"):
        train(output, TINY, seed=5, workers=0, resume=True, begin=load_model(other))
    train(output, TINY, seed=5, workers=0, resume=True)
    assert load_model(output).metadata["training"]["begun_with"] == load_model(whole).digest


def test_settings_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "train.toml"
    path.write_text("steps = 100\nrate = 0.001\n")
    assert TrainSettings.from_toml(path) == TrainSettings(steps=100, rate=0.001)
    for text, message in (("rates = 1", "did you mean rate"), ("rate = -1", "rate: expected"), ("rate =", "cannot be")):
        path.write_text(text)
        with pytest.raises(ConfigError, match=message):
            TrainSettings.from_toml(path)


def test_the_command_trains_goes_on_and_says_where(tmp_path: Path) -> None:
    config = tmp_path / "tiny.toml"
    config.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in TINY.to_dict().items()))
    output = tmp_path / "base.npz"
    given = ("train", "-o", output, "--config", config, "--workers", "0", "--seed", "5")
    done = run(*given, "--steps", "8")
    assert done.exit_code == 0, done.stderr
    name, likeliest, best, _ = done.stdout.strip().split("\t")
    assert name == str(output)
    assert float(likeliest) >= float(best) > 0
    assert "base-training has the learning curves" in done.stderr
    again = run(*given)
    assert again.exit_code == 2
    assert "replace it with --overwrite" in again.stderr
    whole = run(*given, "--overwrite", "--json")
    assert json.loads(whole.stdout)["step"] == 12


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "-o MODEL is missing"),
        (("-o", "base.pt"), "choose one that ends in .npz"),
        (("-o", "base.npz", "--time", "soon"), "not a time such as 90s, 40m or 2h"),
        (("-o", "base.npz", "--resume"), "begin anew with --overwrite"),
        (("-o", "no/such.npz/base.npz", "--device", "cuda:77"), "finds no CUDA device"),
    ],
)
def test_the_command_refuses(arguments: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    if "cuda:77" in arguments and torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    done = run("train", *arguments)
    assert done.exit_code in (1, 2)
    assert message in done.stderr
    assert not list(tmp_path.rglob("*.pt"))


def test_bfloat16_gives_the_same_model_for_a_seed_and_says_so(whole: Path, tmp_path: Path) -> None:
    settings = dataclasses.replace(TINY, bfloat16=True)
    first, parts = tmp_path / "first.npz", tmp_path / "parts.npz"
    train(first, settings, seed=5, workers=0)
    stopped_at(7, parts, settings)
    with pytest.raises(OutputError, match="begun with other settings"):
        train(parts, TINY, seed=5, workers=0, resume=True)
    train(parts, settings, seed=5, workers=0, resume=True)
    assert weights(parts) == weights(first)
    assert weights(first) != weights(whole)
    said = [load_model(path).metadata for path in (first, whole)]
    assert [each["training"]["bfloat16"] for each in said] == [True, False]
    scores = [each["scores"]["best_mm"] for each in said]
    assert_close(scores[0], scores[1], rtol=0.2, reason="layers that multiply 8 bits of precision, after 12 steps")


def test_losses_are_float32_whatever_the_layers_multiply(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = set()

    def watching(skeleton: Any, heads: Any, labels: Any) -> Any:
        kinds.add(heads.dtype)
        return losses.compare(skeleton, heads, labels)

    monkeypatch.setattr(training, "compare", watching)
    train(tmp_path / "base.npz", dataclasses.replace(TINY, steps=4, bfloat16=True), seed=5, workers=0)
    assert kinds == {torch.float32}
