//! What the parts of a URL and its parameters say about the connection, and libpq's `PG*` variables where
//! they say nothing.

use std::collections::BTreeMap;

use crate::url::UrlError;
use crate::url::environment::Environment;
use crate::url::ignored::refuse_unless_ignored;
use crate::url::split::{Split, decode};

/// The parameters that are known, each with the variable that stands in for it.
/// <https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS>
const PARAMETERS: &[(&str, Option<&str>)] = &[
    ("application_name", Some("PGAPPNAME")),
    ("channel_binding", Some("PGCHANNELBINDING")),
    ("connect_timeout", Some("PGCONNECT_TIMEOUT")),
    // dj-database-url's own: the schema that tables are looked up in
    ("currentSchema", None),
    ("dbname", Some("PGDATABASE")),
    ("host", Some("PGHOST")),
    ("options", Some("PGOPTIONS")),
    ("passfile", Some("PGPASSFILE")),
    ("password", Some("PGPASSWORD")),
    ("port", Some("PGPORT")),
    ("sslcert", Some("PGSSLCERT")),
    ("sslkey", Some("PGSSLKEY")),
    ("sslmode", Some("PGSSLMODE")),
    ("sslrootcert", Some("PGSSLROOTCERT")),
    ("target_session_attrs", Some("PGTARGETSESSIONATTRS")),
    ("user", Some("PGUSER")),
];

/// The settings of one URL.
pub(super) struct Settings<'a> {
    given: BTreeMap<&'static str, String>,
    pub(super) env: &'a Environment<'a>,
}

impl<'a> Settings<'a> {
    /// Takes the parameters out of a URL. They win over the URL's other parts, as in libpq.
    pub(super) fn new(split: &Split<'_>, env: &'a Environment<'a>) -> Result<Self, UrlError> {
        let mut given = BTreeMap::new();
        for (name, value) in &split.query {
            match PARAMETERS.iter().find(|(known, _)| known == name) {
                Some((known, _)) if !value.is_empty() => {
                    given.insert(*known, decode(value, known)?);
                }
                Some(_) => {}
                None => refuse_unless_ignored(name)?,
            }
        }
        Ok(Self { given, env })
    }

    /// Sets what a parameter has not set.
    pub(super) fn fill(&mut self, name: &'static str, value: String) {
        self.given.entry(name).or_insert(value);
    }

    /// The value in the URL, else the one of its variable; an empty one is none.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        let variable =
            PARAMETERS.iter().find(|(known, _)| *known == name).and_then(|(_, variable)| *variable);
        let given = self.given.get(name).cloned();
        given.or_else(|| self.variable(variable?))
    }

    /// A variable of the environment; an empty one is none.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        (self.env)(name).filter(|value| !value.is_empty())
    }

    /// The value out of a list of possible ones; `expected` names them in the error.
    pub(super) fn choose<T>(
        &self,
        name: &'static str,
        expected: &'static str,
        choose: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, UrlError> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        match choose(&value) {
            Some(chosen) => Ok(Some(chosen)),
            None => Err(UrlError::InvalidValue { name, value, expected }),
        }
    }
}
