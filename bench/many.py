"""A repository with as many migration files as asked for, the same ones for the same seed.

The files are as long as those of real projects, about 2 KB, and laid out as `makemigrations` lays them out. The commit
`empty` has no migrations, `v1` nearly all, and `v2` brings one more in each of the first apps. Every migration can be
applied and undone; there are no models.py, for nothing here asks for them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from textwrap import indent

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from harness.database import Database
from harness.project import CONTRIB_APPS, Project

SEED = 20261123
PER_APP = 50
NEW_IN_V2 = 20

MODELS = ["Account", "Booking", "Contract", "Delivery", "Employee", "Folder", "Ledger", "Parcel", "Supplier", "Voucher"]
FIELDS = ["amount", "city", "comment", "currency", "note", "number", "origin", "reference", "status", "title", "weight"]
WORDS = [
    "amounts",
    "before",
    "booked",
    "closed",
    "customers",
    "during",
    "items",
    "office",
    "open",
    "shown",
    "until",
    "value",
]
ID = 'models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")'

TAB = " " * 4
IMPORTS = """\
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models
"""
DATA = '''\
def {name}(apps, schema_editor):
    """{doc}"""
    {model} = apps.get_model("{label}", "{model}")
    alias = schema_editor.connection.alias
    changed = []
    for row in {model}.objects.using(alias).order_by("pk").iterator(chunk_size=500):
        if row.{field} == {old}:
            row.{field} = {new}
            changed.append(row)
        if len(changed) >= 500:
            {model}.objects.using(alias).bulk_update(changed, ["{field}"])
            changed.clear()
    {model}.objects.using(alias).bulk_update(changed, ["{field}"])
'''


class Model:
    """A model that migrations change: its fields, as the class and the arguments of each."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.fields: dict[str, tuple[str, dict[str, str]]] = {}

    def source(self, field: str, **more: str) -> str:
        """The expression that makes a field."""
        kind, options = self.fields[field]
        return call(f"models.{kind}", **options, **more)


@dataclass
class Migration:
    """A migration under construction: expressions, and the functions that they name."""

    dependencies: set[str] = field(default_factory=set)
    functions: list[str] = field(default_factory=list)
    operations: list[str] = field(default_factory=list)

    def add(self, operation: str, model: Model, /, **arguments: str) -> None:
        """Add an operation on a model."""
        self.operations.append(call(f"migrations.{operation}", model_name=text(model.name.lower()), **arguments))

    def source(self) -> str:
        """The file."""
        body = f"dependencies = {listing(sorted(self.dependencies))}\n\noperations = {listing(self.operations)}\n"
        return "\n\n".join([IMPORTS, *self.functions, f"class Migration(migrations.Migration):\n{indent(body, TAB)}"])


