//! Attributes of classes, in the order in which Python looks for them.

use super::state::{DEEPEST, Interpreter, text};
use crate::django;
use crate::value::{Spanned, Value};

impl<'a> Interpreter<'a, '_> {
    /// An attribute of a class or of its bases, in the order in which Python looks for it.
    pub(crate) fn attribute_of_class(&mut self, class: &Value<'a>, name: &str) -> Option<Spanned<'a>> {
        let Value::Class(id) = class else { return None };
        let origin = self.classes[*id].origin;
        let Some(order) = self.resolution_order(class) else {
            let class = self.classes[*id].name;
            return Some(Spanned::unknown(format!("depends on the bases of {class}"), origin));
        };
        for class in order {
            match &class.value {
                Value::Class(id) => {
                    if let Some(value) = self.classes[*id].scope.get(name) {
                        return Some(value.clone());
                    }
                }
                Value::Name(path) if is_known_base(path) => {}
                _ => return Some(Spanned::unknown(class.reason(), origin)),
            }
        }
        None
    }

    /// Python's method resolution order, by C3 (<https://docs.python.org/3/howto/mro.html>), starting with the class
    /// itself. `None` if the bases do not allow one.
    pub(crate) fn resolution_order(&mut self, class: &Value<'a>) -> Option<Vec<Spanned<'a>>> {
        if self.depth > DEEPEST {
            return None;
        }
        let Value::Class(id) = class else { return None };
        let itself = Spanned { value: class.clone(), origin: self.classes[*id].origin };
        let mut lists: Vec<Vec<Spanned<'a>>> = Vec::new();
        let mut bases = Vec::new();
        for base in self.classes[*id].bases.clone() {
            let base = self.concrete(base);
            lists.push(self.order_of_base(&base)?);
            bases.push(base);
        }
        lists.push(bases);
        let mut order = vec![itself];
        merge_orders(lists, &mut order)?;
        Some(order)
    }

    fn order_of_base(&mut self, base: &Spanned<'a>) -> Option<Vec<Spanned<'a>>> {
        match &base.value {
            Value::Class(_) => {
                self.depth += 1;
                let order = self.resolution_order(&base.value);
                self.depth -= 1;
                order
            }
            Value::Name(path) => {
                let above = django::base_of(path);
                let above =
                    above.map(|above| Spanned { value: Value::Name(text(above)), origin: base.origin });
                Some([base.clone()].into_iter().chain(above).collect())
            }
            _ => Some(vec![base.clone()]),
        }
    }
}

/// The merge step of C3: takes the first head that is in no list's tail, again and again. `None` if there is none.
fn merge_orders<'a>(mut lists: Vec<Vec<Spanned<'a>>>, order: &mut Vec<Spanned<'a>>) -> Option<()> {
    loop {
        lists.retain(|list| !list.is_empty());
        if lists.is_empty() {
            return Some(());
        }
        let is_free = |candidate: &Spanned<'a>| {
            !lists.iter().any(|list| list[1..].iter().any(|other| is_same_class(candidate, other)))
        };
        let place = lists.iter().position(|list| is_free(&list[0]))?;
        let next = lists[place].remove(0);
        for list in &mut lists {
            if list.first().is_some_and(|head| is_same_class(head, &next)) {
                list.remove(0);
            }
        }
        order.push(next);
    }
}

/// Whether an imported base has no attributes that matter here.
fn is_known_base(path: &str) -> bool {
    path.starts_with("django.") || path.starts_with("builtins.")
}

fn is_same_class(one: &Spanned<'_>, other: &Spanned<'_>) -> bool {
    match (&one.value, &other.value) {
        (Value::Class(one), Value::Class(other)) => one == other,
        (Value::Name(one), Value::Name(other)) => {
            one == other
                || (is_known_base(one)
                    && is_known_base(other)
                    && one.rsplit('.').next() == other.rsplit('.').next())
        }
        _ => false,
    }
}
