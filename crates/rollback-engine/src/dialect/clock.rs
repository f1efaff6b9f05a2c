//! Time and chance, as SQL: only the database's own clock counts.

/// Expressions and queries about time, and about chance.
pub(crate) trait Clock {
    /// Now, as the value of a `DateTimeField`, as Django stores it.
    fn now(&self) -> &'static str;

    /// A `DateTimeField` as RFC 3339 text, UTC.
    fn time_as_text(&self, column: &str) -> String;

    /// A query for the time that many seconds from now, as RFC 3339 text, UTC: it sorts.
    fn seconds_from_now(&self, seconds: u64) -> String;

    /// The earlier of a time in seconds since 1970 and one second before the earliest of some times.
    fn before_all(&self, seconds: &str, times: &str) -> String;

    /// The condition that a column is later than the time in `$1`: RFC 3339, UTC. With `local_time`, the column holds
    /// times in the zone of this process, which Django has set to the project's.
    fn is_later(&self, column: &str, local_time: bool) -> String;

    /// A query for a random text that no other call returns, in this database or in a copy of it.
    fn random_text(&self) -> &'static str;
}
