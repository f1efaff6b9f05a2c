//! Names of Django, and of packages that many projects use with it.

/// The packages of Django that have operations.
const DJANGO: &[&str] = &["django.db.migrations.", "django.contrib.postgres.operations."];

/// The function of the package `swapper` for a dependency on a swappable model.
pub(crate) const SWAPPER: &str = "swapper.dependency";

/// The base class of one of Django's operations, for the method resolution order.
pub(crate) fn base_of(path: &str) -> Option<&'static str> {
    let class = django_class(path)?;
    (class != "Operation" && class != "Migration").then_some("django.db.migrations.operations.base.Operation")
}

/// The name of Django's class at a dotted path. `None` if it is not one of its operations.
pub(crate) fn django_class(path: &str) -> Option<&str> {
    let is_django = DJANGO.iter().any(|start| path.starts_with(start));
    is_django.then(|| path.rsplit('.').next().unwrap_or(path))
}
