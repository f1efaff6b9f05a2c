"""Shows the main job: a small shop is deployed three times, and one command takes its database back to v1.

`shop/` has a folder for each release, with the files that are new in it. The demo proves the result: it compares the
database with one freshly built at v1, and asks the code of v1 whether it has anything to migrate.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

from harness import oracle  # noqa: E402
from harness.database import Database  # noqa: E402
from harness.project import CommandFailed, Project  # noqa: E402

BASE_APPS = ["django.contrib.contenttypes", "django_rollback"]
APPS = {
    "v1": ["catalog", "customers"],
    "v2": ["catalog", "customers", "orders"],
    "v3": ["catalog", "customers", "orders"],
}
FIXTURES = {"v1": "opening_day", "v2": "first_orders"}
TABLES_OF_V1 = ["catalog_product", "customers_customer"]


class ProofFailed(Exception):
    """The database or a command is not as expected; the message says what differs."""


def main() -> int:
    """Run the demo; exit code 0 means that everything was proved."""
    if importlib.util.find_spec("django_rollback") is None:
        print("django_rollback is not installed for this Python: run `make demo`", file=sys.stderr)
        return 1
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="django-rollback-demo-") as folder:
        try:
            run(Path(folder))
        except (CommandFailed, ProofFailed) as error:
            print(f"\nthe demo failed: {error}", file=sys.stderr)
            return 1
    print(f"\nEverything was proved, in {time.monotonic() - started:.0f} s.")
    return 0


def run(folder: Path) -> None:
    """The story from the first deployment to the proofs."""
    shop = Project(folder / "shop", database=new_database(folder / "shop.sqlite3"), apps=BASE_APPS)
    for release in APPS:
        write_release(shop, release)
    for release in APPS:
        deploy(shop, release)
        if release == "v1":
            rows_at_v1 = oracle.rows(shop.database, TABLES_OF_V1)
            show_rows(shop.database)

    title("v3 is broken. Where can we go back to?")
    manage(shop, "rollback_migrations", "--list")
    title("What would going back to v1 do? (nothing is written)")
    untouched = oracle.migrations(shop.database)
    manage(shop, "rollback_migrations", "-t", "v1", "--fake")
    prove("the preview changed nothing", oracle.migrations(shop.database) == untouched)
    title("Go back to v1")
    manage(shop, "rollback_migrations", "-t", "v1")
    manage(shop, "rollback_migrations", "--list")

    title("Is the result right? Compare it with a database freshly built at v1")
    compare(shop, fresh_at_v1(shop, folder))
    show_rows(shop.database)
    prove("the rows of v1 are all there, with their values", oracle.rows(shop.database, TABLES_OF_V1) == rows_at_v1)
    title("Does the code of v1 fit?")
    git(shop, "checkout", "v1")
    code = manage(shop, "migrate", "--check", may_fail=True)
    prove("the code of v1 has nothing to migrate", code == 0)


def write_release(shop: Project, release: str) -> None:
    """Commit the files of a release on top of the release before, and tag it."""
    folder = HERE / "shop" / release
    files = {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*.*")) if path.is_file()}
    shop.install_apps([*BASE_APPS, *APPS[release]])
    shop.commit(files, tag=release)


def deploy(shop: Project, release: str) -> None:
    """Do what a deployment does, then add the rows that come in while the release is in use."""
    title(f"Deploy {release}")
    git(shop, "checkout", release)
    manage(shop, "migrate")
    manage(shop, "save_migrations_state")
    if release in FIXTURES:
        manage(shop, "loaddata", FIXTURES[release])


def fresh_at_v1(shop: Project, folder: Path) -> Database:
    """A database that was never at another release, to compare with."""
    fresh = shop.clone_at("v1", new_database(folder / "fresh.sqlite3"))
    fresh.manage("migrate")
    return fresh.database


def compare(shop: Project, fresh: Database) -> None:
    """Prove that the shop's database equals a fresh one at v1."""
    schema = oracle.schema(shop.database)
    prove(f"the same schema, in all {len(schema.splitlines())} definitions", schema == oracle.schema(fresh))
    applied = oracle.migrations(shop.database)
    prove(f"the same {len(applied)} applied migrations", applied == oracle.migrations(fresh))


def prove(claim: str, holds: bool) -> None:
    """Print that `claim` is true, or stop."""
    if not holds:
        raise ProofFailed(f"not true: {claim}")
    print(f"  proved: {claim}")


def manage(shop: Project, *args: str, may_fail: bool = False) -> int:
    """Run a command of the project, print it with its output, and return its exit code."""
    print(f"$ manage.py {' '.join(args)}", flush=True)
    command = [shop.python, "manage.py", *args]
    result = subprocess.run(
        command, cwd=shop.root, env=shop.environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    show(result.stdout)
    if result.returncode and not may_fail:
        raise ProofFailed(f"exit code {result.returncode}: manage.py {' '.join(args)}")
    return result.returncode


def git(shop: Project, *args: str) -> None:
    """Run git, and print the command with its output."""
    print(f"$ git {' '.join(args)}")
    show(shop.git(*args, "--quiet"))


def show(output: str) -> None:
    """Print the output of a command, indented."""
    for line in output.rstrip().splitlines():
        print(f"    {line}".rstrip())


def show_rows(database: Database) -> None:
    """Print the rows of v1 as they are now."""
    for table, rows in oracle.rows(database, TABLES_OF_V1).items():
        for row in rows:
            print(f"  {table}: {', '.join(f'{name}={value}' for name, value in row.items())}")


def title(text: str) -> None:
    """Print a heading."""
    print(f"\n── {text} ".ljust(100, "─"), flush=True)


def new_database(path: Path) -> Database:
    """An empty SQLite file."""
    path.touch()
    return Database.sqlite(path)


if __name__ == "__main__":
    sys.exit(main())
