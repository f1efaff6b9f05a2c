"""What `deploy/` and the docs tell others to run: manifests fit Kubernetes' schemas, and command lines are understood.

The schemas come with a package; no cluster and no kubectl is asked.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.database import Database
from harness.project import Project

# `make test` has it; the environments of `make test-matrix`, which are about Python and Django, need not.
kubernetes_validate = pytest.importorskip("kubernetes_validate", reason="tools/requirements.txt has it")
yaml = pytest.importorskip("yaml", reason="it comes with kubernetes-validate")

ROOT = Path(__file__).resolve().parents[1]
DOCS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# The oldest that is still looked after when this was written, and the newest that the package knows.
VERSIONS = ("1.34", kubernetes_validate.latest_version())
SECRETS = {"DATABASE_URL", "DJANGO_ROLLBACK_KEY"}
FENCED = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)
# In a Debian 12 with libgcc, which is what `cc` is: https://github.com/GoogleContainerTools/distroless/tree/main/cc
LIBRARIES = {"libc.so.6", "libgcc_s.so.1", "libm.so.6", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}
NEWEST_GLIBC = (2, 36)
# Nobody listens there.
NO_DATABASE = "postgres://nobody@127.0.0.1:1/nothing"
COMMIT = "43db1b52b5c727feb3617a3bdfaa846de16409c2"
# The original's commands are in the grammar of both doors, too.
COMMAND = re.compile(r"(?:django-rollback|(?:\./)?manage\.py(?: rollback(?= )|(?= \w+_migrations))) +(?P<words>.*)")
# What needs no database.
ALONE = {"completions", "key", "stamp"}
# What reads commits, as `plan` does with a range.
OF_COMMITS = {"check", "graph", "import"}


def blocks(kind: str) -> Iterator[tuple[str, str]]:
    """The fenced blocks of this kind in the docs, each with the name of its page."""
    for page in DOCS:
        for found, text in FENCED.findall(page.read_text()):
            if found == kind:
                yield page.name, text


def manifests() -> dict[str, dict[str, Any]]:
    """Every object of Kubernetes in `deploy/` and in the docs. What pipelines run is for `test_pipelines.py`."""
    texts = [(path.name, path.read_text()) for path in sorted((ROOT / "deploy").rglob("*.yaml"))]
    texts += [(name, text) for name, text in blocks("yaml") if "apiVersion:" in text]
    objects = [(name, each) for name, text in texts for each in yaml.safe_load_all(text)]
    return {f"{name}: {each['kind']} {each['metadata']['name']}": each for name, each in objects}


MANIFESTS = manifests()


def containers(value: Any) -> Iterator[dict[str, Any]]:
    """Every container, wherever the pod's template stands."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in ("containers", "initContainers"):
                yield from inner
            yield from containers(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from containers(inner)


def words_of(container: dict[str, Any]) -> list[str] | None:
    """The words after the program, where that is ours; variables of Kubernetes put in."""
    line = [*container.get("command", []), *container.get("args", [])]
    values = {each["name"]: each.get("value", "") for each in container.get("env", [])}
    line = [re.sub(r"\$\((\w+)\)", lambda found: values[found[1]], word) for word in line]
    if "manage.py" in line:
        assert line[line.index("manage.py") + 1] == "rollback", line
        return line[line.index("manage.py") + 2 :]
    return line if "django-rollback:" in container["image"] else None


def lines() -> Iterator[tuple[str, str]]:
    """The words of every command of ours in the docs, as somebody would type them.

    The examples of `cli.md` are those of the help: a test of `rollback-cli` reads them.
    """
    for kind in ("console", "sh"):
        for page, text in ((page, text) for page, text in blocks(kind) if page != "cli.md"):
            for line in text.replace("\\\n", " ").splitlines():
                typed = re.split(" #| > | && |[|<]", line.removeprefix("$ "))[0].strip()
                found = COMMAND.fullmatch(typed)
                if found and (kind == "sh" or line.startswith("$ ")):
                    yield page, found["words"]


LINES = sorted(set(lines()))


@pytest.fixture(scope="module")
def anywhere(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project that is only asked where the binary is."""
    root = tmp_path_factory.mktemp("deploy")
    return Project(root / "project", database=Database.sqlite(root / "none.sqlite3"), ways=())


def understood(project: Project, words: list[str]) -> None:
    """Runs it where there is no database and no repository: it fails for that reason, and so has understood the words.

    A rehearsal is for manage.py, and the binary says so before anything else.
    """
    environment = {"DATABASE_URL": NO_DATABASE, "DJANGO_ROLLBACK_COMMIT": COMMIT}
    ended = project.native(*words, check=False, env=environment, cwd=project.root.parent)
    code, reason = 1, "manage.py rollback rehearse" if words[0] == "rehearse" else "127.0.0.1"
    if words[0] in OF_COMMITS or any(".." in word for word in words):
        code, reason = 2, "there is no git repository"
    assert ended.returncode == code and reason in ended.stderr, (words, ended)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", MANIFESTS)
def test_a_manifest_fits_the_schema(name: str, version: str) -> None:
    """Strictly: a key that Kubernetes does not know is a mistake."""
    kubernetes_validate.validate(MANIFESTS[name], version, strict=True)


def test_a_mistake_is_noticed() -> None:
    """The schemas are there, and strict."""
    broken = {**next(iter(MANIFESTS.values())), "sepc": {}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, VERSIONS[0], strict=True)


def test_there_are_manifests_and_lines() -> None:
    """Nothing is checked that is not found."""
    assert {each["kind"] for each in MANIFESTS.values()} >= {"Job", "Deployment", "CronJob"}
    assert {page for page, _ in LINES} >= {"README.md", "old-image.md", "security.md"}


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_manifest_runs_what_there_is(name: str, anywhere: Project) -> None:
    """Every command line gets as far as the database, and no secret is written into a manifest."""
    for container in containers(MANIFESTS[name]):
        words = words_of(container)
        if words is not None:
            understood(anywhere, words)
        for variable in container.get("env", []):
            assert variable["name"] not in SECRETS or "secretKeyRef" in variable["valueFrom"], variable
        assert not re.search(r"drk1_|postgres(ql)?://", str(container)), container


@pytest.mark.parametrize(("page", "line"), LINES)
def test_a_line_of_the_docs_is_understood(page: str, line: str, anywhere: Project, tmp_path: Path) -> None:
    """The same grammar for both doors."""
    (tmp_path / "key").write_text("a secret")
    words = [str(tmp_path / word) if word == "key" else word for word in shlex.split(line)]
    if line.split()[0] in ALONE:
        environment = {"DJANGO_ROLLBACK_KEY": "a secret", "DJANGO_ROLLBACK_COMMIT": COMMIT}
        anywhere.native(*line.split(), env=environment, cwd=tmp_path)
    else:
        understood(anywhere, words)


def test_the_binary_fits_the_image(anywhere: Project) -> None:
    """It asks for nothing that the distroless image does not have."""
    binary = str(anywhere.binary())
    dynamic = subprocess.run(["readelf", "--dynamic", binary], check=True, capture_output=True, text=True).stdout
    needed = set(re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic))
    assert needed <= LIBRARIES, needed
    versions = subprocess.run(["readelf", "--version-info", binary], check=True, capture_output=True, text=True).stdout
    newest = max((int(major), int(minor)) for major, minor in re.findall(r"GLIBC_(\d+)\.(\d+)", versions))
    assert newest <= NEWEST_GLIBC, newest


def test_the_image_copies_what_it_builds() -> None:
    """What one stage leaves, the other takes; and nothing runs as root."""
    text = (ROOT / "deploy" / "Dockerfile.distroless").read_text()
    package = re.search(r"--package (\S+)", text)
    copied = re.search(r"^COPY --from=build /src/target/release/(\S+) (\S+)$", text, re.MULTILINE)
    assert package and copied and package[1] == copied[1]
    assert f'ENTRYPOINT ["{copied[2]}"]' in text
    assert re.findall(r"^FROM (\S+)", text, re.MULTILINE)[-1] == "gcr.io/distroless/cc-debian12:nonroot"
