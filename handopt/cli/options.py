"""Options that commands share, each declared once so that it means the same everywhere."""

from collections.abc import Callable
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from handopt.cli.errors import QUIET, VERBOSITY
from handopt.cli.help import EXPERT, OTHER, Command, option
from handopt.cli.values import Choice, Encoding, Numbers, Positive

LIMITS = ("default", "swapped", "printed")
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def _all(command: Command, *options: Callable[[Command], Command]) -> Command:
    """Add options to a command so that they stand in its help in this order."""
    for each in reversed(options):
        command = each(command)
    return command


# ------------------------------------------------------------------------------------------------- input


def _complete_camera(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of presets, and files."""
    from handopt.input.camera import presets

    names = [CompletionItem(name) for name in presets() if name.startswith(incomplete)]
    return [*names, CompletionItem(incomplete, type="file")]


def camera_option(section: str, text: str) -> Callable[[Command], Command]:
    """--camera, under a heading and with a help text."""
    return option(section, "--camera", metavar="CAMERA", shell_complete=_complete_camera, help=text)


def depth_options(command: Command) -> Command:
    """--camera, --unit, --mirrored, --ignore and --encoding."""
    return _all(
        command,
        camera_option(
            "Input",
            "Intrinsics: a preset (handopt info lists them), a JSON file with fx, fy, cx, cy, width and height, "
            "or the numbers fx,fy,cx,cy.  [default: <stem>.json or camera.json beside the image]",
        ),
        option(
            "Input",
            "--unit",
            type=Positive(),
            metavar="MM",
            help="Length of one count in mm.  [default: from the JSON file or the preset, else a guess that is "
            "reported]",
        ),
        option(
            "Input",
            "--mirrored/--no-mirrored",
            default=None,
            help="The images are mirrored left to right, as some SDKs give them: results and pictures are of the true "
            "scene, --camera and --hand as well.  [default: what the JSON file says, else --no-mirrored]",
        ),
        option(
            "Input",
            "--ignore",
            type=click.Path(exists=True, path_type=Path),
            metavar="MASK",
            help="Image or .npy, nonzero on pixels to leave out, such as a held object: they count neither for nor "
            "against a pose. Or a folder of them, named like the images.",
        ),
        option(
            EXPERT,
            "--encoding",
            type=Encoding(),
            default="auto",
            show_default=True,
            metavar="ENCODING",
            help="How pixels hold depth: auto; raw, one channel; nyu, green * 256 + blue; or, for files without a "
            "header, WIDTHxHEIGHT:TYPE such as 640x480:uint16.",
        ),
    )


def place_options(command: Command) -> Command:
    """--mask, --box and --center."""
    return _all(
        command,
        option(
            "Input", "--mask", type=FILE, metavar="FILE", help="Image or .npy, nonzero on the hand; for a single image."
        ),
        option(
            "Input",
            "--box",
            type=Numbers(4),
            metavar="X0,Y0,X1,Y1",
            help="Two corners, in pixels, of a box around the hand; for a single image.",
        ),
        option(
            "Input",
            "--center",
            type=Numbers(2, 3),
            metavar="U,V|X,Y,Z",
            help="The palm's centre, as a pixel or in mm; for a single image.",
        ),
    )


# -------------------------------------------------------------------------------------------------- hand


RIG_FILES = "glTF, GLB, VRM, FBX, or a .pkl or .npz of MANO"


def model_option(text: str = f"A rigged hand: {RIG_FILES}.") -> Callable[[Command], Command]:
    """--model, with a help text."""
    return option("Hand", "--model", type=FILE, metavar="RIG", help=f"{text}  [default: handopt's own]")


def rig_options(command: Command) -> Command:
    """--joint-map, --part and --limits."""
    return _all(
        command,
        option(
            EXPERT,
            "--joint-map",
            type=FILE,
            metavar="FILE",
            help='TOML or JSON file of lines like wrist = "name in the rig", for a rig whose joints are not named as '
            "in WebXR or OpenXR.",
        ),
        option(
            EXPERT,
            "--part",
            metavar="NAME",
            help="Which hand of a character is meant: the name of its wrist's joint, or right or left.",
        ),
        option(
            EXPERT,
            "--limits",
            type=Choice(LIMITS),
            default="default",
            help="Joint limits: the paper's Table 1 as printed, with its rows Index and Thumb swapped, or swapped and "
            "adapted to the rig (the default).",
        ),
    )


def hand_options(hand: str, model: str = f"A rigged hand: {RIG_FILES}.") -> Callable[[Command], Command]:
    """--hand, --model, --joint-map and --limits, with what --hand auto does and what --model is."""

    def decorate(command: Command) -> Command:
        return _all(
            command,
            option("Hand", "--hand", type=Choice(["right", "left", "auto"]), help=f"Which hand it is; {hand}"),
            model_option(model),
            rig_options,
        )

    return decorate


def keypoints_option(command: Command) -> Command:
    """--keypoints."""
    return option(
        EXPERT,
        "--keypoints",
        type=Choice(["auto", "rig", "default"]),
        help="Where the 21 joints of the results lie in a --model: at the joints of that rig, or, but the wrist and "
        "the thumb's CMC, at the places of the hand where handopt's own hand has them, told from the skin; auto takes "
        "these where that rig's joints lie clearly elsewhere, more than 5 mm on average, and says so.  [default: auto]",
    )(command)


def proposals_option(name: str, section: str, text: str) -> Callable[[Command], Command]:
    """--proposals, or --model of handopt predict: a network of handopt train."""
    return option(
        section, name, "proposals", type=FILE, metavar="MODEL", help=f"{text}  [default: handopt's own network]"
    )


# ----------------------------------------------------------------------------------------------- compute


def seed_option(section: str = EXPERT) -> Callable[[Command], Command]:
    """--seed."""
    return option(
        section,
        "--seed",
        type=click.IntRange(min=0),
        default=0,
        show_default=True,
        metavar="N",
        help="Random seed.",
    )


def learner_options(workers: str, threads: str) -> Callable[[Command], Command]:
    """--workers and --threads of a command that trains a network. workers, threads: what they do."""
    return lambda command: _all(
        command,
        option(
            "Computing", "--workers", type=click.IntRange(0, 256), default=1, show_default=True, metavar="N",
            help=workers,
        ),
        option(
            "Computing", "--threads", type=click.IntRange(1, 256), default=1, show_default=True, metavar="N",
            help=threads,
        ),
    )  # fmt: skip


def compute_options(section: str) -> Callable[[Command], Command]:
    """--device, in a section of the help, and --config and --seed for experts."""

    def decorate(command: Command) -> Command:
        return _all(
            command,
            option(
                section,
                "--device",
                default="auto",
                show_default=True,
                metavar="DEVICE",
                help="Where to compute: auto, cpu, cuda or cuda:N.",
            ),
            option(
                EXPERT,
                "--config",
                type=FILE,
                metavar="FILE",
                help="TOML file with weights, stages and other settings.",
            ),
            seed_option(),
        )

    return decorate


# ------------------------------------------------------------------------------------------------ output


def output_options(
    metavar: str, text: str, *, replaces: str, default: str | None = None
) -> Callable[[Command], Command]:
    """-o and --overwrite. replaces: what the latter replaces."""

    def decorate(command: Command) -> Command:
        return _all(
            command,
            option(
                "Output",
                "-o",
                "--output",
                type=click.Path(path_type=Path),
                default=default,
                show_default=default is not None,
                metavar=metavar,
                help=text,
            ),
            option("Output", "--overwrite", is_flag=True, help=f"Replace {replaces}."),
        )

    return decorate


def renders_option(text: str, default: bool | None) -> Callable[[Command], Command]:
    """--renders and --no-renders. text: which they are by default."""
    return option(
        "Output",
        "--renders/--no-renders",
        default=default,
        help=f"Also write a render of every iteration.  [default: {text}]",
    )


def video_option(name: str, *, default: bool) -> Callable[[Command], Command]:
    """--video and --no-video. name: of the file."""
    return option(
        "Output",
        "--video/--no-video",
        default=default,
        help=f"Also write {name}.  [default: --{'' if default else 'no-'}video]",
    )


def json_option(what: str) -> Callable[[Command], Command]:
    """--json, with what each object is."""
    return option("Output", "--json", "as_json", is_flag=True, help=f"Print {what} as JSON, one object a line.")


def many_images_options(command: Command) -> Command:
    """--recursive, --jobs and --null, of commands that take many images."""
    return _all(
        command,
        option("Many images", "-r", "--recursive", is_flag=True, help="Search the folders in a folder as well."),
        option(
            "Many images",
            "-j",
            "--jobs",
            type=click.IntRange(min=1),
            metavar="N",
            help="Processes on this machine.  [default: one a core, and one for each 8 images at most]",
        ),
        option(
            EXPERT,
            "-0",
            "--null",
            is_flag=True,
            help="Names on standard input end with a zero byte, as find -print0 writes them.",
        ),
    )


# ----------------------------------------------------------------------------------------------- talking


def _remember_verbosity(ctx: click.Context, _parameter: click.Parameter, value: int) -> None:
    ctx.meta[VERBOSITY] = value


def _remember_quiet(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
    ctx.meta[QUIET] = value


def verbosity_options(command: Command) -> Command:
    """-v and -q, which the console knows of."""
    return _all(
        command,
        option(
            OTHER,
            "-v",
            "--verbose",
            count=True,
            expose_value=False,
            callback=_remember_verbosity,
            help="Say more; -vv also shows the traceback of an error.",
        ),
        option(
            OTHER,
            "-q",
            "--quiet",
            is_flag=True,
            expose_value=False,
            callback=_remember_quiet,
            help="Print nothing but results and errors.",
        ),
    )
