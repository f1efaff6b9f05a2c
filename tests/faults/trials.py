"""One fault at a time: inject it, look where it left the database, run the same command again, look once more."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass, replace
from typing import Any

from faults.shop import ROLLBACK, Shop, State
from harness.database import Database
from harness.faults import (
    COMMIT,
    COMMITTED,
    IN_FLIGHT,
    UNANSWERED,
    UNDELIVERED,
    Cut,
    CutAtByte,
    CutAtCommit,
    DurableCluster,
    Outcome,
    Proxy,
)
from harness.inside import AFTER, BEFORE, DURING, INTERRUPT, KILL, PAUSE, TERMINATE, Fault

SEED_VARIABLE = "DJANGO_ROLLBACK_TEST_SEED"
SECONDS_TO_LET_GO = 20
NEITHER, AT_A_STEP = "neither", "at a step"
UNCHANGED = ("nothing was changed", "everything is as it was before")
UNCHANGED_CODES = (1, 128 + signal.SIGINT, 128 + signal.SIGTERM)


def seed() -> int:
    """What chance hangs on in this run; the environment may set another."""
    return int(os.environ.get(SEED_VARIABLE, "1"))


@dataclass(frozen=True)
class Trial:
    """What came of one fault."""

    fault: str
    outcome: Outcome
    found: str
    """Where the database was left: `before`, `after`, `at a step` that is recorded on the way, or `neither`."""
    difference: str
    again: Outcome
    end: str
    """Where the same command left it when it was run again without a fault."""
    steps_run: Counter[str]
    """How often each data step has been undone in the end."""
    must_know: bool
    """Whether the command could find out what had become of its work, and so has to say it."""

    @property
    def stuck(self) -> bool:
        return self.again.code != 0 or self.end != AFTER

    @property
    def repeated(self) -> bool:
        return max(self.steps_run.values(), default=0) > 1

    @property
    def claim(self) -> str | None:
        """What the command said of the database: the exit code as the README has it, or its own words."""
        if self.outcome.killed:
            return None
        if self.outcome.code == 0:
            return AFTER
        said = any(words in self.outcome.stderr for words in UNCHANGED)
        return BEFORE if said or self.outcome.code in UNCHANGED_CODES else None

    def problems(self) -> list[str]:
        """Everything that must not be, with what is needed to see it again."""
        found = []
        if self.found not in (BEFORE, AFTER):
            found.append(f"left half done, {self.found}:\n{self.difference}")
        if self.stuck:
            found.append(f"the second run did not end at the target but {self.end}: {self.again}")
        if self.repeated:
            found.append(f"a data step ran twice: {dict(self.steps_run)}")
        if self.must_know and self.claim is None:
            found.append(f"the command does not say that the database is {self.found}: {self.outcome}")
        if self.claim not in (None, self.found):
            found.append(f"the command says {self.claim}, and the database is {self.found}: {self.outcome}")
        return [f"{self.fault}: {problem}" for problem in found]


class Trials:
    """Faults in one command on one shop."""

    def __init__(
        self,
        shop: Shop,
        command: tuple[str, ...] = ROLLBACK,
        *,
        wait: Callable[[], None] = lambda: None,
        **options: Any,
    ) -> None:
        """`wait` is called before anybody looks at a database that a fault has hit; `options` go to each command."""
        self.shop = shop
        self.command = command
        self.options = options
        self._wait = wait
        self._ours = command == ROLLBACK
        outcome, after = shop.undisturbed(command, **options)
        self.statements = outcome.statements
        self._places = {BEFORE: self._seen(shop.before), AFTER: self._seen(after)}
        self._on_the_way: list[State] = []

    @property
    def points(self) -> list[Fault]:
        """A death before and after every statement."""
        return [Fault(number, when) for number in range(1, len(self.statements) + 1) for when in (BEFORE, AFTER)]

    def know_the_way(self, *commands: tuple[str, ...]) -> None:
        """Take these commands one after another: where they stop is a recorded step on the way, and not half done."""
        with self.shop.copy() as database:
            for command in commands:
                outcome = self.shop.manage.run(database, *command, **self.options)
                assert outcome.code == 0, str(outcome)
                self._on_the_way.append(self._seen(State.of(database)))

    def numbers_of(self, statement: str) -> list[int]:
        """The numbers of the statements that begin like this."""
        found = [number for number, said in enumerate(self.statements, 1) if said.startswith(statement)]
        assert found, f"no statement begins with {statement}:\n" + "\n".join(self.statements)
        return found

    def kill(self, fault: Fault) -> Trial:
        """The process dies, or is told to."""
        with self.shop.copy() as database:
            outcome = self.shop.manage.run(database, *self.command, fault=fault, **self.options)
            # At its end a command may be faster than its death, or have nothing left to interrupt.
            may_be_late = fault.when == DURING or fault.action != KILL
            at_the_end = fault.statement >= self.numbers_of("COMMIT")[-1]
            struck = outcome.killed or (may_be_late and (outcome.code != 0 or at_the_end))
            assert struck, f"{fault} did not strike: {outcome}"
            return self._judge(self._say(fault.statement, fault), outcome, database, must_know=not outcome.killed)

    def cut(self, cut: Cut, proxy: Proxy) -> Trial:
        """The connection breaks."""
        what = str(cut)
        with self.shop.copy() as database:
            proxy.arm(cut)
            outcome = self.shop.manage.run(proxy.database(database), *self.command, **self.options)
            assert proxy.struck, f"{what}: did not strike: {outcome}"
            return self._judge(f"{what}, seed {seed()}", outcome, database, must_know=cut.reconnect)

    def strike_server(self, number: int, strike: Callable[[int], None], *, delay: float | None) -> Trial:
        """The server is hit before statement `number`, or `delay` seconds after it was sent.

        `strike` takes the id of the server process that works for the command.
        """
        with self.shop.copy() as database:

            def at_pause(go_on: Callable[[], None]) -> None:
                worker = sessions(database)[0]
                if delay is None:
                    strike(worker)
                    go_on()
                else:
                    go_on()
                    time.sleep(delay)
                    strike(worker)

            fault = Fault(number, BEFORE, PAUSE)
            outcome = self.shop.manage.run(database, *self.command, fault=fault, at_pause=at_pause, **self.options)
            when = "before" if delay is None else f"{delay * 1000:.3f} ms into"
            return self._judge(self._say(number, f"{strike.__name__} {when}"), outcome, database)

    def _say(self, number: int, what: object) -> str:
        statement = " ".join(self.statements[number - 1].split()) if number <= len(self.statements) else "?"
        return f"{what}, {statement[:80]!r}, seed {seed()}"

    def _judge(self, fault: str, outcome: Outcome, database: Database, *, must_know: bool = False) -> Trial:
        self._wait()
        wait_until_alone(database)
        found = self._seen(State.of(database))
        again = self.shop.manage.run(database, *self.command, **self.options)
        end = self._seen(State.of(database))
        steps_run = Counter(row["step"] for row in end.rows["shop_ledger"])
        difference = found.difference(self._places[AFTER])
        return Trial(fault, outcome, self._place(found), difference, again, self._place(end), steps_run, must_know)

    def _seen(self, state: State) -> State:
        return state if self._ours else state.without_releases()

    def _place(self, state: State) -> str:
        found = next((place for place, expected in self._places.items() if state == expected), NEITHER)
        return AT_A_STEP if found == NEITHER and state in self._on_the_way else found


class ServerFaults:
    """Ways in which a server of PostgreSQL fails, each as something to do to the session with a process id."""

    def __init__(self, trials: Trials, cluster: DurableCluster) -> None:
        self.trials = trials
        self.cluster = cluster

    def terminate(self, worker: int) -> None:
        self.cluster.database("postgres").execute(f"SELECT pg_terminate_backend({worker})")

    def kill(self, worker: int) -> None:
        """The server takes all sessions down with this one, and picks itself up."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker, signal.SIGKILL)

    def crash(self, worker: int) -> None:
        self.cluster.crash()

    def some(self, number: int) -> Iterator[Trial]:
        """All of them in turn, at a random statement: before it, or while it is carried out."""
        chance = random.Random(f"{seed()} server")
        commits = self.trials.numbers_of("COMMIT")
        for turn in range(number):
            strike = (self.terminate, self.kill, self.crash)[turn % 3]
            statement = chance.choice(commits) if turn % 4 == 3 else chance.randint(2, commits[-1])
            delay = chance.uniform(0, 2e-3) if chance.random() < 0.5 else None
            yield self.trials.strike_server(statement, strike, delay=delay)


