"""One image of a batch: a job that can be sent away, and outcomes instead of errors."""

import json
import pickle
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from support.factories import fit_result
from support.fit_cli import FakeFit, fake_fit, write_camera, write_depth

from handopt.batch.job import Job
from handopt.batch.outcome import DONE, FAILED, SKIPPED, Outcome, Task
from handopt.batch.provenance import Identity
from handopt.batch.settings import OutputSettings
from handopt.config import FitSettings
from handopt.files import readable
from handopt.fitting import FitInput
from handopt.input.reader import Reader
from handopt.optimise.chunks import chunks
from handopt.result import FitResult
from handopt.rig import default_rig
from handopt.storage import save
from handopt.storage.digests import digests_of

__all__ = ["fake_fit"]


def job(**changes: Any) -> Job:
    arguments: dict[str, Any] = {
        "reader": Reader(hand="left"),
        "rig": default_rig("left"),
        "settings": FitSettings(),
        "outputs": OutputSettings(renders=False, existing=changes.pop("existing", "keep")),
        "identity": Identity(handopt="0.1.0", solver="auto", config="", shape="scale"),
    }
    return Job(**{**arguments, **changes})


def one(what: Job, given: Task) -> Outcome:
    """The outcome of a single task."""
    (outcome,) = what.run_batches([[given]])
    return outcome


@pytest.fixture
def task(tmp_path: Path) -> Task:
    write_camera(tmp_path)
    return Task(write_depth(tmp_path / "a.png"), tmp_path / "out" / "a")


def test_a_job_that_was_sent_away_does_the_same(task: Task, fake_fit: FakeFit, tmp_path: Path) -> None:
    sent = pickle.loads(pickle.dumps(job()))
    assert one(sent, task).kind == DONE
    other = Task(task.image, tmp_path / "out" / "b")
    assert one(job(), other).kind == DONE
    for name in ("provenance.json", "mesh.glb", "overlay.png"):
        assert (task.folder / name).read_bytes() == (other.folder / name).read_bytes()
    assert fake_fit.calls[0]["rig"].side == "left"
    assert job().on("cuda:1").settings.device == "cuda:1"


def test_an_outcome_says_what_the_result_says(task: Task, fake_fit: FakeFit) -> None:
    done = one(job(), task)
    again = one(job(), task)
    assert (done.before, again.before) == (False, True)
    assert len(fake_fit.calls) == 1
    for name in ("kind", "status", "hand", "confidence", "residual_mm", "silhouette_iou", "unexplained_fraction"):
        assert getattr(done, name) == getattr(again, name), name
    assert any("camera.json" in note for note in done.notes)
    assert done.details[1].startswith("terms: ")


def test_errors_of_any_kind_become_outcomes(task: Task, fake_fit: FakeFit) -> None:
    def fail(_index: int) -> None:
        raise MemoryError

    fake_fit.before = fail
    failed = one(job(), task)
    assert (failed.kind, failed.error, failed.full) == (FAILED, "MemoryError", False)
    assert not task.folder.parent.exists()


def test_a_result_of_an_unknown_origin_is_kept_and_a_file_in_the_way_named(task: Task, fake_fit: FakeFit) -> None:
    save(fit_result(iterations=2), task.folder, renders=False)
    skipped = one(job(), task)
    assert skipped.kind == SKIPPED
    assert "was not made by this version of handopt fit, and was kept: replace such results" in str(skipped.error)
    assert one(job(existing="update"), task).kind == DONE
    (task.folder / "mine").touch()
    assert "mine, which is not handopt's" in str(one(job(existing="overwrite"), task).error)
    other = Task(task.image, task.image)
    assert "is in the way and is not a folder" in str(one(job(), other).error)
    assert not one(job(existing="update"), other).before
    assert task.image.is_file()


def test_paths_that_are_no_text_can_be_read() -> None:
    assert readable(Path("a\udcff.png")) == "a\ufffd.png"


