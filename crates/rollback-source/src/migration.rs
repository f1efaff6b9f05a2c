//! Reads the class `Migration` of a migration file.

use crate::compare::truth;
use crate::django::SWAPPER;
use crate::facts::{MigrationSource, Reference, Target, Unknown, What};
use crate::imports::imports;
use crate::interpreter::{Interpreter, Memory};
use crate::modules::Modules;
use crate::reader::Reader;
use crate::syntax::SyntaxError;
use crate::value::{Arguments, Instance, Spanned, Value};
use rollback_core::MigrationId;

/// Methods of Django's `Migration` that change what a migration does.
const METHODS: &[&str] = &[
    "__init__",
    "__new__",
    "__getattribute__",
    "__getattr__",
    "__init_subclass__",
    "apply",
    "unapply",
    "mutate_state",
];

/// The largest number of operations that are read.
const MOST: u32 = 100_000;

/// Reads a migration. `module` is its dotted path; `others` finds modules that it imports.
pub fn read(module: &str, text: &str, others: &dyn Modules) -> Result<MigrationSource, SyntaxError> {
    let memory = Memory::default();
    let mut interpreter = Interpreter::new(&memory, others);
    let tree = interpreter.read(module, false, text)?;
    let class = interpreter.global("Migration");
    let mut source =
        MigrationSource { atomic: (true, 0..0), imports: imports(tree), ..MigrationSource::default() };
    if interpreter.is_given_up() {
        let (what, reason) = (What::Migration, "takes too many steps to evaluate".to_owned());
        source.class = Some(0..0);
        source.unknown.push(Unknown { what, reason, span: 0..0 });
        return Ok(source);
    }
    let Some(class) = class else { return Ok(source) };
    let span = class.origin.start..class.origin.end;
    source.class = Some(span.clone());
    let mut reader =
        Reader { interpreter: &mut interpreter, unknown: Vec::new(), left: MOST, here: span.clone() };
    let class = reader.interpreter.concrete(class);
    match &class.value {
        Value::Class(_) => reader.migration(&class, &mut source),
        _ => reader.note(What::Migration, class.reason(), span),
    }
    if let Some((dynamic_code, origin)) = reader.interpreter.dynamic_code.clone() {
        reader.note(What::Migration, dynamic_code, origin.start..origin.end);
    }
    source.unknown = reader.unknown;
    source.shrink_to_fit();
    Ok(source)
}

impl<'a> Reader<'_, 'a, '_> {
    fn migration(&mut self, class: &Spanned<'a>, source: &mut MigrationSource) {
        self.check_bases(class, source, 0);
        let mut get = |name: &str| {
            let value = self.interpreter.attribute_of_class(&class.value, name);
            value.map(|value| self.interpreter.concrete(value))
        };
        let (dependencies, run_before, replaces) = (get("dependencies"), get("run_before"), get("replaces"));
        let (operations, initial, atomic) = (get("operations"), get("initial"), get("atomic"));
        source.dependencies = self.references(dependencies, What::Dependencies);
        source.run_before = self.references(run_before, What::RunBefore);
        source.replaces = self.references(replaces, What::Replaces);
        source.operations = operations.map(|list| self.operations(&list)).unwrap_or_default();
        source.initial = initial.and_then(|value| match value.value {
            Value::None => None,
            _ => self.certain(&value, What::Initial),
        });
        if let Some(value) = atomic {
            let span = self.span(&value);
            source.atomic = (self.certain(&value, What::Atomic).unwrap_or(true), span);
        }
    }

    /// Checks that the class extends Django's, and notes the methods that it overrides.
    fn check_bases(&mut self, class: &Spanned<'a>, source: &mut MigrationSource, depth: u32) {
        const DEEPEST: u32 = 20;
        let Value::Class(id) = class.value else { return };
        let class = self.interpreter.classes[id].clone();
        let span =
            if class.origin.module == 0 { class.origin.start..class.origin.end } else { self.here.clone() };
        if class.is_changed || depth > DEEPEST {
            self.note(What::Migration, "is changed by a decorator, a metaclass or a condition", span.clone());
        }
        for method in METHODS.iter().filter(|method| class.scope.contains_key(**method)) {
            source.overrides.push(((*method).to_owned(), span.clone()));
            if method.starts_with("__") {
                self.note(What::Migration, format!("overrides {method}"), span.clone());
            }
        }
        for base in class.bases.clone() {
            let base = self.interpreter.concrete(base);
            match &base.value {
                Value::Class(_) => self.check_bases(&base, source, depth + 1),
                Value::Name(path)
                    if path.starts_with("django.db.migrations.") || &**path == "builtins.object" => {}
                _ => {
                    let span = self.span(&base);
                    self.note(What::Migration, base.reason(), span);
                }
            }
        }
    }

