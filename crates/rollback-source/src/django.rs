//! Names of Django, and of packages that many projects use with it.

/// Where Django's operations come from.
const DJANGO: &[&str] = &["django.db.migrations.", "django.contrib.postgres.operations."];

/// What migrations depend on a model by that a setting may swap, in the package `swapper`.
pub(crate) const SWAPPER: &str = "swapper.dependency";

/// The class above one of Django's operations, for the order in which Python looks at classes.
pub(crate) fn base_of(path: &str) -> Option<&'static str> {
    let class = django_class(path)?;
    (class != "Operation" && class != "Migration").then_some("django.db.migrations.operations.base.Operation")
}

/// The class of Django that a dotted path names, if it is an operation.
pub(crate) fn django_class(path: &str) -> Option<&str> {
    let is_django = DJANGO.iter().any(|start| path.starts_with(start));
    is_django.then(|| path.rsplit('.').next().unwrap_or(path))
}
