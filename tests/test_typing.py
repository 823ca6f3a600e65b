"""Type aliases: one definition each, in handopt/typing.py, with its shape."""

import ast
import re
from collections import Counter
from pathlib import Path

import handopt
from handopt import typing

PACKAGE = Path(handopt.__file__).parent
ALIAS = re.compile(r"\b(NDArray|Callable|Mapping|Sequence|Literal|tuple|dict|list)\[")


def aliases(path: Path) -> list[str]:
    """Names at a module's top that stand for a type in brackets."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Subscript) and ALIAS.search(ast.unparse(node))
        for target in node.targets
        if isinstance(target, ast.Name) and target.id[0].isupper()
    ]


def test_no_alias_is_defined_twice() -> None:
    defined = {path: aliases(path) for path in PACKAGE.rglob("*.py")}
    counts = Counter(name for names in defined.values() for name in names)
    assert counts["Floats"] == counts["FloatImage"] == 1
    assert not {name for name, count in counts.items() if count > 1}


def test_arrays_have_their_aliases_in_one_place() -> None:
    for path in PACKAGE.rglob("*.py"):
        if path != PACKAGE / "typing.py":
            found = re.findall(r"^([A-Z]\w*) = (?:np\w*\.)?NDArray\[", path.read_text(encoding="utf-8"), re.MULTILINE)
            assert not found, f"{path} defines {found}"


def test_every_alias_says_what_it_is() -> None:
    lines = Path(typing.__file__).read_text(encoding="utf-8").splitlines()
    starts = [row for row, line in enumerate(lines) if re.match(r"[A-Z]\w* = ", line)]
    assert len(starts) > 15
    for row in starts:
        assert lines[row + 1].startswith('"""'), lines[row]
