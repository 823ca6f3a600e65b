"""The commands of the program, each loaded when it is named, so that help and errors need not wait for all of them."""

from importlib import import_module
from typing import Final, NamedTuple

import click


class CommandEntry(NamedTuple):
    """Where a command is, and what the program's own help says of it."""

    module: str
    name: str
    short_help: str


COMMANDS: Final = {
    "adapt": CommandEntry("adapt", "adapt", "Refine a network on depth frames without labels."),
    "compare": CommandEntry("compare", "compare", "Compare two networks over a sequence."),
    "completion": CommandEntry("completion", "completion", "Print a script for shell completion."),
    "eval": CommandEntry("eval", "evaluate", "Score results against labels."),
    "export": CommandEntry("export", "export", "Write results as labels of other programs."),
    "fit": CommandEntry("fit", "fit", "Fit the hand to depth images."),
    "info": CommandEntry("info", "info", "Show versions, kernels, devices and camera presets."),
    "model": CommandEntry("model", "model", "Inspect hand rigs and networks."),
    "predict": CommandEntry("predict", "predict", "Let a network see the hand, without a fit."),
    "report": CommandEntry("report", "report", "Look through many fits, and accept or reject them."),
    "shape": CommandEntry("shape", "shape", "Make a personal hand from depth images."),
    "synth": CommandEntry("synth", "synth", "Make labelled synthetic depth images."),
    "track": CommandEntry("track", "track", "Follow a hand through a sequence."),
    "train": CommandEntry("train", "train", "Train a network that proposes poses."),
    "video": CommandEntry("video", "video", "Turn results into videos."),
    "view": CommandEntry("view", "view", "Show results in 3D in a browser."),
}


def load_command(name: str) -> click.Command:
    """The command of a name in COMMANDS."""
    entry = COMMANDS[name]
    command: click.Command = getattr(import_module(f"handopt.cli.{entry.module}"), entry.name)
    command.short_help = entry.short_help
    return command
