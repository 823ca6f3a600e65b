"""Which folder the results of each image go to."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath

from handopt import files
from handopt.typing import Parts


def result_folders(images: Sequence[Path], root: Path, bases: Mapping[Path, Path] | None = None) -> dict[Path, Path]:
    """Choose the folder of each image's results: root/<stem>, or what tells equal stems apart.

    bases: of images that were found below a folder, that folder, so that they keep their place in it (root/x/<stem>).
    Images of equal stem in different folders keep the differing part of their folders (root/a/000, root/b/000); in one
    folder they keep their suffix (root/000_png, root/000_npy). No folder lies inside another's. One file named
    twice has one folder.
    """
    bases = bases or {}
    resolved: dict[Path, Parts] = {}

    def real(folder: Path) -> Parts:
        if folder not in resolved:
            resolved[folder] = files.resolved(folder).parts
        return resolved[folder]

    places: dict[Path, Parts] = {}
    base_lengths: dict[Parts, int] = {}
    for image in images:
        parent = image.parent
        place = places[image] = (*real(parent), image.name)
        base_lengths.setdefault(place, len(real(bases.get(image, parent))))
    by_name: defaultdict[Parts, list[Parts]] = defaultdict(list)
    for place, length in base_lengths.items():
        by_name[*place[length:-1], PurePath(place[-1]).stem].append(place)
    chosen: dict[Parts, Parts] = {}
    for (*inner, stem), group in by_name.items():
        shared = _shared_parts([place[: base_lengths[place]] for place in group])
        siblings = Counter(place[:-1] for place in group)
        for place in group:
            plain = siblings[place[:-1]] == 1 and stem.strip(".")  # a stem of dots would name another folder
            name = stem if plain else _with_suffix(place)
            chosen[place] = (*place[shared : base_lengths[place]], *inner, name)
    _separate(chosen)
    return {image: root.joinpath(*chosen[place]) for image, place in places.items()}


def _shared_parts(parents: list[Parts]) -> int:
    """How many leading parts all the folders have in common."""
    return next(
        (index for index, parts in enumerate(zip(*parents, strict=False)) if len(set(parts)) > 1),
        min(len(parts) for parts in parents),
    )


def _with_suffix(place: Parts) -> str:
    return place[-1].replace(".", "_")


def _separate(chosen: dict[Parts, Parts]) -> None:
    """Rename, in place, what is equal to another folder or holds it, until every folder stands alone."""
    taken = Counter(chosen.values())
    above = Counter(path[:length] for path in chosen.values() for length in range(len(path)))
    for place in sorted(chosen, key="/".join):
        original, attempt = chosen[place], 0
        while taken[chosen[place]] > 1 or above[chosen[place]]:
            attempt += 1
            ending = "" if attempt == 1 else f"_{attempt}"
            taken[chosen[place]] -= 1
            chosen[place] = (*original[:-1], _with_suffix(place) + ending)
            taken[chosen[place]] += 1
