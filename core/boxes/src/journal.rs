//! The controller's journal: the highest space and epoch ever handed out, in one synced
//! file. A number is the controller's only after it is in the file for good, so no restart
//! gives it twice.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use daedal_model::agent::{Agent, Archived};
use daedal_model::context::Context;
use daedal_model::control::{Raise, Raised};
use daedal_model::state::{Captured, State, StateError};

/// The agent `controller-journal`. It does I/O, so it runs in the controller's box alone.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    high: Raised,
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
    /// Opens a journal, or begins one where there is no file.
    /// # Errors
    /// [`JournalError`]; a damaged journal is never begun anew.
    pub fn open(path: &Path) -> Result<Journal, JournalError> {
        let high = match fs::read_to_string(path) {
            Ok(text) => {
                parse(&text).map_err(|line| JournalError::Damaged { path: path.into(), line })?
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Raised { space: 0, epoch: 0 },
            Err(error) => return Err(JournalError::File { path: path.into(), error }),
        };
        let journal = Journal { path: path.into(), high };
        journal.write(high)?;
        Ok(journal)
    }

    /// Writes the numbers beside the file, syncs them, and puts them in its place.
    fn write(&self, high: Raised) -> Result<(), JournalError> {
        let failed = |error| JournalError::File { path: self.path.clone(), error };
        let mut beside = self.path.clone().into_os_string();
        beside.push(".new");
        let mut file = File::create(&beside).map_err(failed)?;
        write!(file, "space {}\nepoch {}\n", high.space, high.epoch).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        fs::rename(&beside, &self.path).map_err(failed)?;
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new("."))).and_then(|it| it.sync_all()).map_err(failed)
    }
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
        let high = Raised {
            space: self.high.space.saturating_add(message.spaces.to_native()),
            epoch: self.high.epoch.saturating_add(message.epochs.to_native()),
        };
        // What cannot be written is not given: the controller goes on with what it has, and asks again.
        match self.write(high) {
            Ok(()) => {
                self.high = high;
                context.reply(&high);
            }
            Err(error) => tracing::error!("{error}"),
        }
    }
}

/// Its state is the file, not here.
impl State for Journal {
    const NAME: &'static str = "Journal";
    const VERSION: u16 = 1;

    fn capture(&self) -> Captured {
        Captured::new::<Journal>()
    }

    fn restore(_: Captured) -> Result<Journal, StateError> {
        Err(StateError::Forbidden("a journal is opened, not restored".into()))
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
        assert_eq!(Journal::open(&path).unwrap().high, Raised { space: 0, epoch: 0 });
        let journal = Journal::open(&path).unwrap();
        journal.write(Raised { space: 1025, epoch: 7 }).unwrap();
        assert_eq!(Journal::open(&path).unwrap().high, Raised { space: 1025, epoch: 7 });
        fs::write(&path, "space 3\nepoch x\n").unwrap();
        let error = Journal::open(&path).unwrap_err().to_string();
        assert!(error.contains("line 2"), "{error}");
        let missing = Journal::open(&folder.join("no/journal")).unwrap_err().to_string();
        assert!(missing.contains("needs a file"), "{missing}");
        fs::remove_dir_all(&folder).unwrap();
    }
}
