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

/// What the new column takes less of than the old one, in words; none where nothing is known to be.
pub(crate) fn narrowed(old: &Field, new: &Field) -> Option<String> {
    let is_positive = |field: &Field| field.class.starts_with("Positive");
    if size(old).is_some() && is_positive(new) && !is_positive(old) {
        return Some("no negative numbers".to_owned());
    }
    if let (Some(old), Some(new)) = (size(old), size(new)) {
        return (new < old).then(|| format!("{} instead of {}", INTEGERS[new][1], INTEGERS[old][1]));
    }
    if let (Some((old, old_places)), Some((new, new_places))) = (old.digits, new.digits) {
        let is_narrower = new - new_places < old - old_places || new_places < old_places;
        return is_narrower.then(|| {
            format!("{new} digits, {new_places} of them decimal, instead of {old} and {old_places}")
        });
    }
    match (text(old), text(new)) {
        (Some(Length::Any), Some(Length::Most(new))) => {
            Some(format!("{new} characters instead of any number"))
        }
        (Some(Length::Most(old)), Some(Length::Most(new))) if new < old => {
            Some(format!("{new} characters instead of {old}"))
        }
        _ => None,
    }
}

/// Whether PostgreSQL writes the whole table anew for the change. None needs it between texts, or from `varchar(10)` to
/// `varchar(20)`; `varchar` that gets shorter is checked row by row and written anew.
pub(crate) fn is_rewritten(old: &Field, new: &Field) -> bool {
    if !old.is_django || !new.is_django || old.class == "ForeignKey" || new.class == "ForeignKey" {
        return false;
    }
    match (text(old), text(new)) {
        (Some(Length::Most(old)), Some(Length::Most(new))) => return new < old,
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

/// Whether Django has a value for the rows that are there when it adds the column: its `effective_default`.
pub(crate) fn fills_rows(field: &Field) -> Option<bool> {
    use rollback_source::facts::DatabaseDefault;
    if field.is_many_to_many() || field.null? || field.default? || field.auto_now {
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
