"""`handopt synth`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from handopt.cli.console import Console
from handopt.cli.errors import naming_option
from handopt.cli.help import EXPERT, SectionedCommand, option
from handopt.cli.options import (
    camera_option,
    json_option,
    keypoints_option,
    model_option,
    output_options,
    rig_options,
    seed_option,
    verbosity_options,
)
from handopt.cli.outputs import require_place
from handopt.cli.rigs import load_model
from handopt.cli.values import Choice, Numbers, Positive

if TYPE_CHECKING:
    from handopt.cli.settings import SynthOptions
    from handopt.input.camera import Camera
    from handopt.rig import Rig
    from handopt.synth.generate import Settings
    from handopt.synth.poses import Level
    from handopt.synth.sequence import Timing
    from handopt.synth.wild import WildSettings

LEVELS: "tuple[Level, ...]" = ("easy", "medium", "hard")
NOISE = ("none", "low", "sr305", "kinect", "senz3d", "kinect2", "azure", "d400", "truedepth")
SIZE = (640, 480)


@click.command(
    cls=SectionedCommand,
    examples=(
        ("15 images of each level, with labels, in synthetic/", "handopt synth synthetic"),
        ("300 frames of one hand in motion, as a Kinect sees it",
         "handopt synth moving --sequence --count 300 --level medium --noise kinect"),
        ("200 images of hands that hold something, with a mask for each",
         "handopt synth held --level wild --object --masks --count 200"),
        ("ten images of one person's hand, to try handopt shape on",
         "handopt synth person --one-subject --count 10 --level easy"),
    ),
)  # fmt: skip
@click.argument("out", metavar="[OUT]", required=False, type=click.Path(path_type=Path))
@option(
    "Images",
    "--count",
    type=click.IntRange(min=1),
    default=15,
    metavar="N",
    help="Images of each level.  [default: 15]",
)
@option(
    "Images",
    "--level",
    type=Choice([*LEVELS, "wild", "all"]),
    default="all",
    help="easy: near frontal, nearly open. medium: turned by up to 55 degrees, any flexion. hard: fists, pinches and "
    "other gestures and free poses from all sides. wild: arms from all sides, bare and in sleeves, held objects, "
    "second hands, bodies, tables, crops, every sensor.  [default: all but wild]",
)
@seed_option("Images")
@camera_option(
    "Images",
    "Intrinsics: a preset (handopt info lists them), a JSON file with fx, fy, cx, cy, width and height, or the numbers "
    "fx,fy,cx,cy of an image of 640 x 480.  [default: 475,475,319.5,239.5; wild: many]",
)
@option(
    "Images",
    "--noise",
    type=Choice(NOISE),
    help="The sensor's flaws: noise that grows with the distance, frayed edges, flying pixels, dropouts, holes. "
    "kinect, d400 and truedepth also have steps of disparity and shadows; senz3d, kinect2 and azure, which measure "
    "time of flight, mixed pixels and multipath.  [default: sr305; wild: any]",
)
@option("Images", "--forearm/--no-forearm", default=None, help="Always or never a forearm.  [default: half to 70 %]")
@option(
    "Images", "--background/--no-background", default=None, help="Always or never something behind.  [default: 65 %]"
)
@option(
    "Level wild", "--object/--no-object", "held", default=None, help="Always or never a held object.  [default: 40 %]"
)
@option(
    "Level wild", "--other-hand/--no-other-hand", default=None, help="Always or never a second hand.  [default: 25 %]"
)
@option(
    "Level wild",
    "--masks",
    is_flag=True,
    help="Write NNN_mask.png, 8 bit: 0 background, 1 hand, 2 forearm, 3 other hand, 4 held object, 5 body.",
)
@option(
    "Sequence",
    "--sequence",
    is_flag=True,
    help="The images of a level are the frames of one person's hand in motion, before one background.",
)
@option("Sequence", "--fps", type=Positive(), default=30.0, metavar="N", help="Frames a second.  [default: 30]")
@option(
    "Sequence",
    "--speed",
    type=click.FloatRange(min=0),
    default=1.0,
    metavar="N",
    help="Factor of all speeds; 0 is a hand that holds still.  [default: 1]",
)
@option(
    "Sequence",
    "--dropout",
    type=Numbers(2),
    metavar="FIRST,COUNT",
    help="Frames in which nothing is measured: the first and how many.",
)
@option(
    "Hand",
    "--hand",
    type=Choice(["right", "left", "random"]),
    help="Which hand; a left one is the mirror image of the right one of the same seed.  "
    "[default: right; wild: random]",
)
@option(
    "Hand",
    "--one-subject",
    is_flag=True,
    help="All images show one person's hand, drawn from --subject-seed; OUT/subject.glb is its true rest shape.",
)
@option(
    EXPERT,
    "--subject-seed",
    type=click.IntRange(min=0),
    metavar="N",
    help="Which person; implies --one-subject.  [default: --seed]",
)
@option(
    EXPERT,
    "--surface-rms",
    type=click.FloatRange(0, 4),
    metavar="MM",
    help="Displace the skin by a smooth random field of this RMS, up to 4: a surface that the model cannot express.  "
    "[default: 0; wild: 60 % of the images, 0.4 to 2.5]",
)
@model_option()
@rig_options
@keypoints_option
@output_options("DIR", "Folder of the images, the same as OUT.", replaces="images that exist")
@json_option("each level")
@verbosity_options
def synth(out: Path | None, **arguments: Any) -> None:
    """Write synthetic depth images of hands with labels into the folder OUT.

    OUT/LEVEL/NNN.png holds depth in mm, 16 bit, 0 where there is none; NNN.json beside it the camera, joints, pose
    and shape; OUT/LEVEL.camera.json the camera, but of level wild, whose images have one each; OUT/synth.json the
    settings. handopt fit reads OUT/LEVEL as it is. An image depends on its number, its level and the options, not on
    how many there are. With --sequence NNN counts frames, and NNN.json has "sequence": frame, time_s, transition
    (number, from one key pose to the next) and dropout.

    One line for each level goes to stdout: folder and number of images, with a tab between them.
    """
    from handopt.cli.settings import SynthOptions
    from handopt.synth.dataset import check_free

    options = SynthOptions(**arguments)
    console = Console()
    place = _place(out, options.output)
    _check_for_level(options)
    require_place(place, lambda: check_free(place, overwrite=options.overwrite))
    for folder in _written(place, options, console):
        if options.as_json:
            console.result(json.dumps({"folder": str(folder), "images": options.count}))
        else:
            console.result(f"{click.format_filename(folder)}\t{options.count}")


def _written(place: Path, options: "SynthOptions", console: Console) -> list[Path]:
    """Make the images, and give the folder of each level. Raises UsageError and the errors of handopt.synth."""
    from handopt.synth.dataset import write_dataset, write_wild

    if options.level == "wild":
        wild = _wild_settings(options)
        console.notes((*(() if wild.camera is None else wild.camera.assumptions), *wild.rig.notes))
        with console.bar(options.count, "image") as bar:
            how = {"masks": options.masks, "overwrite": options.overwrite}
            return [*write_wild(place, wild, options.count, progress=bar.advance, **how).values()]
    settings = _settings(options)
    console.notes((*settings.camera.assumptions, *settings.rig.notes))
    levels: tuple[Level, ...] = LEVELS if options.level == "all" else (options.level,)
    timing = _timing(options)
    with console.bar(len(levels) * options.count, "image") as bar:
        folders = write_dataset(
            place, settings, levels, options.count, overwrite=options.overwrite, progress=bar.advance, timing=timing
        )
    return [*folders.values()]


def _check_for_level(options: "SynthOptions") -> None:
    """Refuse options of level wild with other levels, and those of sequences with it. Raises UsageError."""
    if options.level == "wild":
        if options.sequence:
            raise click.UsageError("--sequence: level wild has single images only; choose another --level")
        _refuse_timing("level wild has single images only; choose another --level")
        return
    given = {"--object": options.held, "--other-hand": options.other_hand, "--masks": options.masks or None}
    for name, value in given.items():
        if value is not None:
            raise click.UsageError(f"{name} is for level wild: give --level wild as well")


def _place(out: Path | None, output: Path | None) -> Path:
    """The folder of OUT or -o. Raises UsageError unless exactly one is given."""
    if out is not None and output is not None:
        raise click.UsageError("OUT and -o are the same: give one of them")
    place = out if output is None else output
    if place is None:
        raise click.UsageError("Missing argument 'OUT': the folder to write into")
    return place


def _timing(options: "SynthOptions") -> "Timing | None":
    """How a sequence runs, None for single images. Raises UsageError."""
    from handopt.synth.sequence import Timing

    if not options.sequence:
        _refuse_timing("give --sequence as well")
        return None
    dropout = options.dropout
    if dropout is not None and not all(number >= 0 and number == int(number) for number in dropout):
        raise click.UsageError("--dropout FIRST,COUNT needs two whole numbers from 0")
    frames = None if dropout is None else (int(dropout[0]), int(dropout[1]))
    return Timing(options.fps, options.speed, frames)


def _refuse_timing(remedy: str) -> None:
    """Refuse the options of a sequence where there is none. Raises UsageError."""
    context = click.get_current_context()
    for name in ("fps", "speed", "dropout"):
        if context.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT:
            raise click.UsageError(f"--{name} is for a sequence: {remedy}")


def _settings(options: "SynthOptions") -> "Settings":
    """Check the options and load what they name. Raises UsageError."""
    from handopt.synth.generate import CAMERA, Settings

    return Settings(
        seed=options.seed,
        camera=CAMERA if options.camera is None else _camera(options.camera),
        hand=options.hand or "right",
        noise=options.noise or "sr305",
        forearm=options.forearm,
        background=options.background,
        surface_rms_mm=options.surface_rms or 0.0,
        subject_seed=_subject_seed(options),
        rig=_right_rig(options),
    )


def _wild_settings(options: "SynthOptions") -> "WildSettings":
    """The same for level wild. Raises UsageError."""
    from handopt.synth.wild import WildSettings

    return WildSettings(
        seed=options.seed,
        hand=options.hand or "random",
        camera=None if options.camera is None else _camera(options.camera),
        noise=options.noise,
        held=options.held,
        other_hand=options.other_hand,
        forearm=options.forearm,
        background=options.background,
        surface_rms_mm=options.surface_rms,
        subject_seed=_subject_seed(options),
        rig=_right_rig(options),
    )


def _subject_seed(options: "SynthOptions") -> int | None:
    """The seed of the one person that all images show, None for many people."""
    return options.seed if options.one_subject and options.subject_seed is None else options.subject_seed


def _camera(spec: str) -> "Camera":
    """The camera of --camera; four numbers are those of the usual image size."""
    from handopt.errors import CameraError
    from handopt.input.camera_spec import load_camera

    with naming_option("--camera"):
        try:
            return load_camera(spec)
        except CameraError:
            if "," not in spec:
                raise
            return load_camera(spec, *SIZE)


def _right_rig(options: "SynthOptions") -> "Rig":
    """The right hand of --model, mirrored if it is a left one, or handopt's own."""
    from handopt.rig import default_rig

    rig = load_model(options, either_side=True)
    if rig is None:
        return default_rig("right", options.limits)
    return rig if rig.side == "right" else rig.mirrored()
