//! What the parts of a URL and its parameters say about the connection, or else libpq's `PG*` variables.

use std::collections::BTreeMap;

use crate::url::UrlError;
use crate::url::environment::Environment;
use crate::url::ignored::refuse_unless_ignored;
use crate::url::split::{Split, decode};

/// The known parameters, each with the variable that replaces it.
/// <https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS>
const PARAMETERS: &[(&str, Option<&str>)] = &[
    ("application_name", Some("PGAPPNAME")),
    ("channel_binding", Some("PGCHANNELBINDING")),
    ("connect_timeout", Some("PGCONNECT_TIMEOUT")),
    // From dj-database-url: the schema in which tables are looked up.
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
    /// The parameters of a URL. As in libpq, they take precedence over its other parts.
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

    /// Sets a value unless a parameter has set it.
    pub(super) fn fill(&mut self, name: &'static str, value: String) {
        self.given.entry(name).or_insert(value);
    }

    /// The value in the URL, else that of its variable; `None` if it is empty.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        let variable =
            PARAMETERS.iter().find(|(known, _)| *known == name).and_then(|(_, variable)| *variable);
        let given = self.given.get(name).cloned();
        given.or_else(|| self.variable(variable?))
    }

    /// A variable of the environment; `None` if it is empty.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        (self.env)(name).filter(|value| !value.is_empty())
    }

    /// A value out of a list; `expected` names them in the error.
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
