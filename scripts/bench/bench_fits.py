#!/usr/bin/env python3
"""Fit every depth image of a folder with no hint but camera and side, and print how well the joints were found.

DATA_DIR holds either one folder per level (easy, medium, hard) or the images themselves. Beside each PNG stands
NAME.json or, for all images of a folder, camera.json, with camera, unit_mm and hand, and one of these sets of labels:
  joints_mm                    21 keypoints in the camera's frame (and visible, 21 booleans)
  joint_names, joints_xyz_mm   the 14 joints of the NYU Hand Pose set, compared through handopt.evaluation.mapping
  neither                      depth residual and silhouette overlap only: look at the overlays
"""

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from handopt import Camera, Config, HandoptError, fit, read_depth
from handopt.draw.overlay import write_overlay
from handopt.evaluation.mapping import NYU, map_keypoints
from handopt.evaluation.metrics import frame_means, frame_worst, joint_errors, share_within

PROJECT = Path(__file__).resolve().parents[2]
VISIBLE_LIMIT_MM = 20.0
ALL_LIMIT_MM = 40.0
ABLATIONS = ("proposals", "tournament", "mutation", "second-direction", "size")
THUMBNAIL_PX = 900
SHEET_COLUMNS = 2


@dataclass(frozen=True)
class Case:
    """One image to fit, with what is known about it."""

    group: str
    image: Path
    labels: dict[str, Any]

    @property
    def kind(self) -> str:
        """Which labels there are: 'keypoints', 'nyu' or 'none'."""
        if "joints_mm" in self.labels:
            return "keypoints"
        return "nyu" if "joints_xyz_mm" in self.labels else "none"


@dataclass(frozen=True)
class Settings:
    """What is the same for every image."""

    overlays: Path | None
    device: str
    seed: int
    shape: str
    without: str = ""


def collect_cases(folder: Path, levels: list[str]) -> list[Case]:
    """Find the images of a folder and their labels. Raises FileNotFoundError."""
    groups = [folder / level for level in levels if (folder / level).is_dir()] or [folder]
    cases = []
    for group in groups:
        for image in sorted(group.glob("*.png")):
            beside = [image.with_suffix(".json"), group / "camera.json"]
            labels = next((path for path in beside if path.is_file()), None)
            if labels is None:
                raise FileNotFoundError(f"{image} has neither {beside[0].name} nor camera.json beside it")
            cases.append(Case(group.name, image, json.loads(labels.read_text(encoding="utf-8"))))
    if not cases:
        raise FileNotFoundError(f"no PNG images in {folder}")
    return cases


def keypoint_scores(joints: ArrayLike, truth: ArrayLike, visible: ArrayLike | None = None) -> dict[str, float]:
    """Compare keypoints with the truth, by the measures of handopt.evaluation.metrics.

    joints, truth: (J, 3) mm. visible: (J,) booleans, all true if None.
    Returns the mean and the largest error over all joints and the largest over visible ones (NaN if none is), in mm.
    """
    errors = joint_errors(np.asarray(joints)[None], np.asarray(truth)[None])
    seen = None if visible is None else np.asarray(visible, dtype=bool)[None]
    measures = {"mean": frame_means(errors), "max": frame_worst(errors), "max_visible": frame_worst(errors, seen)}
    return {name: float(values[0]) for name, values in measures.items()}


def nyu_scores(joints: ArrayLike, names: list[str], truth: ArrayLike) -> dict[str, float]:
    """Compare keypoints (21, 3) mm with the NYU labels `names` (N, 3) mm. Returns mean and largest error in mm."""
    mapped = map_keypoints(joints, NYU)[[NYU.joints.index(name) for name in names]]
    scores = keypoint_scores(mapped, truth)
    return {"mean": scores["mean"], "max": scores["max"]}


