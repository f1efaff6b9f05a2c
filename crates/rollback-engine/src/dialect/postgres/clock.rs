use super::rules::Postgres;
use crate::dialect::clock::Clock;

impl Clock for Postgres {
    fn now(&self) -> &'static str {
        "clock_timestamp()"
    }

    fn time_as_text(&self, column: &str) -> String {
        format!("to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')")
    }

    fn seconds_from_now(&self, seconds: u64) -> String {
        let time = self.time_as_text(&format!("(clock_timestamp() + interval '{seconds} seconds')"));
        format!("SELECT {time}")
    }

    fn before_all(&self, seconds: &str, times: &str) -> String {
        format!("least(to_timestamp({seconds}), ({times}) - interval '1 second')")
    }

    /// The column knows its zone.
    fn is_later(&self, column: &str, _: bool) -> String {
        format!("{column} > $1::text::timestamptz")
    }

    fn random_text(&self) -> &'static str {
        "SELECT md5(random()::text || clock_timestamp()::text)"
    }
}
