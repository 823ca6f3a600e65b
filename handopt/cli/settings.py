"""Options of the commands as typed values: what click parsed goes on in these, and in no dictionary.

A command's own class adds its options to the shared ones, and is made from click's keyword arguments at the command's
first line: an option without a field, or a field without an option, is a TypeError.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class DepthOptions:
    """--camera, --unit in mm per count, --mirrored, --ignore, and --encoding."""

    camera: str | None
    unit: float | None
    mirrored: bool | None
    ignore: Path | None
    encoding: str


@dataclass(frozen=True, kw_only=True)
class HandOptions:
    """--hand, and the rig: --model, --joint-map, --part, --limits; of fit and track also --keypoints (None: auto)."""

    hand: str | None
    model: Path | None
    joint_map: Path | None
    part: str | None
    limits: str
    keypoints: Literal["auto", "rig", "default"] | None = "rig"


@dataclass(frozen=True, kw_only=True)
class ComputeOptions:
    """--device, --config and --seed."""

    device: str
    config: Path | None
    seed: int


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """--overwrite, --video and --json."""

    overwrite: bool
    video: bool
    as_json: bool


@dataclass(frozen=True, kw_only=True)
class FitOptions(DepthOptions, HandOptions, ComputeOptions, OutputOptions):
    """The options of `handopt fit`."""

    mask: Path | None
    box: tuple[float, ...] | None
    center: tuple[float, ...] | None
    topic: str | None
    shape: str | None
    solver: str | None
    output: Path
    update: bool
    verify: bool
    review: Path | None
    renders: bool | None
    overlay: bool | None
    ply: bool
    obj: bool
    masks: bool
    recursive: bool
    null: bool
    max_hands: int
    jobs: int | None
    batch: int | None
    workers: int | None
    cluster: str | None
    view: bool
    port: int
    browser: bool
    proposals: Path | None
    refine: int | None = None
    colour: bool = False


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """The options of `handopt train`. begin: --from; minutes: --time."""

    output: Path | None
    overwrite: bool
    resume: bool
    begin: str | None
    steps: int | None
    bfloat16: bool
    minutes: float | None
    workers: int
    threads: int
    device: str
    config: Path | None
    seed: int
    as_json: bool


@dataclass(frozen=True, kw_only=True)
class AdaptOptions(DepthOptions):
    """The options of `handopt adapt`. model: --from; minutes: --time."""

    topic: str | None
    hand: str | None
    model: Path | None
    shape: str
    iterations: int | None
    minutes: float | None
    resume: bool
    workers: int
    threads: int
    config: Path | None
    seed: int
    output: Path | None
    overwrite: bool
    as_json: bool


@dataclass(frozen=True, kw_only=True)
class CompareOptions(DepthOptions, ComputeOptions, OutputOptions):
    """The options of `handopt compare`."""

    topic: str | None
    frames: int | None
    labels: Path | None
    hand: str | None
    output: Path | None


@dataclass(frozen=True, kw_only=True)
class ShapeOptions(DepthOptions, HandOptions, ComputeOptions, OutputOptions):
    """The options of `handopt shape`."""

    output: Path
    renders: bool


@dataclass(frozen=True, kw_only=True)
class TrackOptions(DepthOptions, HandOptions, ComputeOptions, OutputOptions):
    """The options of `handopt track`."""

    live: bool
    frames: int | None
    fps: float | None
    max_hands: int
    smooth: bool | None
    delay: int | None
    stream: tuple[str, ...]
    view: bool
    port: int
    browser: bool
    topic: str | None
    proposals: Path | None
    output: Path | None
    colour: bool = False
    refine: int | None = None  # these two only of handopt predict
    jobs: int | None = None


@dataclass(frozen=True, kw_only=True)
class SynthOptions:
    """The options of `handopt synth`."""

    count: int
    level: Literal["easy", "medium", "hard", "wild", "all"]
    seed: int
    camera: str | None
    noise: str | None
    forearm: bool | None
    background: bool | None
    sequence: bool
    fps: float
    speed: float
    dropout: tuple[float, ...] | None
    held: bool | None
    other_hand: bool | None
    masks: bool
    hand: Literal["right", "left", "random"] | None
    one_subject: bool
    subject_seed: int | None
    surface_rms: float | None
    model: Path | None
    joint_map: Path | None
    part: str | None
    limits: str
    keypoints: Literal["auto", "rig", "default"] | None
    output: Path | None
    overwrite: bool
    as_json: bool


@dataclass(frozen=True, kw_only=True)
class VideoOptions:
    """The options of `handopt video`."""

    panels: tuple[str, ...]
    turntable: bool
    size: int
    fps: float | None
    kind: str | None
    output: Path | None
    overwrite: bool
    as_json: bool


@dataclass(frozen=True, kw_only=True)
class EvalOptions:
    """The options of `handopt eval`."""

    labels: str | None
    camera: str | None
    names: Path | None
    coordinates: str
    pred_coordinates: str
    output: Path | None
    overwrite: bool
    as_json: bool


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """The options of `handopt export`."""

    format: str | None
    min_confidence: float
    review: Path | None
    root_relative: bool
    crop: int | None
    character: Path | None
    joint_map: Path | None
    mano: Path | None
    output: Path | None
    overwrite: bool
    as_json: bool


@dataclass(frozen=True, kw_only=True)
class ModelShowOptions:
    """The options of `handopt model show`."""

    save_joint_map: Path | None
    joint_map: Path | None
    part: str | None
    limits: str
    output: Path | None
    overwrite: bool
    as_json: bool
