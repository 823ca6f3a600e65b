"""`handopt info`."""

import json
import sys
from collections.abc import Iterator
from typing import Any

import click

from handopt.cli.console import Console
from handopt.cli.help import SectionedCommand
from handopt.cli.options import json_option, verbosity_options

PACKAGES = ("numpy", "scipy", "click", "imageio", "imageio-ffmpeg", "pillow", "pygltflib", "tqdm")
CUPY_NAMES = ("cupy-cuda13x", "cupy-cuda12x", "cupy")
_LABEL_COLUMNS = 16


@click.command(
    cls=SectionedCommand,
    examples=(
        ("see what is installed, and which devices and camera presets there are", "handopt info"),
        ("find out whether each device computes right", "handopt info --check"),
        ("list the camera presets for a program", "handopt info --json | jq .cameras"),
    ),
)
@click.option("--check", is_flag=True, help="Run a small fit on each device, and compare it with double precision.")
@json_option("everything")
@verbosity_options
def info(check: bool, as_json: bool) -> None:
    """Show versions, kernels, devices, camera presets, and where things are installed."""
    console = Console()
    facts = gather()
    if check:
        facts["check"] = _checks()
    for line in [json.dumps(facts)] if as_json else _lines(facts):
        console.result(line)
    if any(each["problem"] for each in facts.get("check", ())):
        sys.exit(1)


def gather() -> dict[str, Any]:
    """Everything that `handopt info` shows, as JSON values."""
    import platform

    from handopt.assets import package_folder
    from handopt.input.camera import presets

    assets = package_folder("assets")
    return {
        "handopt": _version("handopt"),
        "python": {"version": platform.python_version(), "executable": sys.executable},
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in PACKAGES},
        "kernels": _kernels(),
        "devices": _devices(),
        "realsense": _realsense(),
        "hands": {side: str(assets / "hands" / f"{side}.glb") for side in ("right", "left")},
        "limits": str(assets / "hands" / "limits.toml"),
        "cameras": {
            name: {**preset.camera.to_dict(), "unit_mm": preset.unit_mm, "source": preset.source}
            for name, preset in presets().items()
        },
        "folders": _folders(),
    }


