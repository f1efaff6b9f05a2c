use super::rules::Sqlite;
use crate::dialect::clock::Clock;

impl Clock for Sqlite {
    fn now(&self) -> &'static str {
        "strftime('%Y-%m-%d %H:%M:%f', 'now')"
    }

    fn time_as_text(&self, column: &str) -> String {
        format!("strftime('%Y-%m-%dT%H:%M:%SZ', {column})")
    }

    fn seconds_from_now(&self, seconds: u64) -> String {
        format!("SELECT strftime('%Y-%m-%dT%H:%M:%SZ', 'now', '+{seconds} seconds')")
    }

    fn before_all(&self, seconds: &str, times: &str) -> String {
        format!(
            "min(strftime('%Y-%m-%d %H:%M:%f', {seconds}, 'unixepoch'), \
             strftime('%Y-%m-%d %H:%M:%f', ({times}), '-1 second'))"
        )
    }

    fn is_later(&self, column: &str, local_time: bool) -> String {
        let zone = if local_time { ", 'localtime'" } else { "" };
        format!("{column} > strftime('%Y-%m-%d %H:%M:%f', $1{zone})")
    }

    fn random_text(&self) -> &'static str {
        "SELECT lower(hex(randomblob(16)))"
    }
}
