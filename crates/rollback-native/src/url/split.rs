//! A URL cut at its punctuation. Its scheme means nothing here, and only the names of its parameters are decoded.

use percent_encoding::percent_decode_str;

use super::UrlError;

/// The parts of `scheme://user:password@hosts/path?name=value&…`.
pub(super) struct Split<'a> {
    /// As it is written, in upper or lower case.
    pub(super) scheme: &'a str,
    /// Before the last `@`, up to a `:`.
    pub(super) user: Option<&'a str>,
    /// Between that `:` and the last `@`; never empty.
    pub(super) password: Option<&'a str>,
    /// Between the last `@` and the next `/`: one host, several, or none.
    pub(super) hosts: &'a str,
    /// Everything after that `/`.
    pub(super) path: &'a str,
    /// The parameters in their order, only the names decoded.
    pub(super) query: Vec<(String, &'a str)>,
}

impl<'a> Split<'a> {
    /// Cuts a URL, without white space around it.
    pub(super) fn new(text: &'a str) -> Result<Self, UrlError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(UrlError::Empty);
        }
        let (scheme, rest) = text.split_once("://").ok_or(UrlError::NoScheme)?;
        if !is_scheme(scheme) {
            return Err(UrlError::NoScheme);
        }
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, hosts) = cut_login(authority);
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        Ok(Self {
            scheme,
            user: not_empty(user),
            password: not_empty(password),
            hosts,
            path,
            query: query.split('&').filter(|pair| !pair.is_empty()).map(cut_parameter).collect(),
        })
    }

    /// Whether it contains a password, before the host or as a parameter.
    pub(super) fn has_password(&self) -> bool {
        self.password.is_some()
            || self.query.iter().any(|(name, value)| name == "password" && !value.is_empty())
    }
}

/// Decodes one part of a URL; `part` names it in the error.
pub(super) fn decode(text: &str, part: &'static str) -> Result<String, UrlError> {
    let decoded = percent_decode_str(text).decode_utf8().map_err(|_| UrlError::NotUtf8(part))?;
    Ok(decoded.into_owned())
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "+-._".contains(c))
}

fn cut_login(authority: &str) -> (&str, &str) {
    authority.rsplit_once('@').unwrap_or(("", authority))
}

fn cut_parameter(pair: &str) -> (String, &str) {
    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
    (percent_decode_str(name).decode_utf8_lossy().into_owned(), value)
}

fn not_empty(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}