def _version(package: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _kernels() -> dict[str, Any]:
    """The compiled CPU kernels: whether they belong to the sources, and their threads."""
    from handopt import backend

    problem = backend.library_problem()
    facts: dict[str, Any] = {"problem": problem, "source_hash": backend.source_hash()}
    if problem is None:
        library = backend.library()
        threads = backend.cpu_threads()
        facts |= {"library": str(library.path), "schedule": library.schedule, "openmp": threads > 0}
        facts["threads"] = max(threads, 1)
    return facts


def _devices() -> dict[str, Any]:
    """Which devices --device can name, and why not."""
    from handopt import backend

    problem = backend.cuda_problem()
    installed = {name: version for name in CUPY_NAMES if (version := _version(name)) is not None}
    cuda: dict[str, Any] = {"problem": problem, "cupy": installed, "gpus": []}
    if problem is None:
        cupy = backend.namespace(backend.Device("cuda"))
        for index in range(cupy.cuda.runtime.getDeviceCount()):
            properties = cupy.cuda.runtime.getDeviceProperties(index)
            cuda["gpus"].append(
                {
                    "device": f"cuda:{index}",
                    "name": properties["name"].decode(),
                    "memory_gib": round(properties["totalGlobalMem"] / 2**30, 1),
                    "compute_capability": f"{properties['major']}.{properties['minor']}",
                }
            )
    return {"cpu": {"problem": backend.library_problem()}, "cuda": cuda, "auto": "cpu" if problem else "cuda:0"}


def _checks() -> list[dict[str, Any]]:
    """What a small fit on each device shows."""
    from handopt import backend
    from handopt.device_check import check_devices

    if (problem := backend.library_problem()) is not None:
        return [{"device": "cpu", "distance_mm": None, "problem": problem}]
    return [vars(each) for each in check_devices()]


def _realsense() -> dict[str, Any]:
    """Whether recordings can be read and --live be used, and the cameras that are plugged in."""
    from handopt.input.sequence import SourceError
    from handopt.input.sequence.realsense import plugged_in

    version = _version("pyrealsense2")
    if version is None:
        return {
            "version": None,
            "problem": "not installed: pip install '.[realsense]' in handopt's source folder",
            "cameras": [],
        }
    try:
        return {"version": version, "problem": None, "cameras": plugged_in()}
    except (SourceError, RuntimeError) as error:
        return {"version": version, "problem": str(error), "cameras": []}


def _folders() -> dict[str, str]:
    from pathlib import Path

    from handopt.assets import package_folder

    package = {"package": str(Path(__file__).parent.parent)}
    return {**package, **{name: str(package_folder(name)) for name in ("assets", "kernels")}}


def _lines(facts: dict[str, Any]) -> Iterator[str]:
    """The facts for people."""
    packages = [f"{name} {version or 'missing'}" for name, version in facts["packages"].items()]
    yield _line("handopt", facts["handopt"])
    yield _line("Python", f"{facts['python']['version']} ({facts['python']['executable']}) on {facts['platform']}")
    yield _line("packages", ", ".join(packages))
    yield from _kernel_lines(facts["kernels"])
    yield from _device_lines(facts["devices"])
    for each in facts.get("check", ()):
        yield _line(f"check {each['device']}", _check_line(each))
    yield _line("RealSense", _realsense_line(facts["realsense"]))
    for name in ("right", "left"):
        yield _line(f"{name} hand", facts["hands"][name])
    yield _line("joint limits", facts["limits"])
    for name, folder in facts["folders"].items():
        yield _line(name, folder)
    yield ""
    yield "Camera presets (name, size, fx, fy, cx, cy in pixels, mm per count, source):"
    for name, preset in facts["cameras"].items():
        size = f"{preset['width']} x {preset['height']}"
        numbers = " ".join(f"{preset[key]:7.2f}" for key in ("fx", "fy", "cx", "cy"))
        yield f"  {name:<13} {size:>10}  {numbers}  {preset['unit_mm']:<5g}  {preset['source']}"


def _kernel_lines(kernels: dict[str, Any]) -> Iterator[str]:
    if kernels["problem"]:
        yield _line("CPU kernels", f"unusable: {kernels['problem']}")
        return
    threads = f"{kernels['threads']} thread{'s' if kernels['threads'] > 1 else ''}"
    openmp = "OpenMP" if kernels["openmp"] else "built without OpenMP"
    yield _line("CPU kernels", kernels["library"])
    yield _line("", f"built from these sources ({kernels['source_hash'][:12]}), {threads}, {openmp}")


def _device_lines(devices: dict[str, Any]) -> Iterator[str]:
    cuda = devices["cuda"]
    yield _line("device cpu", "available" if devices["cpu"]["problem"] is None else "not available: see CPU kernels")
    yield _line("device cuda", "available" if cuda["problem"] is None else f"not available: {cuda['problem']}")
    for gpu in cuda["gpus"]:
        capability = gpu["compute_capability"].replace(".", "")
        yield _line("", f"{gpu['device']}: {gpu['name']}, {gpu['memory_gib']} GiB, sm_{capability}")
    yield _line("CuPy", ", ".join(f"{name} {version}" for name, version in cuda["cupy"].items()) or "not installed")
    yield _line("device auto", f"means {devices['auto']}")


def _realsense_line(realsense: dict[str, Any]) -> str:
    if realsense["problem"] is not None:
        return f"not available: {realsense['problem']}"
    return f"pyrealsense2 {realsense['version']}, {', '.join(realsense['cameras']) or 'no camera is plugged in'}"


def _check_line(check: dict[str, Any]) -> str:
    if check["problem"]:
        return f"WRONG: {check['problem']}"
    return f"right: the worst joint is {check['distance_mm']:.2g} mm from where double precision has it"


def _line(label: str, text: str | None) -> str:
    return f"{label:<{_LABEL_COLUMNS}}{text}"
