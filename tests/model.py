"""The plain model of a database with releases: what is applied, the list, the rows. Nothing in it asks the real thing.

A state is a value and a step is a value. `outcomes` says in which states, and with which exit codes, a step may end:
most can end in one way only, a crash in two, and two commands at once in either order, or with one of them refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

# Exit codes as a shell shows them: done, refused, and killed by a signal.
DONE, REFUSED, KILLED = 0, 1, -9

# Some share their first digits, so that a prefix may name none, one, or two.
COMMITS = tuple(digits.ljust(40, "0") for digits in ("abcd1", "abcd2", "abcde1", "c0ffee", "c0ff1", "0123456"))
UNKNOWN = "f" * 40


@dataclass(frozen=True)
class Node:
    """A migration of the graph: what it depends on, and what its data step adds to each item's score."""

    parents: tuple[str, ...] = ()
    adds: int = 0


# Two branches that merge, and three apps that wait for each other in turn.
#
#   shop   1 ─┬─ 2a ───┬─ 3 ────── 4
#             ├─ 2b ───┘  │        │
#   crm       └─ 1 ── 2 (+ shop 2a)┘
#   bill            └─ 1 ─┴ 2 (+ shop 3)
GRAPH = {
    "shop.0001_initial": Node(),
    "shop.0002_price": Node(("shop.0001_initial",), adds=1),
    "shop.0002_stock": Node(("shop.0001_initial",)),
    "shop.0003_merge": Node(("shop.0002_price", "shop.0002_stock"), adds=10),
    "crm.0001_initial": Node(("shop.0001_initial",)),
    "crm.0002_points": Node(("crm.0001_initial", "shop.0002_price"), adds=100),
    "shop.0004_rename": Node(("shop.0003_merge", "crm.0002_points")),
    "bill.0001_initial": Node(("crm.0001_initial",)),
    "bill.0002_lines": Node(("bill.0001_initial", "shop.0003_merge"), adds=1000),
}
APPS = ("shop", "crm", "bill")
# The migration that makes a table.
ITEMS, PEOPLE = "shop.0001_initial", "crm.0001_initial"

Applied = frozenset[str]


def ancestors(name: str) -> Applied:
    """The migration and all that it needs."""
    return frozenset({name}).union(*(ancestors(parent) for parent in GRAPH[name].parents))


def descendants(name: str) -> Applied:
    """The migration and all that needs it."""
    return frozenset(other for other in GRAPH if name in ancestors(other))


@dataclass(frozen=True)
class Release:
    """A saved commit, and what was applied then; what had been made by hand by then."""

    commit: str
    applied: Applied
    drift: frozenset[str] = frozenset()


@dataclass(frozen=True)
class State:
    """All that the model knows of a database."""

    applied: Applied = frozenset()
    # Oldest first, as they were saved.
    releases: tuple[Release, ...] = ()
    # One line for each change that was made, with the commit.
    history: tuple[str, ...] = ()
    # Each item with its score; each person.
    items: tuple[tuple[str, int], ...] = ()
    people: tuple[str, ...] = ()
    # How often each data step ran, forwards and backwards.
    ran: tuple[tuple[str, int], ...] = ()
    # What somebody made by hand.
    drift: frozenset[str] = frozenset()
    # How many names were given to rows and to drift.
    names: int = 0


# Steps


@dataclass(frozen=True)
class Migrate:
    """`migrate APP NAME`, or `migrate APP zero`."""

    app: str
    name: str


@dataclass(frozen=True)
class Save:
    """`save_migrations_state --commit COMMIT`."""

    commit: str


@dataclass(frozen=True)
class Rollback:
    """`rollback_migrations`, to the release before, or to a commit of which so many digits are given.

    The commit is given by itself, or by its place in the list, the newest first.
    """

    to: str | int | None = None
    digits: int = 40


@dataclass(frozen=True)
class Preview:
    """The same with `--fake`."""

    of: Rollback


@dataclass(frozen=True)
class Write:
    """The application writes a row: an item, or a person."""

    table: str


@dataclass(frozen=True)
class Drift:
    """Somebody makes a table by hand, or an index on a table of the application."""

    kind: str


