//! Comments in migrations that suppress findings.

mod common;

use common::{ITEM, add, changed, checked, migration, shop};
use rollback_check::suppress::Suppressions;

/// The findings that the comments of a migration leave, and how many they suppress.
fn left(text: &str) -> (Vec<String>, usize) {
    let older = shop(&[("0001", ITEM), ("shop/names.py", "")]);
    let findings = checked(&older, &changed(&older, &[("0002", text)]), None).findings;
    let suppressions = Suppressions::of(text);
    let (suppressed, left): (Vec<_>, Vec<_>) = findings.into_iter().partition(|each| suppressions.has(each));
    (
        left.into_iter().map(|finding| format!("{} {}", finding.rule.code, finding.message)).collect(),
        suppressed.len(),
    )
}

const COMMENTED: &str = r##"from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("shop", "0001")]
    operations = [
        migrations.AddField("Item", "a", models.IntegerField(null=True)),  # rollback: ignore[RB012] same line
        migrations.AddField("Item", "B_after_it", models.IntegerField(null=True)),
        # rollback: ignore[RB012] line above
        migrations.AddField("Item", "c", models.IntegerField(null=True)),
        # rollback: ignore[RB012]
        migrations.AddField("Item", "D_without_reason", models.IntegerField(null=True)),
        migrations.AddField("Item", "e", models.IntegerField(default=0)),  # rollback: ignore[RB023,RB012] both
        migrations.AddField("Item", "F_one_of_two", models.IntegerField(default=0)),  # rollback: ignore[RB023] one
        migrations.AddField(  # rollback: ignore[RB012] first line
            "Item", "g", models.IntegerField(null=True)),
        migrations.AddField(
            "Item", "h", models.IntegerField(null=True)
        ),  # rollback: ignore[RB012] last line
        # rollback: ignore[reverse-loses-data] by its name
        migrations.AddField("Item", "i", models.IntegerField(null=True)),
        # rollback: ignore[RB012] two lines above

        migrations.AddField("Item", "J_two_below", models.IntegerField(null=True)),
        migrations.AddField("Item", "K_in_text", models.TextField(null=True, help_text="# rollback: ignore[RB012] k")),
        # rollback: ignore[RB013] another rule
        migrations.AddField("Item", "L_another_rule", models.IntegerField(null=True)),
        # rollback: ignore[RB012] a reason that is so long
        # that it needs another line
        migrations.AddField("Item", "m", models.IntegerField(null=True)),
        # rollback: ignore[RB012] one
        # rollback: ignore[rb023] two
        migrations.AddField("Item", "n", models.IntegerField(default=0)),
    ]
"##;

#[test]
fn where_a_comment_has_to_be() {
    for line_end in ["\n", "\r\n"] {
        let text = COMMENTED.replace('\n', line_end);
        let (left, suppressed) = left(&text);
        let fields: Vec<&str> = left
            .iter()
            .map(|message| message.split("Item.").nth(1).unwrap().split(' ').next().unwrap())
            .collect();
        assert_eq!(
            fields,
            ["B_after_it", "D_without_reason", "F_one_of_two", "J_two_below", "K_in_text", "L_another_rule"]
        );
        assert_eq!(suppressed, 11);
        let idle = Suppressions::of(&text);
        let idle: Vec<(usize, &str)> =
            idle.idle().iter().map(|idle| (idle.line, idle.why.as_str())).collect();
        assert_eq!(idle, [(11, "it gives no reason after the rule")]);
    }
}

#[test]
fn a_comment_inside_another_operation() {
    let inside = format!(
        "migrations.SeparateDatabaseAndState(database_operations=[\n            {},  # rollback: ignore[RB012] \
         inside\n            {},\n        ])",
        add("a"),
        add("b")
    );
    let (left, suppressed) = left(&migration(&[&inside], &["0001"]));
    assert_eq!(left, ["RB012 a rollback drops the column Item.b and all data in it"]);
    assert_eq!(suppressed, 1);
}

#[test]
fn a_comment_at_what_the_finding_is_about() {
    let text = migration(&[&add("a")], &["0001"]).replace(
        "    operations",
        "    atomic = False  # rollback: ignore[not-atomic] on purpose\n    operations",
    );
    let text = format!("from shop import names  # rollback: ignore[RB051] will stay\n{text}");
    let (left, suppressed) = left(&text);
    assert_eq!((left.len(), suppressed), (1, 2), "{left:?}");
}