@dataclass
class Tally:
    """How many trials ended where."""

    name: str
    points: int = 0
    at_a_step: int = 0
    half_done: int = 0
    stuck: int = 0
    repeated: int = 0
    before: int = 0
    after: int = 0

    @classmethod
    def of(cls, name: str, trials: Iterable[Trial]) -> Tally:
        tally = cls(name)
        for trial in trials:
            tally.points += 1
            tally.at_a_step += trial.found == AT_A_STEP
            tally.half_done += trial.found == NEITHER
            tally.stuck += trial.stuck
            tally.repeated += trial.repeated
            tally.before += trial.found == BEFORE
            tally.after += trial.found == AFTER
        return tally

    @classmethod
    def sum(cls, tallies: Iterable[Tally]) -> Tally:
        """All of them, under the name that they share."""
        name, *counts = zip(*map(astuple, tallies), strict=True)
        return cls(name[0], *map(sum, counts))

    def __str__(self) -> str:
        return (
            f"{self.name}: {self.points} faults, {self.before} before, {self.after} after, "
            f"{self.at_a_step} at a step between, {self.half_done} half done, {self.stuck} stuck when run again, "
            f"{self.repeated} with a data step run twice"
        )


def all_is_well(trials: Iterable[Trial]) -> None:
    """Fail with everything that is wrong with any of them."""
    seen = list(trials)
    assert seen, "no fault was injected"
    problems = [problem for trial in seen for problem in trial.problems()]
    assert not problems, f"{len(problems)} problems in {len(seen)} trials\n" + "\n\n".join(problems)


