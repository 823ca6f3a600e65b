"""Where the files that come with handopt lie."""

from functools import cache
from importlib.resources import files
from pathlib import Path

from handopt.errors import HandoptError


@cache
def package_folder(name: str) -> Path:
    """Path of the folder "assets" or "kernels", in an installed package or a source checkout. Raises HandoptError."""
    places = [Path(str(files("handopt").joinpath(name))), Path(__file__).parent.parent / name]
    for place in places:
        if place.is_dir():
            return place
    tried = " or ".join(str(place) for place in dict.fromkeys(places))
    raise HandoptError(f"handopt's folder {name} is missing from {tried}: install handopt again")


def asset(name: str) -> Path:
    """Path of a file or folder below assets/, such as "hands/right.glb". Raises HandoptError when there is none."""
    path = package_folder("assets") / name
    if not path.exists():
        raise HandoptError(f"the file {path} that belongs to handopt is missing: install handopt again")
    return path
