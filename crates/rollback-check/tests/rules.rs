//! The rules, each over two revisions as texts.

mod common;

use common::{DELETED, Files, ITEM, add, adds, changed, checked, expect, migration, named, shop};
use rollback_check::Vendor;

/// The messages of a rule.
fn messages(older: &Files, newer: &Files, code: &str) -> Vec<String> {
    let found = checked(older, newer, None).findings.into_iter();
    found.filter(|finding| finding.rule.code == code).map(|finding| finding.message).collect()
}

/// Checks what new operations lead to, after a migration with the model `Item`.
fn expect_of(operations: &[&str], expected: &[&str]) {
    let older = shop(&[("0001", ITEM)]);
    expect(&older, &changed(&older, &[("0002", &migration(operations, &["0001"]))]), expected);
}

const RENAME: &str = "migrations.RenameField('Item', 'name', 'title')";

#[test]
fn index_together() {
    let options =
        ITEM.replace("max_length=20))]", "max_length=20))], options={'index_together': {('id', 'name')}}");
    let older = shop(&[("0001", &options)]);
    for (sets, expected) in [
        ("{('name', 'id')}", &["RB043 shop.0002"][..]),
        ("{('id', 'name'), ('name', 'id')}", &["RB043 shop.0002"]),
        ("{('id', 'name')}", &[]),
        ("set()", &[]),
    ] {
        let alter = format!("migrations.AlterIndexTogether('item', {sets})");
        expect(&older, &changed(&older, &[("0002", &migration(&[&alter], &["0001"]))]), expected);
    }
}

#[test]
fn a_renamed_column_that_is_removed_has_its_older_name_in_the_message() {
    let older = shop(&[("0001", ITEM)]);
    let steps = migration(&[RENAME, "migrations.RemoveField('Item', 'title')"], &["0001"]);
    let newer = changed(&older, &[("0002", &steps)]);
    assert_eq!(
        messages(&older, &newer, "RB021"),
        ["the older code still reads the column Item.title, which it knows as name"]
    );
}

#[test]
fn a_column_that_is_renamed_twice_is_one_finding() {
    let older = shop(&[("0001", ITEM)]);
    let again = "migrations.RenameField('Item', 'title', 'label')";
    let newer = changed(&older, &[("0002", &migration(&[RENAME, again], &["0001"]))]);
    assert_eq!(
        messages(&older, &newer, "RB024"),
        ["the older code still uses the column name of Item, which becomes label"]
    );
    expect_of(&[RENAME, "migrations.RenameField('Item', 'title', 'name')"], &[]);
}

#[test]
fn a_renamed_model_renames_the_columns_of_its_join_tables() {
    let tags =
        "[('id', models.BigAutoField(primary_key=True)), ('tags', models.ManyToManyField('shop.Item'))]";
    let model = format!("migrations.CreateModel('Box', {tags}, options={{'db_table': 'shop_box'}})");
    let older = shop(&[("0001", ITEM), ("0002", &migration(&[&model], &["0001"]))]);
    let rename = migration(&["migrations.RenameModel('Box', 'Crate')"], &["0002"]);
    assert_eq!(
        messages(&older, &changed(&older, &[("0003", &rename)]), "RB024"),
        ["the older code still uses the column box_id in its join tables, which becomes crate_id"]
    );
}

#[test]
fn operations_that_are_safe_outside_a_transaction() {
    let older = shop(&[("0001", ITEM)]);
    let code = "from django.contrib.postgres.operations import AddIndexConcurrently, ValidateConstraint\n";
    let index = "AddIndexConcurrently('item', models.Index(fields=['name'], name='i'))";
    for (steps, expected) in [
        (&[index][..], &[][..]),
        (&["ValidateConstraint('item', 'c')"], &[]),
        (&[index, &add("a")], &["RB041 shop.0002", "RB012 shop.0002"]),
    ] {
        let text =
            migration(steps, &["0001"]).replace("    operations", "    atomic = False\n    operations");
        expect(&older, &changed(&older, &[("0002", &format!("{code}{text}"))]), expected);
    }
}

