"""From the options of `handopt fit` to a job for the batch."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from handopt.cli.inputs import read_mask, require_writable
from handopt.cli.options import naming_option
from handopt.cli.rigs import load_model
from handopt.input.reader import Reader

if TYPE_CHECKING:
    from handopt.batch.job import Job


def make_job(options: dict[str, Any], images: int) -> "Job":
    """Check the options and load what they name. Raises UsageError."""
    from handopt.backend import resolve_device
    from handopt.batch.job import KEEP, OVERWRITE, UPDATE, Job
    from handopt.config import Config

    _check_single(images, options)
    check_camera(options["camera"])
    with naming_option("--config"):
        config = Config() if options["config"] is None else Config.from_toml(options["config"])
    if options["solver"] is not None:
        config = replace(config, solver=options["solver"])
    with naming_option("--device"):
        if options["cluster"] is None:
            resolve_device(options["device"])
    rig = load_model(options)
    personal = rig is not None and rig.is_personal
    options = {**options, "shape": options["shape"] or ("none" if personal else "proportions")}
    mask = None if options["mask"] is None else read_mask(options["mask"])
    require_writable(options["output"])
    return Job(
        reader=Reader(
            options["camera"], options["unit"], options["encoding"], options["hand"], rig.side if rig else None
        ),
        rig=rig,
        settings={
            "mask": mask,
            "config": config,
            **{name: options[name] for name in ("box", "center", "shape", "device", "seed")},
        },
        outputs={
            "renders": images == 1 if options["renders"] is None else options["renders"],
            "overlay": not options["no_overlay"],
            **{name: options[name] for name in ("video", "ply", "obj")},
        },
        limits=options["limits"],
        identity=_identity(options, config.to_dict()),
        existing=OVERWRITE if options["overwrite"] else UPDATE if options["update"] else KEEP,
        batch=options["batch"],
    )


def _identity(options: dict[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    """What a result depends on besides the image and its neighbours: of files their content, of settings all."""
    import json

    from handopt import __version__

    def content(name: str) -> str | None:
        value = options[name]
        if value is None or not Path(value).is_file():
            return None if value is None else str(value).strip().lower()
        return hashlib.sha256(Path(value).read_bytes()).hexdigest()

    settings = hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()
    plain = ("unit", "encoding", "hand", "limits", "shape", "seed")
    return {
        "handopt": __version__,
        "solver": config["solver"],
        "config": settings,
        **{name: content(name) for name in ("camera", "mask", "model", "joint_map")},
        **{name: options[name] for name in plain},
        **{name: None if options[name] is None else list(options[name]) for name in ("box", "center")},
    }


def _check_single(images: int, options: dict[str, Any]) -> None:
    """Refuse what makes sense for a single image only."""
    from handopt.batch.job import OF_ONE_IMAGE

    given = [f"--{name}" for name in OF_ONE_IMAGE if options[name] is not None]
    if given and images > 1:
        raise click.UsageError(f"{' and '.join(given)} cannot be the same for {images} images: fit them one by one")
    if options["box"] is not None:
        x0, y0, x1, y1 = options["box"]
        if x0 >= x1 or y0 >= y1:
            raise click.UsageError("--box X0,Y0,X1,Y1 needs X0 < X1 and Y0 < Y1")


def check_camera(spec: str | None) -> None:
    """Refuse a --camera that no image could use; four numbers need an image's size to make a camera."""
    from handopt.errors import CameraError
    from handopt.input.camera_spec import load_camera

    if spec is None:
        return
    with naming_option("--camera"):
        try:
            load_camera(spec)
        except CameraError:
            if "," not in spec:
                raise
            load_camera(spec, 1, 1)
