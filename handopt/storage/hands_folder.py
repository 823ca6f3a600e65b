"""A folder of several hands, of an image or of a sequence: a folder of results for each, and hands.json."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from handopt import atomic_folder
from handopt.files import UnreadableError, is_file, is_folder, read_json

HANDS_NAME: Final = "hands.json"
FORMAT: Final = "handopt.hands/1"
VIDEO_ENDINGS: Final = (".mp4", ".gif")
"""`handopt video` puts the video of a hand beside the hand's folder, under its name and one of these."""
MAX_HANDS: Final = 16
"""Most hands that a folder says it has; what says more is none of ours."""


def hand_names(sides: Sequence[str]) -> list[str]:
    """The folder of each hand: its side, and a number where several are of one side, in the order that is given."""
    counts, seen = Counter(sides), Counter[str]()
    names = []
    for side in sides:
        seen[side] += 1
        names.append(side if counts[side] == 1 else f"{side}-{seen[side]}")
    return names


def write_hands(folder: Path, names: Sequence[str]) -> None:
    """Write hands.json, which says which folders of hands there are, the first that was found first."""
    document = {"format": FORMAT, "hands": list(names)}
    (folder / HANDS_NAME).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def read_hands(folder: Path) -> list[str] | None:
    """The names of the folders of hands in a folder; None where hands.json is missing or damaged, or a folder is."""
    try:
        document = read_json(folder / HANDS_NAME)
    except UnreadableError:
        return None
    names = document.get("hands") if isinstance(document, dict) and document.get("format") == FORMAT else None
    if not isinstance(names, list) or not 1 <= len(names) <= MAX_HANDS:
        return None
    try:
        there = sorted(path.name for path in folder.iterdir() if path.name != HANDS_NAME and not _is_video(path))
    except OSError:
        return None
    return names if all(map(_is_name, names)) and sorted(names) == there else None


def _is_name(name: object) -> bool:
    """Whether something is a name that hand_names gives, and leads nowhere else."""
    if not isinstance(name, str):
        return False
    side, _, number = name.partition("-")
    return side in ("right", "left") and (name == side or (number.isdecimal() and number.isascii()))


def _is_video(path: Path) -> bool:
    """Whether something is the video that handopt makes of a hand."""
    return path.suffix in VIDEO_ENDINGS and _is_name(path.stem) and is_file(path) and not path.is_symlink()


class OneOrSeveral(atomic_folder.Kind):
    """Folders of a kind, or with a folder of that kind for each of several hands."""

    def holds(self, folder: Path) -> bool:
        """Whether a folder is of this kind, or holds folders of this kind for several hands."""
        if not is_file(folder / HANDS_NAME):
            return super().holds(folder)
        return any(_is_name(path.name) and super(OneOrSeveral, self).holds(path) for path in folder.iterdir())


def unknown_in_hands(names: frozenset[str]) -> Callable[[Path], str | None]:
    """A Kind's unknown_file for folders of nothing but files of these names, or of hands with nothing else in them."""
    in_one = atomic_folder.other_than(names)

    def unknown(folder: Path) -> str | None:
        if not is_file(folder / HANDS_NAME):
            return in_one(folder)
        for path in sorted(folder.iterdir()):
            if path.name == HANDS_NAME or _is_video(path):
                continue
            if not (_is_name(path.name) and is_folder(path) and not path.is_symlink()):
                return path.name
            inner = in_one(path)
            if inner is not None:
                return f"{path.name}/{inner}"
        return None

    return unknown
