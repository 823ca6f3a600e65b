"""Names of a track's files, and of their format, for those that write them and those that read them."""

from typing import Final

FORMAT: Final = "handopt.track/1"
FAMILY: Final = "handopt.track/"
"""What the formats of all versions begin with."""
INFO_NAME: Final = "track.json"
ARRAYS_NAME: Final = "track.npz"
LINES_NAME: Final = "track.jsonl"
