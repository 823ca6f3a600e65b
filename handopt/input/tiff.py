"""What a TIFF page says of itself, checked before Pillow decodes it: Pillow fills what is missing with zeros."""

from pathlib import Path
from typing import Any, Final

from handopt.errors import DepthError

ORIENTATION, UPRIGHT = 274, 1
_STRIPS: Final = (273, 279, 278)  # offsets, byte counts, rows of a strip
_TILES: Final = (324, 325)  # offsets, byte counts
_TILE_WIDTH, _TILE_LENGTH = 322, 323
_COMPRESSION, _UNCOMPRESSED = 259, 1
_BITS, _SAMPLES, _PLANAR = 258, 277, 284


def check_tiff(path: Path, image: Any) -> None:
    """Refuse a page whose strips or tiles are missing or reach beyond the file, and one that is not upright.

    image: a page that Pillow has opened and not decoded. Raises DepthError.
    """
    tags = image.tag_v2
    orientation = tags.get(ORIENTATION, UPRIGHT)
    if orientation != UPRIGHT:
        raise DepthError(
            f"{path}: its orientation tag is {orientation}, so it is turned or mirrored against its camera; save the "
            "pixels as the camera saw them, without the tag"
        )
    height, width = image.height, image.width
    if _TILES[0] in tags:
        offsets, counts = (_numbers(tags, tag) for tag in _TILES)
        across, down = (max(1, int(tags.get(tag, 1))) for tag in (_TILE_WIDTH, _TILE_LENGTH))
        parts, rows = -(-width // across) * -(-height // down), down
        whole = across * down
    else:
        offsets, counts = (_numbers(tags, tag) for tag in _STRIPS[:2])
        rows = min(height, max(1, int(tags.get(_STRIPS[2], height))))
        parts, whole = -(-height // rows), rows * width
    samples = int(tags.get(_SAMPLES, 1))
    planes = samples if tags.get(_PLANAR, 1) == 2 else 1
    if len(offsets) < parts * planes or (counts and len(counts) < parts * planes):
        found = min(len(offsets), len(counts or offsets))
        raise DepthError(f"{path}: has {found} of {parts * planes} strips or tiles of its pixels; export it again")
    size = path.stat().st_size
    if any(offset + count > size for offset, count in zip(offsets, counts, strict=False)):
        raise DepthError(
            f"{path}: is damaged or cut short (its pixels reach beyond the end of the file); copy it again"
        )
    if tags.get(_COMPRESSION, _UNCOMPRESSED) == _UNCOMPRESSED and counts:
        bits = max(_numbers(tags, _BITS) or [1]) * (1 if planes > 1 else samples)
        needed = [whole * bits // 8] * parts * planes
        if _TILES[0] not in tags:
            needed[parts - 1 :: parts] = [(height - (parts - 1) * rows) * width * bits // 8] * planes
        short = [part for part, (count, least) in enumerate(zip(counts, needed, strict=False)) if count < least]
        if short:
            raise DepthError(
                f"{path}: {len(short)} of its {parts * planes} strips or tiles have too few bytes; export it again"
            )


def _numbers(tags: Any, tag: int) -> list[int]:
    value = tags.get(tag, ())
    return [int(each) for each in value] if isinstance(value, tuple | list) else [int(value)]
