"""What the values of a mask say about each pixel: hand, forearm, other hand, held object, body, or background."""

from typing import Final

BACKGROUND, HAND, FOREARM, OTHER_HAND, OBJECT, BODY = range(6)
PIXEL_LABELS: Final = {
    "background": BACKGROUND,
    "hand": HAND,
    "forearm": FOREARM,
    "other_hand": OTHER_HAND,
    "object": OBJECT,
    "body": BODY,
}
"""background: nothing is measured, or it is a wall, furniture, or a thing that nobody holds. forearm: the hand's own
arm with sleeve, bracelets and watch. other_hand: another hand and its arm. object: what the hand holds. body: head,
trunk, other arm and legs."""
