//! Migrations as people write them, and what the reader makes of them.

use std::collections::BTreeMap;

use rollback_source::facts::{Action, MigrationSource, Operation, Reference, Target};
use rollback_source::{Module, Modules, read};

/// Other modules, by their dotted paths.
#[derive(Default)]
struct Others(BTreeMap<&'static str, &'static str>);

impl Modules for Others {
    fn find(&self, path: &str) -> Option<Module> {
        let text = self.0.get(path)?;
        Some(Module { path: path.to_owned(), is_package: false, text: (*text).to_owned() })
    }
}

const HEAD: &str = "\
from django.conf import settings
from django.db import connection, migrations, models
import django
A = migrations.RunPython
S = migrations.RunSQL
def f(apps, schema_editor): return 1
def g(apps, schema_editor): return 2
";

fn source(head: &str, body: &str, after: &str, others: &Others) -> MigrationSource {
    let body: String = body.lines().map(|line| format!("    {line}\n")).collect();
    let text = format!("{HEAD}{head}\nclass Migration(migrations.Migration):\n{body}\n{after}\n");
    read("shop.migrations.0002_x", &text, others).unwrap_or_else(|error| panic!("{}: {text}", error.reason))
}

/// `RunPython- RunSQL+ Op?`: the classes, with `+` if they can be undone, `-` if not, and `?` if that is unknown.
fn operations(operations: &[Operation]) -> String {
    let one = |operation: &Operation| {
        let mark = match operation.reversible {
            Some(true) => '+',
            Some(false) => '-',
            None => '?',
        };
        let inside = match &operation.action {
            Action::Separate { database, state } => {
                format!("[{}|{}]", self::operations(database), self::operations(state))
            }
            _ => String::new(),
        };
        format!("{}{mark}{inside}", operation.class)
    };
    operations.iter().map(one).collect::<Vec<_>>().join(" ")
}