def test_images_are_fitted_together_and_each_ends_by_itself(task: Task, fake_fit: FakeFit, tmp_path: Path) -> None:
    tasks = [task, *(Task(tmp_path / f"{name}.png", tmp_path / "out" / name) for name in ("b", "missing", "c"))]
    for name in ("b", "c"):
        write_depth(tmp_path / f"{name}.png")
    assert one(job(), tasks[1]).kind == DONE
    outcomes = {outcome.task.image.stem: outcome for outcome in job().run_batches([tasks])}
    assert {name: (each.kind, each.before) for name, each in outcomes.items()} == {
        "a": (DONE, False),
        "b": (DONE, True),
        "missing": (FAILED, False),
        "c": (DONE, False),
    }
    assert [Path(call["image"]).stem for call in fake_fit.calls] == ["b", "a", "c"]


def test_an_image_that_breaks_a_batch_fails_alone(task: Task, fake_fit: FakeFit, tmp_path: Path) -> None:
    other = Task(write_depth(tmp_path / "b.png"), tmp_path / "out" / "b")

    def fail(index: int) -> None:
        if Path(fake_fit.calls[index]["image"]).stem == "b":
            raise MemoryError

    fake_fit.before = fail
    outcomes = {outcome.task.image.stem: outcome for outcome in job().run_batches([[task, other]])}
    assert {name: (each.kind, each.error) for name, each in outcomes.items()} == {
        "a": (DONE, None),
        "b": (FAILED, "MemoryError"),
    }


def test_batches_are_as_large_as_pays_or_as_asked_for() -> None:
    assert job(batch=5).batch_size() == 5
    assert job(settings=FitSettings(device="cpu")).batch_size() == 8
    assert [list(part) for part in chunks([1, 2, 3, 4, 5], 2)] == [[1, 2], [3, 4], [5]]


@pytest.mark.parametrize("name", ["result.json", "mesh.glb", "history.csv", "trace.npz", "overlay.png"])
def test_a_damaged_result_is_redone_and_never_trusted(name: str, task: Task, fake_fit: FakeFit) -> None:
    assert one(job(), task).kind == DONE
    assert one(job(existing="verify"), task).kind == DONE
    for damage in (b"", (task.folder / name).read_bytes()[:-9] + b"123456789"):
        (task.folder / name).write_bytes(damage)
        skipped, verified = one(job(), task), one(job(existing="verify"), task)
        assert (skipped.kind, verified.kind) == (SKIPPED, FAILED)
        assert f"{task.folder} has " in str(skipped.error)
        assert name in str(verified.error)
        again = one(job(existing="update"), task)
        assert (again.kind, again.before) == (DONE, False)
    assert one(job(), task).before


def test_what_provenance_says_may_be_anything(task: Task, fake_fit: FakeFit) -> None:
    assert one(job(), task).kind == DONE
    path = task.folder / "provenance.json"
    whole = json.loads(path.read_text())
    changes: tuple[dict[str, Any], ...] = (
        {"files": []},
        {"files": {"a.png": None}},
        {"settings": 3},
        {"results": {"result.json": {"bytes": "x", "sha256": 1}}},
        {"results": {}},
        {"format": "handopt.provenance/1"},
    )
    for change in changes:
        path.write_text(json.dumps({**whole, **change}))
        assert "was not made by this version" in str(one(job(), task).error)
    path.write_text("[" * 100_000)
    assert one(job(existing="update"), task).kind == DONE
    (task.folder / "result.json").write_text('{"format": "handopt.result/1"}')
    digests = digests_of(task.folder)
    del digests["provenance.json"]
    path.write_text(json.dumps({**json.loads(path.read_text()), "results": digests}))
    assert "has a damaged result.json" in str(one(job(), task).error), "its digest is right, and it is no result"
    assert one(job(existing="update"), task).kind == DONE


def test_a_batch_holds_no_more_pixels_than_memory(
    task: Task, fake_fit: FakeFit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    many = fake_fit.many

    def counted(images: Sequence[FitInput], settings: FitSettings, batch: int) -> Iterator[FitResult]:
        sizes.append(len(images))
        return many(images, settings, batch)

    monkeypatch.setattr("handopt.fitting.fit_images", counted)
    monkeypatch.setattr("handopt.batch.job.BATCH_PX", 3 * 120 * 160)
    tasks = [Task(write_depth(tmp_path / f"{n}.png"), tmp_path / "out" / str(n)) for n in range(8)]
    assert [each.kind for each in job().run_batches([tasks])] == [DONE] * 8
    assert sizes == [3, 3, 2]
