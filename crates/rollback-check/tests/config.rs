//! `[tool.django-rollback]`: which findings a project hears of, with which levels, and what is wrong with a table.

mod common;

use common::{ITEM, changed, checked, migration, shop};
use rollback_check::{Config, Finding};

const TABLE: &str = "[tool.django-rollback]\n";

/// `RB012` and `RB023`, in `shop/migrations/0002.py`.
fn two_findings() -> Vec<Finding> {
    let older = shop(&[("0001", ITEM)]);
    let add = "migrations.AddField('Item', 'a', models.IntegerField(default=0))";
    checked(&older, &changed(&older, &[("0002", &migration(&[add], &["0001"]))]), None).findings
}

fn judged(config: &Config) -> String {
    let findings = two_findings().into_iter().filter_map(|finding| config.judge(finding));
    let shown = findings.map(|finding| format!("{} {}", finding.rule.code, finding.level.as_str()));
    shown.collect::<Vec<_>>().join(", ")
}

#[test]
fn a_table_chooses_rules_and_levels() {
    for (table, expected) in [
        ("", "RB012 note, RB023 warning"),
        ("select = ['RB02']", "RB023 warning"),
        ("select = []", ""),
        ("ignore = ['RB012']", "RB023 warning"),
        ("exclude = ['shop/migrations/0002.py']", ""),
        ("exclude = ['shop/migrations/']", ""),
        ("exclude = ['shop/**']", ""),
        ("exclude = ['shop']", ""),
        ("exclude = ['op']", "RB012 note, RB023 warning"),
        ("exclude = ['migrations/**']", "RB012 note, RB023 warning"),
        ("levels = {RB012 = 'error'}", "RB012 error, RB023 warning"),
        ("levels = {RB023 = 'note'}", "RB012 note, RB023 note"),
        ("levels = {RB = 'error', RB012 = 'note'}", "RB012 note, RB023 error"),
        ("per-app-ignores = {shop = ['RB01']}", "RB023 warning"),
        ("per-app-ignores = {blog = ['RB01']}", "RB012 note, RB023 warning"),
        ("per-path-ignores = {'shop/**' = ['RB023']}", "RB012 note"),
        ("per-path-ignores = {'blog/**' = ['RB023']}", "RB012 note, RB023 warning"),
    ] {
        let config = Config::parse(&format!("{TABLE}{table}\n\n[tool.other]\nx = 1\n")).unwrap();
        assert_eq!(judged(&config), expected, "{table}");
    }
}

#[test]
fn options_override_the_table() {
    for (select, ignore, expected) in [
        (&[][..], &[][..], "RB023 warning"),
        (&["RB012"], &[], "RB012 note"),
        (&["rb012"], &[], "RB012 note"),
        (&["RB02", "RB03"], &[], "RB023 warning"),
        (&["reverse-loses-data"], &[], "RB012 note"),
        (&["ALL"], &["RB01"], "RB023 warning"),
        (&[], &["RB"], ""),
        (&[], &["RB012", "RB023"], ""),
    ] {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let mut config = Config::parse(&format!("{TABLE}ignore = ['RB012']\n")).unwrap();
        config.override_by(&words(select), &words(ignore)).unwrap();
        assert_eq!(judged(&config), expected, "{select:?} {ignore:?}");
    }
}

#[test]
fn an_option_names_a_rule() {
    for word in ["", "RB9", "RB012x", "\u{1b}[31m"] {
        let error = Config::default().override_by(&[word.to_owned()], &[]).unwrap_err();
        assert_eq!(error.message, format!("unknown rule {word:?}"));
        assert_eq!(Config::default().override_by(&[], &[word.to_owned()]).unwrap_err(), error);
    }
}

#[test]
fn wrong_values() {
    for (table, message) in [
        ("select = ['RB9']", "unknown rule \"RB9\""),
        ("ignore = ['']", "unknown rule \"\""),
        ("levels = {RB9 = 'note'}", "unknown rule \"RB9\""),
        ("levels = {RB012 = 'fatal'}", "unknown level \"fatal\": use note, warning or error"),
        ("fail-on = 'x'", "unknown level \"x\": use note, warning or error"),
        ("database = 'mysql'", "unsupported database \"mysql\": use postgresql or sqlite"),
        ("per-app-ignores = {shop = ['x']}", "unknown rule \"x\""),
        ("per-path-ignores = {'a' = ['x']}", "unknown rule \"x\""),
        (
            "exclude = ['a[']",
            "\"a[\" is not a valid path pattern: error parsing glob 'a[': unclosed character class; missing ']'",
        ),
    ] {
        assert_eq!(Config::parse(&format!("{TABLE}{table}\n")).unwrap_err().message, message);
    }
}

#[test]
fn wrong_tables() {
    for (text, beginning) in [
        ("x = ", "line 1: "),
        ("[tool.django-rollback]\nselct = []", "line 2: unknown field `selct`, expected one of `select`"),
        ("[tool.django-rollback]\nselect = 'RB'", "line 2: invalid type: string \"RB\", expected a sequence"),
        ("[tool.django-rollback]\nlevels = 3", "line 2: invalid type: integer `3`, expected a map"),
        ("tool = 3", "line 1: invalid type: integer `3`, expected a table"),
    ] {
        let message = Config::parse(text).unwrap_err().message;
        assert!(message.starts_with(beginning) && !message.contains("struct"), "{message}");
    }
}

#[test]
fn a_file_without_our_table_is_no_configuration() {
    assert_eq!(judged(&Config::parse("[tool.other]\nx = 1\n").unwrap()), "RB012 note, RB023 warning");
}