def ablated(part: str) -> Config:
    """The default settings without a part of the method.

    size: the hand keeps the rig's size (fit_case sees to it). proposals: fixed starts instead. tournament: the single
    best proposal goes through all rounds alone, once. mutation: no finger is redrawn or exchanged. second-direction:
    vertices may show anywhere.
    """
    config = Config()
    if part == "proposals":
        return replace(config, proposals=0)
    if part == "second-direction":
        return replace(config, weights=replace(config.weights, silhouette=0.0))
    if part == "mutation":
        return replace(config, rounds=tuple(each for each in config.rounds if not each.mutations))
    if part == "tournament":
        rounds = [replace(each, top_k_in=min(1, each.top_k_in), top_k_out=1, mutations=0) for each in config.rounds]
        return replace(config, rounds=tuple(rounds), retry=1.0)
    return config


def fit_case(case: Case, settings: Settings) -> dict[str, Any]:
    """Fit one image and score it; an image that cannot be fitted scores infinity."""
    row: dict[str, Any] = {"group": case.group, "image": case.image.name, "kind": case.kind}
    camera = Camera.from_dict(case.labels["camera"])
    try:
        depth = read_depth(case.image, unit=float(case.labels.get("unit_mm", 1.0)))
        start = time.perf_counter()
        result = fit(
            depth.depth_mm,
            camera,
            hand=case.labels["hand"],
            device=settings.device,
            seed=settings.seed,
            shape="none" if settings.without == "size" else settings.shape,
            config=ablated(settings.without),
            image=str(case.image),
        )
    except HandoptError as error:
        return row | {"error": str(error), "mean": math.inf, "max": math.inf, "max_visible": math.inf}
    row["seconds"] = time.perf_counter() - start
    row |= {"status": result.status, "residual": result.residual_mm["median"], "iou": result.silhouette_iou}
    row["joints_mm"] = np.asarray(result.joints_mm).round(2).tolist()
    if case.kind == "keypoints":
        row |= keypoint_scores(
            result.joints_mm, case.labels["joints_mm"], case.labels.get("joint_visible", case.labels.get("visible"))
        )
    elif case.kind == "nyu":
        row |= nyu_scores(result.joints_mm, case.labels["joint_names"], case.labels["joints_xyz_mm"])
    if settings.overlays is not None:
        target = settings.overlays / case.group / f"{case.image.stem}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        write_overlay(result, target)
    return row


