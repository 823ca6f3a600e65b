"""What the user decides of a job: which files results have, and where the hand is in a single image."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from handopt.draw.film import TRACE_NAME
from handopt.storage.fit_folder import MASK_NAME, RESULT_NAME

if TYPE_CHECKING:
    from handopt.typing import BoolImage

Existing = Literal["keep", "update", "overwrite", "verify"]


@dataclass(frozen=True)
class OutputSettings:
    """Which files a result has, and what happens to results that exist.

    colour: whether overlay.png shows the colour picture that belongs to an image. usual: files that are written though
    nobody asked for them; a result that exists is complete without them. existing: 'keep' those that this job would
    make again and refuse others, 'update' these others, 'overwrite' all, or 'verify' all and make none.
    """

    renders: bool = True
    overlay: bool = True
    colour: bool = False
    video: bool = False
    ply: bool = False
    obj: bool = False
    masks: bool = False
    usual: frozenset[str] = frozenset()
    existing: Existing = "keep"

    def file_names(self) -> list[str]:
        """The files and folders of a complete result: those that every one has, and those that were asked for."""
        optional = (
            (self.overlay, "overlay.png"),
            (self.renders, "renders"),
            (self.video, "optimisation.mp4"),
            (self.ply, "mesh.ply"),
            (self.obj, "mesh.obj"),
            (self.masks, MASK_NAME),
        )
        asked = (name for wanted, name in optional if wanted and name not in self.usual)
        return [RESULT_NAME, "mesh.glb", "history.csv", TRACE_NAME, *asked]


@dataclass(frozen=True, eq=False)
class Hints:
    """Where the hand is, for a job of a single image: the arguments of the same names of handopt.fit."""

    mask: "BoolImage | None" = None
    box: tuple[float, ...] | None = None
    center: tuple[float, ...] | None = None

    def subsampled(self, step: int) -> "Hints":
        """The same for an image of which every step-th row and column was taken."""
        from handopt.input.subsample import subsampled, subsampled_pixel

        if step == 1:
            return self
        box, center = (
            None if each is None else tuple(subsampled_pixel(pixel, step) for pixel in each)
            for each in (self.box, self.center)
        )
        in_pixels = self.center is None or len(self.center) == 2
        mask = None if self.mask is None else subsampled(self.mask, step)
        return Hints(mask, box, center if in_pixels else self.center)