/// Django's loader knows that an operation exists, but not the values of its arguments.
#[test]
fn the_hint_for_an_unknown_says_who_knows_more() {
    let older = shop(&[("0001", ITEM)]);
    for (operation, hint) in [
        (
            "*[migrations.RunSQL('', '') for each in os.environ]",
            "run `manage.py rollback check`, which asks Django",
        ),
        ("migrations.RenameField('item', os.environ['OLD'], 'new')", "check it by hand"),
    ] {
        let text = format!("import os\n{}", migration(&[operation], &["0001"]));
        let findings = checked(&older, &changed(&older, &[("0002", &text)]), None).findings;
        let found: Vec<(&str, &str)> =
            findings.iter().map(|each| (each.rule.code, each.hint.as_str())).collect();
        assert_eq!(found, [("RB002", hint)]);
    }
}

/// A field class that sets arguments itself may accept NULL: the text of the migration does not say.
#[test]
fn field_classes_of_the_project() {
    let older = shop(&[("0001", ITEM)]);
    let text = migration(&["migrations.AddField('Item', 'a', shop.fields.Own())"], &["0001"]);
    let text = format!("import shop.fields\n{text}");
    for (body, expected) in [
        ("pass", &["RB051 shop.0002", "RB012 shop.0002", "RB023 shop.0002"][..]),
        ("description = 'whole'", &["RB051 shop.0002", "RB012 shop.0002", "RB023 shop.0002"]),
        (
            "def __init__(self, *args, **kwargs): super().__init__(*args, null=True, **kwargs)",
            &["RB051 shop.0002", "RB012 shop.0002"],
        ),
    ] {
        let fields = format!("from django.db import models\n\nclass Own(models.IntegerField):\n    {body}\n");
        expect(&older, &changed(&older, &[("shop/fields.py", &fields), ("0002", &text)]), expected);
    }
}

#[test]
fn an_operation_with_a_reverse_may_be_declared_irreversible() {
    let older = shop(&[("0001", ITEM)]);
    let text = migration(&["OneWay('SELECT 1', 'SELECT 1')"], &["0001"]);
    let text = text.replace(
        "\nclass Migration",
        "\nclass OneWay(migrations.RunSQL):\n    reversible = False\n\nclass Migration",
    );
    assert_eq!(
        messages(&older, &changed(&older, &[("0002", &text)]), "RB011"),
        ["OneWay of shop.0002 is declared irreversible"]
    );
}

#[test]
fn the_hint_for_an_irreversible_operation_names_the_argument() {
    let older = shop(&[("0001", ITEM)]);
    for (operation, hint) in [
        ("migrations.RunPython(f)", "add `reverse_code`: `RunPython.noop` if nothing needs undoing"),
        ("migrations.RunSQL('x')", "add `reverse_sql`: `RunSQL.noop` if nothing needs undoing"),
        (
            "migrations.SeparateDatabaseAndState([migrations.RunSQL('x')])",
            "give that operation a reverse: `noop` if nothing needs undoing",
        ),
    ] {
        let text = format!("def f(apps, editor): return 1\n{}", migration(&[operation], &["0001"]));
        let findings = checked(&older, &changed(&older, &[("0002", &text)]), None).findings;
        let hints: Vec<&str> = findings.iter().map(|finding| finding.hint.as_str()).collect();
        assert_eq!(hints, [hint]);
    }
}

#[test]
fn rules_about_another_database_are_left_out() {
    let older = shop(&[("0001", ITEM)]);
    let alter = "migrations.AlterField('Item', 'name', models.CharField(max_length=5, db_index=True))";
    let newer = changed(&older, &[("0002", &migration(&[alter], &["0001"]))]);
    let of =
        |database| -> Vec<String> { checked(&older, &newer, database).findings.iter().map(named).collect() };
    assert_eq!(of(Some(Vendor::Postgresql)), ["RB025 shop.0002", "RB042 shop.0002", "RB043 shop.0002"]);
    assert_eq!(of(None), of(Some(Vendor::Postgresql)));
    assert_eq!(of(Some(Vendor::Sqlite)), [] as [&str; 0]);
}

#[test]
fn many_operations() {
    let steps: Vec<String> = (0..1000).map(|number| add(&format!("field_{number}"))).collect();
    let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
    let older = shop(&[("0001", ITEM)]);
    let newer = changed(&older, &[("0002", &migration(&steps, &["0001"]))]);
    assert_eq!(checked(&older, &newer, None).findings.len(), 1000);
}

