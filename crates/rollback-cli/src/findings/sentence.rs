//! A finding in one line.

use rollback_check::Finding;

/// The message, and the hint behind it.
pub(super) fn sentence(finding: &Finding) -> String {
    let Finding { message, hint, .. } = finding;
    if hint.is_empty() { message.clone() } else { format!("{message} (hint: {hint})") }
}
