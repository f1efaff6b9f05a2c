"""The benchmark's project: as many apps and migrations as asked for, the same ones for the same seed.

Each app grows as apps do: models, fields, relations to the apps before it, indexes, constraints, renames, data. The
repository has three releases. From `base` to `ten` the first ten apps get new migrations, from `ten` to `all` the rest.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from textwrap import indent

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from harness.database import Database
from harness.project import DEFAULT_APPS, DJANGOS_WAY, Project

SEED = 20261122
APPS_IN_TEN = 10
NEW_PER_APP = 2
ROWS_PER_DATA_MIGRATION = 5
DATA_SHARE = 0.15
USER = "settings.AUTH_USER_MODEL"

MODEL_NAMES = ["Item", "Order", "Note", "Batch", "Label", "Entry", "Event", "Group", "Offer", "Quote", "Route", "Shift"]
FIELD_NAMES = ["title", "status", "amount", "origin", "remark", "weight", "region", "source", "target", "volume"]


@dataclass(frozen=True)
class Field:
    """A model field as its source: the class and the keyword arguments, in order."""

    kind: str
    options: dict[str, str]
    to: str = ""

    @property
    def is_plain(self) -> bool:
        """Is it a column of the model's own, without a relation?"""
        return not self.to

    def source(self) -> str:
        """The expression that makes the field, in a model and in a migration alike."""
        target = [] if self.is_plain else [f"to={self.to}"]
        return f"models.{self.kind}({', '.join([*target, *(f'{key}={value}' for key, value in self.options.items())])})"


@dataclass
class Model:
    """A model in its present state; `made_by` is the migration that created it."""

    app: str
    name: str
    made_by: str
    fields: dict[str, Field]
    indexes: dict[str, list[str]] = field(default_factory=dict)
    constraints: dict[str, list[str]] = field(default_factory=dict)
    unique_together: list[tuple[str, str]] = field(default_factory=list)

    def free_fields(self) -> list[str]:
        """The plain fields that no index and no constraint uses, so that they can be renamed and removed."""
        groups = [*self.indexes.values(), *self.constraints.values(), *self.unique_together]
        used = {name for group in groups for name in group} | {"code"}
        return [name for name, field in self.fields.items() if field.is_plain and name not in used]

    def source(self) -> str:
        """The class in models.py."""
        fields = "".join(f"    {name} = {field.source()}\n" for name, field in self.fields.items())
        meta = [
            f"indexes = [{', '.join(index_source(*item) for item in self.indexes.items())}]",
            f"constraints = [{', '.join(constraint_source(*item) for item in self.constraints.items())}]",
            f"unique_together = {self.unique_together!r}",
        ]
        return f"class {self.name}(models.Model):\n{fields}\n    class Meta:\n{indent(chr(10).join(meta), ' ' * 8)}\n"


@dataclass
class Migration:
    """A migration under construction: its operations as source, and the functions that they name.

    Its relations go to one of `targets`: models of earlier apps, and older ones of its own.
    """

    name: str
    dependencies: list[str]
    targets: list[Model]
    operations: list[str] = field(default_factory=list)
    functions: list[str] = field(default_factory=list)

    def depend_on(self, dependency: str) -> None:
        """Add a dependency, once."""
        if dependency not in self.dependencies:
            self.dependencies.append(dependency)

    def source(self) -> str:
        """The file."""
        lines = [*map("        {},\n".format, self.dependencies), "    ]\n", "    operations = [\n"]
        lines += [f"        {operation},\n" for operation in self.operations]
        body = f"class Migration(migrations.Migration):\n    dependencies = [\n{''.join(lines)}    ]\n"
        imports = "from django.conf import settings\nfrom django.db import migrations, models\n"
        return "\n\n".join([imports, *self.functions, body])


