"""`handopt info`: what is installed, what can be used and why not."""

import json
import re
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from support.devices import set_cuda_problem

import handopt.cli.info as info_module
from handopt import backend, device_check
from handopt.cli.main import main
from handopt.errors import DeviceError
from handopt.input.camera import presets
from handopt.input.sequence import SourceError


def info(*arguments: str) -> str:
    printed = CliRunner().invoke(main, ["info", *arguments], catch_exceptions=False)
    assert printed.exit_code == 0
    assert printed.stderr == ""
    return printed.stdout


def as_json() -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(info("--json"))
    return facts


def test_json_says_what_is_there() -> None:
    facts = as_json()
    assert facts["packages"]["numpy"]
    assert facts["kernels"]["problem"] is None
    assert facts["kernels"]["threads"] >= 1
    assert facts["kernels"]["source_hash"] == backend.source_hash()
    assert Path(facts["kernels"]["library"]).is_file()
    assert facts["devices"]["cuda"]["problem"] == backend.cuda_problem()
    assert facts["devices"]["auto"] == str(backend.resolve_device("auto"))
    assert facts["cameras"].keys() == presets().keys()
    for path in (*facts["hands"].values(), facts["limits"]):
        assert Path(path).is_file()
    for folder in facts["folders"].values():
        assert Path(folder).is_dir()


def test_text_names_every_camera_device_and_place() -> None:
    text, facts = info(), as_json()
    for name in presets():
        assert f"  {name} " in text
    assert facts["kernels"]["library"] in text
    assert facts["kernels"]["source_hash"][:12] in text
    assert facts["hands"]["left"] in text
    assert "device cpu      available" in text


@pytest.mark.parametrize(
    ("version", "answer", "line"),
    [
        (None, [], "not available: not installed: pip install '.[realsense]' in handopt's source folder"),
        ("2.59", [], "pyrealsense2 2.59, no camera is plugged in"),
        ("2.59", ["Intel RealSense D435", "Intel RealSense SR305"], "pyrealsense2 2.59, Intel RealSense D435, Intel"),
        ("2.59", SourceError("--live needs libusb"), "not available: --live needs libusb"),
    ],
)
def test_realsense_cameras_are_listed(
    version: str | None, answer: Any, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def plugged_in() -> list[str]:
        if isinstance(answer, Exception):
            raise answer
        return answer

    real = info_module._version
    monkeypatch.setattr(info_module, "_version", lambda name: version if name == "pyrealsense2" else real(name))
    monkeypatch.setattr("handopt.input.sequence.realsense.plugged_in", plugged_in)
    assert f"RealSense       {line}" in info()


def test_without_cuda_it_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    set_cuda_problem(monkeypatch, "the moon is not full")
    cuda = as_json()["devices"]["cuda"]
    assert (cuda["problem"], cuda["gpus"]) == ("the moon is not full", [])
    assert "device cuda     not available: the moon is not full" in info()
    assert "device auto     means cpu" in info()


def test_with_cuda_it_lists_the_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    properties = {"name": b"Made-up 9", "totalGlobalMem": 8 * 2**30, "major": 9, "minor": 0}
    runtime = SimpleNamespace(getDeviceCount=lambda: 1, getDeviceProperties=lambda _index: properties)
    cupy = SimpleNamespace(cuda=SimpleNamespace(runtime=runtime))
    set_cuda_problem(monkeypatch, None)
    monkeypatch.setattr(backend, "namespace", lambda _device: cupy)
    assert as_json()["devices"]["cuda"]["gpus"] == [
        {"device": "cuda:0", "name": "Made-up 9", "memory_gib": 8.0, "compute_capability": "9.0"}
    ]
    assert "cuda:0: Made-up 9, 8.0 GiB, sm_90" in info()
    assert "device auto     means cuda:0" in info()


def test_unusable_kernels_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "library_problem", lambda: "compiled from other sources")
    facts = as_json()
    assert facts["kernels"]["problem"] == facts["devices"]["cpu"]["problem"] == "compiled from other sources"
    assert "library" not in facts["kernels"]
    assert "CPU kernels     unusable: compiled from other sources" in info()
    assert "device cpu      not available" in info()


def test_packages_that_are_not_there_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handopt.cli.info.PACKAGES", ("numpy", "no-such-package"))
    assert as_json()["packages"]["no-such-package"] is None
    assert "no-such-package missing" in info()


def test_check_fits_on_each_device_and_compares() -> None:
    (check,) = json.loads(info("--check", "--json"))["check"]
    assert (check["device"], check["problem"]) == ("cpu", None)
    assert 0 < check["distance_mm"] < 0.05, "single precision is not double, and close to it"
    assert "check cpu       right: the worst joint is " in info("--check")
    assert "check" not in as_json()


def test_a_device_that_computes_something_else_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_check, "TOLERANCE_MM", 0.0)
    printed = CliRunner().invoke(main, ["info", "--check"])
    assert printed.exit_code == 1
    assert re.search(r"check cpu       WRONG: a joint is \S+ mm from where double precision has it", printed.stdout)


def test_a_device_that_fails_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_arguments: Any) -> None:
        raise DeviceError("the moon is not full")

    expected = np.zeros((21, 3))
    monkeypatch.setattr(device_check, "cuda_devices", lambda: 1)
    monkeypatch.setattr(device_check, "using", lambda _device: nullcontext())
    monkeypatch.setattr(
        device_check, "_fitted", lambda device, *rest: expected if device.kind == "cpu" else fails(device, *rest)
    )
    cpu, cuda = device_check.check_devices()
    assert (cpu.device, cpu.distance_mm, cpu.is_right) == ("cpu", 0.0, True)
    assert (cuda.device, cuda.problem, cuda.is_right) == ("cuda:0", "the moon is not full", False)
