"""The plan of the house: the order of its rooms, and what keeps modules short and names the field's own."""

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from count_imports import Import, circles, modules, read_imports, room_of

PROJECT = Path(__file__).resolve().parent.parent
PACKAGE = PROJECT / "handopt"

# From low to high, the way that data flows: a room imports only rooms that stand before it.
ROOMS = (
    *("errors", "typing", "files", "assets", "atomic_folder", "progress", "deferred"),
    *("config", "backend", "ops", "input"),
    *(
        "rig",
        "hand_model",
        "observation",
        "proposals",
        "objective",
        "torch",
        "assess",
        "viewer",
        "result",
        "optimise",
        "fit_input",
    ),
    *(
        "fitting",
        "fit_hands",
        "device_check",
        "shape",
        "tracking",
        "draw",
        "evaluation",
        "export",
        "storage",
        "synth",
        "learning",
        "batch",
    ),
    *("handopt", "cli"),
    "__main__",
)
HEAVY = {
    "cupy",
    "distributed",
    "igl",
    "imageio",
    "msgspec",
    "numpy",
    "pandas",
    "PIL",
    "pxr",
    "pyarrow",
    "pygltflib",
    "scipy",
    "threadpoolctl",
    "torch",
    "tqdm",
}
MODULES_AT_THE_TOP, FUNCTION_LINES, MODULE_LINES = 15, 60, 350
REASON = re.compile(r"Long because \w+")

# Names that have given way to the field's terms. The first are banned everywhere, as any identifier or file name.
OLD_NAMES = set(
    re.findall(
        r"\w+",
        """
        Evidence gather_evidence explain Approach Round Stage levenberg depth_term render_depth_loss quadratic pivots
        Sharpness sharpness Lockstep Ask Answer Field _bred _born Clock lap Descent Step Winner believed_angles Signs
        likeness Palm severed Limb take_apart thinned Take LeftOut disagreeing Guard Faults coupled Arrow Pull
        Freedom Moment Tape leapt Asked UntilStopped blaming Way valley soft_camera
        """,
    )
)
# Ordinary words: banned in the rooms of the package where they stood for something that has a term.
OLD_WORDS = {
    "config": "enter keep above judged redraws capture",
    "ops": "outline closest collisions raster shifts",
    "optimise": "enter keep above judged redraws capture believed asks",
    "observation": "lead rivals palms thin",
    "assess": "sure gap",
    "shape": "admit coupled together tell guard take",
    "tracking": "worn fresh missed ahead look follow take standing gap",
    "input": "choose ahead facts",
    "batch": "placement",
    "storage": "aside foreign",
    "cli": "blaming listed",
}
OLD_WORDS_IN_ALL_ROOMS = {"unexplained"}
# The new name of a module, function or file that contains an old word as well, and USD's own name for a file.
ALLOWED = {
    "handopt/objective/unexplained.py: unexplained",
    "handopt/export/motion/usd.py: Stage",
    "tests/export/motion/test_motion.py: Stage",
}


def python_files() -> list[Path]:
    return sorted(path for folder in ("handopt", "tests", "scripts") for path in (PROJECT / folder).rglob("*.py"))


def relative(path: Path) -> str:
    return path.relative_to(PROJECT).as_posix()


@pytest.fixture(scope="module")
def imports() -> list[Import]:
    """Every import between modules of the package: at the top, in functions, and for type checking."""
    found = read_imports(PROJECT)
    assert len(found) > 500
    return found


# --------------------------------------------------------------------------------------------------- imports


def test_every_room_has_its_place_in_the_order() -> None:
    assert {room_of(module) for module in modules(PROJECT)} == set(ROOMS)


def test_a_room_imports_only_lower_rooms(imports: list[Import]) -> None:
    rank = {room: place for place, room in enumerate(ROOMS)}
    wrong = [str(i) for i in imports if rank[room_of(i.imported)] > rank[room_of(i.importer)]]
    assert not wrong, "\n".join(wrong)


def test_modules_do_not_import_in_circles(imports: list[Import]) -> None:
    rings = [" ".join(ring) for ring in circles({(i.importer, i.imported) for i in imports})]
    assert not rings


