"""What is in a database, said so that two databases can be compared: schema, rows, applied migrations, content types.

Nothing in it depends on the order in which things were created: not object ids, not the order of columns or of rows.
It reads the database's own catalogue and asks neither Django nor django-rollback.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from harness.database import Database

OWN_PREFIX = "django_rollback_"
# Django adds to these at each migrate and never removes; `content_types` is the way to look at the first of them.
FRAMEWORK_TABLES = {"django_content_type", "auth_permission", "django_session"}
VOLATILE_COLUMNS = {"django_migrations": {"id", "applied"}}
# Names that Django and PostgreSQL make up; the same constraint has another one after an ALTER than after a CREATE.
GENERATED_NAME = r"\w+_[0-9a-f]{8}(_\w+)?|TABLE_(\w+_)?(key|pkey|fkey|check|excl|seq)"
NAMED_KINDS = {"constraint", "index", "sequence"}

Rows = dict[str, list[dict[str, Any]]]


class Fact(NamedTuple):
    """One thing in a schema: what it is, on which table, under which name, and what there is to say of it."""

    kind: str
    table: str
    name: str
    text: str


def schema(database: Database, *, own_tables: bool = False, generated_names: bool = False) -> str:
    """The whole schema, one fact a line, sorted.

    The names that Django or PostgreSQL made up for constraints and indexes count as equal unless `generated_names`.
    """
    describe = _sqlite_facts if database.vendor == "sqlite" else _postgresql_facts
    facts = [fact for fact in describe(database) if own_tables or not fact.table.startswith(OWN_PREFIX)]
    if not generated_names:
        facts = [_without_generated_name(fact) for fact in facts]
    return "".join(sorted(f"{kind} {table} {name}: {text}\n" for kind, table, name, text in facts))


def rows(database: Database, tables: Iterable[str] | None = None, *, own_tables: bool = False) -> Rows:
    """The rows of `tables`, or of all that belong to the application; sorted, and without what each run makes anew."""
    if tables is None:
        tables = [
            table
            for table in table_names(database)
            if table not in FRAMEWORK_TABLES and (own_tables or not table.startswith(OWN_PREFIX))
        ]
    with database.connect() as connection:
        return {table: _table_rows(connection, table) for table in sorted(tables)}


def table_names(database: Database) -> list[str]:
    """The names of all tables, sorted."""
    query = SQLITE_TABLES if database.vendor == "sqlite" else POSTGRESQL_TABLES
    return sorted(name for (name,) in database.execute(query))


def migrations(database: Database) -> set[tuple[str, str]]:
    """The applied set: (app, name) of each row of `django_migrations`; empty when there is no such table."""
    return _pairs(database, "django_migrations", "app, name")


def content_types(database: Database) -> set[tuple[str, str]]:
    """(app, model) of each content type; empty when there is no such table."""
    return _pairs(database, "django_content_type", "app_label, model")


def _without_generated_name(fact: Fact) -> Fact:
    pattern = GENERATED_NAME.replace("TABLE", re.escape(fact.table))
    if fact.kind in NAMED_KINDS and re.fullmatch(pattern, fact.name):
        return fact._replace(name="(generated)")
    return fact


def _pairs(database: Database, table: str, columns: str) -> set[tuple[str, str]]:
    if table not in table_names(database):
        return set()
    return {(first, second) for first, second in database.execute(f"SELECT {columns} FROM {table}")}


def _table_rows(connection: Any, table: str) -> list[dict[str, Any]]:
    cursor = connection.execute(f'SELECT * FROM "{table}"')
    names = [column[0] for column in cursor.description]
    volatile = VOLATILE_COLUMNS.get(table, set())
    found = (dict(zip(names, row, strict=True)) for row in cursor.fetchall())
    kept = ({name: row[name] for name in sorted(row.keys() - volatile)} for row in found)
    return sorted(kept, key=repr)


# SQLite keeps the text of each CREATE statement and rewrites it at each ALTER: that text, cut into definitions, is all.

SQLITE_TABLES = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
SQLITE_OBJECTS = "SELECT type, tbl_name, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
SQL_TOKEN = re.compile(
    r"""(?P<text>'(?:[^']|'')*')
      | "(?P<name>(?:[^"]|"")*)" | `(?P<backticks>[^`]*)` | \[(?P<brackets>[^\]]*)\]
      | (?P<word>\w+) | (?P<other>\S)""",
    re.VERBOSE,
)


def _sqlite_facts(database: Database) -> Iterable[Fact]:
    for kind, table, name, sql in database.execute(SQLITE_OBJECTS):
        tokens = list(_sql_tokens(sql))
        if kind == "table" and "(" in tokens:
            yield from _sqlite_table_facts(table, tokens)
            continue
        if kind == "index":
            del tokens[tokens.index("index") + 1]
        yield Fact(kind, table, name, " ".join(tokens))


def _sqlite_table_facts(table: str, tokens: list[str]) -> Iterable[Fact]:
    definitions, options = _table_body(tokens)
    yield Fact("table", table, "", " ".join(options))
    for name, *rest in definitions:
        yield Fact("definition", table, name, " ".join(rest))


def _sql_tokens(sql: str) -> Iterable[str]:
    """The words of a statement, names without their quotes; quoting, case of keywords and spacing no longer matter."""
    for match in SQL_TOKEN.finditer(sql):
        word = match[match.lastgroup or 0]
        yield word.lower() if match.lastgroup == "word" else word


def _table_body(tokens: list[str]) -> tuple[list[list[str]], list[str]]:
    """The column and constraint definitions of a CREATE TABLE, and what follows its closing parenthesis."""
    definitions: list[list[str]] = [[]]
    depth = 1
    start = tokens.index("(") + 1
    for position, token in enumerate(tokens[start:], start):
        depth += (token == "(") - (token == ")")
        if depth == 0:
            return definitions, tokens[position + 1 :]
        if depth == 1 and token == ",":
            definitions.append([])
        else:
            definitions[-1].append(token)
    raise ValueError(f"no end of the table's body: {' '.join(tokens)}")


# In the queries below `spaces` are the schemas that are not the server's own.

POSTGRESQL_SPACES = r"""
    WITH spaces AS (
        SELECT oid FROM pg_namespace WHERE nspname NOT LIKE 'pg\_%' AND nspname <> 'information_schema'
    ), tables AS (
        SELECT oid, relname FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace IN (SELECT oid FROM spaces)
    )
