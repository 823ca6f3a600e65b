"""`handopt info`."""

import json
import sys
from typing import Any

import click

PACKAGES = ("numpy", "scipy", "click", "imageio", "imageio-ffmpeg", "pillow", "pygltflib", "tqdm")
CUPY_NAMES = ("cupy-cuda13x", "cupy-cuda12x", "cupy")
_LABEL_COLUMNS = 16


@click.command(short_help="Show versions, kernels, devices and camera presets.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as one JSON object.")
def info(as_json: bool) -> None:
    """Show versions, kernels, devices, camera presets, and where things lie."""
    facts = gather()
    if as_json:
        click.echo(json.dumps(facts, indent=2))
    else:
        _print(facts)


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


def _print(facts: dict[str, Any]) -> None:
    """Print the facts for people."""
    packages = [f"{name} {version or 'missing'}" for name, version in facts["packages"].items()]
    _line("handopt", facts["handopt"])
    _line("Python", f"{facts['python']['version']} ({facts['python']['executable']}) on {facts['platform']}")
    _line("packages", ", ".join(packages))
    _print_kernels(facts["kernels"])
    _print_devices(facts["devices"])
    _line("RealSense", _realsense_line(facts["realsense"]))
    for name in ("right", "left"):
        _line(f"{name} hand", facts["hands"][name])
    _line("joint limits", facts["limits"])
    for name, folder in facts["folders"].items():
        _line(name, folder)
    click.echo("\nCamera presets (name, size, fx, fy, cx, cy in pixels, mm per count, source):")
    for name, preset in facts["cameras"].items():
        size = f"{preset['width']} x {preset['height']}"
        numbers = " ".join(f"{preset[key]:7.2f}" for key in ("fx", "fy", "cx", "cy"))
        click.echo(f"  {name:<13} {size:>10}  {numbers}  {preset['unit_mm']:<5g}  {preset['source']}")


def _print_kernels(kernels: dict[str, Any]) -> None:
    if kernels["problem"]:
        _line("CPU kernels", f"unusable: {kernels['problem']}")
        return
    threads = f"{kernels['threads']} thread{'s' if kernels['threads'] > 1 else ''}"
    openmp = "OpenMP" if kernels["openmp"] else "built without OpenMP"
    _line("CPU kernels", kernels["library"])
    _line("", f"built from these sources ({kernels['source_hash'][:12]}), {threads}, {openmp}")


def _print_devices(devices: dict[str, Any]) -> None:
    cuda = devices["cuda"]
    _line("device cpu", "available" if devices["cpu"]["problem"] is None else "not available: see CPU kernels")
    _line("device cuda", "available" if cuda["problem"] is None else f"not available: {cuda['problem']}")
    for gpu in cuda["gpus"]:
        _line(
            "",
            f"{gpu['device']}: {gpu['name']}, {gpu['memory_gib']} GiB, sm_{gpu['compute_capability'].replace('.', '')}",
        )
    _line("CuPy", ", ".join(f"{name} {version}" for name, version in cuda["cupy"].items()) or "not installed")
    _line("device auto", f"means {devices['auto']}")


def _realsense_line(realsense: dict[str, Any]) -> str:
    if realsense["problem"] is not None:
        return f"not available: {realsense['problem']}"
    return f"pyrealsense2 {realsense['version']}, {', '.join(realsense['cameras']) or 'no camera is plugged in'}"


def _line(label: str, text: str | None) -> None:
    click.echo(f"{label:<{_LABEL_COLUMNS}}{text}")
