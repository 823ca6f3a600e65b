"""provenance.json: what a result was made of, so that another run can tell whether it would make the same."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from handopt.errors import DepthError
from handopt.files import UnreadableError, read_json, sha256_of
from handopt.storage.digests import first_damage
from handopt.storage.fit_folder import PROVENANCE_NAME, RESULT_NAME

FORMAT = "handopt.provenance/2"
_CONTENTS = {
    "camera": "camera", "ignore": "mask", "joint_map": "joint map", "mask": "mask",
    "model": "rig", "proposals": "model of proposals",
}  # fmt: skip
"""Settings that are the SHA-256 of a file's content, and what the file is."""

Stamp = tuple[int, int, int]


@dataclass(frozen=True)
class Identity:
    """What a result depends on besides its image and the JSON files beside it.

    handopt: the version. config, camera, mask, model, joint_map, proposals: SHA-256 of a file's content, or a name. The
    others are the options of handopt fit; max_hands is None for one hand, keypoints where nobody said.
    """

    handopt: str
    solver: str
    config: str
    camera: str | None = None
    mask: str | None = None
    model: str | None = None
    joint_map: str | None = None
    part: str | None = None
    keypoints: str | None = None
    unit: float | None = None
    encoding: str = "auto"
    hand: str | None = None
    limits: str = "default"
    shape: str = "proportions"
    seed: int = 0
    box: tuple[float, ...] | None = None
    center: tuple[float, ...] | None = None
    mirrored: bool | None = None
    max_hands: int | None = None
    proposals: str | None = None
    refine: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in vars(self).items()}


@dataclass(frozen=True)
class ExistingResult:
    """What stands in the folder of an image's results: a result that may be kept, or why it may not."""

    result: dict[str, Any] | None
    reason: str


class Provenance:
    """The files that an image's result is made of: the image, and the JSON files beside it."""

    def __init__(self, image: Path) -> None:
        """Remember what the files are like now; a file that is missing is left out."""
        self.image = image
        beside = dict.fromkeys((image, image.with_suffix(".json"), image.with_name("camera.json")))
        self._stamps = {path: stamp for path in beside if (stamp := _stamp(path)) is not None}

    def check(self) -> None:
        """Raise DepthError where a file has changed or vanished since."""
        for path, stamp in self._stamps.items():
            now = _stamp(path)
            if now != stamp:
                what = "vanished" if now is None else "changed"
                raise DepthError(f"{path}: {what} while it was read; run the same command again when it is complete")

    def document(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """What provenance.json says: the files' sizes, times and contents, and the settings. Raises DepthError."""
        try:
            files = {
                path.name: {"bytes": stamp[1], "mtime_ns": stamp[2], "sha256": sha256_of(path)}
                for path, stamp in self._stamps.items()
            }
        except UnreadableError as error:
            raise DepthError(f"{self.image}: cannot be read any more ({error.reason})") from error
        self.check()
        return {"format": FORMAT, "image": str(self.image), "files": files, "settings": dict(settings)}

    def found(
        self, folder: Path, settings: Mapping[str, Any], names: Collection[str], *, by_content: bool = False
    ) -> ExistingResult:
        """Whether a folder holds the complete result of these files with these settings, with files of these names.

        Every file of the result is compared with its digest. by_content: compare the image and the files beside it with
        their digests also where size and time are as they were.
        """
        result, known = _read(folder / RESULT_NAME), _known(folder / PROVENANCE_NAME)
        if known is None or RESULT_NAME not in known.results:
            return ExistingResult(None, "exists, but was not made by this version of handopt fit")
        reason = self._difference(known.files, by_content) or _setting_that_differs(known.settings, settings)
        if reason is None:
            missing = [name for name in names if not _filled(folder / name)]
            reason = f"has no {missing[0]}" if missing else None
        if reason is None:
            digests = {name: (each.bytes, each.sha256) for name, each in known.results.items()}
            reason = first_damage(folder, digests)
        if reason is None and result is None:
            reason = f"has a damaged {RESULT_NAME}"
        return ExistingResult(result, "") if reason is None else ExistingResult(None, reason)

    def _difference(self, known: "Mapping[str, _SourceFile]", by_content: bool) -> str | None:
        now = {path.name: (path, stamp) for path, stamp in self._stamps.items()}
        names = [name for name in known if name != self.image.name and not name.endswith(".json")]
        if names:
            return f"holds the result of another image, {names[0]}"
        for name in {**known, **now}:
            if name not in known or name not in now:
                return f"was made {'with' if name in known else 'without'} {name} beside the image"
            path, (_, size, mtime) = now[name]
            before = known[name]
            same = before.bytes == size and before.mtime_ns == mtime and not by_content
            if not same and (before.bytes != size or before.sha256 != sha256_of(path)):
                return f"was made from another version of {name}"
        return None


def _stamp(path: Path) -> Stamp | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def _read(path: Path) -> dict[str, Any] | None:
    try:
        document = read_json(path)
    except UnreadableError:
        return None
    return document if isinstance(document, dict) else None


class _File(msgspec.Struct):
    """A file of a result."""

    bytes: int
    sha256: str


class _SourceFile(_File):
    """A file that a result was made of."""

    mtime_ns: int


class _Document(msgspec.Struct):
    """What provenance.json holds."""

    format: str
    files: dict[str, _SourceFile]
    settings: dict[str, Any]
    results: dict[str, _File]


def _known(path: Path) -> _Document | None:
    """What provenance.json says; None where it is missing, damaged, or of another format."""
    try:
        document = msgspec.convert(read_json(path), _Document)
    except (UnreadableError, msgspec.ValidationError, UnicodeError):
        return None
    return document if document.format == FORMAT else None


def _filled(path: Path) -> bool:
    """Whether a file has something in it, or a folder is there."""
    try:
        return path.is_dir() or path.stat().st_size > 0
    except OSError:
        return False


def _setting_that_differs(known: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    if (known.get("refine") is None) != (now.get("refine") is None):
        return "was made by " + ("handopt fit" if known.get("refine") is None else "handopt predict")
    for name in {**known, **now}:
        if known.get(name) != now.get(name):
            argument = "handopt's version" if name == "handopt" else f"{name}="
            values = [each.get(name) for each in (known, now)]
            if name in _CONTENTS and any(map(_is_digest, values)):
                return f"was made {_content_that_differs(name, *values)}"
            plain = all(value is None or isinstance(value, (str, int, float)) for value in values) and not any(
                map(_is_digest, values)
            )
            short = f" ({_short(values[0])}, now {_short(values[1])})" if plain else ""
            return f"was made with another {argument}{short}"
    return None


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[0-9a-f]{64}", value) is not None


def _content_that_differs(name: str, known: str | None, now: str | None) -> str:
    """How a file differs of which only the SHA-256 is known, which tells nobody anything."""
    what = _CONTENTS[name]
    if now is None:
        return f"with a {what} ({name}=), now without"
    return f"without a {what} ({name}=), now with one" if known is None else f"with another {what} ({name}=)"


def _short(value: Any) -> str:
    return "none" if value is None else str(value)[:40]
