//! Changes of a column's type: what the new type accepts less of, and whether PostgreSQL rewrites the table.

use rollback_source::facts::Field;

/// Integer fields, by size.
const INTEGERS: &[&[&str]] = &[
    &["SmallIntegerField", "PositiveSmallIntegerField", "SmallAutoField"],
    &["IntegerField", "PositiveIntegerField", "AutoField"],
    &["BigIntegerField", "PositiveBigIntegerField", "BigAutoField"],
];

/// Fields with a `varchar` column.
const TEXTS: &[&str] =
    &["CharField", "SlugField", "EmailField", "URLField", "FileField", "ImageField", "FilePathField"];

/// What a column accepts less of than before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// In words: `10 characters instead of 20`.
    pub(crate) how: String,
    /// Whether the database refuses a value that does not fit, rather than rounding it.
    pub(crate) is_refused: bool,
    /// Whether PostgreSQL truncates or rounds existing values that do not fit: Django casts them if the kind of field
    /// changes.
    pub(crate) is_cut: bool,
}

/// Whether PostgreSQL refuses what code with the old field writes, though it can convert existing values: `true` is not
/// an integer, and a number is not a boolean.
pub(crate) fn rejects_older_values(old: &Field, new: &Field) -> bool {
    let kinds = (kind(&old.class), kind(&new.class));
    old.is_django
        && new.is_django
        && matches!(kinds, (Some("boolean"), Some("integer")) | (Some("integer"), Some("boolean")))
}

/// What a column for positive numbers does not accept.
pub(crate) const NO_NEGATIVE: &str = "no negative numbers";

/// What the new column accepts less of than the old one. `None` if there is nothing, or if it is unknown.
pub(crate) fn narrowed(old: &Field, new: &Field) -> Option<Change> {
    let refused = |how: String| Some(Change { how, is_refused: true, is_cut: false });
    let is_positive = |field: &Field| field.class.starts_with("Positive");
    if size(old).is_some() && is_positive(new) && !is_positive(old) {
        return refused(NO_NEGATIVE.to_owned());
    }
    let how = format!("{} instead of {}", new.class, old.class);
    if let (Some(old), Some(new)) = (size(old), size(new)) {
        return if new < old { refused(how) } else { None };
    }
    if let (Some(old), Some(new)) = (old.digits, new.digits) {
        return fewer_digits(old, new);
    }
    match (text(old), text(new)) {
        (Some(Length::Any), Some(Length::Most(new))) => Some(Change {
            how: format!("{new} characters instead of any number"),
            is_refused: true,
            is_cut: true,
        }),
        (Some(Length::Most(most)), Some(Length::Most(fewer))) if fewer < most => Some(Change {
            is_refused: true,
            how: format!("{fewer} characters instead of {most}"),
            is_cut: old.class != new.class,
        }),
        (Some(_), Some(_)) => None,
        _ => other_kind(old, new),
    }
}

fn fewer_digits((old, old_places): (i64, i64), (new, new_places): (i64, i64)) -> Option<Change> {
    let how = || format!("{new} digits, {new_places} of them decimal, instead of {old} and {old_places}");
    if new - new_places < old - old_places {
        return Some(Change { how: how(), is_refused: true, is_cut: false });
    }
    (new_places < old_places).then(|| Change { how: how(), is_refused: true, is_cut: true })
}

/// From one kind of column to another: text does not fit everywhere, and some values are truncated.
fn other_kind(old: &Field, new: &Field) -> Option<Change> {
    const CUT: &[(&str, &str)] = &[
        ("timestamp", "date"),
        ("timestamp", "time"),
        ("integer", "boolean"),
        ("double", "integer"),
        ("numeric", "integer"),
        ("double", "numeric"),
        ("numeric", "double"),
    ];
    let (from, to) = (kind(&old.class)?, kind(&new.class)?);
    if from == to || !old.is_django || !new.is_django {
        return None;
    }
    let is_cut = CUT.contains(&(from, to));
    let is_refused = from == "text" || from == "jsonb";
    (is_cut || is_refused && to != "text").then(|| Change {
        how: format!("{to} instead of {from}"),
        is_refused: !is_cut,
        is_cut,
    })
}

/// Whether PostgreSQL rewrites the whole table. It does not if a text only becomes longer (`varchar(10)` to
/// `varchar(20)`, or to `text`); a shorter `varchar` is checked row by row and rewritten.
pub(crate) fn is_rewritten(old: &Field, new: &Field) -> bool {
    if !old.is_django || !new.is_django || old.is_foreign_key() || new.is_foreign_key() {
        return false;
    }
    match (text(old), text(new)) {
        (Some(Length::Most(most)), Some(Length::Most(fewer))) => return fewer < most,
        (Some(Length::Any), Some(Length::Most(_))) => return true,
        (Some(_), Some(Length::Any)) => return false,
        _ => {}
    }
    match (size(old), size(new)) {
        (Some(old), Some(new)) => return old != new,
        (None, None) => {}
        _ => return true,
    }
    if let (Some(old), Some(new)) = (old.digits, new.digits) {
        return new.1 != old.1 || new.0 < old.0;
    }
    let known = |field: &Field| kind(&field.class);
    matches!((known(old), known(new)), (Some(old), Some(new)) if old != new)
}

enum Length {
    Any,
    Most(i64),
}

fn text(field: &Field) -> Option<Length> {
    match field.class.as_str() {
        "TextField" => Some(Length::Any),
        class if TEXTS.contains(&class) => Some(field.max_length.map_or(Length::Any, Length::Most)),
        _ => None,
    }
}

fn size(field: &Field) -> Option<usize> {
    INTEGERS.iter().position(|classes| classes.contains(&field.class.as_str()))
}

/// The kind of column. `None` if it is unknown.
fn kind(class: &str) -> Option<&'static str> {
    Some(match class {
        "TextField" => "text",
        class if TEXTS.contains(&class) => "text",
        class if INTEGERS.iter().any(|classes| classes.contains(&class)) => "integer",
        "BooleanField" | "NullBooleanField" => "boolean",
        "DateField" => "date",
        "DateTimeField" => "timestamp",
        "TimeField" => "time",
        "DurationField" => "interval",
        "DecimalField" => "numeric",
        "FloatField" => "double",
        "UUIDField" => "uuid",
        "JSONField" => "jsonb",
        "BinaryField" => "bytea",
        "GenericIPAddressField" => "inet",
        _ => return None,
    })
}

/// Whether the database assigns the numbers.
pub(crate) fn is_auto_numbered(field: &Field) -> bool {
    field.class.ends_with("AutoField")
}

/// Whether Django has a value for existing rows when it adds the column (its `effective_default`).
pub(crate) fn fills_rows(field: &Field) -> Option<bool> {
    use rollback_source::facts::DatabaseDefault;
    if field.is_many_to_many() || is_auto_numbered(field) || field.null? || field.default? || field.auto_now {
        return Some(true);
    }
    if !matches!(field.db_default, DatabaseDefault::Missing) {
        return Some(true);
    }
    let takes_empty = text(field).is_some() || field.class == "BinaryField";
    if field.blank? && takes_empty {
        return Some(true);
    }
    // A field class of the project may have a value of its own.
    field.is_django.then_some(false)
}