class App:
    """One app, which grows by a migration at a time."""

    def __init__(self, label: str, random: Random, data_share: float) -> None:
        self.label = label
        self.random = random
        self.data_share = data_share
        self.models: list[Model] = []
        self.migrations: list[Migration] = []
        self._numbers = 0

    def grow(self, earlier: list[Model]) -> None:
        """Add one migration, which may refer to the models of `earlier` apps."""
        number = len(self.migrations) + 1
        previous = [f"({self.label!r}, {self.migrations[-1].name!r})"] if self.migrations else []
        name = f"{number:04}_change" if previous else "0001_initial"
        migration = Migration(name, previous, [*earlier, *self.models])
        if not previous:
            self._create_model(migration)
            self._create_model(migration)
        elif self.random.random() < self.data_share:
            self._change_data(migration)
        else:
            for _ in range(self.random.choice([1, 1, 2, 3])):
                self._change_schema(migration, self.random.choice(self.models))
        self.migrations.append(migration)

    def models_source(self) -> str:
        """The app's models.py at this point."""
        imports = "from django.conf import settings\nfrom django.db import models\n"
        return "\n\n".join([imports, *(model.source() for model in self.models)])

    def _change_schema(self, migration: Migration, model: Model) -> None:
        weights: dict[Callable[[Migration, Model], None], int] = {
            self._add_field: 30,
            self._alter_field: 25,
            self._remove_field: 10,
            self._rename_field: 8,
            self._add_index: 9,
            self._add_constraint: 5,
            self._set_unique_together: 4,
            self._create_model: 9,
        }
        change = self.random.choices(list(weights), list(weights.values()))[0]
        change(migration, model)

    def _create_model(self, migration: Migration, _: Model | None = None) -> None:
        name = MODEL_NAMES[len(self.models) % len(MODEL_NAMES)] + str(len(self.models) // len(MODEL_NAMES) or "")
        fields = {"code": Field("CharField", {"max_length": "40", "default": '""'})}
        fields |= {self._new_name(): self._plain_field() for _ in range(self.random.randint(2, 5))}
        fields |= {self._new_name(): self._relation(migration) for _ in range(self.random.randint(0, 2))}
        key = 'models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")'
        columns = [f'("id", {key})', *(f'("{name}", {field.source()})' for name, field in fields.items())]
        migration.operations.append(f'migrations.CreateModel(name="{name}", fields=[{", ".join(columns)}])')
        made_by = f"({self.label!r}, {migration.name!r})"
        self.models.append(Model(self.label, name, made_by, fields))

    def _add_field(self, migration: Migration, model: Model) -> None:
        name = self._new_name()
        related = self.random.random() < 0.3
        model.fields[name] = self._relation(migration) if related else self._plain_field()
        self._operate(migration, "AddField", model, name=f'"{name}"', field=model.fields[name].source())

    def _alter_field(self, migration: Migration, model: Model) -> None:
        if not (names := model.free_fields()):
            self._add_index(migration, model)
            return
        name = self.random.choice(names)
        old = model.fields[name]
        if "max_length" in old.options:
            options = {"max_length": str(int(old.options["max_length"]) + 20)}
        elif "null" in old.options:
            options = {"help_text": f'"as of {migration.name}"'}
        else:
            options = {"db_index": "True"} if "db_index" not in old.options else {"null": "True"}
        model.fields[name] = replace(old, options=old.options | options)
        self._operate(migration, "AlterField", model, name=f'"{name}"', field=model.fields[name].source())

    def _remove_field(self, migration: Migration, model: Model) -> None:
        if len(names := model.free_fields()) < 2:
            self._alter_field(migration, model)
            return
        name = self.random.choice(names)
        del model.fields[name]
        self._operate(migration, "RemoveField", model, name=f'"{name}"')

    def _rename_field(self, migration: Migration, model: Model) -> None:
        if not (names := model.free_fields()):
            self._alter_field(migration, model)
            return
        old, new = self.random.choice(names), self._new_name()
        model.fields = {new if name == old else name: field for name, field in model.fields.items()}
        self._operate(migration, "RenameField", model, old_name=f'"{old}"', new_name=f'"{new}"')

    def _add_index(self, migration: Migration, model: Model) -> None:
        name = f"{self.label}_index_{self._next_number()}"
        model.indexes[name] = ["code", *self.random.sample(model.free_fields(), k=min(1, len(model.free_fields())))]
        self._operate(migration, "AddIndex", model, index=index_source(name, model.indexes[name]))

    def _add_constraint(self, migration: Migration, model: Model) -> None:
        if not (names := model.free_fields()):
            self._add_index(migration, model)
            return
        name = f"{self.label}_unique_{self._next_number()}"
        model.constraints[name] = ["code", self.random.choice(names)]
        source = constraint_source(name, model.constraints[name])
        self._operate(migration, "AddConstraint", model, constraint=source)

    def _set_unique_together(self, migration: Migration, model: Model) -> None:
        if not (names := model.free_fields()):
            self._add_index(migration, model)
            return
        model.unique_together = [*model.unique_together, ("code", self.random.choice(names))]
        arguments = f'name="{model.name.lower()}", unique_together={model.unique_together!r}'
        migration.operations.append(f"migrations.AlterUniqueTogether({arguments})")

    def _change_data(self, migration: Migration) -> None:
        """New rows, which the reverse deletes; their codes are unique, so that no constraint is ever in the way."""
        model = self.random.choice(self.models)
        get = f'apps.get_model("{self.label}", "{model.name}")'
        prefix = f"{self.label}-{migration.name[:4]}"
        migration.functions += [
            f"def fill(apps, schema_editor):\n    model = {get}\n    for number in range({ROWS_PER_DATA_MIGRATION}):\n"
            f'        model.objects.create(code=f"{prefix}-{{number}}")\n',
            f'def clear(apps, schema_editor):\n    {get}.objects.filter(code__startswith="{prefix}-").delete()\n',
        ]
        migration.operations.append("migrations.RunPython(fill, clear)")

    def _plain_field(self) -> Field:
        choices = [
            Field("CharField", {"max_length": str(self.random.randint(2, 8) * 10), "default": '""'}),
            Field("IntegerField", {"default": "0"}),
            Field("PositiveIntegerField", {"default": "0"}),
            Field("BooleanField", {"default": "False"}),
            Field("DecimalField", {"max_digits": "12", "decimal_places": "2", "default": "0"}),
            Field("TextField", {"null": "True"}),
            Field("DateTimeField", {"null": "True"}),
        ]
        return self.random.choice(choices)

    def _relation(self, migration: Migration) -> Field:
        model = self.random.choice([None, *migration.targets])
        if model is not None and model.app != self.label:
            migration.depend_on(model.made_by)
        if model is None:
            migration.depend_on(f"migrations.swappable_dependency({USER})")
        to = USER if model is None else f'"{model.app}.{model.name.lower()}"'
        if self.random.random() < 0.2:
            return Field("ManyToManyField", {"related_name": '"+"'}, to)
        on_delete = self.random.choice(["models.CASCADE", "models.SET_NULL"])
        return Field("ForeignKey", {"on_delete": on_delete, "null": "True", "related_name": '"+"'}, to)

    @staticmethod
    def _operate(migration: Migration, operation: str, model: Model, **arguments: str) -> None:
        given = ", ".join(f"{key}={value}" for key, value in arguments.items())
        migration.operations.append(f'migrations.{operation}(model_name="{model.name.lower()}", {given})')

    def _new_name(self) -> str:
        return f"{self.random.choice(FIELD_NAMES)}_{self._next_number()}"

    def _next_number(self) -> int:
        self._numbers += 1
        return self._numbers


def index_source(name: str, fields: Iterable[str]) -> str:
    """The index as an expression."""
    return f'models.Index(fields={list(fields)!r}, name="{name}")'


def constraint_source(name: str, fields: Iterable[str]) -> str:
    """The unique constraint as an expression."""
    return f'models.UniqueConstraint(fields={list(fields)!r}, name="{name}")'


def generate(
    root: Path,
    database: Database,
    *,
    apps: int = 30,
    migrations: int = 300,
    seed: int = SEED,
    base_apps: Iterable[str] = DEFAULT_APPS,
    python: str | Path = sys.executable,
    data_share: float = DATA_SHARE,
    ways: Iterable[str] = DJANGOS_WAY,
) -> Project:
    """Write and commit the project with its releases `base`, `ten` and `all`, and leave it at the last.

    `data_share` is how many of the migrations change data, which no recorded SQL takes back.
    """
    random = Random(seed)
    grown = [App(f"app_{number:03}", random, data_share) for number in range(1, apps + 1)]
    totals = [migrations // apps + (number < migrations % apps) for number in range(apps)]
    final = dict(zip(grown, totals, strict=True))
    bases = {app: total - NEW_PER_APP for app, total in final.items()}
    ten = {app: final[app] for app in grown[:APPS_IN_TEN]}

    project = Project(
        root, database=database, apps=[*base_apps, *(app.label for app in grown)], python=python, ways=ways
    )
    for release, goals in {"base": bases, "ten": ten, "all": final}.items():
        project.commit(_grow(grown, goals), tag=release)
    return project


def _grow(apps: list[App], goals: dict[App, int]) -> dict[str, str]:
    """Let the apps take turns until each has as many migrations as its goal, and return all files."""
    while behind := [app for app in apps if len(app.migrations) < goals.get(app, 0)]:
        for app in behind:
            app.grow([model for earlier in apps[: apps.index(app)] for model in earlier.models])
    return {name: source for app in apps for name, source in _files(app).items()}


def _files(app: App) -> dict[str, str]:
    files = {f"{app.label}/migrations/{migration.name}.py": migration.source() for migration in app.migrations}
    return files | {f"{app.label}/models.py": app.models_source()}
