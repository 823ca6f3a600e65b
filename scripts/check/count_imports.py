"""Count the rooms, import arrows and import circles of the package in any checkout.

    python scripts/check/count_imports.py [--repo DIR] [--list]

A room is a package or a module directly in handopt/. An arrow leads from a room to another that it imports, at the top
of a file, in a function or for type checking only; the modules' own arrows are counted too. A circle is a set of rooms
(or of modules) that all reach one another. The code is parsed and not run, so any commit can be counted:

    git worktree add /some/folder COMMIT && python scripts/check/count_imports.py --repo /some/folder
"""

import argparse
import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
PACKAGE = "handopt"


@dataclass(frozen=True)
class Import:
    """One module that imports another, with the line, and whether that is inside a function."""

    importer: str
    imported: str
    path: Path
    line: int
    lazy: bool

    def __str__(self) -> str:
        return f"{self.path}:{self.line} imports {self.imported}" + (" in a function" if self.lazy else "")


def modules(repo: Path) -> dict[str, Path]:
    """The file of each module of the package, by its dotted name."""
    found = {}
    for path in sorted((repo / PACKAGE).rglob("*.py")):
        parts = path.relative_to(repo).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def room_of(module: str) -> str:
    """The package or module directly in handopt/ that a module belongs to; handopt itself is the last room."""
    return module.split(".")[1] if "." in module else module


def imported_names(node: ast.stmt | ast.expr, importer: str, is_package: bool) -> list[str]:
    """The dotted names that an import statement asks for, each as long as it is written."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    base = node.module or ""
    if node.level:
        parts = importer.split(".")
        parts = parts[: len(parts) - node.level + is_package]
        base = ".".join([*parts, *([node.module] if node.module else [])])
    return [f"{base}.{alias.name}" for alias in node.names]


def _statements(node: ast.AST, lazy: bool = False) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child, lazy
        else:
            yield from _statements(child, lazy or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef))


def read_imports(repo: Path) -> list[Import]:
    """Every import of one of the package's modules by another."""
    known = modules(repo)
    found = []
    for importer, path in known.items():
        for node, lazy in _statements(ast.parse(path.read_text(encoding="utf-8"))):
            for name in imported_names(node, importer, path.name == "__init__.py"):
                while name not in known and "." in name:  # a name inside a module
                    name = name.rpartition(".")[0]
                if name in known and name != importer:
                    found.append(Import(importer, name, path.relative_to(repo), node.lineno, lazy))
    return found


def circles(arrows: set[tuple[str, str]]) -> list[list[str]]:
    """Sets of nodes that all reach one another, each in alphabetical order."""
    graph: dict[str, list[str]] = {}
    for start, end in sorted(arrows):
        graph.setdefault(start, []).append(end)
        graph.setdefault(end, [])
    reach = {node: _reachable(graph, node) for node in graph}
    groups = {tuple(sorted(other for other in reach[node] if node in reach[other])) for node in graph}
    return sorted(list(group) for group in groups if group)


def _reachable(graph: dict[str, list[str]], start: str) -> set[str]:
    """The nodes at the end of at least one arrow from `start`."""
    seen: set[str] = set()
    waiting = list(graph[start])
    while waiting:
        node = waiting.pop()
        if node not in seen:
            seen.add(node)
            waiting.extend(graph[node])
    return seen


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repo", type=Path, default=PROJECT, help="a checkout; default: the one of this script")
    parser.add_argument("--list", action="store_true", help="list the rooms, their arrows and the circles' members")
    options = parser.parse_args()
    if not (options.repo / PACKAGE).is_dir():
        raise SystemExit(f"{options.repo} is no checkout: it has no folder {PACKAGE}")
    known, found = modules(options.repo), read_imports(options.repo)
    rooms = {room_of(name) for name in known}
    room_arrows = {(room_of(i.importer), room_of(i.imported)) for i in found}
    room_arrows = {(start, end) for start, end in room_arrows if start != end}
    module_arrows = {(i.importer, i.imported) for i in found}
    for kind, nodes, arrows in (("rooms", rooms, room_arrows), ("modules", set(known), module_arrows)):
        rings = circles(arrows)
        print(f"{kind:8} {len(nodes):4}   arrows {len(arrows):4}   circles {len(rings):3}")
        for ring in rings:
            print(f"         circle: {', '.join(ring)}")
    loose = sorted(path.stem for path in (options.repo / PACKAGE).glob("*.py"))
    print(f"modules directly in {PACKAGE}/: {len(loose)}")
    if options.list:
        for room in sorted(rooms):
            print(f"{room}: {' '.join(sorted(end for start, end in room_arrows if start == room))}")


if __name__ == "__main__":
    main()
