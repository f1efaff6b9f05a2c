"""What is seen of a rollback on its way: events for programs, plain lines for logs, a bar for people, and silence."""

from __future__ import annotations

import json
import re
import signal
from typing import Any

import pytest

from conftest import CopyDatabase
from scenarios import NAMED, NUMBER, Result, Trip, add, create, migration, same
from under_way import AT, Command, Shop, held, screen, troubled, untouched, variables_of

V1 = {"shop.0001_initial": migration(create("Item", **NAMED))}
V2 = {
    "shop.0002_a": migration(add("Item", "a", NUMBER), troubled("0002"), after=["shop.0001_initial"], code=AT),
    "shop.0003_b": migration(add("Item", "b", NUMBER), after=["shop.0002_a"]),
}
V3 = {
    "shop.0004_data": migration(
        add("Item", "c", NUMBER), troubled("0004"), after=["shop.0003_b"], atomic=False, code=AT
    ),
    "shop.0005_d": migration(add("Item", "d", NUMBER), after=["shop.0004_data"]),
}
ROWS = {"v1": ["INSERT INTO shop_item (name) VALUES ('tea')"]}
STEPS = ["shop.0003_b", "shop.0002_a"]
ON_POSTGRES = pytest.mark.parametrize("copy_database", ["postgres"], indirect=True, scope="module")
WAYS = {
    "original": ("manage", "rollback_migrations", "-t", "v1"),
    "manage": ("manage", "rollback", "rollback", "-t", "v1", "--accept-data-loss"),
    "native": ("native", "rollback", "-t", "v1", "--accept-data-loss"),
}
EVERY_WAY = pytest.mark.parametrize("way", WAYS)
LOSSES = """\
Lost: 2 rows and values.
  1 value of shop_item.b, by undoing shop.0003_b
  1 value of shop_item.a, by undoing shop.0002_a
"""


