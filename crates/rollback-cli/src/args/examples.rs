//! An example or two for each command, shown by `--help` and in `docs/cli.md`.

/// Something to type after the program's name, and what it does.
pub(super) struct Example {
    pub(super) purpose: &'static str,
    pub(super) words: &'static str,
}

/// The way through the commands, from the first deploy to the first rollback.
pub(super) const FIRST_STEPS: &[Example] = &[
    example("After `migrate`, in each deploy", "save"),
    example("Once, on the first day: past releases, from the tags in git", "import"),
    example("Before a deploy: can it be rolled back, and what would be lost?", "check"),
    example("The releases that you can go back to", "list"),
    example("What going back to v1.2 would do", "plan -t v1.2"),
    example("Go back to v1.2", "rollback -t v1.2"),
    example("Is the database what the current release had?", "status"),
];

/// Examples of each command, by its name.
const EXAMPLES: &[(&str, &[Example])] = &[
    (
        "save",
        &[
            example("After `migrate`, in each deploy", "save"),
            example("The same, and print what is new", "save --log-diff"),
        ],
    ),
    (
        "import",
        &[
            example("See what can be imported", "import --dry-run"),
            example("Import the releases from v1.0 on", "import --since v1.0"),
        ],
    ),
    ("list", &[example("The releases, for a program", "list --format json")]),
    ("show", &[example("The migrations of v1.2", "show -t v1.2")]),
    (
        "plan",
        &[
            example("Back to v1.2", "plan -t v1.2"),
            example("Back to a commit, by recorded SQL only", "plan -c 03ec91e --way sql"),
            example("From main back to v1.2, without a database", "plan v1.2..main"),
        ],
    ),
    (
        "check",
        &[
            example("What is new since the newest tag", "check"),
            example("What is new on this branch, for GitHub", "check origin/main...HEAD --format github"),
            example("What rule RB011 is about", "check --explain RB011"),
        ],
    ),
    (
        "graph",
        &[
            example("The migrations of two apps", "graph --app shop,users"),
            example("What main adds to v1.2, as a picture", "graph v1.2..main --format svg > new.svg"),
        ],
    ),
    (
        "rollback",
        &[
            example("Back to the release before the current one", "rollback"),
            example(
                "Back to v1.2 in a script, losing what the plan lists",
                "rollback -t v1.2 --accept-data-loss",
            ),
            example("Finish a rollback that stopped part-way", "rollback --resume"),
        ],
    ),
    ("sql", &[example("A script that goes back to v1.2", "sql -t v1.2 > back-to-v1.2.sql")]),
    ("rehearse", &[example("Try going back to v1.2", "rehearse -t v1.2")]),
    (
        "guard",
        &[
            example("In an entrypoint: stop if the database is ahead", "guard"),
            example("Take the database back to this code", "guard --on-ahead rollback --max-lost-rows 0"),
        ],
    ),
    ("key", &[example("Write the key into a file for `--key-file`", "key > rollback.key")]),
    ("status", &[example("Is the database what the current release had?", "status")]),
    ("history", &[example("The last five operations", "history -n 5")]),
    ("stamp", &[example("In a Dockerfile, before .git is removed", "stamp -p /src")]),
    (
        "completions",
        &[example("For bash, in this session", "completions bash > rollback.bash && . ./rollback.bash")],
    ),
];

/// The examples of one command.
pub(super) fn of(command: &str) -> &'static [Example] {
    EXAMPLES.iter().find(|(name, _)| *name == command).map_or(&[], |(_, examples)| examples)
}

const fn example(purpose: &'static str, words: &'static str) -> Example {
    Example { purpose, words }
}

/// The examples as the help shows them.
pub(super) fn render(program: &str, examples: &[Example]) -> String {
    let line = |Example { purpose, words }: &Example| format!("\n  # {purpose}\n  {program} {words}\n");
    format!("Examples:{}", examples.iter().map(line).collect::<String>().trim_end())
}
