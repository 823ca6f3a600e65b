"""Settings: their ranges, and reading them from TOML."""

import dataclasses
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import numpy as np
import pytest

from handopt.config import (
    DESCENTS,
    SOLVERS,
    Config,
    DescentStage,
    LMSettings,
    Steps,
    TournamentRound,
    VertexStage,
    Weights,
)
from handopt.config.constraints import field_types
from handopt.errors import ConfigError
from handopt.optimise.descent_steps import STEPPERS

APPROACH = {"iterations": 3, "sigma_mm": 12.0}
ROUND = {"lm_settings": APPROACH, "top_k_out": 2}
STAGE = {"iterations": 4, "radius_px": 5.0, "sigma_mm": 30.0, "step": 1.0, "top_k_out": 2}


def written(folder: Path, text: str) -> Path:
    path = folder / "config.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_default_is_coarse_to_fine_and_ends_with_one_hypothesis() -> None:
    stages = Config().stages
    assert len(stages) > 1
    for first, second in pairwise(stages):
        assert first.radius_px >= second.radius_px
        assert first.sigma_mm >= second.sigma_mm
        assert first.top_k_out >= second.top_k_out
    assert stages[-1].top_k_out == 1


def test_the_default_rounds_look_closer_and_closer_at_fewer_hypotheses() -> None:
    rounds = Config().rounds
    assert len(rounds) > 1
    assert all(each.skip_below for each in rounds if each.mutations), "only where something is wrong"
    always = [each for each in rounds if not each.skip_below]
    for first, second in pairwise(always):
        assert first.lm_settings.sigma_mm >= second.lm_settings.sigma_mm
        assert first.lm_settings.points <= second.lm_settings.points
        assert first.top_k_out >= second.top_k_out
    assert rounds[-1].top_k_out == 2, "the best and its rival"
    assert max(item.lm_settings.points for item in rounds) <= Config().points
    assert rounds[-1].lm_settings.vertices == 0, "all of them at the end"


def test_every_setting_survives_a_round_trip() -> None:
    config = Config(
        weights=Weights(depth=1.5),
        steps=Steps(scale=0.02),
        stages=(DescentStage(**STAGE, scale=True, mutants=1, parents=3),),
        rounds=(TournamentRound(LMSettings(3, 12.0, scale=True), top_k_out=2, top_k_in=9),),
        vertices=VertexStage(iterations=7),
        solver="gradient",
        descent="momentum",
        starts=5,
    )
    values = config.to_dict()
    assert set(values) == {f.name for f in dataclasses.fields(Config)}
    again = Config.from_dict({**values, **{name: list(values[name]) for name in ("stages", "rounds")}})
    assert again == config
    assert Config.from_dict({}) == Config()


