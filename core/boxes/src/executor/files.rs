//! Files of a reactor: a whole small file is put in the place of another, so that after a crash there is
//! one or the other.
//!
//! On a bare thread the call returns when that is done; on glommio it goes on while turns are taken, and is
//! written past the page cache. Invariant: what was said to be written is on the disk, with its name.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use super::Executor;
use crate::doze::Doorbell;

/// How a reactor writes files. Of its thread alone.
#[derive(Clone)]
pub struct Files {
    executor: Executor,
    bell: Arc<Doorbell>,
    under_way: Rc<Cell<usize>>,
}

/// A file that is being written.
#[derive(Clone, Debug)]
pub struct Written(Rc<RefCell<Option<io::Result<()>>>>);

impl Written {
    /// What became of it, once; `None`: it is under way, or this was asked already.
    pub fn take(&self) -> Option<io::Result<()>> {
        self.0.borrow_mut().take()
    }
}

impl Files {
    pub(super) fn new(executor: Executor, bell: Arc<Doorbell>) -> Files {
        Files { executor, bell, under_way: Rc::default() }
    }

    /// Puts `content` in the place of `path`: writes it beside, as `path` with `.new`, syncs it, and renames
    /// it. One call at a time for one path.
    pub fn replace(&self, path: &Path, content: Vec<u8>) -> Written {
        let written = Written(Rc::default());
        match self.executor {
            Executor::Thread => *written.0.borrow_mut() = Some(replace(path, &content)),
            Executor::Glommio => self.replace_directly(path.into(), content, written.clone()),
        }
        written
    }

    #[cfg(feature = "glommio")]
    fn replace_directly(&self, path: PathBuf, content: Vec<u8>, written: Written) {
        let under_way = self.under_way.clone();
        under_way.set(under_way.get() + 1);
        super::direct::spawn(async move {
            let done = super::direct::replace(&path, &beside(&path), &content).await;
            *written.0.borrow_mut() = Some(done);
            under_way.set(under_way.get() - 1);
        });
    }

    #[cfg(not(feature = "glommio"))]
    fn replace_directly(&self, _: PathBuf, _: Vec<u8>, _: Written) {
        unreachable!("without glommio nobody has a seat on it");
    }

    /// Whether a file is not written yet.
    pub(crate) fn are_under_way(&self) -> bool {
        self.under_way.get() > 0
    }

    /// For a shim that waits for files: its reactor parks on this anyway, and not before they are written.
    pub fn descriptor(&self) -> RawFd {
        super::descriptor(&self.bell)
    }
}

impl fmt::Debug for Files {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Files({}, {} under way)", self.executor, self.under_way.get())
    }
}

/// Where a file is written before it takes the place of `path`.
fn beside(path: &Path) -> PathBuf {
    let mut beside = path.to_path_buf().into_os_string();
    beside.push(".new");
    beside.into()
}

/// The folder whose entries name `path`.
pub(crate) fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// [`Files::replace`] with plain files, on the caller's thread, and at once: for who has no reactor yet.
/// # Errors
/// What the file system said.
pub(crate) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let beside = beside(path);
    let mut file = File::create(&beside)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    File::open(folder(path))?.sync_all()
}