Command = Save | Rollback


@dataclass(frozen=True)
class Crash:
    """The command is killed before or after one of its statements: `at` counts both, and is taken modulo an estimate.

    Below zero it is before or after one of its commits.
    """

    command: Command
    at: int


@dataclass(frozen=True)
class Fail:
    """One of the command's statements fails, or the commit; `at` is as in a crash."""

    command: Command
    at: int


@dataclass(frozen=True)
class Held:
    """While the command runs, somebody has our lock, or has written a row and not committed yet."""

    command: Command
    by: str


@dataclass(frozen=True)
class Race:
    """Two commands at the same moment."""

    first: Command
    second: Command | Migrate


Step = Migrate | Save | Rollback | Preview | Write | Drift | Crash | Fail | Held | Race


@dataclass(frozen=True)
class Outcome:
    """One way in which a step may end: the exit codes of its commands, and the state."""

    codes: tuple[int, ...]
    state: State


def outcomes(state: State, step: Step) -> list[Outcome]:
    """All ways in which `step` may end, a likely one first."""
    match step:
        case Write() | Drift():
            return [Outcome((), _by_hand(state, step))]
        case Migrate() | Save() | Rollback():
            return _alone(state, step)
        case Preview(rollback):
            return [Outcome(_alone(state, rollback)[0].codes, state)]
        case Crash(command):
            ends = _alone(state, command)
            return [Outcome((KILLED,), state), *(Outcome((KILLED,), end.state) for end in ends), *ends]
        case Fail(command):
            return [Outcome((REFUSED,), state), *_alone(state, command)]
        case Held(command, "lock"):
            ends = _alone(state, command)
            refused = isinstance(command, Rollback) and ends[0].state != state
            return [Outcome((REFUSED,), state)] if refused else ends
        case Held(command):
            return _alone(_by_hand(state, Write("people")), command)
        case Race(first, second):
            return list(_at_once(state, _written_out(state, first), _written_out(state, second)))


def to_undo(state: State, rollback: Rollback) -> Applied | None:
    """What the rollback undoes; None when there is no such release."""
    place = _place(state, rollback)
    return None if place is None else state.applied - state.releases[place].applied


def digits_of(state: State, rollback: Rollback) -> str | None:
    """The digits that stand on the command line; None for the release before."""
    match rollback.to:
        case None:
            return None
        case int(back):
            commit = state.releases[-1 - back % len(state.releases)].commit if state.releases else UNKNOWN
        case str(commit):
            pass
    return commit[: rollback.digits]


def _written_out(state: State, command: Command | Migrate) -> Command | Migrate:
    """The command as it is typed now: its digits name the same commit after another command has changed the list."""
    digits = digits_of(state, command) if isinstance(command, Rollback) else None
    return Rollback(digits) if digits else command


def plan(state: State, migrate: Migrate) -> tuple[list[str], list[str]]:
    """What Django's `migrate` applies and what it unapplies. (The order within each does not matter here.)"""
    own = [name for name in GRAPH if name.startswith(f"{migrate.app}.")]
    name = f"{migrate.app}.{migrate.name}"
    if migrate.name == "zero":
        back = [other for other in own if all(not parent.startswith(migrate.app) for parent in GRAPH[other].parents)]
    elif name in state.applied:
        # Never through the target itself: only what comes after it in its own app, and what needs that.
        back = [other for other in own if name in GRAPH[other].parents]
    else:
        return sorted(ancestors(name) - state.applied), []
    undone = frozenset().union(*map(descendants, back))
    return [], sorted(undone & state.applied)


def _alone(state: State, command: Migrate | Command) -> list[Outcome]:
    match command:
        case Migrate():
            forwards, backwards = plan(state, command)
            return [Outcome((DONE,), _undo(_apply(state, forwards), backwards))]
        case Save(commit):
            return [Outcome((DONE,), _save(state, commit))]
        case Rollback():
            place = _place(state, command)
            if place is None:
                return [Outcome((REFUSED,), state)]
            done = Outcome((DONE,), _roll_back(state, place))
            return [done] if _may_stay(state, place) else [done, Outcome((REFUSED,), state)]