def test_only_the_backend_imports_cupy() -> None:
    pattern = re.compile(r"^\s*(import|from) cupyx?\b", re.MULTILINE)
    users = {relative(path) for path in PACKAGE.rglob("*.py") if pattern.search(text_of(path))}
    assert users == {f"handopt/backend/{name}.py" for name in ("copies_ahead", "cuda_graphs", "devices", "launch_cuda")}


def test_little_stands_at_the_top_of_the_package() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= MODULES_AT_THE_TOP


def test_the_tests_have_the_rooms_of_the_package() -> None:
    # "pytorch" is of the room torch: tests/ is on the path, where a folder torch would stand in for a missing PyTorch.
    folders = {path.parent.relative_to(PROJECT / "tests").parts[:1] for path in (PROJECT / "tests").rglob("*.py")}
    assert {folder[0] for folder in folders if folder} <= {*ROOMS, "pytorch", "fuzz", "scripts", "support"}


@pytest.mark.process
def test_the_commands_start_without_heavy_packages() -> None:
    code = "import json, sys, handopt.cli.main; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {module.partition(".")[0] for module in json.loads(done.stdout)} & HEAVY


@pytest.mark.process
def test_a_fit_of_an_image_file_loads_no_heavy_package_that_it_does_not_need() -> None:
    code = """
import json, sys, handopt
image = handopt.read_image(sys.argv[1])
handopt.fit(image.depth_mm, image.camera)
print(json.dumps(sorted(sys.modules)))
"""
    image = PROJECT / "assets" / "examples" / "open.png"
    done = subprocess.run([sys.executable, "-P", "-c", code, str(image)], capture_output=True, text=True, check=True)
    found = {module.partition(".")[0] for module in json.loads(done.stdout)} & HEAVY
    assert found == {"msgspec", "numpy", "PIL", "threadpoolctl"}


# ------------------------------------------------------------------------------------------ length and names


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def long_parts(path: Path) -> Iterator[str]:
    """The module and its functions that are too long and give no reason in their first lines, with their lengths."""
    lines = text_of(path).splitlines()
    if len(lines) > MODULE_LINES and not REASON.search("\n".join(lines[:5])):
        yield f"{relative(path)}: {len(lines)} lines"
    for node in ast.walk(ast.parse("\n".join(lines))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            length = node.end_lineno - node.lineno + 1
            if length > FUNCTION_LINES and not REASON.search("\n".join(lines[node.lineno - 1 :][:20])):
                yield f"{relative(path)}: {node.name} of {length} lines"


def test_modules_and_functions_are_short() -> None:
    found = [part for path in python_files() for part in long_parts(path)]
    assert not found, "\n".join(found)


def identifiers(path: Path) -> set[str]:
    """Every name of a file: its own, and what it defines or uses."""
    found = {path.stem}
    for node in ast.walk(ast.parse(text_of(path))):
        for attribute in ("name", "asname", "id", "attr", "arg"):
            if isinstance(value := getattr(node, attribute, None), str):
                found.add(value.rpartition(".")[2])
    return found


def test_the_old_names_are_gone() -> None:
    found = set()
    for path in python_files():
        banned = OLD_NAMES
        if path.is_relative_to(PACKAGE):
            room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
            banned = OLD_NAMES | OLD_WORDS_IN_ALL_ROOMS | set(OLD_WORDS.get(room, "").split())
        found |= {f"{relative(path)}: {name}" for name in identifiers(path) & banned}
    for path in sorted(set((PROJECT / "kernels").iterdir()) - {PROJECT / "kernels" / "README.md"}):
        found |= {f"{relative(path)}: {name}" for name in OLD_NAMES & set(re.findall(r"\w+", text_of(path)))}
    new = found - ALLOWED
    assert not new, "\n".join(sorted(new))


def test_old_names_are_found(tmp_path: Path) -> None:
    path = tmp_path / "aside.py"
    path.write_text("from x import Take as T\nclass Ask:\n    lap = 1\ndef f(rivals): return f.severed(keep=Palm)\n")
    assert {"aside", "Take", "T", "Ask", "lap", "f", "rivals", "severed", "keep", "Palm"} <= identifiers(path)
