//! The controller's journal: the highest space and epoch ever handed out, in one synced
//! file. A number is the controller's only after it is in the file for good, so no restart
//! gives it twice.
//!
//! The file is written through the reactor's executor, so turns may go on meanwhile; raises that come then
//! are written together, after it.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};

use daedal_model::agent::{Agent, Archived, ReplyTo};
use daedal_model::context::Context;
use daedal_model::control::{Raise, Raised};

use crate::deliver::{Host, Hosted};
use crate::executor::{Files, Written};
use crate::shim::Shim;

/// Raises that wait for the disk. The controller has one at a time; who else asks is given nothing.
const WAITING_MAX: usize = 64;

/// The agent `controller-journal`. It does I/O, so it runs in the controller's box alone.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    files: Files,
    /// Promised to those who wait: no two are given the same.
    high: Raised,
    waiting: VecDeque<(ReplyTo, Raised)>,
    /// What is being written, and for how many of those who wait.
    writing: Option<(Written, usize)>,
}

/// A journal that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file system refused.
    #[error("journal {}: {error}; the controller needs a file that it may write and sync", path.display())]
    File {
        /// The journal.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The file is none of ours, or damaged.
    #[error(
        "journal {}: line {line} is not `space N` or `epoch N`; restore the file: \
         without it, numbers that are in use would be given again", path.display()
    )]
    Damaged {
        /// The journal.
        path: PathBuf,
        /// Which line, counted from 1.
        line: usize,
    },
}

impl Journal {
    /// Reads a journal, or begins one where there is no file, and sees that it can be written.
    /// # Errors
    /// [`JournalError`]; a damaged journal is never begun anew.
    pub fn check(path: &Path) -> Result<Raised, JournalError> {
        let failed = |error| JournalError::File { path: path.into(), error };
        let high = match fs::read_to_string(path) {
            Ok(text) => {
                parse(&text).map_err(|line| JournalError::Damaged { path: path.into(), line })?
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Raised { space: 0, epoch: 0 },
            Err(error) => return Err(failed(error)),
        };
        crate::executor::replace(path, &content(high)).map_err(failed)?;
        Ok(high)
    }

    /// Opens a journal, to be written by `files`.
    /// # Errors
    /// As [`Journal::check`].
    pub fn open(path: &Path, files: &Files) -> Result<Journal, JournalError> {
        Ok(Journal {
            path: path.into(),
            files: files.clone(),
            high: Journal::check(path)?,
            waiting: VecDeque::new(),
            writing: None,
        })
    }

    /// For [`Turn::host`](crate::turn::Turn::host).
    pub fn into_host(self) -> Box<dyn Host> {
        Box::new(Hosted::shim(self))
    }

    /// Answers those whose numbers are in the file, and writes for those who came meanwhile. What cannot be
    /// written is not given, and its askers are told. Says whether anything happened.
    fn go_on(&mut self, context: &mut Context<'_, Self>) -> bool {
        let mut happened = false;
        loop {
            if self.writing.is_none() && !self.waiting.is_empty() {
                let written = self.files.replace(&self.path, content(self.high));
                self.writing = Some((written, self.waiting.len()));
                happened = true;
            }
            let Some((written, count)) = &self.writing else { return happened };
            let Some(done) = written.take() else { return happened };
            if let Err(error) = &done {
                tracing::error!(
                    "journal {}: {error}; nothing new starts until it can be written",
                    self.path.display()
                );
            }
            for (asker, raised) in self.waiting.drain(..*count) {
                context.reply_to(asker, if done.is_ok() { &raised } else { &Raised::NOTHING });
            }
            self.writing = None;
        }
    }
}

fn content(high: Raised) -> Vec<u8> {
    format!("space {}\nepoch {}\n", high.space, high.epoch).into_bytes()
}

fn parse(text: &str) -> Result<Raised, usize> {
    let mut lines = text.lines();
    let mut number = |line: usize, word: &str| {
        let rest = lines.next().and_then(|line| line.strip_prefix(word)).ok_or(line)?;
        rest.parse::<u32>().map_err(|_| line)
    };
    Ok(Raised { space: number(1, "space ")?, epoch: number(2, "epoch ")? })
}

impl Agent for Journal {
    type Message = Raise;
    type Reply = Raised;

    fn transition(&mut self, message: &Archived<Raise>, context: &mut Context<'_, Self>) {
        if self.waiting.len() >= WAITING_MAX {
            return context.reply(&Raised::NOTHING);
        }
        let raised = self.high.beyond(message.spaces.to_native(), message.epochs.to_native());
        let Some(raised) = raised else {
            tracing::error!(
                "journal {}: all spaces or epochs have been given; nothing new starts: end all boxes of this \
                 system, and begin it anew without the file",
                self.path.display()
            );
            return context.reply(&Raised::NOTHING);
        };
        self.high = raised;
        self.waiting.push_back((context.reply_address(), self.high));
        self.go_on(context);
    }
}

impl Shim for Journal {
    fn poll(&mut self, context: &mut Context<'_, Self>) -> bool {
        self.go_on(context)
    }

    fn descriptor(&self) -> Option<RawFd> {
        Some(self.files.descriptor())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_goes_on_where_it_ended() {
        let folder = std::env::temp_dir().join(format!("daedal-journal-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("journal");
        assert_eq!(Journal::check(&path).unwrap(), Raised { space: 0, epoch: 0 });
        fs::write(&path, content(Raised { space: 1025, epoch: 7 })).unwrap();
        assert_eq!(Journal::check(&path).unwrap(), Raised { space: 1025, epoch: 7 });
        fs::write(&path, "space 3\nepoch x\n").unwrap();
        let error = Journal::check(&path).unwrap_err().to_string();
        assert!(error.contains("line 2"), "{error}");
        let missing = Journal::check(&folder.join("no/journal")).unwrap_err().to_string();
        assert!(missing.contains("needs a file"), "{missing}");
        fs::remove_dir_all(&folder).unwrap();
    }
}
