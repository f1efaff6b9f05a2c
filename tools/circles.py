"""Finds files that import each other in a circle: `tools/circles.py [NAME…]`, a crate or `python`; all without a name.

An import is a path that one file writes to reach what another one defines: in a `use`, or in the middle of code. A
name that a module only passes on (`pub use`) leads to the file that defines it. `mod x;`, a `pub use` that the file
itself does not need, and everything under `#[cfg(test)]` are no imports. In Python every import counts, also one inside
a function or under `TYPE_CHECKING`.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PYTHON = ROOT / "python" / "django_rollback"

Module = tuple[str, ...]
Graph = dict[str, set[str]]

NO_CODE = re.compile(
    r"""//[^\n]*|/\*.*?\*/|\br(?P<hashes>\#*)".*?"(?P=hashes)|"(?:\\.|[^"\\])*"|'(?:\\[^']+|[^'\\])'""", re.DOTALL
)
TEST = re.compile(r"#\[cfg\((?:test|all\(test\b[^\]]*)\)\]\s*(?:#\[[^\]]*\]\s*)*")
USE = re.compile(r"\b(?P<public>pub(?:\([^)]*\))?\s+)?use\s+(?P<tree>[^;]+);")
NO_IMPORT = re.compile(r"\bmod\s+\w+\s*;|\bpub\(in [^)]*\)")
PATH = re.compile(r"(?<![\w:])\w+(?:::\w+)+")


def main(names: list[str]) -> int:
    """Prints the circles of each part, and returns 1 if there are any."""
    found = [circle for name in names or parts() for circle in circles_of(name)]
    print("\n".join(found) or "no circles")
    return 1 if found else 0


def parts() -> list[str]:
    """Every crate, and the Django app."""
    return [*sorted(folder.parent.name for folder in ROOT.glob("crates/*/src")), "python"]


def circles_of(name: str) -> Iterator[str]:
    """One paragraph for each circle of this crate or of the app."""
    graph = python_graph(PYTHON) if name == "python" else Crate(ROOT / "crates" / name / "src").graph()
    for files in circles(graph):
        lines = [f"  {file} imports {', '.join(sorted(graph[file] & files))}" for file in sorted(files)]
        yield "\n".join([f"{name}: {len(files)} files import each other", *lines])


def circles(graph: Graph) -> list[set[str]]:
    """The largest sets of files that all reach each other."""
    reached = {file: reachable(graph, file) for file in graph}
    mutual = {file: {other for other in reached[file] if file in reached[other]} for file in graph}
    return [files for file, files in sorted(mutual.items()) if files and file == min(files)]


def reachable(graph: Graph, start: str) -> set[str]:
    """All files that `start` imports, and those that they import."""
    found: set[str] = set()
    waiting = [start]
    while waiting:
        new = graph[waiting.pop()] - found
        found |= new
        waiting += new
    return found


@dataclass
class RustFile:
    """What one file of a crate says about others."""

    path: str
    module: Module
    body: str
    names: dict[str, Module] = field(default_factory=dict)
    """Where each name that a `use` brings in comes from, as it is written."""
    public: set[str] = field(default_factory=set)
    """Those of them that it passes on."""
    tests: set[str] = field(default_factory=set)
    """The modules below it that are for tests alone."""

    @classmethod
    def read(cls, path: Path, source: Path) -> RustFile:
        """Reads a file below `source`, the folder of its crate."""
        relative = path.relative_to(source)
        module = tuple(part for part in relative.with_suffix("").parts if part not in ("mod", "lib", "main"))
        file = cls(str(relative), module, "")
        code = file.without_tests(NO_CODE.sub('""', path.read_text()))
        for use in USE.finditer(code):
            for name, target in leaves(use["tree"]):
                file.names[name] = target
                if use["public"]:
                    file.public.add(name)
        file.body = NO_IMPORT.sub("", USE.sub("", code))
        return file

    def without_tests(self, code: str) -> str:
        """The code but for what is compiled for tests; notes the modules among that."""
        while test := TEST.search(code):
            end = end_of_item(code, test.end())
            if module := re.match(r"(?:pub(?:\([^)]*\))?\s+)?mod\s+(\w+)\s*;", code[test.end() : end]):
                self.tests.add(module[1])
            code = code[: test.start()] + code[end:]
        return code

    def paths(self) -> Iterator[Module]:
        """Every path by which it reaches something."""
        for name, target in self.names.items():
            if name not in self.public or re.search(rf"\b{name}\b", self.body):
                yield target
        for path in PATH.findall(self.body):
            yield tuple(path.split("::"))


