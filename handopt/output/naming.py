"""Which folder the results of each image go to."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath


def result_folders(images: Sequence[Path], root: Path, bases: Mapping[Path, Path] | None = None) -> dict[Path, Path]:
    """Choose the folder of each image's results: root/<stem>, or what tells equal stems apart.

    bases: of images that were found below a folder, that folder, so that they keep their place in it (root/x/<stem>).
    Images of equal stem in different folders keep the differing part of their folders (root/a/000, root/b/000); in one
    folder they keep their suffix (root/000_png, root/000_npy). No folder lies inside another's. One file named
    twice has one folder.
    """
    resolved: dict[Path, Path] = {}

    def real(folder: Path) -> Path:
        if folder not in resolved:
            resolved[folder] = folder.resolve()
        return resolved[folder]

    places = {image: real(image.parent) / image.name for image in images}
    bases = bases or {}
    base_of = {places[image]: real(bases.get(image, image.parent)) for image in reversed(images)}
    by_name: defaultdict[tuple[PurePath, str], list[Path]] = defaultdict(list)
    for place in dict.fromkeys(places.values()):
        by_name[place.parent.relative_to(base_of[place]), place.stem].append(place)
    chosen: dict[Path, PurePath] = {}
    for (inner, stem), group in by_name.items():
        shared = _shared_parts([base_of[place].parts for place in group])
        siblings = Counter(place.parent for place in group)
        for place in group:
            plain = siblings[place.parent] == 1 and stem.strip(".")  # a stem of dots would name another folder
            chosen[place] = PurePath(*base_of[place].parts[shared:], inner, stem if plain else _with_suffix(place))
    _separate(chosen)
    return {image: root / chosen[place] for image, place in places.items()}


def _shared_parts(parents: list[tuple[str, ...]]) -> int:
    """How many leading parts all the folders have in common."""
    return next(
        (index for index, parts in enumerate(zip(*parents, strict=False)) if len(set(parts)) > 1),
        min(len(parts) for parts in parents),
    )


def _with_suffix(place: Path) -> str:
    return place.name.replace(".", "_")


def _separate(chosen: dict[Path, PurePath]) -> None:
    """Rename, in place, what is equal to another folder or holds it, until every folder stands alone."""
    taken = Counter(chosen.values())
    above = Counter(parent for path in chosen.values() for parent in path.parents)
    for place in sorted(chosen, key=str):
        original, attempt = chosen[place], 0
        while taken[chosen[place]] > 1 or above[chosen[place]]:
            attempt += 1
            ending = "" if attempt == 1 else f"_{attempt}"
            taken[chosen[place]] -= 1
            chosen[place] = original.with_name(_with_suffix(place) + ending)
            taken[chosen[place]] += 1
