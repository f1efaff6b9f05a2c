//! Parameters of a URL that are for Django, not for this program.

use super::UrlError;

/// Parameters of Django projects that change nothing here: neither which database is reached nor how well the
/// connection is protected.
const IGNORED: &[&str] = &[
    "atomic_requests",
    "cached_statements",
    "check_same_thread",
    "client_encoding",
    "conn_health_checks",
    "conn_max_age",
    "disable_server_side_cursors",
    "gssencmode",
    "init_command",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "pool",
    "prepare_threshold",
    "server_side_binding",
    "ssl_require",
    "tcp_user_timeout",
    "timeout",
    "transaction_mode",
];

/// An error unless the parameter is ignored.
pub(super) fn refuse_unless_ignored(name: &str) -> Result<(), UrlError> {
    match name.to_ascii_lowercase() {
        name if IGNORED.contains(&name.as_str()) => Ok(()),
        name if name == "service" || name == "servicefile" => Err(UrlError::Service),
        _ => Err(UrlError::UnknownParameter(name.to_owned())),
    }
}
