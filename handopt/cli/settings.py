"""Options of the commands as typed values: what click parsed goes on in these, and in no dictionary.

A command's own class adds its options to the shared ones, and is made from click's keyword arguments at the command's
first line: an option without a field, or a field without an option, is a TypeError.
"""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class DepthOptions:
    """--camera, --unit in mm per count, and --encoding."""

    camera: str | None
    unit: float | None
    encoding: str


@dataclass(frozen=True, kw_only=True)
class HandOptions:
    """--hand, and the rig: --model, --joint-map, --limits."""

    hand: str | None
    model: Path | None
    joint_map: Path | None
    limits: str


@dataclass(frozen=True, kw_only=True)
class ComputeOptions:
    """--device and --seed."""

    device: str
    seed: int


@dataclass(frozen=True, kw_only=True)
class VerbosityOptions:
    """-v, as often as it was given, and -q."""

    verbose: int
    quiet: bool

    @property
    def verbosity(self) -> int:
        """How much to say: -1 with -q, else how often -v was given."""
        return -1 if self.quiet else self.verbose


@dataclass(frozen=True, kw_only=True)
class FitOptions(DepthOptions, HandOptions, ComputeOptions, VerbosityOptions):
    """The options of `handopt fit`."""

    mask: Path | None
    box: tuple[float, ...] | None
    center: tuple[float, ...] | None
    shape: str | None
    solver: str | None
    config: Path | None
    output: Path
    overwrite: bool
    update: bool
    renders: bool | None
    no_overlay: bool
    video: bool
    ply: bool
    obj: bool
    as_json: bool
    recursive: bool
    null: bool
    jobs: int | None
    batch: int | None
    workers: int | None
    cluster: str | None


@dataclass(frozen=True, kw_only=True)
class ShapeOptions(DepthOptions, HandOptions, ComputeOptions, VerbosityOptions):
    """The options of `handopt shape`."""

    config: Path | None
    output: Path
    overwrite: bool
    no_renders: bool
    video: bool
    as_json: bool


@dataclass(frozen=True, kw_only=True)
class TrackOptions(DepthOptions, HandOptions, ComputeOptions, VerbosityOptions):
    """The options of `handopt track`."""

    live: bool
    frames: int | None
    fps: float | None
    smooth: bool | None
    output: Path | None
    overwrite: bool
    no_video: bool
    as_json: bool
