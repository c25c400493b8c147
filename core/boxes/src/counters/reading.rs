//! What is read of a box's counters by another process, or by the box itself.
//!
//! What the file says of itself is believed as far as the file goes: a file of ours that is damaged, or no
//! file of ours, is an error or has zeros, and never a panic.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{EXTENSION, FIELD_WORDS, FIELDS_AT, Layout, MAGIC, NAME_AT, NAME_WORDS, VERSION};
use crate::mapped::View;
use crate::walk::{NOTE_WORDS, Note};

/// Most fields and notes of a block that are believed.
const COUNT_MAX: u64 = 1 << 16;

/// A box's counters, where they lie.
#[derive(Debug)]
pub struct BoxReading {
    view: View,
    layout: Layout,
    fields: Vec<String>,
    /// The file.
    pub path: PathBuf,
    /// The box.
    pub name: String,
    /// Its process.
    pub process: u32,
    /// How many reactors it has.
    pub reactors: usize,
}

/// One reactor's counters, as they are now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReactorReading(Vec<(String, u64)>);

impl ReactorReading {
    /// All fields, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(name, value)| (name.as_str(), *value))
    }

    /// A field; `None`: this box has none of that name.
    pub fn get(&self, name: &str) -> Option<u64> {
        self.iter().find_map(|(known, value)| (known == name).then_some(value))
    }
}

impl BoxReading {
    /// Opens a box's file.
    /// # Errors
    /// What the file system says; what is none of these files, or of another version.
    pub fn open(path: &Path) -> io::Result<BoxReading> {
        let view = View::open(path)?;
        let wrong = |what: &str| {
            let text = format!("{}: {what}", path.display());
            io::Error::new(io::ErrorKind::InvalidData, text)
        };
        if view.load(0) != MAGIC {
            return Err(wrong("not a file of counters"));
        }
        if view.load(1) != VERSION {
            return Err(wrong("counters of another version: run the same release"));
        }
        let [reactors, fields, block_words, process] = [2, 3, 4, 5].map(|at| view.load(at));
        let notes = view.load(7);
        let layout = Layout::new(fields.min(COUNT_MAX) as usize, notes.min(COUNT_MAX) as usize);
        if layout.block_words as u64 != block_words
            || notes == 0
            || layout.block(reactors.min(256) as usize) > view.count()
        {
            return Err(wrong("damaged: its head contradicts its length"));
        }
        let field = |index| text(&view, FIELDS_AT + index * FIELD_WORDS, FIELD_WORDS);
        Ok(BoxReading {
            fields: (0..layout.fields).map(field).collect(),
            name: text(&view, NAME_AT, NAME_WORDS),
            process: process as u32,
            reactors: reactors.min(256) as usize,
            path: path.into(),
            layout,
            view,
        })
    }

    /// What a reactor's block says now.
    pub fn reactor(&self, reactor: usize) -> ReactorReading {
        let block = self.layout.block(reactor);
        let fields = self.fields.iter().enumerate();
        ReactorReading(
            fields.map(|(index, name)| (name.clone(), self.view.load(block + index))).collect(),
        )
    }

    /// The notes of sampled messages that a reactor's block still has whole, oldest first.
    pub fn notes(&self, reactor: usize) -> Vec<Note> {
        let count_at = self.layout.note_count(reactor);
        let count = self.view.acquire(count_at);
        let kept = self.layout.notes as u64;
        let read: Vec<(u64, Note)> = (count.saturating_sub(kept)..count)
            .map(|number| {
                let at = self.layout.note(reactor, number);
                let words: [u64; NOTE_WORDS] =
                    std::array::from_fn(|word| self.view.load(at + word));
                (number, Note::of(&words))
            })
            .collect();
        // What was written over meanwhile, or is being, is of two notes.
        let first = (self.view.acquire(count_at) + 1).saturating_sub(kept);
        let whole = read.into_iter().filter(|(number, _)| count < kept || *number >= first);
        whole.map(|(_, note)| note).collect()
    }

    /// Whether the process that writes it lives.
    pub fn is_alive(&self) -> bool {
        let process = i32::try_from(self.process).ok().and_then(rustix::process::Pid::from_raw);
        process.is_some_and(|it| {
            // Somebody else's process is alive as well.
            rustix::process::test_kill_process(it) != Err(rustix::io::Errno::SRCH)
        })
    }
}

fn text(view: &View, at: usize, words: usize) -> String {
    let bytes: Vec<u8> = (at..at + words).flat_map(|at| view.load(at).to_ne_bytes()).collect();
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

/// The boxes whose files lie in `folder` and whose processes live, by name.
/// # Errors
/// When the folder cannot be read. Files that are none of these are passed over.
pub fn read_all(folder: &Path) -> io::Result<Vec<BoxReading>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|it| it == EXTENSION)
            && let Ok(reading) = BoxReading::open(&path)
            && reading.is_alive()
        {
            found.push(reading);
        }
    }
    found.sort_by(|one, other| (&one.name, &one.path).cmp(&(&other.name, &other.path)));
    Ok(found)
}
