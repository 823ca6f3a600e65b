"""From the options of `handopt fit` to a job for the batch."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from handopt.cli.errors import naming_option
from handopt.cli.inputs import read_mask
from handopt.cli.outputs import require_outside_results, require_writable
from handopt.cli.rigs import load_model, load_proposals
from handopt.files import is_file, sha256_of
from handopt.input.reader import Reader

if TYPE_CHECKING:
    from handopt.batch.job import Job
    from handopt.batch.provenance import Identity
    from handopt.batch.settings import Existing
    from handopt.cli.settings import ComputeOptions, DepthOptions, FitOptions
    from handopt.config import Config, FitSettings
    from handopt.rig import Rig

FREED_BY_DEFAULT = "proportions"


def make_job(options: "FitOptions", images: int) -> "Job":
    """Check the options and load what they name. Raises UsageError."""
    from handopt.batch.job import Job
    from handopt.batch.settings import Hints, OutputSettings

    _check_single(images, options)
    check_camera(options.camera)
    check_ignore(options.ignore)
    config = load_config(options.config)
    if options.solver is not None:
        config = replace(config, solver=options.solver)  # type: ignore[arg-type]  # click has checked the choice
    if options.cluster is None:
        check_device(options.device)
    rig = load_model(options)
    shape = options.shape or ("none" if rig is not None and rig.is_personal else FREED_BY_DEFAULT)
    settings = replace(
        fit_settings(options, config, shape),
        proposals=load_proposals(options.proposals, "--proposals" if options.refine is None else "--model"),
        refine=options.refine,
    )
    mask = None if options.mask is None else read_mask(options.mask)
    require_outside_results(options.output)
    require_writable(options.output)
    return Job(
        reader=make_reader(options, options.hand, rig),
        rig=rig,
        settings=settings,
        outputs=OutputSettings(
            renders=images == 1 if options.renders is None else options.renders,
            overlay=options.overlay is not False,
            colour=options.colour,
            video=options.video,
            ply=options.ply,
            obj=options.obj,
            masks=options.masks,
            usual=frozenset(
                name
                for name, asked in (("renders", options.renders), ("overlay.png", options.overlay))
                if asked is None
            ),
            existing=_existing(options),
        ),
        identity=_identity(options, settings),
        hints=Hints(mask, options.box, options.center),
        limits=options.limits,
        batch=options.batch,
        max_hands=options.max_hands,
    )


def _existing(options: "FitOptions") -> "Existing":
    """What happens to results that exist."""
    if options.verify:
        return "verify"
    return "overwrite" if options.overwrite else "update" if options.update else "keep"


def make_reader(options: "DepthOptions", hand: str | None, rig: "Rig | None") -> Reader:
    """What reads depth files with these options. hand: which the user says it is; rig: the user's own, or None."""
    side = rig.side if rig else None
    return Reader(
        options.camera, options.unit, options.encoding, hand, side, ignore=options.ignore, mirrored=options.mirrored
    )


def check_ignore(path: Path | None) -> None:
    """Refuse an --ignore that cannot be read, leaves nothing, or is a folder without masks. Raises UsageError."""
    from handopt.input.ignore import IgnoreMasks

    if path is not None:
        with naming_option("--ignore"):
            IgnoreMasks(path).check()


def load_config(path: Path | None) -> "Config":
    """Read --config, or take the default settings. Raises UsageError."""
    from handopt.config import Config

    with naming_option("--config"):
        return Config() if path is None else Config.from_toml(path)


def fit_settings(options: "ComputeOptions", config: "Config", shape: str = FREED_BY_DEFAULT) -> "FitSettings":
    """What is the same for all fits of a command. Raises UsageError."""
    from handopt.config import FitSettings

    with naming_option("--shape", "--seed"):
        return FitSettings(shape, config, options.device, options.seed)  # type: ignore[arg-type]  # it is checked


def check_device(device: str) -> None:
    """Refuse a --device that this machine does not have. Raises UsageError."""
    from handopt.backend import resolve_device

    with naming_option("--device"):
        resolve_device(device)


def _identity(options: "FitOptions", settings: "FitSettings") -> "Identity":
    """What a result depends on besides the image and its neighbours: of files their content, of settings all."""
    import json

    from handopt import __version__
    from handopt.batch.provenance import Identity

    config = json.dumps(settings.config.to_dict(), sort_keys=True)
    return Identity(
        handopt=__version__,
        solver=settings.config.solver,
        config=hashlib.sha256(config.encode()).hexdigest(),
        camera=_content(options.camera),
        mask=_content(options.mask),
        model=_content(options.model),
        joint_map=_content(options.joint_map),
        part=options.part,
        keypoints=None if options.model is None or options.keypoints == "auto" else options.keypoints,
        unit=options.unit,
        encoding=options.encoding,
        hand=options.hand,
        limits=options.limits,
        shape=settings.shape,
        seed=settings.seed,
        box=options.box,
        center=options.center,
        mirrored=options.mirrored,
        max_hands=None if options.max_hands == 1 else options.max_hands,
        proposals=settings.proposals and settings.proposals.digest,
        refine=options.refine,
    )


def _content(value: str | Path | None) -> str | None:
    """SHA-256 of a file's content, or a name in small letters."""
    if value is None or not is_file(value):
        return None if value is None else str(value).strip().lower()
    with naming_option("--camera", "--model", "--mask"):
        return sha256_of(value)


def _check_single(images: int, options: "FitOptions") -> None:
    """Refuse what makes sense for a single image only."""
    hints = {"--mask": options.mask, "--box": options.box, "--center": options.center}
    given = [name for name, value in hints.items() if value is not None]
    if given and images > 1:
        raise click.UsageError(f"{' and '.join(given)} cannot be the same for {images} images: give them one by one")
    if options.box is not None:
        x0, y0, x1, y1 = options.box
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