// Squashes

const SQUASH: &str = "\
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = []
    replaces = [('shop', '0001'), ('shop', '0002'), ('shop', '0003')]
    operations = [
        migrations.CreateModel(
            'Item',
            [
                ('id', models.BigAutoField(primary_key=True)),
                ('name', models.CharField(max_length=20)),
                ('a', models.IntegerField(null=True)),
                ('b', models.IntegerField(null=True)),
            ],
        ),
    ]
";
const WITHOUT_ORIGINALS: &[(&str, &str)] = &[("0001", DELETED), ("0002", DELETED), ("0003", DELETED)];

/// Three migrations, and then their squash as well.
fn squashed() -> (Files, Files) {
    let older = shop(&[("0001", ITEM), ("0002", &adds("a", &["0001"])), ("0003", &adds("b", &["0002"]))]);
    let newer = changed(&older, &[("0001_squash", SQUASH)]);
    (older, newer)
}

#[test]
fn a_squash_with_the_migrations_that_it_replaces() {
    let (older, newer) = squashed();
    let checked = checked(&older, &newer, None);
    assert_eq!((checked.findings, checked.undo.len(), checked.new.len()), (vec![], 0, 1));
}

/// Django applies the missing ones one by one, and then only marks the squash.
#[test]
fn a_squash_that_comes_with_one_of_the_migrations_that_it_replaces() {
    let older = shop(&[("0001", ITEM), ("0002", &adds("a", &["0001"]))]);
    let newer = changed(&older, &[("0003", &adds("b", &["0002"])), ("0001_squash", SQUASH)]);
    expect(&older, &newer, &["RB012 shop.0003"]);
    let undo: Vec<String> = checked(&older, &newer, None).undo.iter().map(ToString::to_string).collect();
    assert_eq!(undo, ["shop.0003"]);
}

#[test]
fn a_squash_in_the_release_that_deletes_what_it_replaces() {
    let (older, newer) = squashed();
    let alone = changed(&newer, WITHOUT_ORIGINALS);
    expect(&older, &alone, &["RB034 shop.0001", "RB034 shop.0002", "RB034 shop.0003"]);
    expect(&newer, &alone, &[]);
}

/// In one release, as Django and the page of RB034 ask for it.
#[test]
fn a_squash_that_loses_its_replaces() {
    let (_, older) = squashed();
    let plain = SQUASH.replace("    replaces = [('shop', '0001'), ('shop', '0002'), ('shop', '0003')]\n", "");
    let newer = changed(&changed(&older, WITHOUT_ORIGINALS), &[("0001_squash", &plain)]);
    let newer = changed(&newer, &[("0004", &adds("c", &["0001_squash"]))]);
    expect(&older, &newer, &["RB012 shop.0004"]);
}

// The graph

#[test]
fn two_leaf_nodes_and_their_merge() {
    let older = shop(&[("0001", ITEM)]);
    let newer = changed(&older, &[("0002_a", &adds("a", &["0001"])), ("0002_b", &adds("b", &["0001"]))]);
    let both = ["RB061 shop.0002_a", "RB012 shop.0002_a", "RB061 shop.0002_b", "RB012 shop.0002_b"];
    expect(&older, &newer, &both);
    let merged = changed(&newer, &[("0003", &migration(&[], &["0002_a", "0002_b"]))]);
    expect(&older, &merged, &["RB012 shop.0002_a", "RB012 shop.0002_b"]);
    assert_eq!(checked(&older, &merged, None).undo[0].name, "0003");
}

/// A dependency on a setting may join the leaf nodes.
#[test]
fn leaf_nodes_with_unknown_dependencies() {
    let older = shop(&[("0001", ITEM)]);
    let merge =
        migration(&[], &["0002_a"]).replace("'0002_a')]", "'0002_a'), *(MORE if settings.MORE else ())]");
    let newer = changed(
        &older,
        &[("0002_a", &adds("a", &["0001"])), ("0002_b", &adds("b", &["0001"])), ("0003", &merge)],
    );
    expect(&older, &newer, &["RB012 shop.0002_a", "RB012 shop.0002_b", "RB002 shop.0003"]);
}

