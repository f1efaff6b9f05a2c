//! A schema as a value: everything that a database's catalogue says about tables, indexes, constraints and views, in a
//! form in which two databases, or one database at two moments, can be compared.
//!
//! Nothing in it depends on object ids or on the order of creation. The names that Django and PostgreSQL make up for
//! constraints, indexes and sequences do not count: after an `ALTER` the same constraint has another name than after a
//! `CREATE`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::stored::{Stored, StoredError};

pub mod sqlite;

/// One thing in a schema. Written `["column", "shop_item", "price", "integer not null"]` in JSON.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "(String, String, String, String)", into = "(String, String, String, String)")]
pub struct SchemaObject {
    /// What it is: `table`, `column`, `index`, `constraint`, `sequence`, `view`, …
    pub kind: String,
    /// Its table; its own name if it is not on a table.
    pub table: String,
    /// Its name; empty if the table is enough to name it, or if the name was made up.
    pub name: String,
    /// Everything else, in the database's own words.
    pub definition: String,
}

impl SchemaObject {
    /// An object. A made-up name is left out, and white space is normalised.
    pub fn new(kind: &str, table: &str, name: &str, definition: &str) -> Self {
        let named = !(matches!(kind, "constraint" | "index" | "sequence") && is_made_up(name, table));
        Self {
            kind: kind.to_owned(),
            table: table.to_owned(),
            name: if named { name.to_owned() } else { String::new() },
            definition: definition.split_whitespace().collect::<Vec<_>>().join(" "),
        }
    }
}

impl From<(String, String, String, String)> for SchemaObject {
    fn from((kind, table, name, definition): (String, String, String, String)) -> Self {
        Self { kind, table, name, definition }
    }
}

impl From<SchemaObject> for (String, String, String, String) {
    fn from(object: SchemaObject) -> Self {
        (object.kind, object.table, object.name, object.definition)
    }
}

/// The endings of the names that PostgreSQL makes up: `shop_item_name_key`.
const ENDINGS: [&str; 6] = ["key", "pkey", "fkey", "check", "excl", "seq"];
/// The longest name that PostgreSQL keeps; it cuts longer ones.
const LONGEST_NAME: usize = 63;

/// Whether Django or PostgreSQL made the name up: Django's end with eight hex digits, or have them before a suffix
/// (`django.db.backends.base.schema`, `_create_index_name`), PostgreSQL's begin with the table's name.
fn is_made_up(name: &str, table: &str) -> bool {
    has_digest(name) || has_ending(name, table)
}

fn has_digest(name: &str) -> bool {
    let mut words = name.split('_');
    words.next().is_some_and(|first| !first.is_empty())
        && words
            .any(|word| word.len() == 8 && word.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')))
}

fn has_ending(name: &str, table: &str) -> bool {
    let Some((start, ending)) = name.rsplit_once('_') else { return false };
    ENDINGS.contains(&ending.trim_end_matches(|digit: char| digit.is_ascii_digit()))
        && (start == table || start.starts_with(&format!("{table}_")) || name.len() >= LONGEST_NAME - 1)
}

/// Everything in a database's schema, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schema {
    objects: Vec<SchemaObject>,
}

impl FromIterator<SchemaObject> for Schema {
    fn from_iter<I: IntoIterator<Item = SchemaObject>>(objects: I) -> Self {
        let mut objects: Vec<SchemaObject> = objects.into_iter().collect();
        objects.sort();
        Self { objects }
    }
}

/// The version of the stored form that this code writes.
const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Document {
    format: u32,
    objects: Vec<SchemaObject>,
}

impl Schema {
    /// Its objects, sorted.
    pub fn objects(&self) -> &[SchemaObject] {
        &self.objects
    }

    /// The stored form: `{"format":1,"objects":[["column","shop_item","price","integer"],…]}`. Its hash
    /// is the fingerprint: equal schemas have equal ones.
    pub fn encode(&self) -> Stored {
        Stored::of(&Document { format: FORMAT, objects: self.objects.clone() })
    }

