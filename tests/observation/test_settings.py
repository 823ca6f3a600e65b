"""The observation's numbers: all explained, and others than the usual ones have their effect."""

import ast
from dataclasses import FrozenInstanceError, fields, is_dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from support.scenes import CAMERA, WALL, Scene, open_hand

from handopt.errors import ObservationError
from handopt.observation import reading_settings, settings
from handopt.observation.observe import observe
from handopt.observation.settings import ObservationConfig


def test_every_number_says_what_it_is_and_in_what_unit() -> None:
    files = [Path(str(each.__file__)) for each in (settings, reading_settings)]
    trees = [ast.parse(file.read_text(encoding="utf-8")) for file in files]
    classes = [node for tree in trees for node in tree.body if isinstance(node, ast.ClassDef)]
    assert len(classes) == 12
    for node in classes:
        for number, line in enumerate(node.body):
            if isinstance(line, ast.AnnAssign) and not ast.unparse(line.annotation).endswith("Config"):
                after = node.body[number + 1] if number + 1 < len(node.body) else None
                assert isinstance(after, ast.Expr), ast.unparse(line)
                assert isinstance(after.value, ast.Constant)


def test_the_numbers_cannot_be_changed_in_place() -> None:
    parts = [getattr(settings.DEFAULT, each.name) for each in fields(ObservationConfig)]
    for part in (settings.DEFAULT, *(part for part in parts if is_dataclass(part))):
        with pytest.raises(FrozenInstanceError):
            setattr(part, fields(part)[0].name, 1.0)


def test_other_numbers_find_other_hands() -> None:
    scene = Scene()
    scene.hand((-140.0, 0.0, 500.0))
    scene.hand((140.0, 0.0, 520.0))
    scene.plane(np.array([0.0, 0.0, 1.0]), 1000.0, WALL)
    usual = ObservationConfig()
    one = replace(usual, candidates=replace(usual.candidates, max_candidates=1))
    none = replace(usual, candidates=replace(usual.candidates, area_cm2=(400.0, 500.0)))
    assert len(observe(scene.photograph(), CAMERA)) == 2
    assert len(observe(scene.photograph(), CAMERA, config=one)) == 1
    with pytest.raises(ObservationError, match="no hand was found"):
        observe(scene.photograph(), CAMERA, config=none)


def test_the_forearm_is_cut_off_where_it_is_told() -> None:
    _, depth = open_hand()
    usual = ObservationConfig()
    shorter = replace(usual, segmentation=replace(usual.segmentation, cut_mm=55.0))
    (hand,), (cut_short,) = observe(depth, CAMERA), observe(depth, CAMERA, config=shorter)
    assert hand.arm_direction is not None
    assert hand.mask.sum() > cut_short.mask.sum()
    ends = [((one.points_mm - hand.center_mm) @ hand.arm_direction).max() for one in (hand, cut_short)]
    assert ends[0] - ends[1] == pytest.approx(20.0, abs=4.0)  # a sample is 3 mm
    assert any("55 mm past" in note for note in cut_short.notes)
