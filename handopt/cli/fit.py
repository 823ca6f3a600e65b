"""`handopt fit`."""

import math
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from handopt.cli.inputs import Reader, find_images, read_mask, require_writable
from handopt.cli.options import (
    Numbers,
    SectionedCommand,
    blaming,
    depth_options,
    option,
    rig_options,
    verbosity_options,
)
from handopt.cli.report import Report

if TYPE_CHECKING:
    from handopt.result import FitResult
    from handopt.rig import Rig

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(cls=SectionedCommand, short_help="Fit the hand to depth images.")
@click.argument("images", metavar="IMAGE...", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@depth_options
@option("Input", "--mask", type=FILE, metavar="FILE", help="Image or .npy, nonzero on the hand; for a single image.")
@option(
    "Input",
    "--box",
    type=Numbers(4),
    metavar="X0,Y0,X1,Y1",
    help="Pixels between which the hand lies; for a single image.",
)
@option(
    "Input",
    "--center",
    type=Numbers(2, 3),
    metavar="U,V|X,Y,Z",
    help="The palm's centre, as a pixel or in mm; for a single image.",
)
@option(
    "Hand",
    "--hand",
    type=click.Choice(["right", "left", "auto"]),
    help="Which hand it is; auto tries both.  [default: what the JSON file or --model says, else right]",
)
@option("Hand", "--model", type=FILE, metavar="RIG", help="A rigged hand, glTF or GLB.  [default: handopt's own]")
@rig_options
@option(
    "Fit",
    "--shape",
    type=click.Choice(["none", "scale", "proportions", "vertices"]),
    help="What may change besides the pose: the hand's size, also the proportions of fingers and palm, also its "
    "surface.  [default: proportions; none where --model is a hand of handopt shape]",
)
@option(
    "Fit",
    "--solver",
    type=click.Choice(["auto", "lm", "gradient"]),
    help="auto: a tournament of Levenberg-Marquardt, judged by a z-buffer; lm: the same, judged by its own cost; "
    "gradient: descent on the rendered depth, as in the paper.  [default: what --config says, else auto]",
)
@option("Fit", "--config", type=FILE, metavar="FILE", help="TOML file with weights, stages and other settings.")
@option(
    "Fit",
    "--device",
    default="auto",
    show_default=True,
    metavar="DEVICE",
    help="Where to compute: auto, cpu, cuda or cuda:N.",
)
@option(
    "Fit",
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default="0",
    metavar="N",
    help="Seed of what is random.",
)
@option(
    "Output",
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default="handopt-out",
    show_default=True,
    metavar="DIR",
    help="Where each image gets a folder of results.",
)
@option("Output", "--overwrite", is_flag=True, help="Replace results that exist.")
@option("Output", "--no-renders", is_flag=True, help="Leave out the renders of every iteration.")
@option("Output", "--video", is_flag=True, help="Also write optimisation.mp4.")
@option("Output", "--ply", is_flag=True, help="Also write mesh.ply.")
@option("Output", "--obj", is_flag=True, help="Also write mesh.obj.")
@option("Output", "--json", "as_json", is_flag=True, help="Print the result of each image as a line of JSON.")
@verbosity_options
@click.pass_context
def fit(ctx: click.Context, /, images: tuple[Path, ...], **options: Any) -> None:
    """Fit the hand to each depth image in IMAGE...: files, or folders of them.

    Each image gets a folder with result.json, mesh.glb, overlay.png, history.csv and renders/. One line for each goes
    to stdout: folder, status, median residual, overlap of the silhouettes, seconds, with tabs between them.

    The exit code is 0 if all images were fitted, and 1 if some were not; those that could be are kept.
    """
    from handopt.output.folder import result_folders

    paths = find_images(images)
    job = Job.of(paths, options)
    verbosity = -1 if options["quiet"] else options["verbose"]
    failed = 0
    with Report(len(paths), verbosity=verbosity, as_json=options["as_json"]) as report:
        report.weights(job.settings["config"].to_dict()["weights"])
        for image, folder in result_folders(paths, options["output"]).items():
            started = time.perf_counter()
            try:
                result = job.run(image, folder, report)
            except Exception as error:  # one bad image must not stop the rest
                failed += 1
                report.failure(image, error)
                continue
            failed += not math.isfinite(result.residual_mm["median"])
            report.success(image, folder, result, time.perf_counter() - started)
        report.summary(failed)
    ctx.exit(1 if failed else 0)


@dataclass(frozen=True)
class Job:
    """What is the same for all images: how to read, fit and write them."""

    reader: Reader
    settings: dict[str, Any]
    outputs: dict[str, bool]
    limits: str

    @classmethod
    def of(cls, images: list[Path], options: dict[str, Any]) -> "Job":
        """Check the options and load what they name. Raises UsageError."""
        from handopt.backend import resolve_device
        from handopt.config import Config

        _check_single(images, options)
        check_camera(options["camera"])
        with blaming("--config"):
            config = Config() if options["config"] is None else Config.from_toml(options["config"])
        if options["solver"] is not None:
            config = replace(config, solver=options["solver"])
        with blaming("--device"):
            resolve_device(options["device"])
        rig = load_model(options)
        require_writable(options["output"])
        return cls(
            reader=Reader(
                options["camera"], options["unit"], options["encoding"], options["hand"], rig.side if rig else None
            ),
            settings={
                "rig": rig,
                "mask": None if options["mask"] is None else read_mask(options["mask"]),
                "box": options["box"],
                "center": options["center"],
                "config": config,
                "shape": options["shape"] or ("none" if rig is not None and rig.is_personal else "proportions"),
                **{name: options[name] for name in ("device", "seed")},
            },
            outputs={
                "renders": not options["no_renders"],
                **{name: options[name] for name in ("video", "ply", "obj", "overwrite")},
            },
            limits=options["limits"],
        )

    def run(self, image: Path, folder: Path, report: Report) -> "FitResult":
        """Read, fit and save one image. Raises HandoptError."""
        from handopt.fitting import fit as fit_hand
        from handopt.output.folder import check_free, save
        from handopt.rig import default_rig

        check_free(folder, overwrite=self.outputs["overwrite"])
        started = time.perf_counter()
        frame = self.reader.read(image)
        report.assumptions(image, frame.assumptions)
        reading = time.perf_counter() - started
        rig = self.settings["rig"] or default_rig("left" if frame.hand == "left" else "right", self.limits)
        result = fit_hand(
            frame.depth_mm,
            frame.camera,
            hand=frame.hand,
            image=click.format_filename(image),
            assumptions=frame.assumptions,
            progress=report.progress,
            **{**self.settings, "rig": rig},
        )
        report.assumptions(image, [each for each in result.assumptions if each not in frame.assumptions])
        result.seconds = {"read": reading, **result.seconds}
        save(result, folder, **self.outputs)
        return result


def _check_single(images: list[Path], options: dict[str, Any]) -> None:
    """Refuse what makes sense for a single image only."""
    given = [f"--{name}" for name in ("mask", "box", "center") if options[name] is not None]
    if given and len(images) > 1:
        raise click.UsageError(
            f"{' and '.join(given)} cannot be the same for {len(images)} images: fit them one by one"
        )
    if options["box"] is not None:
        x0, y0, x1, y1 = options["box"]
        if x0 >= x1 or y0 >= y1:
            raise click.UsageError("--box X0,Y0,X1,Y1 needs X0 < X1 and Y0 < Y1")


def check_camera(spec: str | None) -> None:
    """Refuse a --camera that no image could use; four numbers need an image's size to make a camera."""
    from handopt.camera import load_camera
    from handopt.errors import CameraError

    if spec is None:
        return
    with blaming("--camera"):
        try:
            load_camera(spec)
        except CameraError:
            if "," not in spec:
                raise
            load_camera(spec, 1, 1)


def load_model(options: dict[str, Any]) -> "Rig | None":
    """Load --model, if one is given."""
    from handopt.rig import load_rig
    from handopt.rig.joints import read_mapping

    mapping = options["joint_map"]
    if options["model"] is None:
        if mapping is not None:
            raise click.UsageError("--joint-map names the joints of a --model, which is missing")
        return None
    if mapping is not None:
        with blaming("--joint-map"):
            read_mapping(mapping)
    side = options["hand"] if options["hand"] in ("right", "left") else None
    with blaming("--model", "--hand"):
        return load_rig(options["model"], side, mapping, options["limits"])