    /// Reads a schema back. Checks its content against its hash.
    pub fn decode(stored: &Stored) -> Result<Self, StoredError> {
        let document: Document = stored.read(FORMAT)?;
        Ok(document.objects.into_iter().collect())
    }

    /// What only one of the two has, in a fixed order. An object that changed is in it twice.
    pub fn differences(&self, found: &Self) -> Vec<SchemaDifference> {
        let mut counts: BTreeMap<&SchemaObject, (usize, usize)> = BTreeMap::new();
        for object in &self.objects {
            counts.entry(object).or_default().0 += 1;
        }
        for object in &found.objects {
            counts.entry(object).or_default().1 += 1;
        }
        let once_each = counts.into_iter().flat_map(|(object, (expected, found))| {
            let side = if expected > found { Side::Missing } else { Side::Surplus };
            let difference = SchemaDifference { object: object.clone(), side };
            std::iter::repeat_n(difference, expected.abs_diff(found))
        });
        once_each.collect()
    }
}

/// One object that only one of two schemas has.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SchemaDifference {
    /// The object.
    pub object: SchemaObject,
    /// Which of the two lacks it.
    pub side: Side,
}

/// Which of two schemas lacks an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// It was expected, and is missing.
    Missing,
    /// It exists, and was not expected.
    Surplus,
}

impl Side {
    /// The word for it in documents.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Surplus => "surplus",
        }
    }
}

/// The differences that did not exist before. Each earlier difference excuses one equal difference now.
pub fn new_differences(now: &[SchemaDifference], before: &[SchemaDifference]) -> Vec<SchemaDifference> {
    let mut excused: Vec<&SchemaDifference> = before.iter().collect();
    let is_new = |difference: &&SchemaDifference| match excused.iter().position(|known| known == difference) {
        Some(place) => {
            excused.swap_remove(place);
            false
        }
        None => true,
    };
    now.iter().filter(is_new).cloned().collect()
}

/// Differences as sentences, one for each object. A change is described by both definitions.
pub fn describe(differences: &[SchemaDifference]) -> Vec<String> {
    let mut objects: BTreeMap<(&str, &str, &str), [Vec<&str>; 2]> = BTreeMap::new();
    for SchemaDifference { object, side } in differences {
        let sides = objects.entry((&object.kind, &object.table, &object.name)).or_default();
        sides[usize::from(*side == Side::Surplus)].push(&object.definition);
    }
    let sentences = objects.into_iter().flat_map(|((kind, table, name), [missing, surplus])| {
        let object = label(kind, table, name);
        if missing.len() == 1 && surplus.len() == 1 && !name.is_empty() {
            return vec![format!("{object} is `{}` and should be `{}`", surplus[0], missing[0])];
        }
        let absent = missing.iter().map(|definition| format!("{object} is missing{}", quoted(definition)));
        let present =
            surplus.iter().map(|definition| format!("{object} is unexpected{}", quoted(definition)));
        absent.chain(present).collect()
    });
    sentences.collect()
}

/// `column shop_item.price`, `index of shop_item`, `table shop_item`.
fn label(kind: &str, table: &str, name: &str) -> String {
    match (kind, name) {
        ("column", name) => format!("column {table}.{name}"),
        ("constraint" | "index" | "sequence" | "trigger" | "definition", "") => format!("{kind} of {table}"),
        (kind, "") => format!("{kind} {table}"),
        (kind, name) => format!("{kind} {name} of {table}"),
    }
}

