"""Which formats of labels there are, and the one function that writes them."""

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from handopt import atomic_folder
from handopt.errors import OutputError, did_you_mean
from handopt.export.labels import coco, crops, depth_sets, dexycb, freihand, interhand, tables
from handopt.export.labels.records import LabelRecord, read_records
from handopt.files import is_folder
from handopt.typing import ReadProgress

MANIFEST_NAME: Final = "export.json"
MANIFEST_FORMAT: Final = "handopt.export/1"
NAMES_NAME, CAMERA_NAME = "names.txt", "camera.json"


@dataclass(frozen=True)
class LabelFormat:
    """A format of labels.

    title: for messages. file: the file, or the first of the files, that a folder of this format has. write: writes
    into a file, if suffix names the one that it is, or into a folder, and returns what the user should know. relative:
    whether joints can be given relative to the wrist.
    """

    title: str
    file: str
    write: Callable[..., list[str]]
    suffix: str | None = None
    relative: bool = False


FORMATS: Final[dict[str, LabelFormat]] = {
    "csv": LabelFormat("a table", "labels.csv", tables.write_csv, ".csv", relative=True),
    "parquet": LabelFormat("a Parquet table", "labels.parquet", tables.write_parquet, ".parquet", relative=True),
    "npz": LabelFormat("arrays", "labels.npz", tables.write_npz, ".npz", relative=True),
    "coco": LabelFormat("COCO", "labels.json", coco.write_coco, ".json"),
    "freihand": LabelFormat("FreiHAND", "training_xyz.json", freihand.write_freihand),
    "interhand": LabelFormat("InterHand2.6M", "InterHand2.6M_train_joint_3d.json", interhand.write_interhand),
    "nyu": LabelFormat("NYU Hand Pose", "joint_data.mat", depth_sets.write_nyu),
    "icvl": LabelFormat("ICVL Hand Posture", "labels.txt", depth_sets.write_icvl),
    "msra": LabelFormat("MSRA Hand Gesture", "joint.txt", depth_sets.write_msra),
    "dexycb": LabelFormat("DexYCB", "labels_000000.npz", dexycb.write_dexycb),
}


@dataclass(frozen=True)
class Exported:
    """What was written: where, how many hands, how many were left out for their confidence, and sentences."""

    path: Path
    hands: int
    left_out: int
    notes: tuple[str, ...]


def labels_format(output: Path, format: str | None) -> str:
    """The format that a name or a path of the output asks for; csv where neither says. Raises OutputError."""
    if format is not None and format not in FORMATS:
        raise OutputError(f"format={format!r} is unknown{did_you_mean(format, list(FORMATS))}: {', '.join(FORMATS)}")
    suffix = "" if is_folder(output) else output.suffix.lower()
    named = next((name for name, each in FORMATS.items() if each.suffix == suffix), None) if suffix else None
    if format is None:
        return named or "csv"
    if named is not None and named != format:
        raise OutputError(f"{output} is a name for {named}, not for format={format!r}: change output= or format=")
    return format


def export_labels(
    results: Sequence[Path | str],
    output: Path | str,
    *,
    format: str | None = None,
    min_confidence: float = 0.0,
    only: Collection[str] | None = None,
    root_relative: bool = False,
    crop: int | None = None,
    overwrite: bool = False,
    progress: ReadProgress = lambda _part, _done, _total: None,
) -> Exported:
    """Write the hands of results as labels.

    results: folders of `handopt fit` and `handopt track`, or folders of such folders. output: a folder, which appears
    complete or not at all, or for csv, parquet, npz and coco a file. format: one of FORMATS; None tells by the name of
    the output, else csv. min_confidence: results below it are left out. only: names of
    results below the folder that is given, such as those that a person accepted; all if None.
    root_relative: joints are relative to the
    wrist, in tables and arrays. crop: also write crops of so many pixels along a side, see crops.write_crops.
    Raises OutputError and LabelError.
    """
    output = Path(output)
    name = labels_format(output, format)
    chosen = FORMATS[name]
    if root_relative and not chosen.relative:
        possible = ", ".join(each for each, one in FORMATS.items() if one.relative)
        raise OutputError(
            f"{chosen.title} has joints in the camera's frame: leave out root_relative=True, or use one of {possible}"
        )
    single = chosen.suffix is not None and output.suffix.lower() == chosen.suffix and not is_folder(output)
    if single and crop is not None:
        raise OutputError(f"crops need a folder, and {output} is a file: choose another with output=")
    check_output(output, overwrite=overwrite, single=single)
    records, left_out = read_records(
        [Path(each) for each in results], min_confidence=min_confidence, only=only, progress=progress
    )
    options = {"root_relative": root_relative} if chosen.relative else {}
    if single:
        output.parent.mkdir(parents=True, exist_ok=True)
        with atomic_folder.written_file(output) as partial:
            notes = chosen.write(records, partial, **options)
        return Exported(output, len(records), left_out, tuple(notes))
    with atomic_folder.written_aside(output, overwrite, "output=") as partial:
        notes = chosen.write(records, partial / chosen.file if chosen.suffix else partial, **options)
        if crop is not None:
            notes += crops.write_crops(records, partial, crop)
        _write_names(records, partial)
        settings = {"min_confidence": min_confidence, "root_relative": root_relative, "crop_px": crop}
        _write_manifest(partial, name, records, {"left_out": left_out, **settings, "notes": notes})
    return Exported(output, len(records), left_out, tuple(notes))


def check_output(output: Path, *, overwrite: bool, single: bool) -> None:
    """Refuse a place that is taken. Raises OutputError."""
    if not single:
        atomic_folder.check_free(output, EXPORT, overwrite=overwrite, option="output=")
    elif (output.exists() or output.is_symlink()) and not overwrite:
        raise OutputError(
            f"{output} exists and was kept: replace it with overwrite=True or choose another with output="
        )


def _unknown_file(folder: Path) -> str | None:
    """The name of a file in an exported folder that its manifest does not list, or None."""
    try:
        ours = {MANIFEST_NAME, *json.loads((folder / MANIFEST_NAME).read_text(encoding="utf-8"))["files"]}
    except (OSError, ValueError, KeyError, TypeError):
        ours = {MANIFEST_NAME}
    return next((path.name for path in sorted(folder.iterdir()) if path.name not in ours), None)


EXPORT: Final = atomic_folder.Kind("export", MANIFEST_NAME, "handopt.export/", _unknown_file)


def _write_names(records: Sequence[LabelRecord], folder: Path) -> None:
    """names.txt, an image on each line in the order of the labels; camera.json, if all images have one."""
    lines = "".join(f"{record.name}\n" for record in records)
    (folder / NAMES_NAME).write_text(lines, encoding="utf-8")
    if len({record.camera for record in records}) == 1:
        camera = json.dumps(records[0].camera.to_dict(), allow_nan=False)
        (folder / CAMERA_NAME).write_text(camera + "\n", encoding="utf-8")


def _write_manifest(folder: Path, name: str, records: Sequence[LabelRecord], more: dict[str, Any]) -> None:
    sides = {side: sum(record.hand == side for record in records) for side in ("right", "left")}
    document = {
        "format": MANIFEST_FORMAT,
        "labels": name,
        "file": FORMATS[name].file,
        "files": sorted(path.name for path in folder.iterdir()),
        "images": len(records),
        "hands": sides,
        **more,
        "versions": {"handopt": version("handopt")},
    }
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    (folder / MANIFEST_NAME).write_text(text + "\n", encoding="utf-8")
