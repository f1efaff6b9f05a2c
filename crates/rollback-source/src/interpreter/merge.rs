//! Merges the names of two branches.

use crate::compare::{either, same};
use crate::value::{Scope, Spanned};

/// Keeps what both branches agree on; the rest is unknown.
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