class App:
    """One app, which grows by a migration at a time."""

    def __init__(self, label: str, random: Random, earlier: list[App]) -> None:
        self.label = label
        self.random = random
        self.earlier = earlier
        self.models: list[Model] = []
        self.names: list[str] = []
        self._numbers = 0

    def grow(self) -> dict[str, str]:
        """Add one migration: its path and its text."""
        kinds = {self._columns: 35, self._alterations: 30, self._models: 15, self._data: 12, self._rename: 8}
        kind = self.random.choices(list(kinds), list(kinds.values()))[0] if self.names else self._initial
        migration = Migration({f'("{self.label}", "{name}")' for name in self.names[-1:]})
        self.names.append(f"{len(self.names) + 1:04}_{kind(migration)}")
        return {f"{self.label}/migrations/{self.names[-1]}.py": migration.source()}

    def _initial(self, migration: Migration) -> str:
        for _ in range(4):
            self._create(migration)
        return "initial"

    def _models(self, migration: Migration) -> str:
        for _ in range(self.random.randint(1, 3)):
            self._create(migration)
        return self.models[-1].name.lower()

    def _columns(self, migration: Migration) -> str:
        model = self.random.choice(self.models)
        names = [self._new_field(model) for _ in range(self.random.randint(1, 6))]
        for name in names:
            migration.add("AddField", model, name=text(name), field=model.source(name))
        index = call("models.Index", fields=f'["{names[0]}", "-id"]', name=text(f"{self.label}_{names[0]}"))
        migration.add("AddIndex", model, index=index)
        return f"{model.name.lower()}_{names[0]}"

    def _alterations(self, migration: Migration) -> str:
        model = self.random.choice(self.models)
        names = self.random.sample(list(model.fields), k=self.random.randint(2, len(model.fields)))
        for name in names:
            migration.add("AlterField", model, name=text(name), field=model.source(name, help_text=self._sentence()))
        options = {"ordering": [names[0], "id"], "verbose_name": model.name.lower()}
        changed = call("migrations.AlterModelOptions", name=text(model.name.lower()), options=repr(options))
        migration.operations.append(changed)
        return f"alter_{model.name.lower()}_{names[0]}"

    def _data(self, migration: Migration) -> str:
        """A column, and the function that fills it."""
        model = self.random.choice(self.models)
        name = self._new_field(model, kind="IntegerField")
        common = {"label": self.label, "model": model.name, "field": name}
        migration.functions += [
            DATA.format(name="fill", doc="Give rows the value of the new list.", old=0, new=1, **common),
            DATA.format(name="clear", doc="Take the value away again.", old=1, new=0, **common),
        ]
        migration.add("AddField", model, name=text(name), field=model.source(name))
        migration.operations.append(call("migrations.RunPython", code="fill", reverse_code="clear", elidable="True"))
        return f"fill_{model.name.lower()}_{name}"

    def _rename(self, migration: Migration) -> str:
        model = self.random.choice(self.models)
        old, new = self._new_field(model), self._new_field(model)
        migration.add("AddField", model, name=text(old), field=model.source(old))
        migration.add("RenameField", model, old_name=text(old), new_name=text(new))
        model.fields[new] = model.fields.pop(old)
        return f"rename_{old}_{model.name.lower()}_{new}"

    def _create(self, migration: Migration) -> None:
        number = len(self.models)
        model = Model(MODELS[number % len(MODELS)] + str(number // len(MODELS) or ""))
        self.models.append(model)
        names = [self._new_field(model) for _ in range(self.random.randint(3, 7))]
        sources = {"id": ID} | {name: model.source(name) for name in names} | self._relations(migration)
        fields = listing(f'("{name}", {source})' for name, source in sources.items())
        options = {"verbose_name": model.name.lower(), "ordering": [names[0]]}
        created = call("migrations.CreateModel", name=text(model.name), fields=fields, options=repr(options))
        migration.operations.append(created)

    def _relations(self, migration: Migration) -> dict[str, str]:
        """A foreign key to the user, and where there are earlier apps one to a model of one of them."""
        migration.dependencies.add("migrations.swappable_dependency(settings.AUTH_USER_MODEL)")
        targets = {"created_by": "settings.AUTH_USER_MODEL"}
        if self.earlier:
            other = self.random.choice(self.earlier)
            migration.dependencies.add(f'("{other.label}", "{other.names[0]}")')
            targets["parent"] = text(f"{other.label}.{other.models[0].name.lower()}")
        key = {"null": "True", "on_delete": "django.db.models.deletion.SET_NULL", "related_name": text("+")}
        return {name: call("models.ForeignKey", **key, to=target) for name, target in targets.items()}

    def _new_field(self, model: Model, kind: str | None = None) -> str:
        self._numbers += 1
        name = f"{self.random.choice(FIELDS)}_{self._numbers}"
        choices = [(word, f"{word.capitalize()} of the {name}") for word in self.random.sample(WORDS, k=4)]
        options = {
            "CharField": {"blank": "True", "choices": repr(choices), "default": text("a"), "max_length": "20"},
            "DateTimeField": {"blank": "True", "null": "True"},
            "DecimalField": {"decimal_places": "2", "default": "0", "max_digits": "12"},
            "IntegerField": {"default": "0"},
            "TextField": {"blank": "True", "default": text("")},
        }
        kind = kind or self.random.choice(list(options))
        model.fields[name] = (kind, options[kind])
        return name

    def _sentence(self) -> str:
        return text(" ".join(self.random.choices(WORDS, k=10)))


def call(callee: str, /, **arguments: str) -> str:
    """A call, an argument a line."""
    lines = "".join(f"{name}={value},\n" for name, value in arguments.items())
    return f"{callee}(\n{indent(lines, TAB)})"


def listing(items: Iterable[str]) -> str:
    """A list, an item a line."""
    lines = "".join(f"{item},\n" for item in items)
    return f"[\n{indent(lines, TAB)}]"


def text(value: str) -> str:
    """A string literal."""
    return f'"{value}"'


def generate_many(root: Path, database: Database, *, files: int, per_app: int = PER_APP, seed: int = SEED) -> Project:
    """Write and commit the project, with `files` migrations in all, and leave it at `v2`."""
    random = Random(seed)
    apps: list[App] = []
    for number in range(files // per_app):
        apps.append(App(f"app_{number:04}", random, apps[:number][-20:]))
    project = Project(root, database=database, apps=[*CONTRIB_APPS, *(app.label for app in apps)], ways=())
    project.git("config", "gc.auto", "0")  # at the end, and not beside us
    project.commit(tag="empty")
    first = apps[:NEW_IN_V2]
    for app in apps:
        for _ in range(per_app - (app in first)):
            project.write(app.grow())
    project.commit(tag="v1")
    project.commit({path: source for app in first for path, source in app.grow().items()}, tag="v2")
    project.git("gc", "--quiet")
    return project
