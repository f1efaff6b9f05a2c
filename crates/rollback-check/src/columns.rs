//! What a change of a column's type means: what it takes less of, and whether PostgreSQL writes the table anew for it.

use rollback_source::facts::Field;

/// Whole numbers by how much they take.
const INTEGERS: &[&[&str]] = &[
    &["SmallIntegerField", "PositiveSmallIntegerField", "SmallAutoField"],
    &["IntegerField", "PositiveIntegerField", "AutoField"],
    &["BigIntegerField", "PositiveBigIntegerField", "BigAutoField"],
];

/// Fields whose column is `varchar`.
const TEXTS: &[&str] =
    &["CharField", "SlugField", "EmailField", "URLField", "FileField", "ImageField", "FilePathField"];

/// What a column takes less of than before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// In words.
    pub(crate) how: String,
    /// Whether a write of too much is refused, and not rounded.
    pub(crate) is_refused: bool,
    /// Whether PostgreSQL cuts off or rounds what is too much, and does not refuse it: Django casts the values where the
    /// kind of field changes.
    pub(crate) is_cut: bool,
}

/// Whether PostgreSQL refuses what is written as the old kind, though it can make the new kind of what is there: Django
/// writes `true` and no number, or a number and no `true`.
pub(crate) fn is_written_otherwise(old: &Field, new: &Field) -> bool {
    let kinds = (kind(&old.class), kind(&new.class));
    old.is_django
        && new.is_django
        && matches!(kinds, (Some("boolean"), Some("integer")) | (Some("integer"), Some("boolean")))
}

/// What a positive number takes less of.
pub(crate) const NO_NEGATIVE: &str = "no negative numbers";

/// What the new column takes less of than the old one; none where nothing is known to be.
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

/// From one kind of column to another: text does not fit everywhere, and some values lose a part of themselves.
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

/// Whether PostgreSQL writes the whole table anew for the change. None needs it between texts, or from `varchar(10)` to
/// `varchar(20)`; `varchar` that gets shorter is checked row by row and written anew.
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

/// The kind of column, for fields whose kind is known.
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

/// Whether the database numbers rows.
pub(crate) fn counts_by_itself(field: &Field) -> bool {
    field.class.ends_with("AutoField")
}

/// Whether Django has a value for the rows that are there when it adds the column: its `effective_default`.
pub(crate) fn fills_rows(field: &Field) -> Option<bool> {
    use rollback_source::facts::DatabaseDefault;
    if field.is_many_to_many() || counts_by_itself(field) || field.null? || field.default? || field.auto_now {
        return Some(true);
    }
    if !matches!(field.db_default, DatabaseDefault::Missing) {
        return Some(true);
    }
    let takes_empty = text(field).is_some() || field.class == "BinaryField";
    if field.blank? && takes_empty {
        return Some(true);
    }
    // A field of the project's own may fill itself.
    field.is_django.then_some(false)
}
