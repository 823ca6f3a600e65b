"""Facts about hands that several rooms need: one copy of each, with its unit and its origin."""

from typing import Final

import numpy as np

from handopt.typing import Floats

MIRROR: Final[Floats] = np.array([-1.0, 1.0, 1.0])
"""Signs of x, y, z that turn a left hand into a right one and back: poses are fitted to mirror images of left hands."""
MIRROR.flags.writeable = False

TWIST, ABDUCTION, FLEXION = 0, 1, 2
"""Columns of a joint's angles: about the bone, sideways, towards the palm."""

DIP_OF_PIP: Final = 0.6
"""Flexion of a finger's DIP joint as a share of its PIP's, where nothing else is known: one tendon bends both.

Chosen by hand on the rig that comes with handopt; the pose prior allows a standard deviation of 0.3 rad about it.
"""

JOINT_DEPTH_MM: Final = 22.0
"""Deepest that a joint lies under its own skin in a hand of scale 1: what is deeper is hidden by something else.

Chosen by hand on rendered hands, whose joints are known.
"""
PALM_DEPTH_MM: Final = 15.0
"""Depth of the palm's middle under its skin. Chosen by hand on rendered hands."""
TIP_DEPTH_MM: Final = 7.0
"""Depth of a tip's keypoint under the skin in front of it. Chosen by hand on the rig that comes with handopt."""
JOINT_RADIUS_MM: Final = 18.0
"""Radius of a ball around each joint such that all balls together hold the hand: for windows around a skeleton."""