def sessions(database: Database) -> list[int]:
    """The server processes that work for somebody in a database of PostgreSQL, but for whoever asks; oldest first."""
    others = "datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
    found = database.execute(f"SELECT pid FROM pg_stat_activity WHERE {others} ORDER BY backend_start")
    return [pid for (pid,) in found]


def wait_until_alone(database: Database, seconds: float = SECONDS_TO_LET_GO) -> None:
    """Wait until the server has noticed that the client is gone."""
    deadline = time.monotonic() + seconds
    while database.vendor == "postgresql" and sessions(database):
        assert time.monotonic() < deadline, f"the server still works for a dead client after {seconds} s"
        time.sleep(0.002)


def goes_through_within(trials: Trials, database: Database, seconds: float) -> None:
    """Try the command again and again, and fail if it is still refused after this time."""
    deadline = time.monotonic() + seconds
    while (outcome := trials.shop.manage.run(database, *trials.command, **trials.options)).code != 0:
        assert time.monotonic() < deadline, f"still refused after {seconds} s: {outcome}"
        time.sleep(0.2)


def sample(faults: Sequence[Any], number: int, salt: str) -> list[Any]:
    """Some of them, by chance; the same ones wherever the seed is the same."""
    return random.Random(f"{seed()} {salt}").sample(faults, number)


def slice_of(things: Sequence[Any], index: int, of: int) -> list[Any]:
    """The part of a list that falls to one of several tests."""
    return list(things)[index::of]


def deaths_inside(trials: Trials, number: int) -> list[Fault]:
    """Deaths while a statement is carried out: half of them in the middle of COMMIT."""
    chance = random.Random(f"{seed()} inside {trials.shop.vendor}")
    commits = trials.numbers_of("COMMIT")
    places = [chance.choice(commits) if half else chance.randint(1, commits[-1]) for half in [True, False] * number]
    return [Fault(place, DURING, delay=chance.uniform(1e-6, 1e-3)) for place in places[:number]]


def interruptions(points: Iterable[Fault]) -> list[Fault]:
    """The same points, and in turn Ctrl-C and a request to end in place of a sudden death."""
    return [replace(point, action=(INTERRUPT, TERMINATE)[number % 2]) for number, point in enumerate(points)]


def cuts(proxy: Proxy, trials: Trials, number: int) -> list[Cut]:
    """`number` cuts: at a random byte, of a COMMIT that does not arrive, and of one whose answer does not."""
    chance = random.Random(f"{seed()} cuts")
    with trials.shop.copy() as database:
        proxy.arm(Cut())
        outcome = trials.shop.manage.run(proxy.database(database), *trials.command, **trials.options)
        assert outcome.code == 0, str(outcome)
    # A little less than all: the length of what is said varies with names and times.
    lengths = {True: proxy.bytes_to_server * 95 // 100, False: proxy.bytes_from_server * 95 // 100}
    assert proxy.commits, "no COMMIT has gone through the proxy"

    def one(number: int) -> Cut:
        reset, to_server = chance.random() < 0.5, chance.random() < 0.5
        if number % 3 == 0:
            return CutAtByte(chance.randrange(lengths[to_server]), to_server=to_server, reset=reset)
        how = UNDELIVERED if number % 3 == 1 else chance.choice([UNANSWERED, UNANSWERED, UNANSWERED, IN_FLIGHT])
        delivered = chance.randrange(len(COMMIT) if how == UNDELIVERED else len(COMMITTED))
        # Where nobody is let in again the command looks for the server for a while: a few of those are enough.
        reconnect = number % 60 != 2
        commit = chance.randint(1, proxy.commits)
        return CutAtCommit(how, commit, delivered=delivered, reconnect=reconnect, reset=reset)

    return list(map(one, range(number)))