def end_of_item(code: str, start: int) -> int:
    """Where the item that begins at `start` ends: after its `;`, or after its last bracket."""
    depth = 0
    for place in range(start, len(code)):
        depth += {"{": 1, "}": -1}.get(code[place], 0)
        is_use = code.startswith("use ", start) or code.startswith("pub use ", start)
        if depth == 0 and (code[place] == ";" or (code[place] == "}" and not is_use)):
            return place + 1
    return len(code)


def leaves(tree: str) -> Iterator[tuple[str, Module]]:
    """`a::{b, c::{self, d as e}}` as the names `b`, `c` and `e`, each with its path."""
    head, bracket, rest = tree.strip().partition("{")
    if bracket:
        prefix = tuple(part.strip() for part in head.split("::") if part.strip())
        for branch in branches(rest.rstrip().removesuffix("}")):
            for name, path in leaves(branch):
                is_self = path == ("self",)
                yield (prefix[-1], prefix) if is_self and name == "self" else (name, prefix + path[is_self:])
        return
    path, _, alias = head.partition(" as ")
    module = tuple(part.strip() for part in path.split("::"))
    if module != ("",):
        yield alias.strip() or module[-1], module


def branches(text: str) -> Iterator[str]:
    """The text cut at the commas that are outside of brackets."""
    depth, start = 0, 0
    for place, character in enumerate(text):
        depth += {"{": 1, "}": -1}.get(character, 0)
        if character == "," and depth == 0:
            yield text[start:place]
            start = place + 1
    yield text[start:]


class Crate:
    """The files of one crate, without those that are for tests alone."""

    def __init__(self, source: Path) -> None:
        files = [RustFile.read(path, source) for path in sorted(source.rglob("*.rs"))]
        tests = {(*file.module, name) for file in files for name in file.tests}
        used = (file for file in files if not any(file.module[: len(test)] == test for test in tests))
        self.files = {file.module: file for file in used}

    def graph(self) -> Graph:
        """Which file imports which."""
        return {file.path: self.imports(file) for file in self.files.values()}

    def imports(self, file: RustFile) -> set[str]:
        """The other files that this one imports."""
        found = (self.resolve(file, path) for path in file.paths())
        return {other.path for other in found if other and other is not file}

    def resolve(self, file: RustFile, path: Module, depth: int = 0) -> RustFile | None:
        """The file that defines what `path` means in `file`; `None` if that is in another crate."""
        base, rest = file.module, list(path)
        if rest[0] == "crate":
            base, rest = (), rest[1:]
        elif rest[0] in ("self", "super"):
            while rest and rest[0] in ("self", "super"):
                base = base[:-1] if rest.pop(0) == "super" else base
        elif (*base, rest[0]) not in self.files:
            target = file.names.get(rest[0])
            is_new = target is not None and target != path[: len(target)] and depth < 9
            return self.resolve(file, (*target, *rest[1:]), depth + 1) if target and is_new else None
        while rest and (*base, rest[0]) in self.files:
            base = (*base, rest.pop(0))
        found = self.files.get(base)
        target = found.names.get(rest[0]) if found and rest else None
        if found and target and depth < 9:
            return self.resolve(found, target, depth + 1) or found
        return found


class Imports(ast.NodeVisitor):
    """The modules that one Python file imports, by their whole names."""

    def __init__(self, package: list[str]) -> None:
        self.package = package
        self.found: list[str] = []

    def visit_Import(self, node: ast.Import) -> None:
        self.found += [alias.name for alias in node.names]

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        above = self.package[: len(self.package) - node.level + 1] if node.level else []
        base = ".".join([*above, *([node.module] if node.module else [])])
        self.found += [f"{base}.{alias.name}" for alias in node.names]


def python_graph(package: Path) -> Graph:
    """Which file of the package imports which."""
    files = {module_name(path, package): path for path in sorted(package.rglob("*.py"))}
    graph: Graph = {}
    for name, path in files.items():
        imports = Imports(name.split(".") if path.name == "__init__.py" else name.split(".")[:-1])
        imports.visit(ast.parse(path.read_text()))
        others = {known for known in map(lambda found: nearest(found, files), imports.found) if known}
        graph[str(path.relative_to(package))] = {
            str(files[other].relative_to(package)) for other in others if other != name
        }
    return graph


def module_name(path: Path, package: Path) -> str:
    """The name by which Python imports the file."""
    parts = path.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The module itself, or the one that the name is in."""
    while name and name not in known:
        name = name.rpartition(".")[0]
    return name or None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