def fit_all(cases: list[Case], settings: Settings, jobs: int) -> Iterator[dict[str, Any]]:
    """Fit all images, in this process or in `jobs` others, in order."""
    if jobs == 1:
        yield from (fit_case(case, settings) for case in cases)
        return
    os.environ["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // jobs))  # read when a worker loads the kernels
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        yield from pool.map(fit_case, cases, [settings] * len(cases))


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Sum up the rows of one group: medians, shares and seconds."""
    fitted = [row for row in rows if "error" not in row]
    totals: dict[str, Any] = {"images": len(rows), "failed": len(rows) - len(fitted)}
    if fitted:
        totals |= {key: float(np.median([row[key] for row in fitted])) for key in ("residual", "iou")}
        totals["seconds"] = float(np.mean([row["seconds"] for row in fitted]))
    if rows[0]["kind"] == "keypoints":
        totals["median_error"] = float(np.median([row["mean"] for row in rows]))
        totals["visible_within_20"] = _share(rows, "max_visible", VISIBLE_LIMIT_MM)
        totals["all_within_40"] = _share(rows, "max", ALL_LIMIT_MM)
    elif rows[0]["kind"] == "nyu":
        totals["mean_error"] = float(np.mean([row["mean"] for row in rows]))
    return totals


def _share(rows: list[dict[str, Any]], key: str, limit_mm: float) -> float | None:
    return share_within(np.array([row[key] for row in rows]), limit_mm)


def print_row(row: dict[str, Any]) -> None:
    """Tell how one image went, on stderr."""
    name = f"{row['group']}/{row['image']}"
    if "error" in row:
        print(f"{name}: not fitted: {row['error']}", file=sys.stderr, flush=True)
        return
    errors = [f"{row['mean']:6.1f} mm mean", f"{row['max']:6.1f} max"] if "mean" in row else []
    errors += [f"{row['max_visible']:6.1f} max of visible joints"] if "max_visible" in row else []
    rest = [f"residual {row['residual']:5.2f} mm", f"IoU {row['iou']:.3f}", f"{row['seconds']:5.2f} s"]
    print(f"{name}: {', '.join([*errors, *rest])}", file=sys.stderr, flush=True)


def print_table(groups: dict[str, dict[str, Any]]) -> None:
    """Print one line per group on stdout."""
    columns = {
        "images": "{:d}",
        "failed": "{:d}",
        "median_error": "{:.1f} mm",
        "mean_error": "{:.1f} mm",
        "visible_within_20": "{:.0%}",
        "all_within_40": "{:.0%}",
        "residual": "{:.2f} mm",
        "iou": "{:.3f}",
        "seconds": "{:.2f}",
    }
    shown = [key for key in columns if any(key in totals for totals in groups.values())]
    lines = [["group", *shown]]
    for group, totals in groups.items():
        lines.append(
            [group, *(columns[key].format(totals[key]) if totals.get(key) is not None else "" for key in shown)]
        )
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    for line in lines:
        print("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)))


def finite(value: Any) -> Any:
    """Replace infinite numbers, which JSON does not know, by None."""
    if isinstance(value, dict):
        return {key: finite(each) for key, each in value.items()}
    if isinstance(value, list):
        return [finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def contact_sheet(folder: Path) -> Path | None:
    """Put the overlays of a folder side by side into FOLDER-sheet.png."""
    images = sorted(folder.glob("*.png"))
    if not images:
        return None
    tiles = []
    for path in images:
        with Image.open(path) as picture:
            tile = picture.convert("RGB")
        tile.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
        tiles.append(tile)
    width, height = max(tile.width for tile in tiles), max(tile.height for tile in tiles)
    columns = min(SHEET_COLUMNS, len(tiles))
    sheet = Image.new("RGB", (columns * width, -(-len(tiles) // columns) * height))
    for index, tile in enumerate(tiles):
        sheet.paste(tile, (index % columns * width, index // columns * height))
    target = folder.with_name(f"{folder.name}-sheet.png")
    sheet.save(target)
    return target


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="DATA_DIR")
    parser.add_argument("--levels", default="easy,medium,hard", help="folders of DATA_DIR to take, if it has them")
    parser.add_argument("--only", default="", help="image names (stems) to take, separated by commas (default: all)")
    parser.add_argument("--overlays", type=Path, metavar="DIR", help="write an overlay per image and a contact sheet")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="fit N images at a time (seconds grow)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all scores to a file")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda[:N]")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--shape", default="proportions", choices=["none", "scale", "proportions", "vertices"])
    parser.add_argument("--without", default="", choices=["", *ABLATIONS], help="leave a part of the method out")
    options = parser.parse_args(arguments)
    if options.overlays is not None and options.overlays.resolve().is_relative_to(PROJECT):
        parser.error("--overlays: the data may not be free to redistribute: choose a folder outside of the project")
    try:
        cases = collect_cases(options.data, options.levels.split(","))
    except FileNotFoundError as error:
        parser.error(str(error))
    if options.only:
        cases = [case for case in cases if case.image.stem in options.only.split(",")]
    if not cases:
        parser.error("--only: there is no such image")
    settings = Settings(options.overlays, options.device, options.seed, options.shape, options.without)
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in fit_all(cases, settings, options.jobs):
        print_row(row)
        groups.setdefault(row["group"], []).append(row)
    totals = {group: summary(rows) for group, rows in groups.items()}
    print_table(totals)
    if options.overlays is not None:
        for group in groups:
            print(f"contact sheet: {contact_sheet(options.overlays / group)}", file=sys.stderr)
    if options.json is not None:
        scores = {"groups": totals, "images": [row for group in groups.values() for row in group]}
        options.json.write_text(json.dumps(finite(scores), indent=1, allow_nan=False), encoding="utf-8")
    return 1 if any(total["failed"] == total["images"] for total in totals.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
