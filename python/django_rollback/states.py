"""Project states that are rendered only if a step needs them, and then only what differs from the last one.

Undoing a migration needs the state of the models before and after each of its operations. Django renders all models
once. Then, for every operation of every migration, it clones that state and renders all models related to a change
again. It does so twice, because it walks forwards first to build the states.

Here states share their models until one is changed, and remember which models each change touched. A walk backwards
renders the difference between neighbours.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext

from django.db.migrations.state import ModelState, ProjectState, StateApps
from django.db.migrations.utils import (  # type: ignore[attr-defined]  # the stubs lack them
    get_references,
    resolve_relation,
)

from .operations import AnyField

ModelKey = tuple[str, str]


class Models(dict[ModelKey, ModelState]):
    """The models of a state. It shares them with the state that it was cloned from, until one is asked for by key."""

    def __init__(self, models: dict[ModelKey, ModelState]):
        super().__init__(models)
        self.own: set[ModelKey] = set()

    def __getitem__(self, key: ModelKey) -> ModelState:
        """The model as this state's own: the caller may change it."""
        model = super().__getitem__(key)
        if key not in self.own:
            model = model.clone()
            self[key] = model
        return model

    def __setitem__(self, key: ModelKey, model: ModelState) -> None:
        super().__setitem__(key, model)
        self.own.add(key)

    def take(self) -> None:
        """Makes every model this state's own, for changes that walk over all of them."""
        for key in self:
            self[key]

    def share(self) -> Models:
        """A copy; from now on neither changes a model in place."""
        self.own.clear()
        return Models(self)


class Version:
    """A point in the history of states: what was touched last, and what came before."""

    __slots__ = ("deep", "depth", "key", "parent")

    def __init__(self, parent: Version | None = None, key: ModelKey = ("", ""), deep: bool = False):
        self.parent = parent
        self.key = key
        self.deep = deep
        self.depth: int = parent.depth + 1 if parent else 0


def touched_between(one: Version, other: Version) -> dict[ModelKey, bool]:
    """The models touched between two versions, each with whether the change affects all that it is related to."""
    touched: dict[ModelKey, bool] = {}
    while one is not other:
        if one.depth < other.depth:
            one, other = other, one
        touched[one.key] = touched.get(one.key, False) or one.deep
        assert one.parent is not None, "all versions of one renderer go back to the same first one"
        one = one.parent
    return touched


class LazyState(ProjectState):
    """A project state whose ``apps`` come from a renderer, on demand."""

    def __init__(self, models: Models, real_apps: set[str], renderer: Renderer, version: Version):
        super().__init__(real_apps=real_apps)
        self.models: Models = models
        self.renderer = renderer
        self.version = version
        self.rendered: StateApps | None = None
        self._structural = False

    @classmethod
    def empty(cls, real_apps: set[str]) -> LazyState:
        """A state without models, with a renderer of its own."""
        return cls(Models({}), real_apps, Renderer(), Version())

    def clone(self) -> LazyState:
        clone = LazyState(self.models.share(), self.real_apps, self.renderer, self.version)
        clone.is_delayed = self.is_delayed
        clone.rendered = self.rendered
        return clone

    @property
    def apps(self) -> StateApps:
        if self.rendered is None:
            self.rendered = self.renderer.render(self)
        return self.rendered

    @apps.deleter
    def apps(self) -> None:
        self.rendered = None

    def clear_delayed_apps_cache(self) -> None:
        """Makes every relation between models exact: code of the project is about to use them."""
        self.rendered = self.renderer.render_exactly(self)

    def add_model(self, model_state: ModelState) -> None:
        super().add_model(model_state)
        self._touch((model_state.app_label, model_state.name_lower), deep=False)

    def remove_model(self, app_label: str, model_name: str) -> None:
        super().remove_model(app_label, model_name)
        self._touch((app_label, model_name), deep=False)

    def add_field(self, app_label: str, model_name: str, name: str, field: AnyField, preserve_default: bool) -> None:
        with self._only_neighbours():
            super().add_field(app_label, model_name, name, field, preserve_default)

    def remove_field(self, app_label: str, model_name: str, name: str) -> None:
        with self._only_neighbours():
            super().remove_field(app_label, model_name, name)

    def alter_field(self, app_label: str, model_name: str, name: str, field: AnyField, preserve_default: bool) -> None:
        before = self.models[app_label, model_name].fields[name]
        may_be_referred_to = any(each.primary_key or each.unique for each in (before, field))
        with nullcontext() if may_be_referred_to else self._only_neighbours():
            super().alter_field(app_label, model_name, name, field, preserve_default)

    def rename_model(self, app_label: str, old_name: str, new_name: str) -> None:
        self.models.take()
        super().rename_model(app_label, old_name, new_name)

    def rename_field(self, app_label: str, model_name: str, old_name: str, new_name: str) -> None:
        # Django changes the fields that refer to this one in place, and states share them: give this state its own.
        key = app_label, model_name.lower()
        field = self.models[key].fields.get(old_name)
        for model, name, _, _ in list(get_references(self, key, (old_name, field))):
            own = self.models[model.app_label, model.name_lower]
            own.fields[name] = own.fields[name].clone()  # type: ignore[attr-defined]  # the stubs lack it
        super().rename_field(app_label, model_name, old_name, new_name)

    def reload_model(self, app_label: str, model_name: str, delay: bool = False) -> None:
        self._touch((app_label, model_name), deep=not delay)

    def reload_models(self, models: Iterable[ModelKey], delay: bool = True) -> None:
        for key in models:
            self._touch(key, deep=not delay)

    @contextmanager
    def _only_neighbours(self) -> Iterator[None]:
        """For the schema, adding or removing a field affects only its model and the models next to it."""
        self._structural = True
        try:
            yield
        finally:
            self._structural = False

    def _touch(self, key: ModelKey, deep: bool) -> None:
        self.version = Version(self.version, key, deep and not self._structural)
        self.rendered = None


