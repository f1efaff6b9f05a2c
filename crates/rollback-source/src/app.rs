//! App configurations and settings, from the text of their modules.

use std::collections::BTreeSet;

use crate::compare::truth;
use crate::interpreter::{Interpreter, Memory};
use crate::modules::Modules;
use crate::value::{Spanned, Value};

/// An app configuration in a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppConfig {
    /// The name of the class.
    pub class: String,
    /// `name`: the dotted path of the app. `None` if it is not a literal.
    pub name: Option<String>,
    /// `label`. `None` if it is the last part of the name.
    pub label: Option<String>,
    /// `default`, if it is set.
    pub default: Option<bool>,
    /// Whether the text determines name and label.
    pub is_certain: bool,
}

impl AppConfig {
    /// The label that the app gets.
    pub fn label(&self) -> Option<&str> {
        let last = self.name.as_deref().map(|name| name.rsplit('.').next().unwrap_or(name));
        self.label.as_deref().or(last)
    }
}

/// The app configurations that a module defines or imports from the repository; none if it is not valid Python.
pub fn app_configs(module: &str, is_package: bool, text: &str, others: &dyn Modules) -> Vec<AppConfig> {
    let memory = Memory::default();
    let mut interpreter = Interpreter::new(&memory, others);
    if interpreter.read(module, is_package, text).is_err() {
        return Vec::new();
    }
    let mut found: Vec<(usize, Spanned<'_>)> = Vec::new();
    for value in interpreter.globals() {
        let value = interpreter.concrete(value);
        if let Value::Class(id) = value.value
            && is_config(&mut interpreter, &value, 0)
            && found.iter().all(|(known, _)| *known != id)
        {
            found.push((id, value));
        }
    }
    found.sort_by_key(|(id, _)| *id);
    let configs: Vec<AppConfig> = found.iter().map(|(_, class)| config(&mut interpreter, class)).collect();
    configs
}

/// `default_app_config` of a package's `__init__.py`, which Django reads before version 4.1.
pub fn default_app_config(module: &str, text: &str, others: &dyn Modules) -> Option<String> {
    if !text.contains("default_app_config") {
        return None;
    }
    let memory = Memory::default();
    let mut interpreter = Interpreter::new(&memory, others);
    interpreter.read(module, true, text).ok()?;
    interpreter.global("default_app_config")?.str().map(str::to_owned)
}

/// Reads a settings module: texts, names and `MIGRATION_MODULES`.
pub fn settings(module: &str, text: &str, others: &dyn Modules) -> Settings {
    let memory = Memory::default();
    let mut interpreter = Interpreter::new(&memory, others);
    let mut settings = Settings::default();
    if interpreter.read(module, false, text).is_err() {
        return settings;
    }
    settings.is_whole = !interpreter.has_unread_stars() && interpreter.dynamic_code.is_none();
    settings.names.extend(interpreter.global_names().into_iter().map(str::to_owned));
    for name in interpreter.global_names() {
        let Some(value) = interpreter.global(name) else { continue };
        match &value.value {
            Value::Str(text) if name.chars().all(|letter| letter.is_ascii_uppercase() || letter == '_') => {
                settings.texts.push((name.to_owned(), text.to_string()));
            }
            Value::Dict(items) if name == "MIGRATION_MODULES" => {
                let pair = |(app, module): &(Spanned<'_>, Spanned<'_>)| {
                    Some((app.str()?.to_owned(), module.str().map(str::to_owned)))
                };
                settings.migration_modules.extend(items.iter().filter_map(pair));
            }
            _ => {}
        }
    }
    settings
}

/// What a settings module says about migrations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Settings whose value is a text: `AUTH_USER_MODEL`.
    pub texts: Vec<(String, String)>,
    /// All its names.
    pub names: BTreeSet<String>,
    /// Whether these are all: no `import *` from a module outside the repository, and no dynamic code.
    pub is_whole: bool,
    /// `MIGRATION_MODULES`; `None` for an app without migrations.
    pub migration_modules: Vec<(String, Option<String>)>,
}

fn is_config(interpreter: &mut Interpreter<'_, '_>, class: &Spanned<'_>, depth: u32) -> bool {
    const DEEPEST: u32 = 20;
    let Value::Class(id) = class.value else { return false };
    depth < DEEPEST
        && interpreter.classes[id].bases.clone().into_iter().any(|base| {
            let base = interpreter.concrete(base);
            match &base.value {
                Value::Name(path) => {
                    path.ends_with("AppConfig") || path.ends_with(".Config") || path.ends_with("Config")
                }
                _ => is_config(interpreter, &base, depth + 1),
            }
        })
}

fn config<'a>(interpreter: &mut Interpreter<'a, '_>, class: &Spanned<'a>) -> AppConfig {
    let mut get = |name: &str| {
        let value = interpreter.attribute_of_class(&class.value, name);
        value.map(|value| interpreter.concrete(value))
    };
    let (name, label, default) = (get("name"), get("label"), get("default"));
    let is_told = |value: &Option<Spanned<'_>>| {
        value.as_ref().is_none_or(|value| matches!(value.value, Value::Str(_) | Value::None))
    };
    let is_certain =
        label.as_ref().is_some_and(|label| label.str().is_some()) || (is_told(&name) && is_told(&label));
    let text = |value: Option<Spanned<'_>>| value.and_then(|value| value.str().map(str::to_owned));
    let (name, label) = (text(name), text(label));
    let default = default.and_then(|value| truth(&value.value));
    let Value::Class(id) = class.value else { unreachable!("only classes are collected") };
    AppConfig { class: interpreter.classes[id].name.to_owned(), name, label, default, is_certain }
}
