//! Reading many files: several threads read and parse, each takes a batch of neighbours at a time.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::iter;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rollback_core::MigrationId;
use rollback_source::facts::{Unknown, What};
use rollback_source::{Paths, Tree};

use crate::error::RevisionError;
use crate::migrations::Read;
use crate::ports::{Files, ReadFiles, RepositoryError};

/// The stack of a thread that reads: as deep as the longest file can nest values. Memory is only used when it is.
pub(crate) const STACK: usize = 512 * 1024 * 1024;

/// How many migrations a thread takes at a time: neighbours, of which it remembers what they have in common.
const BATCH: usize = 32;

/// Migrations that one thread has read.
type Part = Vec<(MigrationId, Arc<Read>)>;

/// One file to read.
pub(crate) struct Work {
    pub(crate) id: MigrationId,
    /// The dotted path of its module.
    pub(crate) module: String,
    /// Its index among the files.
    pub(crate) index: usize,
    /// Whether the text tells the app's label.
    pub(crate) is_certain: bool,
}

/// In the order in which the files are read fastest.
pub(crate) fn sort_for_reading(files: &dyn Files, work: &mut [Work]) {
    if work.len() <= BATCH {
        return;
    }
    let mut order: Vec<usize> = work.iter().map(|work| work.index).collect();
    files.sort_for_reading(&mut order);
    let places: HashMap<usize, usize> =
        order.into_iter().enumerate().map(|(place, index)| (index, place)).collect();
    work.sort_by_key(|work| places[&work.index]);
}

/// Where the texts come from.
#[derive(Clone, Copy)]
pub(crate) struct Source<'s> {
    pub(crate) files: &'s dyn Files,
    pub(crate) paths: &'s Paths<'s>,
    pub(crate) settings: Option<&'s BTreeSet<String>>,
    pub(crate) keeps_texts: bool,
}

pub(crate) fn read_all(
    source: Source<'_>,
    work: &[Work],
) -> Result<BTreeMap<MigrationId, Arc<Read>>, RevisionError> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let threads = cores.min(work.len() / BATCH + 1);
    let next = AtomicUsize::new(0);
    let mut all = BTreeMap::new();
    let parts: Vec<Result<Part, RevisionError>> = thread::scope(|scope| {
        let begun: Vec<_> = (0..threads)
            .map(|_| {
                let part = || read_some(source, work, &next);
                thread::Builder::new().stack_size(STACK).spawn_scoped(scope, part)
            })
            .collect();
        let join = |thread: thread::ScopedJoinHandle<'_, _>| thread.join().expect("a reader does not panic");
        begun.into_iter().map(|thread| thread.map_or_else(|_| read_some(source, work, &next), join)).collect()
    });
    for part in parts {
        all.extend(part?);
    }
    Ok(all)
}

/// Takes from the work until none is left.
fn read_some(source: Source<'_>, work: &[Work], next: &AtomicUsize) -> Result<Part, RevisionError> {
    let reader = Reader::new(source.files)?;
    let read = |index: usize| reader.text(index);
    let tree = Tree::new(source.paths, &read).with_settings(source.settings);
    let keeps_texts = source.keeps_texts;
    let mut done = Vec::new();
    let batches = iter::from_fn(|| work.chunks(BATCH).nth(next.fetch_add(1, Ordering::Relaxed)));
    for work in batches.flatten() {
        let text = reader.text(work.index).unwrap_or_default();
        let mut source = rollback_source::read(&work.module, &text, &tree);
        if let (Ok(source), false) = (&mut source, work.is_certain) {
            let reason = "belongs to an app whose label the text does not tell".to_owned();
            source.unknown.push(Unknown { what: What::Migration, reason, span: 0..0 });
        }
        let text = if keeps_texts { text } else { String::new() };
        done.push((work.id.clone(), Arc::new(Read { text, source })));
    }
    reader.end()?;
    Ok(done)
}

/// One reader; the first failure is kept for the end.
pub(crate) struct Reader<'f> {
    reader: RefCell<Box<dyn ReadFiles + 'f>>,
    failed: RefCell<Option<RepositoryError>>,
}

impl<'f> Reader<'f> {
    pub(crate) fn new(files: &'f dyn Files) -> Result<Self, RevisionError> {
        Ok(Self { reader: RefCell::new(files.reader()?), failed: RefCell::new(None) })
    }

    pub(crate) fn text(&self, index: usize) -> Option<String> {
        match self.reader.borrow_mut().read(index) {
            Ok(bytes) => Some(rollback_source::decode(bytes)),
            Err(error) => {
                self.failed.borrow_mut().get_or_insert(error);
                None
            }
        }
    }

    pub(crate) fn hash(&self, index: usize) -> Result<String, RevisionError> {
        Ok(self.reader.borrow_mut().hash(index)?)
    }

    pub(crate) fn end(self) -> Result<(), RevisionError> {
        self.failed.into_inner().map_or(Ok(()), |error| Err(error.into()))
    }
}
