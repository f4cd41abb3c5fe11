//! What a key does.

use approve_client::{Decide, Decision};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::{
    state::{Live, Message, Mode},
    terminal::Press,
};

/// How far a page goes.
const PAGE: u8 = 10;
/// The longest comment, in bytes.
const MAX_COMMENT: usize = 4096;

/// What a key asks for that the state can't do by itself.
#[derive(Debug, PartialEq)]
pub(super) enum Wish {
    Quit,
    Interrupt,
    Decide { decide: Box<Decide>, title: String },
}

impl Live {
    pub(super) fn key(&mut self, press: Press) -> Option<Wish> {
        let Press::Key(key) = press else { return None };
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return (key.code == KeyCode::Char('c')).then_some(Wish::Interrupt);
        }
        match &self.mode {
            Mode::Table => self.table_key(key),
            Mode::Filter => self.filter_key(key),
            Mode::Facts { .. } => self.facts_key(key),
            Mode::Confirm(_) => self.confirm_key(key),
        }
    }

    fn table_key(&mut self, key: KeyEvent) -> Option<Wish> {
        self.message = None;
        match key.code {
            KeyCode::Char('q') => return Some(Wish::Quit),
            KeyCode::Up | KeyCode::Char('k') => self.move_by(-1),
            KeyCode::Down | KeyCode::Char('j') => self.move_by(1),
            KeyCode::PageUp => self.move_by(-isize::from(PAGE)),
            KeyCode::PageDown => self.move_by(isize::from(PAGE)),
            KeyCode::Home => self.move_by(isize::MIN),
            KeyCode::End => self.move_by(isize::MAX),
            KeyCode::Enter => {
                if let Some(id) = self.selected.clone() {
                    self.mode = Mode::Facts { id, from: 0 };
                }
            }
            KeyCode::Char('a') => self.ask(Decision::Approve),
            KeyCode::Char('r') => self.ask(Decision::Reject),
            KeyCode::Char('/') => self.mode = Mode::Filter,
            KeyCode::Esc => self.set_filter(String::clear),
            _ => {}
        }
        None
    }

    fn filter_key(&mut self, key: KeyEvent) -> Option<Wish> {
        match key.code {
            KeyCode::Enter => self.mode = Mode::Table,
            KeyCode::Esc => {
                self.set_filter(String::clear);
                self.mode = Mode::Table;
            }
            KeyCode::Backspace => self.set_filter(|filter| {
                filter.pop();
            }),
            KeyCode::Char(c) => self.set_filter(|filter| filter.push(c)),
            KeyCode::Up => self.move_by(-1),
            KeyCode::Down => self.move_by(1),
            _ => {}
        }
        None
    }

    fn facts_key(&mut self, key: KeyEvent) -> Option<Wish> {
        let Mode::Facts { from, .. } = &mut self.mode else { return None };
        match key.code {
            KeyCode::Up | KeyCode::Char('k') => *from = from.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => *from = from.saturating_add(1),
            KeyCode::PageUp => *from = from.saturating_sub(u16::from(PAGE)),
            KeyCode::PageDown => *from = from.saturating_add(u16::from(PAGE)),
            KeyCode::Home => *from = 0,
            KeyCode::Char('a') => self.ask(Decision::Approve),
            KeyCode::Char('r') => self.ask(Decision::Reject),
            KeyCode::Esc | KeyCode::Enter | KeyCode::Char('q') => self.mode = Mode::Table,
            _ => {}
        }
        None
    }

    fn confirm_key(&mut self, key: KeyEvent) -> Option<Wish> {
        let Mode::Confirm(confirm) = &mut self.mode else { return None };
        match key.code {
            KeyCode::Esc => {
                self.mode = Mode::Table;
                self.message = Some(Message { text: "nothing was decided".into(), is_bad: false });
            }
            KeyCode::Enter => {
                if confirm.changed || (confirm.needs_comment && confirm.comment.trim().is_empty()) {
                    return None;
                }
                let decide = Decide::new(confirm.id.as_str(), confirm.decision)
                    .comment(confirm.comment.trim())
                    .etag(confirm.etag.as_str())
                    .wait_for_delivery(true);
                let title = std::mem::take(&mut confirm.title);
                self.mode = Mode::Table;
                self.message = Some(Message { text: "sending…".into(), is_bad: false });
                return Some(Wish::Decide { decide: Box::new(decide), title });
            }
            KeyCode::Backspace => {
                confirm.comment.pop();
            }
            KeyCode::Char(c) if confirm.comment.len() + c.len_utf8() <= MAX_COMMENT => confirm.comment.push(c),
            _ => {}
        }
        None
    }
}
