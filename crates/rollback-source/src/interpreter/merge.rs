//! Two ways that code may take: what both agree on stays known.

use crate::compare::{either, same};
use crate::value::{Scope, Spanned};

/// What both agree on stays; the rest is not known.
pub(super) fn merge<'a>(scope: &mut Scope<'a>, other: Scope<'a>, why: &Spanned<'a>) {
    for name in scope.keys().copied().collect::<Vec<_>>() {
        if !other.contains_key(name) {
            scope.insert(name, why.clone());
        }
    }
    for (name, value) in other {
        match scope.get(name) {
            Some(mine) if same(&mine.value, &value.value) => {}
            Some(mine) => {
                let value = either(&mine.value, &value.value, why);
                scope.insert(name, Spanned { value, origin: why.origin });
            }
            None => {
                scope.insert(name, why.clone());
            }
        }
    }
}
