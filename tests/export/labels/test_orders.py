"""The documented table of joint orders."""

from pathlib import Path

import numpy as np

from handopt.evaluation.mapping import ICVL, INTERHAND, MSRA, NYU, map_keypoints
from handopt.export.labels.orders import HEADER, joint_orders, mixed_joints
from handopt.rig import KEYPOINT_NAMES, default_rig
from handopt.rig.joints import to_mano_order

README = Path(__file__).resolve().parents[3] / "handopt" / "export" / "README.md"


def test_the_document_has_the_table() -> None:
    lines = README.read_text(encoding="utf-8").splitlines()
    assert f"| {' | '.join(HEADER)} |" in lines
    for name, *rows in joint_orders():
        assert f"| {' | '.join((f'`{name}`', *rows))} |" in lines
    for joint_set in (NYU, ICVL):
        for row, name, made_of in mixed_joints(joint_set):
            assert f"| {joint_set.title} | {row} | `{name}` | {made_of} |" in lines


def test_the_table_is_what_the_mappings_do() -> None:
    hand = default_rig("left").keypoints_mm
    columns = {"MSRA": MSRA, "NYU, of 14": NYU, "ICVL": ICVL, "InterHand2.6M": INTERHAND}
    for name, *cells in joint_orders():
        row = dict(zip(HEADER[1:], cells, strict=True))
        place = hand[KEYPOINT_NAMES.index(name)]
        assert int(row["row"]) == KEYPOINT_NAMES.index(name)
        for title, joint_set in columns.items():
            first = row[title].split(" / ")[0]
            if first:
                np.testing.assert_allclose(map_keypoints(hand, joint_set)[int(first)], place, atol=1e-9)
        np.testing.assert_allclose(to_mano_order(hand)[int(row["MANO"])], place)
        if row["NYU, of 14"]:
            assert NYU.full[int(row["NYU, of 14"])] == int(row["NYU, of 36"])


def test_every_joint_of_a_set_is_in_the_document() -> None:
    for column, joint_set in ((HEADER.index("NYU, of 14"), NYU), (HEADER.index("ICVL"), ICVL)):
        own = {int(row[column]) for row in joint_orders() if row[column]}
        mixed = {row for row, _, _ in mixed_joints(joint_set)}
        assert own | mixed == set(range(len(joint_set.joints)))
        assert not own & mixed
