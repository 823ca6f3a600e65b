"""Weights of the terms of the objective."""

from dataclasses import dataclass

from handopt.config.constraints import Checked, NonNegative


@dataclass(frozen=True)
class Weights(Checked):
    """Weight of each term of the objective, without unit; 0 switches a term off.

    Every term is scaled to about 1 for a fit that is one unit off. depth belongs to gradient descent alone, front and
    proportions to least squares.
    """

    # Rendered against observed closeness, mean over the hand's pixels; 1 is the depth of the crop. [hand]
    depth: NonNegative = 4.0
    # Squared distance of projected vertices to the hand's region, in (10 mm)^2. [hand]
    silhouette: NonNegative = 3.0
    # Observed points to the nearest visible vertex, robust: 0 on the surface, 1 far away. [tuned]: better than 1
    points: NonNegative = 4.0
    # Joints inside the cylinders of bones, in (10 mm)^2 (paper, Eq. 14 to 22, corrected). [hand]
    collision: NonNegative = 1.0
    # Squared overshoot of joint limits, rad^2 (paper, Table 1). [hand]
    limits: NonNegative = 1.0
    # Squared deviation from a relaxed hand, in standard deviations, summed over the angles. [tuned]: better than 0.004
    prior: NonNegative = 0.01
    # Squared logarithm of the scale, in standard deviations of 8 %. [hand]
    size: NonNegative = 0.005
    # Squared distance of joints from where a network votes that they are, in how far off these may be, robust, mean;
    # only where something else may be near the hand. [tuned]
    votes: NonNegative = 1.0
    # Vertices in front of the observed surface, relative to silhouette. [hand]
    front: NonNegative = 1.0
    # Squared proportions of fingers and palm, in standard deviations of 5 %, summed. [hand]
    proportions: NonNegative = 0.002
    # Squared Laplacian of the vertex offsets, mean over the vertices, mm^2. [hand]
    shape: NonNegative = 1.0