def test_a_file_changes_what_it_names_and_nothing_else(tmp_path: Path) -> None:
    text = """
    solver = "gradient"
    descent = "momentum"
    starts = 7
    huber = 0
    weights.depth = 2
    steps = { angles_rad = 0.5 }
    [vertices]
    iterations = 3
    [[stages]]
    iterations = 4
    radius_px = 5
    sigma_mm = 30.0
    step = 1.0
    top_k_out = 2
    [[stages]]
    iterations = 5
    radius_px = 3.5
    sigma_mm = 10.0
    step = 0.5
    top_k_out = 1
    scale = true
    mutants = 2
    [[rounds]]
    top_k_out = 3
    lm_settings = { iterations = 4, sigma_mm = 20 }
    [[rounds]]
    top_k_out = 1
    mutations = 2
    [rounds.lm_settings]
    iterations = 5
    sigma_mm = 10.0
    proportions = true
    """
    read = Config.from_toml(written(tmp_path, text))
    default = Config()
    assert read == dataclasses.replace(
        default,
        solver="gradient",
        descent="momentum",
        starts=7,
        huber=0.0,
        weights=dataclasses.replace(default.weights, depth=2.0),
        steps=dataclasses.replace(default.steps, angles_rad=0.5),
        vertices=dataclasses.replace(default.vertices, iterations=3),
        stages=(
            DescentStage(iterations=4, radius_px=5.0, sigma_mm=30.0, step=1.0, top_k_out=2),
            DescentStage(iterations=5, radius_px=3.5, sigma_mm=10.0, step=0.5, top_k_out=1, scale=True, mutants=2),
        ),
        rounds=(
            TournamentRound(LMSettings(iterations=4, sigma_mm=20.0), top_k_out=3),
            TournamentRound(LMSettings(iterations=5, sigma_mm=10.0, proportions=True), top_k_out=1, mutations=2),
        ),
    )
    assert isinstance(read.weights.depth, float)
    assert Config.from_toml(written(tmp_path, "")) == default


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"start": 3}, "start is unknown; did you mean starts?"),
        ({"weights": {"colour": 1.0}}, "weights.colour is unknown; known: depth, silhouette"),
        ({"stages": [{**STAGE, "radius": 3.0}]}, "stages[0].radius is unknown; did you mean radius_px?"),
        ({"weights": 3.0}, "expected a table, got 3.0"),
        ({"stages": STAGE}, "stages: expected an array of tables"),
        ({"stages": [3]}, "expected a table, got 3"),
        ({"stages": []}, "stages: at least one is needed"),
        ({"stages": [STAGE, {"iterations": 3}]}, "stages[1].radius_px is missing"),
        ({"rounds": ROUND}, "rounds: expected an array of tables"),
        ({"rounds": []}, "rounds: at least one is needed"),
        ({"rounds": [{"top_k_out": 2}]}, "rounds[0].lm_settings is missing"),
        (
            {"rounds": [ROUND, {**ROUND, "lm_settings": {"sigma_mm": 2.0}}]},
            "rounds[1].lm_settings.iterations is missing",
        ),
        ({"rounds": [{**ROUND, "lm_settings": {**APPROACH, "sigma": 2.0}}]}, "rounds[0].lm_settings.sigma is unknown"),
        ({"starts": 3.0}, "starts: expected int, got 3.0"),
        ({"starts": True}, "starts: expected int, got True"),
        ({"huber": True}, "huber: expected float, got True"),
        ({"huber": "1"}, "huber: expected float, got '1'"),
        ({"solver": 3}, "solver: expected str, got 3"),
        ({"stages": [{**STAGE, "scale": 1}]}, "stages[0].scale: expected bool, got 1"),
        ({"solver": "newton"}, "solver: expected one of auto, lm, gradient, got 'newton'"),
        ({"descent": "newton"}, "descent: expected one of adam, momentum, got 'newton'"),
        ({"weights": {"depth": -1.0}}, "weights.depth: expected a number from 0 to 1000000, got -1.0"),
        ({"tolerance": float("nan")}, "tolerance: expected a number from 0 to 1000000, got nan"),
        ({"steps": {"scale": float("inf")}}, "steps.scale: expected a number from 0 to 1000000, got inf"),
        ({"stages": [{**STAGE, "top_k_out": -1}]}, "stages[0].top_k_out: expected 1 to 1000, got -1"),
        ({"plane": 1.5}, "plane: expected a number from 0 to 1, got 1.5"),
        ({"crop_px": 8}, "crop_px: expected 16 to 512, got 8"),
        ({"rounds": [{**ROUND, "lm_settings": {**APPROACH, "iterations": 10**12}}]}, "iterations: expected 0 to 500"),
        (
            {"rounds": [{**ROUND, "lm_settings": {**APPROACH, "sigma_mm": 1e308}}]},
            "expected a number from 0.001 to 10000",
        ),
        ({"rounds": [{**ROUND, "lm_settings": {**APPROACH, "sigma_mm": 1e-300}}]}, "expected a number from 0.001"),
        ({"rounds": [ROUND] * 33}, "rounds: expected at most 32, got 33"),
        ({"crop_px": 4000}, "crop_px: expected 16 to 512, got 4000"),
    ],
)
def test_nonsense_is_refused_with_the_path_of_the_setting(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as failure:
        Config.from_dict(values)
    assert message in str(failure.value)


@pytest.mark.parametrize(
    ("values", "path"),
    [
        *[({name: 0}, name) for name in ("starts", "points", "crop_half_mm", "collision_radius_mm")],
        *[({"stages": [{**STAGE, name: 0}]}, f"stages[0].{name}") for name in ("iterations", "radius_px", "sigma_mm")],
        ({"stages": [{**STAGE, "top_k_out": 0}]}, "stages[0].top_k_out"),
        *[({"rounds": [{**ROUND, name: 0}]}, f"rounds[0].{name}") for name in ("top_k_out",)],
        *[
            ({"rounds": [{**ROUND, "lm_settings": {**APPROACH, name: 0}}]}, f"rounds[0].lm_settings.{name}")
            for name in ("iterations", "sigma_mm", "points", "free_space_mm")
        ],
        *[({"vertices": {name: 0}}, f"vertices.{name}") for name in ("iterations", "radius_px", "sigma_mm")],
    ],
)
def test_what_divides_or_counts_must_not_be_zero(values: dict[str, Any], path: str) -> None:
    with pytest.raises(ConfigError) as failure:
        Config.from_dict(values)
    assert str(failure.value) == f"{path}: must be greater than 0"


def test_settings_that_python_makes_are_checked_as_well() -> None:
    for make, message in (
        (lambda: Weights(depth=-1.0), "depth: expected a number from 0 to 1000000, got -1.0"),
        (lambda: DescentStage(**{**STAGE, "iterations": 0}), "iterations: must be greater than 0"),
        (lambda: LMSettings(3, 5.0, plane=2.0), "plane: expected a number from 0 to 1, got 2.0"),
        (lambda: Config(proposals=1001), "proposals: expected 0 to 1000, got 1001"),
        (lambda: Config(crop_px=0), "crop_px: expected 16 to 512, got 0"),
        (lambda: Config(stages=()), "stages: at least one is needed"),
        (lambda: Config(stages=(3,)), "stages: expected DescentStages, got (3,)"),
        (lambda: Config(weights={"depht": 1.0}), "weights: expected Weights, got {'depht': 1.0}"),
        (lambda: Config(solver="newton"), "solver: expected one of auto, lm, gradient, got 'newton'"),
        (lambda: Config(huber=10**400), "huber: the number is too large"),
    ):
        with pytest.raises(ConfigError) as failure:
            make()
        assert str(failure.value) == message


def every_number(kind: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Path and constraints of every number in settings, nested ones as well."""
    for name, annotated in field_types(kind).items():
        bare, *metas = get_args(annotated) if get_origin(annotated) is Annotated else (annotated,)
        if get_origin(bare) is tuple:
            bare = get_args(bare)[0]
        if dataclasses.is_dataclass(bare):
            yield from every_number(bare, f"{path}{name}.")
        elif bare in (int, float):
            yield f"{path}{name}", metas[0] if metas else None


def test_every_number_has_a_range() -> None:
    numbers = dict(every_number(Config))
    assert len(numbers) > 60
    open_ended = [path for path, meta in numbers.items() if meta is None or meta.le is None or meta.le > 1e6]
    assert not open_ended
    assert all(meta.ge is not None or meta.gt is not None for meta in numbers.values())


def test_more_hypotheses_stay_within_their_range() -> None:
    many = Config(starts=900, rounds=(TournamentRound(LMSettings(3, 12.0), top_k_out=1000, top_k_in=9),))
    tripled = many.times(3)
    assert (tripled.starts, tripled.rounds[0].top_k_out, tripled.rounds[0].top_k_in) == (1000, 1000, 27)


def test_whole_numbers_and_numbers_of_numpy_become_plain_ones() -> None:
    config = Config(huber=0, points=np.int64(500), weights=Weights(depth=np.float32(0.5)))
    assert type(config.huber) is float
    assert type(config.points) is int
    assert type(config.weights.depth) is float
    assert config == Config(huber=0.0, points=500, weights=Weights(depth=0.5))


def test_a_shape_that_is_not_fitted_is_fixed_in_every_stage_and_round() -> None:
    stages, rounds = Config().with_shape("none").stages, Config().with_shape("none").rounds
    assert not any(each.scale for each in stages)
    assert not any(each.lm_settings.scale or each.lm_settings.proportions for each in rounds)
    sized = Config().with_shape("scale")
    assert [each.scale for each in sized.stages] == [each.scale for each in Config().stages]
    assert any(each.lm_settings.scale for each in sized.rounds)
    assert not any(each.lm_settings.proportions for each in sized.rounds)
    assert Config().with_shape("vertices") == Config()


@pytest.mark.parametrize("name", [f.name for f in dataclasses.fields(Weights)])
def test_any_term_can_be_switched_off(name: str) -> None:
    assert getattr(Config.from_dict({"weights": {name: 0}}).weights, name) == 0


def test_zero_is_a_number_where_it_means_something() -> None:
    config = Config.from_dict({"huber": 0, "free_weight": 0, "tolerance": 0, "plane": 0, "steps": {"scale": 0}})
    assert (config.huber, config.free_weight, config.tolerance, config.plane, config.steps.scale) == (0, 0, 0, 0, 0)


@pytest.mark.parametrize("content", [b"starts = ", b"\xff\xfe\x00", b"starts = 1\nstarts = 2"])
def test_a_file_that_is_no_toml_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"config=.*config\.toml cannot be read"):
        Config.from_toml(path)


def test_errors_in_a_file_name_the_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"config=.*missing\.toml cannot be read"):
        Config.from_toml(tmp_path / "missing.toml")
    with pytest.raises(ConfigError, match=r"config=.* cannot be read"):
        Config.from_toml(tmp_path)
    with pytest.raises(ConfigError, match=r"config=.*config\.toml: stat is unknown; did you mean starts\?"):
        Config.from_toml(written(tmp_path, "stat = 1"))


def test_settings_are_constants() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().starts = 3  # type: ignore[misc]


def test_every_descent_that_can_be_named_exists() -> None:
    assert set(DESCENTS) == set(STEPPERS)
    for solver in SOLVERS:
        assert Config(solver=solver).solver == solver


def test_absurd_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    for text in ("huber = 1" + "0" * 400, "huber = " + "[" * 100_000 + "]" * 100_000):
        path.write_text(text)
        with pytest.raises(ConfigError, match="config="):
            Config.from_toml(path)


def test_a_number_of_thousands_of_digits_is_refused_with_the_files_name(tmp_path: Path) -> None:
    file = tmp_path / "digits.toml"
    file.write_text("seed = " + 5000 * "9")
    with pytest.raises(ConfigError, match=r"config=.*digits\.toml cannot be read: a number in it has too many digits"):
        Config.from_toml(file)