    fn certain(&mut self, value: &Spanned<'a>, what: What) -> Option<bool> {
        let known = truth(&value.value);
        if known.is_none() {
            self.note(what, value.reason(), self.span(value));
        }
        known
    }

    fn references(&mut self, list: Option<Spanned<'a>>, what: What) -> Vec<Reference> {
        let Some(list) = list else { return Vec::new() };
        let Some(items) = self.interpreter.concrete(list.clone()).items().cloned() else {
            self.note(what, list.reason(), self.span(&list));
            return Vec::new();
        };
        let mut references = Vec::with_capacity(items.len());
        for item in items.iter() {
            let item = self.interpreter.concrete(item.clone());
            let span = self.span(&item);
            match self.target(&item) {
                Ok(target) => references.push(Reference { target, span }),
                Err(reason) => self.note(what, reason, span),
            }
        }
        references
    }

    fn target(&mut self, item: &Spanned<'a>) -> Result<Target, String> {
        match &item.value {
            Value::Sequence(_, pair) if pair.len() == 2 => {
                let (app, name) =
                    (self.interpreter.concrete(pair[0].clone()), self.interpreter.concrete(pair[1].clone()));
                match (app.str(), name.str()) {
                    (Some(app), Some(name)) => Ok(Target::Migration(MigrationId::new(app, name))),
                    (None, _) => Err(app.reason()),
                    _ => Err(name.reason()),
                }
            }
            Value::Instance(instance) => {
                self.swappable(instance).ok_or_else(|| match &instance.callee.value {
                    Value::Name(path) if path.starts_with("django.") => {
                        instance.arguments.positional.first().map_or_else(|| item.reason(), Spanned::reason)
                    }
                    _ => item.reason(),
                })
            }
            _ => Err(item.reason()),
        }
    }

    /// `swapper.dependency("shop", "Item")`: the model that the setting `SHOP_ITEM_MODEL` names, or `shop.Item`.
    fn swapper(&mut self, arguments: &Arguments<'a>) -> Option<Target> {
        let [app, model] = &arguments.positional[..] else { return None };
        let is_all = arguments.named.is_empty() && arguments.missing.is_none();
        let app = self.interpreter.concrete(app.clone());
        let model = self.interpreter.concrete(model.clone());
        let (app, model) = app.str().zip(model.str()).filter(|(app, _)| is_all && !RENAMED.contains(app))?;
        let setting = format!("{}_{}_MODEL", app.to_uppercase(), model.to_uppercase());
        Some(Target::Swappable { setting, default: Some(format!("{app}.{model}")) })
    }

    /// `migrations.swappable_dependency(settings.AUTH_USER_MODEL)`.
    fn swappable(&mut self, instance: &Instance<'a>) -> Option<Target> {
        let Value::Name(path) = &instance.callee.value else { return None };
        if &**path == SWAPPER {
            return self.swapper(&instance.arguments);
        }
        if !path.starts_with("django.db.migrations.") || !path.ends_with("swappable_dependency") {
            return None;
        }
        let model = self.interpreter.concrete(instance.arguments.positional.first()?.clone());
        match &model.value {
            Value::Str(model) => {
                let app = model.split('.').next().unwrap_or(model);
                Some(Target::Migration(MigrationId::new(app, "__first__")))
            }
            Value::Name(path) => setting(path, None),
            Value::Setting { path, default } => setting(path, default.as_deref()),
            _ => None,
        }
    }
}

/// Apps with other names of settings, by `swapper.set_app_prefix`.
const RENAMED: &[&str] = &["wagtailcore"];

fn setting(path: &str, default: Option<&str>) -> Option<Target> {
    let setting = path.strip_prefix("django.conf.settings.")?;
    Some(Target::Swappable { setting: setting.to_owned(), default: default.map(str::to_owned) })
}
