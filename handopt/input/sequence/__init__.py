"""Where depth frames come from: folders, stacks, recordings and cameras, read one frame at a time."""

from handopt.errors import SourceError
from handopt.input.sequence.base import FrameSource, SequenceFrame
from handopt.input.sequence.open import live_source, open_source

__all__ = ["FrameSource", "SequenceFrame", "SourceError", "live_source", "open_source"]
