"""Facts about hands: one copy in the package, and values that the default rig bears out."""

import ast
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import handopt
from handopt.ops.rasterise import rasterise
from handopt.rig import anatomy, default_rig
from handopt.rig.pose import joint_transforms, posed_keypoints, posed_vertices

PACKAGE = Path(handopt.__file__).parent
NAMES = (
    "MIRROR",
    "TWIST",
    "ABDUCTION",
    "FLEXION",
    "DIP_OF_PIP",
    "JOINT_DEPTH_MM",
    "PALM_DEPTH_MM",
    "TIP_DEPTH_MM",
    "JOINT_RADIUS_MM",
)
OLD_NAMES = ("VISIBLE_MM", "SKIN_TO_PALM_MM", "BELOW_SKIN_MM", "FLESH_MM")


def assigned(path: Path) -> Iterator[str]:
    """Names that a module gives a value at its top, without leading underscores."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        for target in targets:
            for each in target.elts if isinstance(target, ast.Tuple) else [target]:
                if isinstance(each, ast.Name):
                    yield each.id.lstrip("_")


def is_mirror(node: ast.AST) -> bool:
    """Whether a list or tuple is -1, 1, 1."""
    if not isinstance(node, ast.List | ast.Tuple) or len(node.elts) != 3:
        return False
    try:
        return bool(ast.literal_eval(node)[0] == -1 and all(value == 1 for value in ast.literal_eval(node)[1:]))
    except ValueError:
        return False


def test_each_fact_has_one_copy() -> None:
    assert set(assigned(PACKAGE / "rig" / "anatomy.py")) == set(NAMES)
    others = [path for path in PACKAGE.rglob("*.py") if path.name != "anatomy.py"]
    assert len(others) > 100
    for path in others:
        again = set(assigned(path)) & {*NAMES, *OLD_NAMES}
        assert not again, f"{path} defines {again} again"
        mirrors = [getattr(node, "lineno", 0) for node in ast.walk(ast.parse(path.read_text())) if is_mirror(node)]
        assert not mirrors, f"{path}:{mirrors} writes the mirror again"


def test_the_mirror_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        anatomy.MIRROR[0] = 1.0
    np.testing.assert_array_equal(anatomy.MIRROR, [-1.0, 1.0, 1.0])


def test_the_joints_of_an_open_hand_lie_under_its_skin_as_deep_as_said() -> None:
    """From the back and from the palm, no joint is deeper than is allowed, and the palm's middle is about as deep."""
    rig = default_rig("right")
    axes = rig.bind[0, :, :3]
    for sign in (1.0, -1.0):
        turn = np.stack([sign * axes[:, 0], axes[:, 2], -sign * axes[:, 1]])  # across, along, away from the camera
        turn *= np.linalg.det(turn)
        transforms = joint_transforms(rig, turn[None], [[0.0, 0.0, 600.0]], np.zeros((1, 15, 3)), [1.0])
        vertices, joints = posed_vertices(rig, transforms)[0], posed_keypoints(rig, transforms)[0]
        camera = (500.0, 500.0, 200.0, 200.0, 400, 400)
        depth = rasterise(vertices[None].astype(np.float32), rig.faces, camera)[0]
        u, v = (np.rint(500.0 * joints[:, axis] / joints[:, 2] + 200.0).astype(int) for axis in (0, 1))
        below = joints[:, 2] - depth[v, u]
        assert depth[v, u].min() > 0
        assert below.min() > 0
        assert below.max() < 22.0
        middle = joints[[0, 5, 9, 13, 17]].mean(axis=0)
        column, row = (round(500.0 * middle[axis] / middle[2] + 200.0) for axis in (0, 1))
        assert 5.0 < middle[2] - depth[row, column] < 25.0