def _may_stay(state: State, place: int) -> bool:
    """Is all that was made by hand the target's, or made since the last save? Then nothing speaks against going back.

    Anything else cannot be told from what a migration has left behind, and may be a reason to refuse; so may be what is
    there under migrations that were never saved, or that the target had and the database has not.
    """
    target, newest = state.releases[place], state.releases[-1]
    if not target.applied <= state.applied:
        return False
    since = (state.drift - newest.drift, newest.drift - state.drift) if newest.applied == state.applied else ((), ())
    after = _roll_back(state, place).drift
    return (after - target.drift).issubset(since[0]) and (target.drift - after).issubset(since[1])


def _save(state: State, commit: str) -> State:
    *older, newest = [each.commit for each in state.releases] or [None]
    release = Release(commit, state.applied, state.drift)
    if commit in older:
        return state
    if commit == newest and state.releases[-1].applied == state.applied:
        # Only what was made by hand may have to be remembered anew.
        return state
    kept = state.releases[:-1] if commit == newest else state.releases
    return replace(state, releases=(*kept, release), history=(*state.history, f"save {commit}"))


def _roll_back(state: State, place: int) -> State:
    target = state.releases[place]
    undone = sorted(state.applied - target.applied)
    if not undone and place == len(state.releases) - 1:
        return state
    history = (*state.history, f"rollback {target.commit}")
    return replace(_undo(state, undone), releases=state.releases[: place + 1], history=history)


def _place(state: State, rollback: Rollback) -> int | None:
    digits = digits_of(state, rollback)
    if digits is None:
        return len(state.releases) - 2 if len(state.releases) > 1 else None
    found = [place for place, each in enumerate(state.releases) if each.commit.startswith(digits)]
    return found[0] if len(found) == 1 else None


def _at_once(state: State, first: Command, second: Command | Migrate) -> Iterator[Outcome]:
    for one in _alone(state, first):
        for other in _alone(one.state, second):
            yield Outcome((*one.codes, *other.codes), other.state)
        # A save waits for its turn. A rollback is refused where somebody else is at work, and so is what was planned
        # for a state that is gone.
        if not isinstance(second, Save):
            yield Outcome((*one.codes, REFUSED), one.state)
    for other in _alone(state, second):
        for one in _alone(other.state, first):
            yield Outcome((*one.codes, *other.codes), one.state)
        if not isinstance(first, Save):
            yield Outcome((REFUSED, *other.codes), other.state)


def _apply(state: State, names: list[str]) -> State:
    return _run_data(replace(state, applied=state.applied.union(names)), names, 1)


def _undo(state: State, names: list[str]) -> State:
    state = _run_data(state, names, -1)
    items = () if ITEMS in names else state.items
    people, drift = state.people, state.drift
    if PEOPLE in names:
        people, drift = (), frozenset(name for name in drift if "index" not in name)
    return replace(state, applied=state.applied.difference(names), items=items, people=people, drift=drift)


def _run_data(state: State, names: list[str], sign: int) -> State:
    added = sign * sum(GRAPH[name].adds for name in names)
    ran = dict(state.ran)
    for name in names:
        if GRAPH[name].adds:
            key = f"{name} {'forwards' if sign > 0 else 'backwards'}"
            ran[key] = ran.get(key, 0) + 1
    items = tuple((name, score + added) for name, score in state.items)
    return replace(state, items=items, ran=tuple(sorted(ran.items())))


def _by_hand(state: State, step: Write | Drift) -> State:
    number = state.names
    named = replace(state, names=number + 1)
    match step:
        case Write("items") if ITEMS in state.applied:
            return replace(named, items=(*state.items, (f"item {number}", 0)))
        case Write("people") if PEOPLE in state.applied:
            return replace(named, people=(*state.people, f"person {number}"))
        case Drift("table"):
            return replace(named, drift=state.drift | {f"drift_table_{number}"})
        case Drift("index") if PEOPLE in state.applied:
            return replace(named, drift=state.drift | {f"drift_index_{number}"})
    return state
