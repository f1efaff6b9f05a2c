//! The rules: code, name, level, summary and page of each.

/// How serious a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Worth knowing before the deploy.
    Note,
    /// Look at it before the deploy.
    Warning,
    /// The release cannot be rolled back, or the project does not migrate.
    Error,
}

impl Level {
    /// The word for it in documents.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One rule.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its stable id: `RB011`.
    pub code: &'static str,
    /// Its name: `irreversible-operation`.
    pub name: &'static str,
    /// The level of its findings.
    pub level: Level,
    /// What it finds, in one line without a full stop.
    pub summary: &'static str,
    /// Its page, as Markdown, from `docs/rules/`: what it means, an example, the fix and the reason.
    pub page: &'static str,
}

impl Rule {
    /// The rule with this code or name.
    pub fn find(code: &str) -> Option<&'static Self> {
        RULES.iter().copied().find(|rule| rule.code.eq_ignore_ascii_case(code) || rule.name == code)
    }
}

macro_rules! rules {
    ($($constant:ident $code:literal $name:literal $level:ident $summary:literal;)*) => {
        $(
            #[doc = $summary]
            pub static $constant: Rule = Rule {
                code: $code,
                name: $name,
                level: Level::$level,
                summary: $summary,
                page: include_str!(concat!("../../../docs/rules/", $code, ".md")),
            };
        )*

        /// Every rule, in the order of the codes.
        pub static RULES: &[&Rule] = &[$(&$constant),*];
    };
}

rules! {
    UNREADABLE "RB001" "unreadable-file" Error "a migration file is not valid Python";
    UNKNOWN "RB002" "unknown" Note "part of a migration cannot be determined from its text";
    IRREVERSIBLE "RB011" "irreversible-operation" Error "an operation cannot be undone";
    LOSES_DATA "RB012" "reverse-loses-data" Note "a rollback drops data written since the deploy";
    CANNOT_RESTORE "RB013" "reverse-cannot-restore" Warning "a rollback restores a column or a table without its data";
    REVERSE_FAILS "RB014" "reverse-fails" Error "a rollback fails if the table has rows";
    REMOVED_COLUMN "RB021" "removed-column" Warning "the older code still uses a removed column";
    REMOVED_TABLE "RB022" "removed-table" Warning "the older code still uses a removed table";
    NOT_NULL "RB023" "not-null-without-database-default" Warning "the older code can no longer insert rows";
    RENAMED "RB024" "renamed" Warning "the older code still uses the former name";
    NARROWED "RB025" "narrowed-type" Warning "a column accepts less than the older code writes";
    UNIQUE_ADDED "RB026" "unique-constraint-added" Warning "the older code may violate a new unique constraint";
    EDITED "RB031" "edited-after-release" Error "a migration was edited after it was released";
    DELETED "RB032" "deleted-after-release" Error "a migration was deleted after it was released";
    REUSED "RB033" "name-reused" Error "the name of a released migration is reused for other operations";
    SQUASHED_EARLY "RB034" "squashed-too-early" Error "a squash and the deletion of what it replaces come in one release";
    NOT_ATOMIC "RB041" "not-atomic" Warning "a migration runs outside a transaction";
    REWRITES_TABLE "RB042" "rewrites-table" Warning "PostgreSQL rewrites a table and blocks reads and writes";
    BLOCKS_WRITES "RB043" "index-blocks-writes" Note "PostgreSQL blocks writes while it builds an index";
    PROJECT_IMPORT "RB051" "project-import" Warning "a migration imports project code";
    LEAF_NODES "RB061" "multiple-leaf-nodes" Error "an app has more than one leaf node";
    MISSING_DEPENDENCY "RB062" "missing-dependency" Error "a migration depends on one that does not exist";
    CIRCULAR "RB063" "circular-dependency" Error "migrations depend on each other in a circle";
}
