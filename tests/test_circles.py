"""`tools/circles.py` finds every circle of files, and nothing that is none."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[1] / "tools"))

from circles import Crate, Graph, circles, python_graph


def write(folder: Path, files: dict[str, str]) -> Path:
    """Writes the files below the folder."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def found(graph: Graph) -> list[str]:
    """Each circle as its files."""
    return [" ".join(sorted(files)) for files in circles(graph)]


CHILD_AND_PARENT = {
    "lib.rs": "mod plan;",
    "plan.rs": "mod steps;\npub struct Step;\npub fn plan() { steps::all() }",
    "plan/steps.rs": "use super::Step;\npub(super) fn all() {}",
}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"lib.rs": "mod a; mod b;", "a.rs": "use crate::b::B;", "b.rs": "use crate::a::{self, A};"}, ["a.rs b.rs"]),
        ({"lib.rs": "mod a; mod b;", "a.rs": "use crate::b::B;", "b.rs": "fn b() { crate::a::a() }"}, ["a.rs b.rs"]),
        ({"lib.rs": "mod a; pub struct X; fn f() { a::g() }", "a.rs": "use crate::X;"}, ["a.rs lib.rs"]),
        (CHILD_AND_PARENT, ["plan.rs plan/steps.rs"]),
        ({**CHILD_AND_PARENT, "plan.rs": "mod steps;\npub struct Step;\npub use steps::all;"}, []),
        ({**CHILD_AND_PARENT, "plan/steps.rs": "#[cfg(test)]\nmod tests { use super::super::Step; }"}, []),
        ({**CHILD_AND_PARENT, "plan/steps.rs": "// super::Step\nfn all() { f('\"', \"super::Step\", '\"') }"}, []),
        (
            {
                "lib.rs": "mod plan;",
                "plan.rs": "mod step; mod make; pub use self::step::Step;\nfn f() { make::make() }",
                "plan/step.rs": "pub struct Step;",
                "plan/make.rs": "use super::{Step as S};",
            },
            [],
        ),
        ({"lib.rs": "#[cfg(test)]\nmod t;\npub fn f() {}", "t.rs": "use crate::f; mod u;", "t/u.rs": "super::x()"}, []),
    ],
)
def test_rust(tmp_path: Path, files: dict[str, str], expected: list[str]) -> None:
    assert found(Crate(write(tmp_path, files)).graph()) == expected


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"a.py": "from .b import B", "b.py": "def f():\n    from . import a"}, ["a.py b.py"]),
        ({"a.py": "import app.sub.b", "sub/b.py": "from ..a import A", "sub/__init__.py": ""}, ["a.py sub/b.py"]),
        ({"a.py": "from . import X", "__init__.py": "X = 1"}, []),
    ],
)
def test_python(tmp_path: Path, files: dict[str, str], expected: list[str]) -> None:
    assert found(python_graph(write(tmp_path / "app", files))) == expected
