//! The rules: what each is called, how much it matters, and the page that explains it.

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Good to know before the deploy.
    Note,
    /// Somebody should look at it.
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
    /// How much a finding matters.
    pub level: Level,
    /// What it finds, in one line without a full stop.
    pub summary: &'static str,
    /// Its page, as Markdown: the reason, an example and the way out. `docs/rules/` has the same.
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
    UNREADABLE "RB001" "unreadable-file" Error "a migration file is no Python";
    UNKNOWN "RB002" "unknown" Note "something about a migration cannot be known from its text";
    IRREVERSIBLE "RB011" "irreversible-operation" Error "an operation cannot be undone";
    LOSES_DATA "RB012" "reverse-loses-data" Note "going back drops what was written since the deploy";
    CANNOT_RESTORE "RB013" "reverse-cannot-restore" Warning "going back brings an empty column or table, not what was in it";
    REVERSE_FAILS "RB014" "reverse-fails" Error "going back fails as soon as the table has a row";
    REMOVED_COLUMN "RB021" "removed-column" Warning "the older code still uses a column that goes away";
    REMOVED_TABLE "RB022" "removed-table" Warning "the older code still uses a table that goes away";
    NOT_NULL "RB023" "not-null-without-database-default" Warning "the older code cannot insert rows any more";
    RENAMED "RB024" "renamed" Warning "the older code still uses the former name";
    NARROWED "RB025" "narrowed-type" Warning "a column takes less than the older code writes";
    UNIQUE_ADDED "RB026" "unique-constraint-added" Warning "the older code may write what is no longer allowed";
    EDITED "RB031" "edited-after-release" Error "a migration was edited after it was released";
    DELETED "RB032" "deleted-after-release" Error "a migration was deleted after it was released";
    REUSED "RB033" "name-reused" Error "the name of a released migration stands for something else now";
    SQUASHED_EARLY "RB034" "squashed-too-early" Error "what a squash replaces went away before every release had the squash";
    NOT_ATOMIC "RB041" "not-atomic" Warning "a migration runs outside a transaction";
    REWRITES_TABLE "RB042" "rewrites-table" Warning "a table is rewritten under a lock on PostgreSQL";
    BLOCKS_WRITES "RB043" "index-blocks-writes" Note "an index is built while nobody can write on PostgreSQL";
    PROJECT_IMPORT "RB051" "project-import" Warning "a migration imports code of the project";
    LEAF_NODES "RB061" "multiple-leaf-nodes" Error "an app has two leaf nodes";
    MISSING_DEPENDENCY "RB062" "missing-dependency" Error "a migration depends on one that is not there";
    CIRCULAR "RB063" "circular-dependency" Error "migrations depend on each other in a circle";
}