"""
POSTGRESQL_TABLES = f"{POSTGRESQL_SPACES} SELECT relname FROM tables"

# Each query gives table, name and text of facts; what is on no table stands in the table's place. Constraints of the
# kind NOT NULL, which PostgreSQL 18 lists and older ones do not, are already said with the column.
POSTGRESQL_FACTS = {
    "table": "SELECT relname, '', '' FROM tables",
    "column": """
        SELECT relname, attname, concat_ws(' ',
            format_type(atttypid, atttypmod), CASE WHEN attnotnull THEN 'not null' END,
            'default ' || pg_get_expr(adbin, adrelid), 'identity ' || nullif(attidentity::text, ''),
            'generated ' || nullif(attgenerated::text, ''), 'collate ' || nullif(collname, 'default'),
            'comment ' || col_description(tables.oid, attnum))
        FROM pg_attribute
        JOIN tables ON attrelid = tables.oid
        LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
        LEFT JOIN pg_collation ON pg_collation.oid = attcollation
        WHERE attnum > 0 AND NOT attisdropped
    """,
    "constraint": """
        SELECT relname, conname, pg_get_constraintdef(pg_constraint.oid)
        FROM pg_constraint JOIN tables ON conrelid = tables.oid
        WHERE contype <> 'n'
    """,
    "index": """
        SELECT tables.relname, index.relname,
            replace(pg_get_indexdef(indexrelid), ' ' || quote_ident(index.relname) || ' ', ' ')
            || CASE WHEN indisvalid THEN '' ELSE ' invalid' END
        FROM pg_index JOIN tables ON indrelid = tables.oid JOIN pg_class index ON index.oid = indexrelid
    """,
    "trigger": """
        SELECT relname, tgname, pg_get_triggerdef(pg_trigger.oid)
        FROM pg_trigger JOIN tables ON tgrelid = tables.oid
        WHERE NOT tgisinternal
    """,
    "sequence": """
        SELECT coalesce(tables.relname, sequence.relname), sequence.relname, concat_ws(' ',
            format_type(seqtypid, NULL), 'start', seqstart, 'increment', seqincrement, 'of', attname)
        FROM pg_sequence
        JOIN pg_class sequence ON sequence.oid = seqrelid AND relnamespace IN (SELECT oid FROM spaces)
        LEFT JOIN pg_depend ON objid = seqrelid AND classid = 'pg_class'::regclass AND deptype IN ('a', 'i')
        LEFT JOIN tables ON tables.oid = refobjid
        LEFT JOIN pg_attribute ON attrelid = refobjid AND attnum = refobjsubid
    """,
    "view": """
        SELECT relname, relkind::text, pg_get_viewdef(oid)
        FROM pg_class WHERE relkind IN ('v', 'm') AND relnamespace IN (SELECT oid FROM spaces)
    """,
    "function": """
        SELECT proname, '', pg_get_functiondef(oid)
        FROM pg_proc WHERE prokind IN ('f', 'p') AND pronamespace IN (SELECT oid FROM spaces)
        AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_proc.oid AND deptype = 'e')
    """,
    "extension": "SELECT extname, '', '' FROM pg_extension WHERE extname <> 'plpgsql'",
}


def _postgresql_facts(database: Database) -> Iterable[Fact]:
    with database.connect() as connection:
        for kind, query in POSTGRESQL_FACTS.items():
            for table, name, text in connection.execute(POSTGRESQL_SPACES + query).fetchall():
                yield Fact(kind, table, name, " ".join(text.split()))