fn quoted(definition: &str) -> String {
    if definition.is_empty() { String::new() } else { format!(": `{definition}`") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn schema(text: &str) -> Schema {
        let object = |line: &str| {
            let mut words = line.splitn(4, ' ').chain(std::iter::repeat(""));
            let mut word = || words.next().unwrap_or_default();
            SchemaObject::new(word(), word(), word(), word())
        };
        text.lines().map(str::trim).filter(|line| !line.is_empty()).map(object).collect()
    }

    #[test]
    fn names_that_nobody_chose_do_not_count() {
        for (name, table, made_up) in [
            ("shop_item_name_3f2a9c1d", "shop_item", true),
            ("shop_item_name_3f2a9c1d_like", "shop_item", true),
            ("shop_item_tag_id_0a1b2c3d_fk_shop_tag_id", "shop_item", true),
            ("shop_item_a_b_0a1b2c3d_uniq", "other", true),
            ("shop_item_pkey", "shop_item", true),
            ("shop_item_id_seq", "shop_item", true),
            ("shop_item_name_key1", "shop_item", true),
            ("shop_item_id_seq", "shop_thing", false),
            ("price_positive", "shop_item", false),
            ("shop_item_price_4f5e21_idx", "shop_item", false),
            ("0a1b2c3d", "shop_item", false),
        ] {
            assert_eq!(is_made_up(name, table), made_up, "{name} on {table}");
        }
    }

    #[test]
    fn every_difference_is_told() {
        let saved = schema(
            "table shop_item
             column shop_item id bigint not null
             column shop_item name text
             index shop_item shop_item_name_3f2a9c1d on (name)
             view cheap",
        );
        let found = schema(
            "table shop_item
             column shop_item id bigint not null
             column shop_item name varchar(20)
             column shop_item price integer
             index shop_item shop_item_name_11111111 on (name)
             index shop_item shop_item_name_22222222 on (name)",
        );
        assert_eq!(
            describe(&saved.differences(&found)),
            [
                "column shop_item.name is `varchar(20)` and should be `text`",
                "column shop_item.price is unexpected: `integer`",
                "index of shop_item is unexpected: `on (name)`",
                "view cheap is missing",
            ]
        );
        assert_eq!(saved.differences(&saved), []);
    }

    #[test]
    fn what_was_there_before_is_no_new_difference() {
        let saved = schema("table a");
        let drifted = schema("table a\nindex a mine on (x)");
        let worse = schema("table a\nindex a mine on (x)\nindex a mine on (x)");
        let before = saved.differences(&drifted);
        assert_eq!(new_differences(&saved.differences(&drifted), &before), []);
        assert_eq!(new_differences(&saved.differences(&worse), &before).len(), 1);
        assert_eq!(new_differences(&saved.differences(&saved), &before), []);
    }

    #[test]
    fn a_newer_format_is_refused() {
        let newer = Stored::of(&serde_json::json!({ "format": 2, "objects": 7 }));
        assert_eq!(Schema::decode(&newer), Err(StoredError::Newer { found: 2, known: 1 }));
    }

    fn objects() -> impl Strategy<Value = Vec<SchemaObject>> {
        let word = |words: &'static [&'static str]| prop::sample::select(words);
        let object = (
            word(&["table", "column", "index", "constraint"]),
            word(&["a", "b"]),
            word(&["", "x", "a_x_01234567", "y"]),
            word(&["", "integer", "on (x)"]),
        );
        prop::collection::vec(
            object.prop_map(|(kind, table, name, text)| SchemaObject::new(kind, table, name, text)),
            0..12,
        )
    }

    proptest! {
        #[test]
        fn the_order_of_creation_does_not_matter(mut some in objects()) {
            let one: Schema = some.iter().cloned().collect();
            some.reverse();
            let other: Schema = some.into_iter().collect();
            prop_assert_eq!(one.encode(), other.encode());
            prop_assert_eq!(Schema::decode(&one.encode()), Ok(one));
        }

        #[test]
        fn differences_are_none_exactly_for_equal_schemas(one in objects(), other in objects()) {
            let (one, other): (Schema, Schema) = (one.into_iter().collect(), other.into_iter().collect());
            let differences = one.differences(&other);
            prop_assert_eq!(differences.is_empty(), one.encode().hash == other.encode().hash);
            prop_assert_eq!(differences.len(), other.differences(&one).len());
        }
    }
}