#[test]
fn missing_and_circular_dependencies() {
    let older = shop(&[("0001", ITEM)]);
    let newer = changed(
        &older,
        &[
            ("0002", &adds("a", &["0001", "0003"])),
            ("0003", &adds("b", &["0002"])),
            ("0004", &adds("c", &["0003", "000x"])),
        ],
    );
    let found: Vec<String> = checked(&older, &newer, None).findings.iter().map(named).collect();
    let of_the_graph: Vec<&String> = found.iter().filter(|each| each.starts_with("RB06")).collect();
    assert_eq!(of_the_graph, ["RB063 shop.0003", "RB062 shop.0004"]);
    assert_eq!(messages(&older, &newer, "RB062"), ["shop.0004 depends on shop.000x, which does not exist"]);
}

// Released migrations

/// Django refuses it as a migration, so it never was one.
#[test]
fn a_helper_beside_the_migrations() {
    let older = shop(&[("0001", ITEM), ("helper", "X = 1\n"), ("other", "X = 1\n")]);
    expect(&older, &changed(&older, &[("helper", "X = 2\n"), ("other", DELETED)]), &["RB001 shop.helper"]);
}

#[test]
fn a_module_without_a_migration() {
    let older = shop(&[("0001", ITEM)]);
    for text in ["", "x = 1\n"] {
        expect(&older, &changed(&older, &[("0002", text)]), &["RB001 shop.0002"]);
    }
}

#[test]
fn a_released_migration_that_is_edited() {
    let released = adds("a", &["0001"]);
    let older = shop(&[("0001", ITEM), ("0002", &released)]);
    for (edited, expected) in [
        (format!("# new\n{released}"), &[][..]),
        (released.replace('\'', "\""), &[]),
        (released.replace('\n', "\r\n"), &[]),
        (format!("\u{feff}{released}"), &[]),
        (released.replace("null=True", "null=True, help_text='new'"), &[]),
        (format!("import os\n{}", released.replace("migrations, models", "models, migrations")), &[]),
        (released.replace("null=True", "default=1"), &["RB031 shop.0002"]),
        (released.replace("'a'", "'b'"), &["RB033 shop.0002"]),
        (format!("{released}("), &["RB031 shop.0002", "RB001 shop.0002"]),
    ] {
        expect(&older, &changed(&older, &[("0002", &edited)]), expected);
    }
}

// Imports

#[test]
fn imports_of_project_code() {
    let older =
        shop(&[("0001", ITEM), ("manage.py", ""), ("src/manage.py", ""), ("vendor/django/__init__.py", "")]);
    for (line, files, expected) in [
        ("import json", "json/items.py", None),
        ("import uuid", "tools/dist/uuid/__init__.py", None),
        ("import uuid", "scripts/uuid.py", None),
        ("import uuid", "uuid/__init__.py", Some("uuid")),
        ("import uuid", "src/uuid/__init__.py", Some("uuid")),
        ("from django.db import connection", "vendor/django/db/__init__.py", None),
        ("from requests import get", "nothing.py", None),
        ("import scripts", "scripts/items.py", None),
        ("from scripts import items", "scripts/items.py", Some("scripts")),
        ("from shop.names import plain", "shop/names.py", Some("shop.names")),
        ("from ..names import plain", "shop/names.py", Some("shop.names")),
        ("from lib.names import plain", "src/lib/__init__.py src/lib/names.py", Some("lib.names")),
        ("from .names import plain", "shop/migrations/names.py", None),
        (
            "from other.migrations.names import plain",
            "other/migrations/__init__.py other/migrations/names.py",
            None,
        ),
    ] {
        let empty: Vec<(&str, &str)> = files.split(' ').map(|path| (path, "")).collect();
        let text = format!("{line}\n{}", migration(&[], &["0001"]));
        let newer = changed(&changed(&older, &empty), &[("0002", &text)]);
        let expected =
            expected.map(|module| format!("shop.0002 imports {module}, which another release may not have"));
        let found = messages(&older, &newer, "RB051");
        assert_eq!(found, expected.into_iter().collect::<Vec<_>>(), "{line} {files}");
    }
}
