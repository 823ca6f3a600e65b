"""`handopt train`."""

import dataclasses
import json
import sys
from typing import TYPE_CHECKING, Any

import click

from handopt.cli.console import Console
from handopt.cli.errors import naming_option
from handopt.cli.help import SectionedCommand, option
from handopt.cli.options import compute_options, json_option, learner_options, output_options, verbosity_options
from handopt.cli.outputs import remove_leftovers, require_writable
from handopt.cli.rigs import named_network
from handopt.cli.stop_signal import StopOnSignal
from handopt.cli.values import Minutes

if TYPE_CHECKING:
    from handopt.cli.settings import TrainOptions
    from handopt.learning.settings import TrainSettings
    from handopt.learning.training import Progress
    from handopt.proposals.model_file import PoseModel


@click.command(
    cls=SectionedCommand,
    examples=(
        ("train for 40 minutes, with images from two processes", "handopt train -o base.npz --time 40m --workers 2"),
        ("go on where Ctrl-C, a full disk or a power cut has ended it",
         "handopt train -o base.npz --time 40m --workers 2 --resume"),
        ("see whether everything works, in a minute or two", "handopt train -o small.npz --steps 40"),
    ),
)  # fmt: skip
@option(
    "Training",
    "--time",
    "minutes",
    type=Minutes(),
    metavar="TIME",
    help="Train for so long, such as 40m or 2h, all runs with --resume together.  [default: until --steps]",
)
@option(
    "Training",
    "--steps",
    type=click.IntRange(min=1, max=10_000_000),
    metavar="N",
    help="Train for at most so many steps.  [default: 20000]",
)
@option(
    "Training",
    "--from",
    "begin",
    metavar="MODEL",
    help="Begin with the weights of a model, or of handopt's own network by the word handopt.  [default: random ones]",
)
@option(
    "Training",
    "--bfloat16",
    is_flag=True,
    help="Multiply numbers of 16 bits, for GPUs and processors with avx512_bf16 or amx_bf16, where a step takes two "
    "thirds of the time; weights and losses keep 32 bits.",
)
@option("Training", "--resume", is_flag=True, help="Go on from the last checkpoint of a training that was stopped.")
@learner_options("Processes that render images; with 0 they are rendered in between.", "Threads that train.")
@compute_options("Computing")
@output_options("MODEL", "The model, a file that ends in .npz.", replaces="a model that exists, and its checkpoints")
@json_option("the scores")
@verbosity_options
def train(**arguments: Any) -> None:
    """Train a network that proposes poses of a hand, on images that are rendered on the fly.

    It needs PyTorch: pip install '.[train]'. Nothing is downloaded, and no real image is used. MODEL is written
    whenever the network is scored. Beside it, in MODEL-training, are the learning curves as curve.csv and curve.png
    (with Matplotlib), and every two minutes a checkpoint. The same --steps, --seed and --threads give the same model,
    however many --workers there are.

    One line goes to stdout: the model, and the mean errors in mm of the likeliest hypothesis, of the best one, and of
    the joints that the network sees.
    """
    from handopt.cli.settings import TrainOptions
    from handopt.errors import import_extra

    options = TrainOptions(**arguments)
    if options.output is None:
        raise click.UsageError("-o MODEL is missing: say where the model is to be written, such as -o base.npz")
    import_extra("torch", "training", "train")
    from handopt.learning.train import check_free

    remove_leftovers(options.output.parent)
    with naming_option("-o"):
        check_free(options.output, resume=options.resume, overwrite=options.overwrite)
    require_writable(options.output.parent)
    scores, stopped = _train(options, Console())
    if stopped.stopped:
        sys.exit(stopped.exit_code)
    if options.as_json:
        click.echo(json.dumps({"model": str(options.output), **scores}))
    else:
        errors = (f"{scores[name]:.2f}" for name in ("likeliest_mm", "best_mm", "votes_mm"))
        click.echo("\t".join((click.format_filename(options.output), *errors)))


def _settings(options: "TrainOptions") -> "TrainSettings":
    from handopt.learning.settings import TrainSettings

    with naming_option("--config"):
        settings = TrainSettings() if options.config is None else TrainSettings.from_toml(options.config)
    if options.steps is not None:
        settings = dataclasses.replace(settings, steps=options.steps)
    return dataclasses.replace(settings, bfloat16=True) if options.bfloat16 else settings


def _beginning(options: "TrainOptions") -> "PoseModel | None":
    """The model to begin with. Raises UsageError."""
    if options.begin is None:
        return None
    from handopt.proposals import default_model

    return named_network(options.begin, "--from") or default_model()


def _train(options: "TrainOptions", console: Console) -> tuple[dict[str, float], StopOnSignal]:
    """Train; the scores, and whether the user has stopped it."""
    from handopt.learning.train import train as train_model
    from handopt.learning.training import folder_of

    assert options.output is not None
    settings, begin, until = _settings(options), _beginning(options), StopOnSignal()
    unit = "step" if options.minutes is None else "second"
    total = settings.steps if options.minutes is None else max(1, round(60 * options.minutes))
    with console.bar(total, unit, "training") as bar, until:

        def watched(state: "Progress") -> bool:
            bar.remark = "" if options.minutes is None else f", step {state.step}"
            if state.scores:
                bar.remark += f", joints {state.scores['votes_mm']:.1f} mm off"
            bar.to(min(total, state.step if options.minutes is None else int(total * state.share)))
            return not until.stopped

        scores = train_model(
            options.output,
            settings,
            seed=options.seed,
            minutes=options.minutes,
            workers=options.workers,
            threads=options.threads,
            device=options.device,
            resume=options.resume,
            overwrite=options.overwrite,
            begin=begin,
            progress=watched,
            note=console.note,
        )
    folder = click.format_filename(folder_of(options.output))
    if until.stopped:
        console.error(f"Stopped: {folder} has a checkpoint; go on with --resume.", kind="")
    else:
        console.say(f"{folder} has the learning curves.")
    return scores, until
