//! Feeds texts that are nearly migrations to everything that reads text. Nothing may panic, overflow the stack or run
//! forever, and the facts about a text must hold.
//!
//! An input is one module or several, separated by a zero byte. The first one is read; it finds the others if it imports
//! something from `shop`.

#![no_main]

mod mutation;

use std::thread;

use libfuzzer_sys::{Corpus, fuzz_mutator, fuzz_target};
use rollback_source::app::{app_configs, default_app_config, settings};
use rollback_source::{Module, Modules, comments, decode, is_same_program, read};

/// The stack of the reader: an eighth of what `rollback-revision` gives it, because inputs are short.
const STACK: usize = 64 * 1024 * 1024;

/// The largest number of modules: an input of zeros would be thousands.
const MOST_MODULES: usize = 5;

const MODULE: &str = "shop.migrations.0002_price";

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mutation::mutate(data, size, max_size, seed)
});

fuzz_target!(|data: &[u8]| -> Corpus {
    let data = data.to_vec();
    let reader = thread::Builder::new().stack_size(STACK).spawn(move || read_all(&data));
    let reader = reader.expect("the system has room for a thread");
    reader.join().expect("a panic has ended the process")
});

/// A text that is not valid Python is read but not mutated further: soon nothing else would be left.
fn read_all(data: &[u8]) -> Corpus {
    let modules = data.splitn(MOST_MODULES, |byte| *byte == 0);
    let mut modules: Vec<String> = modules.map(|text| decode(text.to_vec())).collect();
    let text = modules.remove(0);
    let others = Others(modules);
    let is_python = check_migration(&text, &others);
    app_configs("shop.apps", false, &text, &others);
    app_configs("shop", true, &text, &others);
    default_app_config("shop", &text, &others);
    settings("shop.settings", &text, &others);
    assert!(comments(&text).into_iter().all(|range| text[range].starts_with('#')), "a comment begins with #");
    assert!(is_same_program(&text, &text, &[]), "a text is the same program as itself");
    for other in &others.0 {
        is_same_program(&text, other, &["dependencies", "replaces"]);
    }
    if is_python { Corpus::Keep } else { Corpus::Reject }
}

/// Checks that places are inside the text, and that reading twice finds the same. Returns whether it is valid Python.
fn check_migration(text: &str, others: &Others) -> bool {
    let found = read(MODULE, text, others);
    assert_eq!(found, read(MODULE, text, others), "reading twice");
    let is_python = found.is_ok();
    let spans = match found {
        Err(error) => vec![error.span],
        Ok(source) => {
            let operations = source.all_operations().into_iter().map(|operation| operation.span.clone());
            let mut spans: Vec<_> = operations.chain(source.class.clone()).collect();
            spans.extend(source.unknown.into_iter().map(|unknown| unknown.span));
            spans.extend(source.imports.into_iter().map(|import| import.span));
            spans
        }
    };
    for span in spans {
        assert!(text.get(span.clone()).is_some(), "{span:?} is no place of the text");
    }
    is_python
}

/// The modules that imports find.
struct Others(Vec<String>);

impl Modules for Others {
    fn find(&self, path: &str) -> Option<Module> {
        let number: usize = path.bytes().map(usize::from).sum();
        let text = self.0.get(number.checked_rem(self.0.len())?)?.clone();
        let is_package = number.is_multiple_of(2);
        path.starts_with("shop").then(|| Module { path: path.to_owned(), is_package, text })
    }

    fn lacks_setting(&self, name: &str) -> bool {
        name.len().is_multiple_of(2)
    }
}
