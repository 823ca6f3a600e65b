"""`handopt adapt`."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from handopt.cli.adapt_frames import Frames
from handopt.cli.console import Console
from handopt.cli.errors import naming_option
from handopt.cli.help import EXPERT, SectionedCommand, option
from handopt.cli.inputs import ImageArgument
from handopt.cli.job import check_camera, check_ignore
from handopt.cli.options import (
    FILE,
    depth_options,
    json_option,
    learner_options,
    output_options,
    seed_option,
    verbosity_options,
)
from handopt.cli.outputs import remove_leftovers, require_writable
from handopt.cli.rigs import load_proposals
from handopt.cli.stop_signal import StopOnSignal
from handopt.cli.values import Choice, Minutes

if TYPE_CHECKING:
    from handopt.cli.settings import AdaptOptions
    from handopt.learning.adapt import Adapted
    from handopt.learning.adapt_settings import AdaptSettings
    from handopt.learning.training import Progress

SHAPES = ("none", "scale", "proportions", "vertices")


@click.command(
    cls=SectionedCommand,
    examples=(
        ("refine handopt's own network on a folder of frames of one person's hand",
         "handopt adapt frames -o mine.npz --workers 2"),
        ("a model of handopt train, on a recording, in 15 minutes at most",
         "handopt adapt take.bag --from base.npz -o mine.npz --time 15m"),
        ("go on where Ctrl-C or a power cut has ended it", "handopt adapt frames -o mine.npz --resume"),
        ("use it", "handopt predict other --model mine.npz"),
    ),
)  # fmt: skip
@click.argument("frames", metavar="FRAMES...", nargs=-1, required=True, type=ImageArgument())
@depth_options
@option("Input", "--topic", metavar="NAME", help="Topic of the depth images, where a ROS bag has several.")
@option(
    "Hand",
    "--hand",
    type=Choice(["right", "left", "auto"]),
    help="Which hand it is; auto takes the one that most of the first frames with a hand show.  [default: what the "
    "JSON files say, else auto]",
)
@option(
    "Learning",
    "--from",
    "model",
    type=FILE,
    metavar="MODEL",
    help="The model to refine, of handopt train or of handopt adapt.  [default: handopt's own network]",
)
@option(
    "Learning",
    "--shape",
    type=Choice(SHAPES),
    default="proportions",
    show_default=True,
    help="What of the hand's own shape, which all frames share, is found as well: nothing, its size, also its "
    "proportions, also its surface.",
)
@option(
    "Learning",
    "--iterations",
    type=click.IntRange(min=1, max=1_000_000),
    metavar="N",
    help="Learn for at most so many steps.  [default: 800]",
)
@option(
    "Learning",
    "--time",
    "minutes",
    type=Minutes(),
    metavar="TIME",
    help="Learn for so long at most, such as 15m; following the hand comes before.  [default: until --iterations]",
)
@option("Learning", "--resume", is_flag=True, help="Go on from the last checkpoint of an adaptation that was stopped.")
@learner_options("Processes that follow the hand first; with 0 this one does.", "Threads that learn.")
@option(EXPERT, "--config", type=FILE, metavar="FILE", help="TOML file with weights of the losses and other settings.")
@seed_option()
@output_options("MODEL", "The model, a file that ends in .npz.", replaces="a model that exists, and its checkpoints")
@json_option("the scores")
@verbosity_options
def adapt(frames: tuple[tuple[Path, ...], ...], **arguments: Any) -> None:
    """Refine a network on depth frames of one person's hand that nobody has labelled: images, folders of them,
    recordings, or stacks of frames.

    It needs PyTorch: pip install '.[train]'. The hand is followed through the frames first, as handopt track does it.
    Then the network learns from the poses that are certain, from renders of a hand of the size and proportions found so
    far (not with --shape none), from the difference between its hands, rendered, and the depth images, and from frames
    that follow one another, in which a hand moves smoothly. The hand's own shape is found meanwhile. Some frames are
    held out: they decide when to stop. On them, MODEL is never worse than the model it began with in how far its
    rendered hands are from the depth images, nor in its distance from certain poses, where at least 8 of them have one.
    The acceleration may be worse.

    Beside MODEL, in MODEL-adaptation, are curve.csv and curve.png (with Matplotlib), optimisation.mp4, which shows some
    frames over the steps, and hand.glb, the hand as a rig for --model of handopt fit. One line goes to stdout: the
    model, then on held-out frames, before and after, the distance from certain poses in mm and the mean acceleration of
    the joints in mm per frame², with tabs between them.
    """
    from handopt.cli.settings import AdaptOptions
    from handopt.errors import import_extra

    options = AdaptOptions(**arguments)
    if options.output is None:
        raise click.UsageError("-o MODEL is missing: say where the model is to be written, such as -o mine.npz")
    import_extra("torch", "adaptation", "train")
    from handopt.learning.adapt import check_free

    check_camera(options.camera)
    check_ignore(options.ignore)
    remove_leftovers(options.output.parent)
    with naming_option("-o"):
        check_free(options.output, resume=options.resume, overwrite=options.overwrite)
    require_writable(options.output.parent)
    console = Console()
    given = Frames([path for word in frames for path in word], options, console)
    adapted, stopped = _adapt(given, options, console)
    if adapted is None:
        console.error("Stopped: what was done is kept; go on with --resume.", kind="")
        sys.exit(stopped.exit_code)
    _say(adapted, options, console)


def _settings(options: "AdaptOptions") -> "AdaptSettings":
    import dataclasses

    from handopt.learning.adapt_settings import AdaptSettings

    with naming_option("--config"):
        settings = AdaptSettings() if options.config is None else AdaptSettings.from_toml(options.config)
    return settings if options.iterations is None else dataclasses.replace(settings, iterations=options.iterations)


def _adapt(given: Frames, options: "AdaptOptions", console: Console) -> "tuple[Adapted | None, StopOnSignal]":
    """Adapt; what came of it, None where the user has stopped it."""
    from handopt.learning.adapt import adapt as adapt_model

    assert options.output is not None
    settings, until = _settings(options), StopOnSignal()
    model = load_proposals(options.model, "--from")
    with until, console.parts() as show:
        adapted = adapt_model(
            given.read,
            options.output,
            settings,
            model=model,
            hand=given.hand,
            shape=options.shape,
            seed=options.seed,
            minutes=options.minutes,
            workers=options.workers,
            threads=options.threads,
            identity=given.identity(),
            resume=options.resume,
            overwrite=options.overwrite,
            fitted=_fitted(show, given, until),
            progress=_learning(show, settings.iterations, options.minutes, until),
            note=console.note,
        )
    return adapted, until


def _fitted(show: Callable[..., None], given: Frames, until: StopOnSignal) -> Callable[[int], bool]:
    def fitted(count: int) -> bool:
        show("following the hand", count, given.length or count, "frame")
        return not until.stopped

    return fitted


def _learning(
    show: Callable[..., None], iterations: int, minutes: float | None, until: StopOnSignal
) -> "Callable[[Progress], bool]":
    def learning(state: "Progress") -> bool:
        if minutes is None:
            show("learning", min(state.step, iterations), iterations)
        else:
            seconds = max(1, round(60 * minutes))
            show("learning", min(int(seconds * state.share), seconds), seconds, "second")
        return not until.stopped

    return learning


def _say(adapted: "Adapted", options: "AdaptOptions", console: Console) -> None:
    from handopt.learning.adapt import folder_of

    assert options.output is not None
    for name, reason in adapted.problems:
        console.error_about(name, reason, label="Left out")
    console.say_groups("frame")
    if not adapted.improved:
        console.note("Nothing was better on held-out frames: the model is the one that it began with.")
    console.say(
        f"{adapted.frames} frames of a {adapted.side} hand were used; "
        f"{click.format_filename(folder_of(options.output))} has curves, the video and the hand as a rig."
    )
    if options.as_json:
        facts = {"model": str(options.output), "improved": adapted.improved, "step": adapted.step}
        scores = {"held_out": adapted.scores, "held_out_before": adapted.before}
        console.result(json.dumps({**facts, "hand": adapted.side, "frames": adapted.frames, **scores}))
        return
    numbers = [each[name] for name in ("fits_mm", "jitter_mm") for each in (adapted.before, adapted.scores)]
    shown = ["-" if each is None else f"{each:.2f}" for each in numbers]
    console.result("\t".join((click.format_filename(options.output), *shown)))
