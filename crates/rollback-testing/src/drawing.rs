//! Migrations drawn in text, with the SQL that they run, and the commits that tags stand for.

use rollback_core::effect::Change;
use rollback_core::migration::CustomOperation;
use rollback_core::{
    CommitId, MigrationFacts, MigrationId, NewCapsule, NewRecording, OperationFacts, Recording, stored,
};

/// A migration as it was drawn.
///
/// Without a word about it a migration `shop.0002` makes the table `shop_0002` with the columns `id` and `name`.
#[derive(Clone, Debug)]
pub struct Drawn {
    /// What its file says.
    pub facts: MigrationFacts,
    /// What applying it runs.
    pub forwards: Vec<String>,
    /// What undoing it runs.
    pub backwards: Vec<String>,
    /// What undoing it does, as Django says it.
    pub effects: Vec<Change>,
    /// Whether its SQL is recorded when it is applied.
    pub is_recorded: bool,
    /// Whether its source is kept.
    pub has_text: bool,
}

/// `shop.0001` as an id.
pub fn id(text: &str) -> MigrationId {
    let (app, name) = text.split_once('.').unwrap_or_else(|| panic!("`{text}` is not app.name"));
    MigrationId::new(app, name)
}

/// The commit that stands for a tag in tests: `v2` is 40 times the digit 2, any other name is hashed.
pub fn commit_of(tag: &str) -> CommitId {
    let digit =
        tag.strip_prefix('v').filter(|rest| rest.len() == 1 && rest.chars().all(|c| c.is_ascii_digit()));
    let text = digit.map_or_else(|| stored::hash(tag)[..40].to_owned(), |digit| digit.repeat(40));
    text.parse().expect("40 hex digits are a commit")
}

/// Ids separated by spaces.
pub fn ids(text: &str) -> Vec<MigrationId> {
    text.split_whitespace().map(id).collect()
}

/// One migration a line, every part after the name optional:
/// `shop.3 < shop.1 shop.2 before b.1 replaces a.0 irreversible RunSQL adds shop_1.price nonatomic code nothing
/// unrecorded unkept`.
///
/// `adds T.C` adds a column instead of making a table, `nothing` changes no table, `code` is a RunPython, so nothing is
/// recorded; `unrecorded` keeps the source without SQL, and `unkept` keeps neither. Undoing one that `vacuums` runs what
/// no transaction takes.
pub fn draw(text: &str) -> Vec<Drawn> {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(migration).collect()
}

fn migration(line: &str) -> Drawn {
    let mut words = line.split_whitespace();
    let name = words.next().unwrap_or_default();
    let mut drawn = Drawn {
        facts: MigrationFacts::new(id(name)),
        forwards: Vec::new(),
        backwards: Vec::new(),
        effects: Vec::new(),
        is_recorded: true,
        has_text: true,
    };
    drawn.make_table(&name.replace('.', "_"));
    let mut part = "";
    for word in words {
        match (word, part) {
            ("<" | "before" | "replaces" | "irreversible" | "adds", _) => part = word,
            ("nonatomic", _) => drawn.facts.atomic = false,
            ("code", _) => drawn.run_code(),
            ("nothing", _) => drawn.change_nothing(),
            ("vacuums", _) => drawn.backwards.push("VACUUM".to_owned()),
            ("unrecorded", _) => drawn.is_recorded = false,
            ("unkept", _) => (drawn.is_recorded, drawn.has_text) = (false, false),
            (_, "<") => drawn.facts.dependencies.push(id(word)),
            (_, "before") => drawn.facts.run_before.push(id(word)),
            (_, "replaces") => drawn.facts.replaces.push(id(word)),
            (_, "irreversible") => drawn.facts.irreversible.push(word.to_owned()),
            (_, "adds") => drawn.add_column(word),
            _ => panic!("what is `{word}` in `{line}`?"),
        }
    }
    drawn
}

impl Drawn {
    /// What a door with Django keeps of it.
    pub fn capsule(&self) -> NewCapsule {
        let recording = match self.is_recorded {
            true => NewRecording::Recorded(Recording {
                statements: self.backwards.clone(),
                effects: self.effects.clone(),
            }),
            false => NewRecording::Missing { reason: "its SQL was not recorded".to_owned() },
        };
        NewCapsule {
            facts: self.facts.clone(),
            operations: vec![OperationFacts { kind: "CreateModel".to_owned(), reversible: true }],
            imports: Vec::new(),
            text: self.has_text.then(|| self.text()),
            recording,
        }
    }

    /// Its source, as a file of Django.
    pub fn text(&self) -> String {
        let list = |migrations: &[MigrationId]| {
            let pairs: Vec<String> =
                migrations.iter().map(|id| format!("({:?}, {:?})", id.app, id.name)).collect();
            format!("[{}]", pairs.join(", "))
        };
        format!(
            "from django.db import migrations\n\n\nclass Migration(migrations.Migration):\n    dependencies = {}\n    \
             replaces = {}\n    operations = []\n",
            list(&self.facts.dependencies),
            list(&self.facts.replaces),
        )
    }

    fn make_table(&mut self, table: &str) {
        let columns = "\"id\" integer NOT NULL PRIMARY KEY, \"name\" text NULL";
        self.forwards = vec![format!("CREATE TABLE \"{table}\" ({columns})")];
        self.backwards = vec![format!("DROP TABLE \"{table}\"")];
        self.effects =
            vec![Change::DropTable { table: table.to_owned(), written_at: None, local_time: false }];
    }

    fn add_column(&mut self, place: &str) {
        let (table, column) =
            place.split_once('.').unwrap_or_else(|| panic!("`{place}` is not table.column"));
        self.forwards = vec![format!("ALTER TABLE \"{table}\" ADD COLUMN \"{column}\" integer NULL")];
        self.backwards = vec![format!("ALTER TABLE \"{table}\" DROP COLUMN \"{column}\"")];
        self.effects = vec![Change::DropColumn {
            table: table.to_owned(),
            column: column.to_owned(),
            written_at: None,
            local_time: false,
        }];
    }

    fn run_code(&mut self) {
        let operation = "RunPython (operation 1)".to_owned();
        self.facts.custom.push(CustomOperation { operation, sql: None });
        self.change_nothing();
        self.effects.push(Change::RunCode);
        self.is_recorded = false;
    }

    fn change_nothing(&mut self) {
        self.forwards.clear();
        self.backwards.clear();
        self.effects.clear();
    }
}
