"""Measure handopt track on synthetic sequences: accuracy, recovery, jitter, lag, speed.

python scripts/bench/bench_track.py --frames 300 --sequences 4
"""

import argparse
import os
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from handopt.assess.config import ASSESS
from handopt.evaluation.motion import jitter, lag
from handopt.fitting import fit
from handopt.input.camera import Camera
from handopt.input.sequence.base import SequenceFrame
from handopt.rig import Rig, default_rig
from handopt.synth.generate import CAMERA, Settings
from handopt.synth.sequence import Timing, generate_sequence
from handopt.tracking.run import Run
from handopt.tracking.track import Track

Floats = NDArray[np.float64]

FPS = 30.0
WRONG_MM = 30.0
DROPOUT = 10
FIRST_SEED = 4100
SURE_MM = 20.0


@dataclass(frozen=True)
class Sequence:
    """depth: (T, H, W) counts of 1 mm; joints: (T, 21, 3) mm; visible: (T, 21)."""

    depth: NDArray[np.uint16]
    joints: Floats
    visible: NDArray[np.bool_]

    @property
    def seen(self) -> NDArray[np.bool_]:
        """Frames with anything measured."""
        return np.asarray(self.depth.reshape(len(self.depth), -1).any(axis=1))


def sequence(
    level: str,
    seed: int,
    frames: int,
    *,
    speed: float = 1.0,
    dropout: bool = True,
    camera: Camera = CAMERA,
    surface_rms_mm: float = 0.0,
    noise: str = "sr305",
    rig: Rig | None = None,
) -> Sequence:
    """Make a sequence, with a dropout of 10 frames in the middle. rig: a right hand, the default one if None"""
    hand = rig or default_rig("right")
    settings = Settings(seed=seed, camera=camera, surface_rms_mm=surface_rms_mm, noise=noise, rig=hand)
    timing = Timing(FPS, speed, (frames // 2, DROPOUT) if dropout else None)
    samples = [sample for sample, _ in generate_sequence(settings, level, frames, timing)]
    return Sequence(
        np.array([sample.counts for sample in samples]),
        np.array([sample.scene.joints for sample in samples]),
        np.array([sample.scene.visible(sample.hand.scale) for sample in samples]),
    )


def tracked(given: Sequence, *, smooth: bool) -> tuple[Track, float]:
    """The track, and the CPU seconds of this thread per frame."""
    run = Run(CAMERA, "right", smooth=smooth, fps=FPS)
    started = time.thread_time()
    for index, depth in enumerate(given.depth):
        run.push(SequenceFrame(index, str(index), depth.astype(np.float32), index / FPS))
    seconds = time.thread_time() - started
    return run.track("bench", FPS), seconds / len(given.depth)


def moving(levels: list[str], first: int, count: int, frames: int) -> None:
    """Accuracy, recovery, lag and speed on moving hands."""
    pooled: dict[tuple[str, bool], list[Floats]] = {}
    beyond: dict[tuple[str, bool], int] = {}
    for level in levels:
        for number in range(count):
            given = sequence(level, first + number, frames)
            after = frames // 2 + DROPOUT
            for smooth in (True, False):
                result, seconds = tracked(given, smooth=smooth)
                joints = result.joints_mm()
                errors = np.linalg.norm(joints - given.joints, axis=2)
                known = given.seen & result.known
                worst = np.where(given.visible, errors, 0).max(axis=1)
                wrong = np.flatnonzero(known & (worst > WRONG_MM))
                excused = wrong[(wrong >= after) & (wrong <= after)]
                lost = int((given.seen & ~result.tracked).sum())
                beyond[level, smooth] = beyond.get((level, smooth), 0) + len(wrong) - len(excused)
                pooled.setdefault((level, smooth), []).append(errors[known])
                visible = np.median(errors[known][given.visible[known]])
                sure = known & (result.confidence >= ASSESS.confident)
                print(
                    f"{level} {number} {'smooth' if smooth else 'causal'}: median {np.median(errors[known]):.2f} mm, "
                    f"visible {visible:.2f} mm; beyond 30 mm {len(wrong) - len(excused)} frames {wrong[:8].tolist()}, "
                    f"not tracked {lost}; found from scratch {int(result.refitted.sum())}; "
                    f"lag {lag(joints, given.joints) or 0:+.2f} frames; "
                    f"sure of {sure.sum()}, of these {(worst[sure] < SURE_MM).mean():.2%} within 20 mm; "
                    f"{result.seconds / frames * 1e3:.1f} ms a frame "
                    f"(CPU {seconds * 1e3:.1f})",
                    flush=True,
                )
    for smooth in (True, False):
        for level in levels:
            print(f"{level} {'smooth' if smooth else 'causal'}: beyond 30 mm {beyond[level, smooth]} frames")
            own = np.concatenate(pooled[level, smooth])
            print(f"{level} {'smooth' if smooth else 'causal'}: median of all joints {np.median(own):.2f} mm")
        everything = np.concatenate([each for level in levels for each in pooled[level, smooth]])
        print(f"all {'smooth' if smooth else 'causal'}: median of all joints {np.median(everything):.2f} mm")


def still(count: int, frames: int) -> None:
    """Jitter on hands that hold still, against fits of each frame alone."""
    rates = []
    for number in range(count):
        given = sequence("medium", FIRST_SEED + 100 + number, frames, speed=0.0, dropout=False)
        times = np.arange(frames) / FPS
        alone = np.array([fit(depth.astype(np.float32), CAMERA).joints_mm for depth in given.depth])
        followed = [tracked(given, smooth=smooth)[0].joints_mm() for smooth in (True, False)]
        values = [jitter(each, times) or np.nan for each in (alone, *followed)]
        rates.append(values)
        print(
            f"still {number}: m/s^2 alone {values[0]:.2f}, smooth {values[1]:.3f}, causal {values[2]:.3f}", flush=True
        )
    ratio = np.array(rates)[:, :1] / np.array(rates)[:, 1:]
    print(
        f"less jitter than fits alone, by a factor of: smooth {ratio[:, 0].min():.1f} to {ratio[:, 0].max():.1f}, ",
        end="",
    )
    print(f"causal {ratio[:, 1].min():.1f} to {ratio[:, 1].max():.1f}")


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--sequences", type=int, default=4, help="of each level")
    parser.add_argument("--seed", type=int, default=FIRST_SEED, help="of the first sequence of each level")
    parser.add_argument("--levels", default="medium,hard")
    parser.add_argument("--still", type=int, default=3, help="how many still hands")
    parser.add_argument("--still-frames", type=int, default=60)
    arguments = parser.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    if arguments.sequences:
        moving(arguments.levels.split(","), arguments.seed, arguments.sequences, arguments.frames)
    if arguments.still:
        still(arguments.still, arguments.still_frames)


if __name__ == "__main__":
    main()
