"""From options to a job: what the identity of a run depends on, and what it does not."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest
from support.fit_cli import write_camera

from handopt.assets import asset
from handopt.batch.settings import OutputSettings
from handopt.cli.job import make_job
from handopt.cli.main import main
from handopt.cli.settings import FitOptions

NOTHING = dict.fromkeys(
    (
        *("camera", "unit", "mask", "box", "center", "hand", "model", "joint_map", "solver", "config", "renders"),
        *(
            "batch",
            "jobs",
            "workers",
            "cluster",
            "ignore",
            "mirrored",
            "review",
            "part",
            "topic",
            "proposals",
            "refine",
        ),
    )
)
OFF = dict.fromkeys(
    ("overwrite", "update", "video", "ply", "obj", "masks", "as_json", "recursive", "null", "verify", "view"), False
)
OTHERS: dict[str, Any] = {
    **{
        "encoding": "auto",
        "limits": "default",
        "shape": "proportions",
        "device": "cpu",
        "seed": 0,
        "overlay": True,
        "max_hands": 1,
        "port": 0,
        "browser": True,
    }
}


@pytest.fixture
def options(tmp_path: Path) -> FitOptions:
    return FitOptions(**NOTHING, **OFF, **OTHERS, output=tmp_path / "out")


def test_what_results_depend_on_makes_another_identity(options: FitOptions, tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("starts = 7")
    plain = make_job(options, 9).identity
    changes = {"unit": 0.5, "hand": "left", "seed": 1, "shape": "none", "solver": "lm", "refine": 0}
    changes["config"] = tmp_path / "c.toml"
    for name, value in changes.items():
        assert make_job(replace(options, **{name: value}), 9).identity != plain, name
    for name in ("renders", "video", "ply", "overwrite", "update"):
        assert make_job(replace(options, **{name: True}), 9).identity == plain, name
    assert make_job(replace(options, overlay=False), 9).identity == plain
    (tmp_path / "c.toml").write_text("")
    assert make_job(replace(options, config=tmp_path / "c.toml"), 9).identity == plain, "it changes nothing"


def test_the_places_of_keypoints_count(options: FitOptions) -> None:
    rig = replace(options, model=asset("hands/right.glb"), hand="right", keypoints=None)
    plain = make_job(rig, 9).identity
    assert make_job(replace(rig, keypoints="auto"), 9).identity == plain
    assert make_job(replace(rig, keypoints="rig"), 9).identity != plain
    assert make_job(replace(rig, keypoints="default"), 9).identity != plain


def test_files_count_by_their_content(options: FitOptions, tmp_path: Path) -> None:
    one, other = (write_camera(tmp_path, name) for name in ("one.json", "other.json"))
    job = make_job(replace(options, camera=str(one)), 9)
    assert job.identity == make_job(replace(options, camera=str(other)), 9).identity
    write_camera(tmp_path, "other.json", unit_mm=2)
    assert job.identity != make_job(replace(options, camera=str(other)), 9).identity
    large, small = (make_job(replace(options, camera=name), 9) for name in ("SR305", "sr305"))
    assert large.identity == small.identity


def test_options_become_outputs_and_what_happens_to_existing_results(options: FitOptions) -> None:
    job = make_job(replace(options, renders=False, ply=True, update=True), 9)
    assert job.outputs == OutputSettings(
        renders=False, overlay=True, video=False, ply=True, obj=False, existing="update"
    )
    assert [make_job(options, images).outputs.renders for images in (1, 2)] == [True, False]
    assert make_job(replace(options, renders=True), 2).outputs.renders
    assert make_job(replace(options, overwrite=True), 9).outputs.existing == "overwrite"
    assert make_job(options, 9).outputs.existing == "keep"


def test_a_device_that_only_the_cluster_has_is_not_looked_for_here(options: FitOptions) -> None:
    far = replace(options, device="cuda:77", cluster="tcp://head:8786")
    assert make_job(far, 9).settings.device == "cuda:77"
    with click.Context(main), pytest.raises(click.UsageError, match="--device cuda"):
        make_job(replace(far, cluster=None), 9)