@pytest.fixture(scope="module")
def shop(copy_database: CopyDatabase, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Two releases, built once on each database."""
    return Shop(tmp_path_factory.mktemp("progress"), copy_database, {"v1": V1, "v2": V2}, rows=ROWS)


@pytest.fixture
def trip(shop: Shop) -> Trip:
    """A copy of the database at v2."""
    return shop.anew()


@pytest.fixture(scope="module")
def longer(copy_database: CopyDatabase, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """The same with a third release, which cannot go back in one transaction."""
    releases = {"v1": V1, "v2": V2, "v3": V3}
    return Shop(tmp_path_factory.mktemp("longer"), copy_database, releases, rows=ROWS)


def go(trip: Trip, way: str, *words: str, **variables: str) -> Result:
    """Go back to v1, whatever comes of it."""
    door, *command = WAYS[way]
    run = trip.project.native if door == "native" else trip.project.manage
    return run(*command, *words, check=False, env=variables_of(trip.project, door) | variables)


def watched(trip: Trip, *words: str, way: str = "original", **options: Any) -> Command:
    """Go back to v1 in the background."""
    door, *command = WAYS[way]
    return Command(trip.project, *command, *words, door=door, **options)


def events_of(out: str) -> list[dict[str, Any]]:
    """Each line is a document of its own, with its format first, and without anything between."""
    found = [json.loads(line) for line in out.splitlines()]
    assert out.endswith("\n") and all(next(iter(each)) == "format" and each["format"] == 1 for each in found), out
    return found


def names(events: list[dict[str, Any]]) -> list[str]:
    """The events in order, with the migration where there is one."""
    return [" ".join(each[key] for key in ("event", "app", "migration") if key in each) for each in events]


def plain(stdout: str) -> str:
    """The text without the times."""
    return re.sub(r"\(\d+\.\d{3}s\)", "(…s)", stdout)


def expected_lines(shop: Shop) -> str:
    """What a log shows of a rollback that goes well."""
    v1, v2 = (shop.commits[tag][:7] for tag in ("v1", "v2"))
    return (
        f"Rollback from {v2} (v2) to {v1} (v1): 2 steps in one transaction.\n"
        "  Unapplying shop.0003_b... OK (…s)\n"
        "  Unapplying shop.0002_a... OK (…s)\n"
        f"The database is back at {v1} (v1), and its schema is the one that the release had.\n"
    )


# Events


@EVERY_WAY
def test_events(trip: Trip, shop: Shop, way: str) -> None:
    """One a line; the last is the whole outcome, and what people would read stands on stderr."""
    plan = trip.plan("v1")
    result = go(trip, way, "--format", "json")
    assert result.returncode == 0, result
    events = events_of(result.stdout)
    steps = [f"step-{moment} shop {step.partition('.')[2]}" for step in STEPS for moment in ("begins", "ends")]
    same(names(events), ["plan", *steps, "end"])
    same({key: value for key, value in events[0].items() if key != "event"}, plan)
    for begins, ends in (events[1:3], events[3:5]):
        same(list(begins), ["format", "event", "app", "migration", "way"])
        same(list(ends), [*begins, "seconds"])
        same((begins["way"], ends["way"]), ("disk", "disk"))
        assert isinstance(ends["seconds"], float) and 0 < ends["seconds"] < 60, ends
    end = events[-1]
    same((end["outcome"], end["verified"], end["notes"]), ("done", "same", []))
    same({key: value for key, value in end.items() if key in plan}, plan)
    same(set(end) - set(plan), {"event", "outcome", "verified", "notes"})
    assert "Unapplying" in result.stderr and LOSSES in result.stderr, result.stderr


def test_events_come_when_they_happen(trip: Trip) -> None:
    """A program that watches sees which step runs now."""
    with watched(trip, "--format", "json", TROUBLE="0002:wait") as command:
        command.wait_for_mark()
        same(
            names(events_of(command.said()[0])),
            ["plan", "step-begins shop 0003_b", "step-ends shop 0003_b", "step-begins shop 0002_a"],
        )
        command.mark("go on")
        ended = command.wait()
    assert (ended.code, names(events_of(ended.out))[-1]) == (0, "end"), ended


def test_events_of_an_interruption(trip: Trip) -> None:
    with watched(trip, "--format", "json", TROUBLE="0002:sleep") as command:
        command.wait_for_mark()
        ended = command.stop(signal.SIGINT, within=15)
    assert ended.code == 130, ended
    assert "end" not in names(events_of(ended.out))


def test_events_in_segments(longer: Shop) -> None:
    """A rollback that stops part-way, and the one that resumes it."""
    trip = longer.anew()
    stopped = go(trip, "original", "--format", "json", TROUBLE="0002:fail")
    assert stopped.returncode == 3, stopped
    steps = ["0005_d", "0004_data", "0003_b"]
    done = [f"step-{moment} shop {step}" for step in steps for moment in ("begins", "ends")]
    same(names(events_of(stopped.stdout)), ["plan", *done, "step-begins shop 0002_a", "step-failed shop 0002_a"])
    resumed = trip.project.manage("rollback_migrations", "--resume", "--format", "json")
    events = events_of(resumed.stdout)
    same(names(events)[0], "plan")
    same(names(events)[-1], "end")
    same([each["migration"] for each in events if each["event"] == "step-ends"], ["0003_b", "0002_a"])


def test_a_note_is_in_the_outcome(trip: Trip) -> None:
    """What a receiver of `post_migrate` could not do."""
    trip.project.write(
        {
            "shop/apps.py": """
                from django.apps import AppConfig
                from django.db.models.signals import post_migrate

                def fail(**kwargs):
                    raise ValueError("no luck today")

                class Config(AppConfig):
                    name = "shop"

                    def ready(self):
                        post_migrate.connect(fail)
            """
        }
    )
    result = go(trip, "original", "--format", "json")
    trip.project.write({"shop/apps.py": None})
    [note] = events_of(result.stdout)[-1]["notes"]
    assert note.startswith("a receiver of post_migrate failed (ValueError)"), note
    assert f"Warning: {note}.\n" in result.stderr


@ON_POSTGRES
@pytest.mark.parametrize("form", ["json", "text"])
def test_waiting_is_said(trip: Trip, shop: Shop, form: str) -> None:
    """Each time that all is taken back because another session is in the way, with what the database said."""
    with held(trip.database, "shop_item") as session, watched(trip, "--format", form) as command:
        command.wait_for_output('"waits"' if form == "json" else "Another session is in the way")
        session.execute("ROLLBACK")
        ended = command.wait()
    assert ended.code == 0, ended
    if form == "json":
        events = events_of(ended.out)
        waits = [each for each in events if each["event"] == "waits"]
        same([list(each) for each in waits], [["format", "event", "reason"]] * len(waits))
        assert "lock timeout" in waits[0]["reason"], waits
        same(names(events)[-1], "end")
    else:
        waits = r"  Another session is in the way \(canceling .* lock timeout.*\): undone, retrying\.\.\.\n"
        assert re.search(waits, ended.out), ended
    shop.assert_built("v1")


# Plain lines


@EVERY_WAY
def test_plain_lines(trip: Trip, shop: Shop, way: str) -> None:
    """Into a file or a pipe: no bar, no escapes, and how long each step took."""
    result = go(trip, way)
    same((result.returncode, plain(result.stdout), result.stderr), (0, expected_lines(shop), LOSSES))


def test_plain_lines_come_when_they_happen(trip: Trip) -> None:
    with watched(trip, TROUBLE="0002:wait") as command:
        command.wait_for_mark()
        assert "  Unapplying shop.0003_b... OK (" in command.said()[0]
        command.mark("go on")
        command.wait()


# A terminal


@pytest.mark.parametrize("columns", [120, 80, 50, 20])
def test_a_bar_on_a_terminal(trip: Trip, shop: Shop, columns: int) -> None:
    """It shows where the rollback is, and at the end there stand the lines that a log would have."""
    with watched(trip, columns=columns, TROUBLE="0002:wait", NO_COLOR="1") as command:
        command.wait_for_mark()
        command.wait_for_output("1/2")
        seen = screen(command.said()[0], columns)
        command.mark("go on")
        ended = command.wait()
    assert "1/2" in seen[-1], seen
    if columns >= 80:
        assert "shop.0002_a" in seen[-1], seen
    same(ended.code, 0)
    same_on_screen(ended.out, columns, lines_on_a_terminal(shop))


def lines_on_a_terminal(shop: Shop) -> str:
    """The same as in a log, with stdout and stderr in one."""
    heading, *rest = expected_lines(shop).splitlines(keepends=True)
    return "".join([heading, LOSSES, *rest])


def same_on_screen(written: str, columns: int, expected: str) -> None:
    """The terminal shows this text and nothing else; the cursor is there, on a line of its own."""
    shown = plain("\n".join(screen(written, columns)))
    if columns >= 120:
        same(shown, expected)
    else:
        # A time may stand at the end of a row.
        rows = plain(shown.replace("\n", ""))
        same(re.sub(r"\s", "", rows), re.sub(r"\s", "", expected))
    assert shown.endswith("\n"), shown
    assert written.rfind("\x1b[?25l") <= written.rfind("\x1b[?25h"), "the cursor is hidden"


def test_a_bar_that_ends_in_a_failure(trip: Trip) -> None:
    """It is taken away before the error is told."""
    with watched(trip, columns=100, TROUBLE="0002:fail", NO_COLOR="1") as command:
        ended = command.wait()
    shown = screen(ended.out, 100)
    assert ended.code == 1, ended
    place = shown.index("  Unapplying shop.0002_a... FAILED")
    same(
        shown[place + 1],
        "CommandError: shop.0002_a could not be undone, and everything is as it was before: ValueError: no lu",
    )
    same([line for line in shown if "/2" in line], [])


def test_a_bar_that_ends_in_an_interruption(trip: Trip) -> None:
    with watched(trip, columns=100, TROUBLE="0002:sleep", NO_COLOR="1") as command:
        command.wait_for_mark()
        command.wait_for_output("1/2")
        ended = command.stop(signal.SIGINT, within=15)
    shown = screen(ended.out, 100)
    same((ended.code, [line for line in shown if "/2" in line]), (130, []))
    assert "CommandError: interrupted, and everything is as it was before" in shown, shown
    assert ended.out.rfind("\x1b[?25l") <= ended.out.rfind("\x1b[?25h"), "the cursor is hidden"


@ON_POSTGRES
def test_a_bar_that_waits(trip: Trip, shop: Shop) -> None:
    """It begins again with the rollback."""
    with held(trip.database, "shop_item") as session, watched(trip, columns=100, NO_COLOR="1") as command:
        command.wait_for_output("Another session is in the way")
        session.execute("ROLLBACK")
        ended = command.wait()
    same(ended.code, 0)
    shown = screen(ended.out, 100)
    same([line for line in shown if "/2" in line], [])
    assert shown[-2].startswith("The database is back at "), shown


def test_no_bar_for_events(trip: Trip) -> None:
    """Not on a terminal either: the events are for a program."""
    with watched(trip, "--format", "json", columns=400, NO_COLOR="1") as command:
        ended = command.wait()
    assert "\x1b" not in ended.out and "1/2" not in ended.out, ended


@pytest.mark.parametrize("answer", ["yes", "no", "y", "", "\x04"], ids=repr)
def test_the_question_on_a_terminal(trip: Trip, shop: Shop, answer: str) -> None:
    """`rollback` asks before data is lost; only `yes` goes on."""
    before = untouched(trip.database), trip.history()
    with Command(trip.project, "rollback", "rollback", "-t", "v1", columns=100, NO_COLOR="1") as command:
        command.wait_for_output("2 rows and values will be lost. Type 'yes' to go on, anything else to stop: ")
        command.type(answer if answer == "\x04" else f"{answer}\n")
        ended = command.wait()
    if answer == "yes":
        same(ended.code, 0)
        shop.assert_built("v1")
    else:
        assert (ended.code, "stopped, and nothing was changed" in ended.out) == (1, True), ended
        same((untouched(trip.database), trip.history()), before)


def test_ctrl_c_at_the_question(trip: Trip) -> None:
    """Nothing has begun yet."""
    before = untouched(trip.database), trip.history()
    with Command(trip.project, "rollback", "rollback", "-t", "v1", columns=100, NO_COLOR="1") as command:
        command.wait_for_output("Type 'yes' to go on")
        ended = command.stop(signal.SIGINT, within=15)
    assert (ended.code, "Traceback" in ended.out) == (130, False), ended
    same((untouched(trip.database), trip.history()), before)


# Silence


@EVERY_WAY
@pytest.mark.parametrize("columns", [None, 80])
def test_silence(trip: Trip, shop: Shop, way: str, columns: int | None) -> None:
    """`-v 0`: neither lines nor a bar, on a terminal or not."""
    with watched(trip, "-v", "0", way=way, columns=columns) as command:
        ended = command.wait()
    same((ended.code, ended.out, ended.err), (0, "", ""))
    shop.assert_built("v1")