class Renderer:
    """Renders states one after another, each from the one before.

    A class that is not rendered again goes on to refer to the classes that were its neighbours. For changes of the
    schema that does no harm beyond the models that refer to a changed one, so only those are rendered with it. Code
    of the project follows relations further: before it runs, everything connected to a change is rendered again.
    """

    def __init__(self) -> None:
        self.apps: StateApps | None = None
        self.models: dict[ModelKey, ModelState] = {}
        self.version = Version()
        self.relations = Relations()
        self.stale: set[ModelKey] = set()
        """Models whose further relations may lead to classes of an earlier state."""

    def render(self, state: LazyState) -> StateApps:
        """The models of ``state`` as classes, exact as far as the schema is concerned."""
        if self.apps is None:
            self.relations.update(state.models, state.models)
            return self._remember(state, StateApps(list(state.real_apps), state.models))
        touched = touched_between(self.version, state.version)
        changed = {key: deep for key, deep in touched.items() if self._differs(state, key)}
        if not changed:
            return self._remember(state, self.apps)
        affected, neighbours = self._affected(changed), self.relations.referred_to(changed)
        self.relations.update(state.models, changed)
        affected |= self._affected(changed)
        if not all(changed.values()):
            # What a model that has gone referred to is not connected to anything any more, and remembers it.
            self.stale |= affected | neighbours
        return self._remember(state, _render_again(self.apps.clone(), state.models, affected))

    def render_exactly(self, state: LazyState) -> StateApps:
        """The models of ``state`` as classes, every relation exact however far away."""
        apps = self.render(state)
        if not self.stale:
            return apps
        affected = self.relations.connected(self.stale)
        self.stale = set()
        return self._remember(state, _render_again(apps.clone(), state.models, affected))

    def _differs(self, state: LazyState, key: ModelKey) -> bool:
        before, after = self.models.get(key), state.models.get(key)
        if before is None or after is None:
            return before is not after
        return before is not after and before != after

    def _affected(self, changed: dict[ModelKey, bool]) -> set[ModelKey]:
        deep = self.relations.connected(key for key, deep in changed.items() if deep)
        return deep | self.relations.referring(changed)

    def _remember(self, state: LazyState, apps: StateApps) -> StateApps:
        self.apps, self.version, self.models = apps, state.version, state.models.share()
        return apps


class Relations:
    """Which model refers to which: by a field, by a table between them, or as its base."""

    def __init__(self) -> None:
        self.outgoing: dict[ModelKey, set[ModelKey]] = {}
        self.incoming: dict[ModelKey, set[ModelKey]] = defaultdict(set)
        self.bases: dict[ModelKey, set[ModelKey]] = {}

    def update(self, models: dict[ModelKey, ModelState], changed: Iterable[ModelKey]) -> None:
        """Looks at the changed models again."""
        for key in changed:
            for other in self.outgoing.pop(key, set()):
                self.incoming[other].discard(key)
            self.bases.pop(key, None)
            model = models.get(key)
            if model is not None:
                self.bases[key] = set(_bases(model))
                self.outgoing[key] = self.bases[key] | set(_referred_to(model))
                for other in self.outgoing[key]:
                    self.incoming[other].add(key)

    def referring(self, keys: Iterable[ModelKey]) -> set[ModelKey]:
        """``keys``, the models that inherit from them, and all models that refer to one of those."""
        family = set(keys)
        queue = list(family)
        while queue:
            key = queue.pop()
            heirs = {other for other in self.incoming[key] if key in self.bases[other]} - family
            family |= heirs
            queue.extend(heirs)
        return family.union(*(self.incoming[key] for key in family))

    def referred_to(self, keys: Iterable[ModelKey]) -> set[ModelKey]:
        """The models that ``keys`` refer to."""
        return set[ModelKey]().union(*(self.outgoing.get(key, set()) for key in keys))

    def connected(self, keys: Iterable[ModelKey]) -> set[ModelKey]:
        """``keys`` and every model that a chain of relations leads to, in either direction."""
        found = set(keys)
        queue = list(found)
        while queue:
            key = queue.pop()
            others = (self.incoming[key] | self.outgoing.get(key, set())) - found
            found |= others
            queue.extend(others)
        return found


def _bases(model: ModelState) -> Iterator[ModelKey]:
    for base in model.bases:
        if isinstance(base, str):
            yield resolve_relation(base)


def _referred_to(model: ModelState) -> Iterator[ModelKey]:
    for field in model.fields.values():
        for name in ("model", "through"):
            other = getattr(field.remote_field, name, None)
            if other is not None:
                yield resolve_relation(other, model.app_label, model.name_lower)


def _render_again(apps: StateApps, models: Models, keys: set[ModelKey]) -> StateApps:
    with apps.bulk_update():
        for key in keys:
            _unregister(apps, key)
    real = [model for model in apps.real_models if (model.app_label, model.name_lower) in keys]
    ours = (models.get(key) for key in keys)
    apps.render_multiple([*real, *(model for model in ours if model is not None)])
    return apps


def _unregister(apps: StateApps, key: ModelKey) -> None:
    """Takes a model out of the registry, with the tables that its many-to-many fields made."""
    registered = apps.all_models[key[0]]
    model = registered.get(key[1])
    if model is not None:
        for name, other in list(registered.items()):
            auto_created: object = other._meta.auto_created  # the model that made it, or a boolean
            if auto_created is model:
                apps.unregister_model(key[0], name)
        apps.unregister_model(*key)
