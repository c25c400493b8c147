//! A file for the result, opened before anything is measured: that it cannot be written is not to be found out by
//! who has waited for the result. What is in it stays until there is one.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Where a result goes.
#[derive(Debug)]
pub struct Target {
    path: PathBuf,
    file: File,
}

impl Target {
    /// # Errors
    /// It cannot be written.
    pub fn open(path: &Path) -> Result<Target> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path);
        let file = file.with_context(|| {
            format!("cannot write {}, so nothing is measured; name another file", path.display())
        })?;
        Ok(Target { path: path.to_owned(), file })
    }

    /// Writes the result, in place of what is there.
    /// # Errors
    /// Not all of it could be written.
    pub fn write(mut self, text: impl AsRef<[u8]>) -> Result<()> {
        // What is no file, as a pipe, has nothing in it.
        let emptied = match self.file.metadata() {
            Ok(about) if about.is_file() => self.file.set_len(0),
            about => about.map(drop),
        };
        let written = emptied.and_then(|()| self.file.write_all(text.as_ref()));
        written.with_context(|| format!("cannot write {}", self.path.display()))
    }
}
