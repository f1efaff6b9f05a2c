//! Commit ids and their abbreviations, as git writes them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The full hash of a git commit in lower-case hex: 40 digits (SHA-1) or 64 (SHA-256).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CommitId(String);

/// Why a text is neither a commit nor a prefix of one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// The text is empty, for example because a shell variable is unset.
    #[error("the commit is empty")]
    Empty,
    /// A character is not a hex digit.
    #[error("`{0}` is not a commit hash: it may only contain the digits 0-9 and a-f")]
    NotHex(String),
    /// A whole hash is needed, and this has neither 40 nor 64 digits.
    #[error("`{text}` is not a full commit hash: it has {digits} digits, not 40 or 64")]
    NotFull {
        /// What was given.
        text: String,
        /// How many digits it has.
        digits: usize,
    },
    /// Too short to be a prefix.
    #[error("`{0}` is too short for a commit: use at least {min} digits", min = CommitPrefix::MIN_DIGITS)]
    TooShort(String),
    /// Longer than any hash.
    #[error("`{0}` is too long for a commit: a hash has at most 64 digits")]
    TooLong(String),
}

impl CommitId {
    /// The whole hash.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first seven digits, as git abbreviates it.
    pub fn short(&self) -> &str {
        &self.0[..7]
    }
}

impl FromStr for CommitId {
    type Err = CommitError;

    fn from_str(text: &str) -> Result<Self, CommitError> {
        let hex = hex(text)?;
        match hex.len() {
            40 | 64 => Ok(Self(hex)),
            digits => Err(CommitError::NotFull { text: text.to_owned(), digits }),
        }
    }
}

impl TryFrom<String> for CommitId {
    type Error = CommitError;

    fn try_from(text: String) -> Result<Self, CommitError> {
        text.parse()
    }
}

impl From<CommitId> for String {
    fn from(id: CommitId) -> Self {
        id.0
    }
}

impl fmt::Display for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The first digits of a commit's hash, at least four, as in git.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitPrefix(String);

impl CommitPrefix {
    /// Git's own minimum for an abbreviation (`core.abbrev`).
    pub const MIN_DIGITS: usize = 4;

    /// The digits, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `commit` starts with these digits.
    pub fn matches(&self, commit: &CommitId) -> bool {
        commit.as_str().starts_with(&self.0)
    }
}

impl FromStr for CommitPrefix {
    type Err = CommitError;

    fn from_str(text: &str) -> Result<Self, CommitError> {
        let hex = hex(text)?;
        match hex.len() {
            0..Self::MIN_DIGITS => Err(CommitError::TooShort(text.to_owned())),
            65.. => Err(CommitError::TooLong(text.to_owned())),
            _ => Ok(Self(hex)),
        }
    }
}

impl fmt::Display for CommitPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn hex(text: &str) -> Result<String, CommitError> {
    if text.is_empty() {
        return Err(CommitError::Empty);
    }
    if !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(CommitError::NotHex(text.to_owned()));
    }
    Ok(text.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA1: &str = "03ec91e5319ed65a94f8ea07f6093018a61f9e1b";

    #[test]
    fn full_hashes_of_both_kinds() {
        assert_eq!(SHA1.to_uppercase().parse::<CommitId>().unwrap().as_str(), SHA1);
        assert_eq!("ab".repeat(32).parse::<CommitId>().unwrap().short(), "abababa");
        assert_eq!(
            SHA1[..39].parse::<CommitId>().unwrap_err().to_string(),
            format!("`{}` is not a full commit hash: it has 39 digits, not 40 or 64", &SHA1[..39])
        );
    }

    #[test]
    fn prefixes_need_four_hex_digits() {
        let commit: CommitId = SHA1.parse().unwrap();
        assert!("03EC".parse::<CommitPrefix>().unwrap().matches(&commit));
        assert!(!"13ec".parse::<CommitPrefix>().unwrap().matches(&commit));
        assert_eq!("".parse::<CommitPrefix>(), Err(CommitError::Empty));
        assert_eq!("8ae".parse::<CommitPrefix>(), Err(CommitError::TooShort("8ae".into())));
        assert_eq!("v1.2".parse::<CommitPrefix>(), Err(CommitError::NotHex("v1.2".into())));
        assert_eq!("é03ec".parse::<CommitPrefix>(), Err(CommitError::NotHex("é03ec".into())));
        assert!(matches!("a".repeat(65).parse::<CommitPrefix>(), Err(CommitError::TooLong(_))));
    }
}
