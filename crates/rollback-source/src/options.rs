//! Options of models: `CreateModel(options=…)` and `AlterModelOptions(options=…)`.

use crate::compare::truth;
use crate::value::{Spanned, Value};

/// The options of a model.
#[derive(Default)]
pub(crate) struct Options<'a> {
    /// Whether the model has a table. `None` if that is unknown.
    pub(crate) has_table: Option<bool>,
    pub(crate) table: Option<String>,
    pub(crate) is_proxy: bool,
    pub(crate) unique_together: Vec<Vec<String>>,
    pub(crate) index_together: Vec<Vec<String>>,
    /// The list of constraints, if there is one.
    pub(crate) constraints: Option<Spanned<'a>>,
    pub(crate) is_ordered: bool,
}

/// Reads `CreateModel(options=…)`.
pub(crate) fn options<'a>(given: Option<&Spanned<'a>>) -> Options<'a> {
    let none = |has_table| Options { has_table, ..Options::default() };
    let items = match given.map(|given| &given.value) {
        None | Some(Value::None) => return none(Some(true)),
        Some(Value::Dict(items)) => items,
        Some(_) => return none(None),
    };
    let get =
        |name: &str| items.iter().rev().find(|(key, _)| key.str() == Some(name)).map(|(_, value)| value);
    let flag = |name: &str, usual: bool| get(name).map_or(Some(usual), |value| truth(&value.value));
    let has_table = match (flag("proxy", false), flag("managed", true)) {
        (Some(true), _) | (_, Some(false)) => Some(false),
        (Some(false), Some(true)) => Some(true),
        _ => None,
    };
    Options {
        has_table,
        table: get("db_table").and_then(|table| table.str()).map(str::to_owned),
        is_proxy: flag("proxy", false) == Some(true),
        unique_together: get("unique_together").and_then(sets).unwrap_or_default(),
        index_together: get("index_together").and_then(sets).unwrap_or_default(),
        constraints: get("constraints").cloned(),
        is_ordered: get("order_with_respect_to").is_some_and(|order| !matches!(order.value, Value::None)),
    }
}

/// Whether a model is managed after `AlterModelOptions(options=…)`, which resets missing options. `None` if that is
/// unknown.
pub(crate) fn is_managed(options: Option<&Spanned<'_>>) -> Option<bool> {
    match options.map(|options| &options.value) {
        None | Some(Value::None) => Some(true),
        Some(Value::Dict(items)) => {
            let given = items.iter().rev().find(|(key, _)| key.str() == Some("managed"));
            given.map_or(Some(true), |(_, value)| truth(&value.value))
        }
        Some(_) => None,
    }
}

/// `unique_together` and the like: `{("a", "b")}`, or a single set. `None` if it is unknown.
pub(crate) fn sets(value: &Spanned<'_>) -> Option<Vec<Vec<String>>> {
    if matches!(value.value, Value::None) {
        return Some(Vec::new());
    }
    let items = value.items()?;
    let names = |items: &[Spanned<'_>]| -> Option<Vec<String>> {
        items.iter().map(|item| item.str().map(str::to_owned)).collect()
    };
    match names(items) {
        Some(one) if !one.is_empty() => Some(vec![one]),
        _ => items.iter().map(|set| names(set.items()?)).collect(),
    }
}