fn unknown(source: &MigrationSource) -> String {
    let one = |unknown: &rollback_source::facts::Unknown| {
        format!("{}: it {}", unknown.what.as_str(), unknown.reason)
    };
    source.unknown.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// Checks the operations and unknowns of a class `Migration` with this body, after `head` and before `after`.
fn check_all(head: &str, body: &str, after: &str, expected: &str) {
    let source = source(head, body, after, &Others::default());
    let known = operations(&source.operations);
    let unknown = unknown(&source);
    let found = match (known.as_str(), unknown.as_str()) {
        (known, "") => known.to_owned(),
        ("", unknown) => format!("! {unknown}"),
        (known, unknown) => format!("{known} ! {unknown}"),
    };
    assert_eq!(found, expected, "{head}{body}{after}");
}

fn check(body: &str, expected: &str) {
    check_all("", body, "", expected);
}

fn check_with(head: &str, body: &str, expected: &str) {
    check_all(head, body, "", expected);
}

fn references(references: &[Reference]) -> String {
    let one = |reference: &Reference| match &reference.target {
        Target::Migration(id) => id.to_string(),
        Target::Swappable { setting, default } => {
            format!(
                "{setting}{}",
                default.as_deref().map(|default| format!("={default}")).unwrap_or_default()
            )
        }
    };
    references.iter().map(one).collect::<Vec<_>>().join(" ")
}

fn check_dependencies(head: &str, body: &str, expected: &str) {
    let source = source(head, body, "", &Others::default());
    let found = format!("{}{}", references(&source.dependencies), unknown(&source));
    assert_eq!(found, expected, "{head}{body}");
}

#[test]
fn lists_made_in_pieces() {
    check("operations = [A(f), S('x', '')] + [A(f, g)]", "RunPython- RunSQL+ RunPython+");
    check(
        "operations = [A(f)]\noperations += [A(f, g)]\noperations.append(S('x'))",
        "RunPython- RunPython+ RunSQL-",
    );
    check("operations = [*[A(f)], *(A(f, g),)]", "RunPython- RunPython+");
    check("operations = [A(f, g) for _ in range(2)]", "RunPython+ RunPython+");
    check(
        "operations = []\nfor name in ('a', 'b'):\n    operations.append(S(name, name))",
        "RunSQL+ RunSQL+",
    );
    check("operations = [A(f), A(f, g)]\noperations.insert(-1, S('x'))", "RunPython- RunSQL- RunPython+");
    check("operations = [A(f), A(f, g)]\nlast = operations.pop()", "RunPython-");
    check("operations = [A(f)] * 2", "RunPython- RunPython-");
}

#[test]
fn lists_of_which_a_part_is_known() {
    let unknown = "it depends on the setting X";
    check_dependencies(
        "",
        "dependencies = [('a', '0001')]\nif settings.X:\n    dependencies.append(('b', '0001'))",
        &format!("a.0001dependencies: {unknown}"),
    );
    check_dependencies(
        "def after():\n    all = [('a', '0001')]\n    if settings.X:\n        all.append(('b', '0001'))\n    return all\n",
        "dependencies = after()",
        &format!("a.0001dependencies: {unknown}"),
    );
    check_dependencies(
        "",
        "dependencies = [('a', '0001'), ('b', '0001')] if settings.X else [('a', '0001'), ('c', '0001')]",
        &format!("a.0001dependencies: {unknown}"),
    );
    check_dependencies(
        "def after():\n    if settings.X:\n        return [('a', '0001'), ('b', '0001')]\n    else:\n        return [('a', '0001')]\n",
        "dependencies = after()",
        &format!("a.0001dependencies: {unknown}"),
    );
    // How many there are is not known.
    for names in ["['a'] + settings.X", "['a', *settings.X]", "(['a'] if settings.X else ['a', 'b'])"] {
        check(&format!("operations = [S(name) for name in {names}]"), &format!("! operations: {unknown}"));
        check(
            &format!("names = {names}\noperations = []\nfor name in names:\n    operations.append(S(name))"),
            &format!("! operations: {unknown}"),
        );
        check(
            &format!("operations = [A(f)] if len({names}) == 2 else []"),
            &format!("! operations: {unknown}"),
        );
        check(
            &format!("operations = []\nx, y = {names}\nif y:\n    operations = [A(f)]"),
            &format!("! operations: {unknown}"),
        );
    }
    check("operations = [A(f)] if [*settings.X] else []", &format!("! operations: {unknown}"));
    check("x = [A(f), *settings.X, A(f, g)]\noperations = [x[1]]", &format!("! operations: {unknown}"));
    check(
        "x = [A(f), *settings.X]\noperations = [x.pop()]",
        "! operations: it is changed by .pop() in a way that is not supported",
    );
}

#[test]
fn one_list_by_two_names() {
    check("ops = [A(f)]\noperations = ops\nops.append(A(f, g))", "RunPython- RunPython+");
    check("a = b = [A(f)]\nb.append(A(f, g))\noperations = a", "RunPython- RunPython+");
    check_all("OPS = [A(f)]\n", "operations = OPS", "OPS.append(A(f, g))", "RunPython- RunPython+");
    check_with(
        "OPS = []\ndef add(x):\n    OPS.append(A(x))\nadd(f)\nadd(g)\n",
        "operations = OPS",
        "RunPython- RunPython-",
    );
    check("operations = (A(f),)\nolder = operations\noperations += (A(f, g),)", "RunPython- RunPython+");
}

#[test]
fn a_list_in_foreign_hands_is_not_known() {
    let why = "! operations: it is passed to code that may change it";
    check_with("from elsewhere import change\n", "operations = [A(f)]\nchange(operations)", why);
    check_with("from elsewhere import change\n", "operations = [A(f)]\nx = change([operations])", why);
    check_with("from elsewhere import change\n", "operations = [A(f)]\nchange(all=operations)", why);
    check("operations = [A(f)]\nadd = operations.append", why);
}

#[test]
fn functions_of_the_file() {
    check_with("def make(n):\n    return [A(f)] * n\n", "operations = make(2)", "RunPython- RunPython-");
    check_with(
        "def make(*, code=f, back=None):\n    return A(code, back)\n",
        "operations = [make(back=g), make()]",
        "RunPython+ RunPython-",
    );
    check_with("make = lambda: [A(f)]\n", "operations = make()", "RunPython-");
    check_with(
        "def make():\n    yield A(f)\n",
        "operations = make()",
        "! operations: it is the result of make(), which is a generator",
    );
    check_with(
        "def make(n):\n    return [A(f)] + make(n) if n else []\n",
        "operations = make(settings.N)",
        "! operations: it depends on the setting N",
    );
    check_with(
        "def make():\n    return make()\n",
        "operations = make()",
        "! operations: it nests calls too deep",
    );
}

#[test]
fn conditions() {
    check(
        "operations = [A(f)]\nif connection.vendor == 'postgresql':\n    operations.append(S('x'))",
        "RunPython- ! operations: it depends on the kind of database",
    );
    check("operations = [A(f)] if connection.vendor != 'mysql' else []", "RunPython-");
    check("operations = [A(f)] if connection.vendor in ('mysql', 'oracle') else []", "");
    check("operations = [A(f)]\nif hasattr(settings, 'DEBUG'):\n    operations = []", "");
    check(
        "operations = [A(f)] if hasattr(settings, 'SHOP') else []",
        "! operations: it depends on the setting SHOP",
    );
    check(
        "if connection.vendor == 'postgresql':\n    operations = [A(f)]\nelse:\n    operations = [A(f)]",
        "RunPython-",
    );
    check("operations = [A(f)] if django.VERSION >= (3, 2) else []", "RunPython-");
    check(
        "operations = [A(f)] if django.VERSION[:1] > (4,) else []",
        "! operations: it depends on django.VERSION[:1]",
    );
    check(
        "operations = [A(f)] if django.VERSION >= (9, 0) else []",
        "! operations: it depends on django.VERSION",
    );
    check_with(
        "from typing import TYPE_CHECKING\n",
        "operations = []\nif TYPE_CHECKING:\n    operations = [A(f)]",
        "",
    );
    check(
        "operations = []\nwhile settings.MORE:\n    operations.append(A(f))",
        "! operations: it depends on a while loop",
    );
    check(
        "operations = []\nfor app in settings.INSTALLED_APPS:\n    operations.append(A(f))",
        "! operations: it depends on the setting INSTALLED_APPS",
    );
}

#[test]
fn what_may_fail() {
    let flag = "HAS = False\ntry:\n    import optional\n    HAS = True\nexcept ImportError:\n    pass\n";
    check_with(
        flag,
        "operations = [A(f)] if HAS else []",
        "! operations: it depends on what fails in a try statement",
    );
    let same = "try:\n    from optional import RunPython\nexcept ImportError:\n    from django.db.migrations import RunPython\n";
    check_with(
        same,
        "operations = [RunPython(f)]",
        "RunPython? ! argument: it depends on optional.RunPython, which is not in this repository",
    );
    check(
        "operations = []\ntry:\n    import optional\n    operations.append(A(f))\nexcept ImportError:\n    pass",
        "! operations: it depends on what fails in a try statement",
    );
}

#[test]
fn reversibility() {
    check(
        "operations = [A(f), A(f, g), A(f, None), A(f, A.noop), A(code=f, reverse_code=g)]",
        "RunPython- RunPython+ RunPython- RunPython+ RunPython+",
    );
    check(
        "operations = [S('a'), S('a', ''), S('a', []), S('a', None), S('a', S.noop)]",
        "RunSQL- RunSQL+ RunSQL+ RunSQL- RunSQL+",
    );
    check("operations = [A(f, **{'reverse_code': g})]", "RunPython+");
    let setting = "RunPython? ! argument: it depends on the setting BACK";
    check("operations = [A(f, getattr(settings, 'BACK', None))]", setting);
    check("operations = [A(f, settings.BACK)]", setting);
    let environment = "RunPython? ! argument: it is the result of os.environ.get()";
    check_with("import os\n", "operations = [A(f, os.environ.get('BACK'))]", environment);
    check_with(
        "from elsewhere import pair\n",
        "operations = [A(*pair(), elidable=settings.LATE)]",
        "RunPython? ! argument: it is the result of elsewhere.pair()",
    );
    check(
        "operations = [A(f, g, elidable=settings.LATE)]",
        "RunPython+ ! argument: it depends on the setting LATE",
    );
    check_with("import textwrap\n", "operations = [S('x', textwrap.dedent(settings.X))]", "RunSQL+");
    check_with("from elsewhere import back\n", "operations = [A(f, back)]", "RunPython+");
    check(
        "operations = [migrations.SeparateDatabaseAndState([A(f)], [migrations.DeleteModel('x')])]",
        "SeparateDatabaseAndState+[RunPython-|DeleteModel+]",
    );
}

#[test]
fn a_text_can_be_told_from_nothing() {
    for text in [
        "'DROP {}'.format(settings.NAME)",
        "'DROP {0[a]}'.format({})",
        "'DROP %s' % settings.NAME",
        "f'DROP {settings.NAME}'",
        "'DROP ' + settings.NAME",
        "settings.NAME + ' x'",
        "'DROP a' if settings.B else 'DROP b'",
        "f'DROP {settings.NAME}'.upper().strip()",
    ] {
        check(&format!("operations = [S('x', {text})]"), "RunSQL+");
    }
    check("x = 'a'\nif settings.B:\n    x = 'b'\noperations = [S('x', x)]", "RunSQL+");
    check_with(
        "def drop():\n    if settings.B:\n        return 'a'\n    else:\n        return 'b'\n",
        "operations = [S('x', drop())]",
        "RunSQL+",
    );
    check(
        "operations = [S('x', 'DROP a' if settings.B else None)]",
        "RunSQL? ! argument: it depends on the setting B",
    );
    check_dependencies(
        "",
        "dependencies = [('a', f'{settings.N}_x')]",
        "dependencies: it depends on the setting N",
    );
}

#[test]
fn operations_that_do_not_call_their_base() {
    let bare = "\
from django.db.migrations.operations.base import Operation
class Op(Operation):
    reversible = False
    def __init__(self, name):
        self.name = name
class Yes(Op):
    def __init__(self, name):
        self.reversible = True
class Late(Op):
    def __init__(self, name):
        if settings.B:
            self.reversible = True
class Loop(Op):
    def __init__(self, name):
        while settings.B:
            self.reversible = True
class Try(Op):
    def __init__(self, name):
        try:
            check()
        except Exception:
            self.reversible = True
";
    check_with(bare, "operations = [Op('a'), Yes('a')]", "Op- Yes+");
    check_with(bare, "operations = [Late('a')]", "Late? ! argument: it depends on the setting B");
    check_with(bare, "operations = [Loop('a')]", "Loop? ! argument: it depends on a while loop");
    check_with(
        bare,
        "operations = [Try('a')]",
        "Try? ! argument: it depends on what fails in a try statement",
    );
    check_with(
        "class Op(migrations.RunPython):\n    def __init__(self, code):\n        self.code = code\n",
        "operations = [Op(f)]",
        "Op? ! argument: it has an __init__ that does not call that of its base",
    );
    check_with(
        "class Op(migrations.RunPython):\n    def __init__(self, code):\n        if settings.B:\n            super().__init__(code)\n        else:\n            super().__init__(code, g)\n",
        "operations = [Op(f)]",
        "Op? ! argument: it depends on the setting B",
    );
}

#[test]
fn classes_of_the_project() {
    let own = "class Op(migrations.RunPython):\n    pass\n";
    check_with(own, "operations = [Op(f), Op(f, g)]", "Op- Op+");
    let says = "class Op(migrations.RunPython):\n    reversible = False\n";
    check_with(says, "operations = [Op(f, g)]", "Op-");
    let bare = "from django.db.migrations.operations.base import Operation\nclass Op(Operation):\n    pass\nclass No(Op):\n    reversible = False\n";
    check_with(bare, "operations = [Op(), No()]", "Op+ No-");
    let init = "class Op(migrations.RunPython):\n    def __init__(self, code):\n        super().__init__(code, A.noop)\n";
    check_with(init, "operations = [Op(f)]", "Op+");
    let mixin = "from django.db.migrations.operations.base import Operation\nclass Mixin(Operation):\n    pass\nclass Op(Mixin, migrations.RunPython):\n    pass\n";
    check_with(mixin, "operations = [Op(f)]", "Op-");
    let foreign = "from elsewhere import Op\n";
    check_with(
        foreign,
        "operations = [Op(f)]",
        "Op? ! argument: it depends on elsewhere.Op, which is not in this repository",
    );
    let separate = "class Op(migrations.SeparateDatabaseAndState):\n    pass\n";
    check_with(separate, "operations = [Op([A(f)])]", "Op+[RunPython-|]");
    let new = "class Op(migrations.RunPython):\n    def __new__(cls, *args): return S('x')\n";
    check_with(new, "operations = [Op(f)]", "! operations: it is the result of a call");
}

#[test]
fn other_modules_of_the_repository() {
    let others = Others(BTreeMap::from([
        (
            "shop.operations",
            "from django.db.migrations import RunPython\nclass Op(RunPython):\n    reversible = False\n",
        ),
        (
            "shop.migrations.base",
            "from django.db import migrations\nclass Base(migrations.Migration):\n    dependencies = [('shop', '0001_initial')]\n    atomic = False\n",
        ),
    ]));
    let text = "from shop.operations import Op\nfrom .base import Base\nclass Migration(Base):\n    operations = [Op(None)]\n";
    let source = read("shop.migrations.0002_x", text, &others).unwrap();
    assert_eq!(operations(&source.operations), "Op-");
    assert_eq!(references(&source.dependencies), "shop.0001_initial");
    assert_eq!((source.atomic.0, unknown(&source).as_str()), (false, ""));
}

#[test]
fn dependencies() {
    check_dependencies("", "dependencies = [('a', '0001'), ['b', '0002']]", "a.0001 b.0002");
    check_dependencies(
        "",
        "dependencies = [migrations.swappable_dependency(settings.AUTH_USER_MODEL)]",
        "AUTH_USER_MODEL",
    );
    check_dependencies(
        "",
        "dependencies = [migrations.swappable_dependency(getattr(settings, 'M', 'a.M'))]",
        "M=a.M",
    );
    check_dependencies("", "dependencies = [migrations.swappable_dependency('shop.Item')]", "shop.__first__");
    check_dependencies(
        "APP = 'shop'\n",
        "dependencies = [(APP, '%04d_x' % 3), (APP, f'{4:04}_y')]",
        "shop.0003_x shop.0004_y",
    );
    check_dependencies(
        "",
        "dependencies = [('a', '0001')]\nif settings.B:\n    dependencies += [('b', '0001')]",
        "a.0001dependencies: it depends on the setting B",
    );
    check_dependencies(
        "import swapper\n",
        "dependencies = [('a', '0001'), swapper.dependency('b', 'C')]",
        "a.0001 B_C_MODEL=b.C",
    );
    check_dependencies(
        "from swapper import dependency, split\n",
        "dependencies = [('a', '0001'), dependency(*split(settings.AUTH_USER_MODEL), version='0004')]",
        "a.0001dependencies: it is the result of swapper.dependency()",
    );
    check_dependencies(
        "import swapper\n",
        "dependencies = [swapper.dependency('wagtailcore', 'Page')]",
        "dependencies: it is the result of swapper.dependency()",
    );
    check_dependencies("", "dependencies = sorted({('a')})", "dependencies: it has an unexpected type");
    let source = source(
        "",
        "replaces = [('shop', f'{n:04}_x') for n in range(1, 4)]\nrun_before = [('z', '0001')]",
        "",
        &Others::default(),
    );
    assert_eq!(references(&source.replaces), "shop.0001_x shop.0002_x shop.0003_x");
    assert_eq!(references(&source.run_before), "z.0001");
}

#[test]
fn changes_behind_the_class() {
    check_all("", "operations = []", "Migration.operations.append(A(f))", "RunPython-");
    check_all("", "operations = []", "setattr(Migration, 'operations', [A(f)])", "RunPython-");
    check_all("", "operations = [A(f)]", "exec('x')", "RunPython- ! migration: it uses exec()");
    check_all(
        "",
        "operations = [A(f)]",
        "from elsewhere import change\nchange(Migration)",
        "RunPython- ! migration: it is changed by a decorator, a metaclass or a condition",
    );
}

#[test]
fn modules_without_a_migration() {
    let source = read("shop.migrations.helpers", "x = 1\n", &Others::default()).unwrap();
    assert_eq!(source.class, None);
    assert!(read("shop.migrations.0001", "class Migration(:\n", &Others::default()).is_err());
    assert!(read("shop.migrations.0001", "\u{0}", &Others::default()).is_err());
    let imported =
        read("shop.migrations.0001", "from elsewhere import Migration\n", &Others::default()).unwrap();
    assert_eq!(unknown(&imported), "migration: it depends on elsewhere.Migration");
}

#[test]
fn places() {
    let text = "from django.db import migrations\n\n\nclass Migration(migrations.Migration):\n    operations = [\n        migrations.RunSQL('é'),\n        migrations.DeleteModel('x'),\n    ]\n";
    let source = read("a.migrations.0001", text, &Others::default()).unwrap();
    let places: Vec<&str> = source.operations.iter().map(|operation| &text[operation.span.clone()]).collect();
    assert_eq!(places, ["migrations.RunSQL('é')", "migrations.DeleteModel('x')"]);
    assert_eq!(source.class.map(|span| &text[span]), Some("Migration"));
}

#[test]
fn nothing_takes_forever() {
    let nested: String = (0..60).map(|n| format!("x{} = [x{n}, x{n}]\n", n + 1)).collect();
    let too_long = "! migration: it takes too many steps to evaluate";
    check_with(&format!("x0 = [1]\n{nested}x0.append(2)\n"), "operations = [A(f)]", too_long);
    check_with(&format!("x0 = [1]\n{nested}y = x60 == x59\n"), "operations = [A(f)]", "RunPython-");
    let joined = "x = 'a'\nfor n in range(40):\n    x = ''.join([x, x])\n    y = f'{x}{x}'\n";
    check_with(joined, "operations = [A(f)]", "RunPython-");
    let loops = "x = []\nfor a in range(9999):\n    for b in range(9999):\n        x.append(a)\n";
    check_with(loops, "operations = [A(f)]", "! migration: it takes too many steps to evaluate");
    let doubling: String = (0..60).map(|n| format!("x{} = x{n} + x{n}\n", n + 1)).collect();
    check_with(&format!("x0 = [1]\n{doubling}"), "operations = [A(f)]", "RunPython-");
    let text =
        "x0 = 'a'\n".to_owned() + &(0..60).map(|n| format!("x{} = x{n} + x{n}\n", n + 1)).collect::<String>();
    check_with(&text, "operations = [A(f)]", "RunPython-");
}
