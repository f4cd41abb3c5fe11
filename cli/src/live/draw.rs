//! A picture of the state.

use approve_client::{Approval, Decision};
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::{Block, Cell, Clear, Paragraph, Row, Table, Wrap},
};

use super::state::{Confirm, Link, Live, Mark, Mode};
use crate::output::{
    approval, progress,
    style::Style as Plain,
    text,
    time::{self, Now},
};

/// From when on a deadline is near, in seconds.
const SOON: i64 = 10 * 60;
const VERY_SOON: i64 = 60;

/// Colours, where they are wanted; what matters is told without them, too.
#[derive(Clone, Copy)]
struct Paint(bool);

impl Paint {
    fn color(self, color: Color) -> Style {
        if self.0 { Style::new().fg(color) } else { Style::new() }
    }
}

pub(super) fn draw(frame: &mut Frame<'_>, live: &mut Live, now: &Now, colors: bool) {
    let paint = Paint(colors);
    let [head, body, foot] =
        Layout::vertical([Constraint::Length(1), Constraint::Fill(1), Constraint::Length(2)]).areas(frame.area());
    // One line of the body is the table's header.
    let (shown, matching) = live.window(usize::from(body.height.saturating_sub(1)).max(1));
    frame.render_widget(heading(live, matching, paint), head);
    let facts = match &live.mode {
        Mode::Facts { id, from } => live.get(id).map(|approval| (approval.clone(), *from)),
        _ => None,
    };
    match facts {
        Some((approval, from)) => facts_page(frame, live, &approval, from, body, now),
        None => table(frame, live, &shown, body, now, paint),
    }
    frame.render_widget(Paragraph::new(footing(live, paint)), foot);
    if let Mode::Confirm(confirm) = &live.mode {
        question(frame, confirm, body, paint);
    }
}

fn heading(live: &Live, matching: usize, paint: Paint) -> Line<'static> {
    let all = live.len();
    let count = if matching == all { format!("{all} pending") } else { format!("{matching} of {all} pending") };
    let link = match &live.link {
        Link::Loading => Span::styled("loading…", paint.color(Color::Yellow)),
        Link::Live => Span::styled("live", paint.color(Color::Green)),
        Link::Lost(why) => Span::styled(format!("reconnecting: {}", text::line(why)), paint.color(Color::Red)),
    };
    let bold = Style::new().add_modifier(Modifier::BOLD);
    Line::from(vec![Span::styled(count, bold), "  ".into(), text::line(&live.server).into(), "  ".into(), link])
}

fn table(frame: &mut Frame<'_>, live: &Live, shown: &[String], area: Rect, now: &Now, paint: Paint) {
    let approvals: Vec<&Approval> = shown.iter().filter_map(|id| live.get(id)).collect();
    let noted = approvals.iter().any(|approval| !progress::note(approval, now).is_empty());
    let header = ["", "EXPIRES", "TITLE", "WORKFLOW", "REQUESTER", "VOTES", if noted { "NOTE" } else { "" }];
    let rows = approvals.iter().map(|approval| {
        let selected = live.selected.as_deref() == Some(approval.id.as_str());
        let mark = live.mark(&approval.id, now.at);
        row(approval, selected, mark, now, paint)
    });
    let widths = [
        Constraint::Length(2),
        Constraint::Length(9),
        Constraint::Fill(3),
        Constraint::Fill(1),
        Constraint::Fill(1),
        Constraint::Length(12),
        Constraint::Length(if noted { 24 } else { 0 }),
    ];
    let header = Row::new(header).style(Style::new().add_modifier(Modifier::BOLD));
    frame.render_widget(Table::new(rows, widths).header(header).column_spacing(1), area);
}

fn row(approval: &Approval, selected: bool, mark: Mark, now: &Now, paint: Paint) -> Row<'static> {
    let sign = match mark {
        Mark::None => "",
        Mark::New(_) => "+",
        Mark::Changed(_) => "~",
    };
    let sign = format!("{}{sign}", if selected { ">" } else { " " });
    let (countdown, tone) = countdown(approval, now, paint);
    let cells = vec![
        Cell::from(sign),
        Cell::from(Span::styled(countdown, tone)),
        Cell::from(text::line(&approval.title)),
        Cell::from(text::line(&approval.workflow)),
        Cell::from(text::line(&approval.requester)),
        Cell::from(progress::short(approval)),
        Cell::from(progress::note(approval, now)),
    ];
    let mut style = Style::new();
    if mark != Mark::None {
        style = style.add_modifier(Modifier::BOLD);
    }
    if selected {
        style = style.add_modifier(Modifier::REVERSED);
    }
    Row::new(cells).style(style)
}

/// How long there is until the deadline: "4m 12s".
fn countdown(approval: &Approval, now: &Now, paint: Paint) -> (String, Style) {
    let Some(deadline) = approval.expire_time.as_ref().and_then(time::timestamp) else {
        return ("never".to_owned(), Style::new());
    };
    let left = deadline.duration_since(now.at);
    let seconds = left.as_secs();
    if seconds <= 0 {
        return ("over".to_owned(), paint.color(Color::Red));
    }
    let style = if seconds <= VERY_SOON {
        paint.color(Color::Red)
    } else if seconds <= SOON {
        paint.color(Color::Yellow)
    } else {
        Style::new()
    };
    (time::span(left), style)
}

fn facts_page(frame: &mut Frame<'_>, live: &mut Live, approval: &Approval, from: u16, area: Rect, now: &Now) {
    let page = approval::facts(approval, now, Plain::plain());
    // Its end stays in sight.
    let lines = u16::try_from(page.lines().count()).unwrap_or(u16::MAX);
    let from = from.min(lines.saturating_sub(1));
    if let Mode::Facts { from: at, .. } = &mut live.mode {
        *at = from;
    }
    frame.render_widget(Paragraph::new(page).wrap(Wrap { trim: false }).scroll((from, 0)), area);
}

fn footing(live: &Live, paint: Paint) -> Vec<Line<'static>> {
    let message = match (&live.mode, &live.message) {
        (Mode::Filter, _) => Line::from(format!("/{}_", text::line(&live.filter))),
        (_, Some(message)) => {
            let color = if message.is_bad { Color::Red } else { Color::Yellow };
            Line::from(Span::styled(message.text.clone(), paint.color(color)))
        }
        (_, None) if !live.filter.is_empty() => Line::from(format!("filter: {}", text::line(&live.filter))),
        _ => Line::default(),
    };
    let keys = match live.mode {
        Mode::Table => "↑↓ select  Enter facts  a approve  r reject  / filter  q quit",
        Mode::Filter => "Enter done  Esc all",
        Mode::Facts { .. } => "↑↓ scroll  a approve  r reject  Esc back",
        Mode::Confirm(_) => "Enter decide  Esc leave",
    };
    vec![message, Line::from(Span::styled(keys, Style::new().add_modifier(Modifier::DIM)))]
}

/// The question, in the middle.
fn question(frame: &mut Frame<'_>, confirm: &Confirm, area: Rect, paint: Paint) {
    let (verb, color) = match confirm.decision {
        Decision::Reject => ("Reject", Color::Red),
        _ => ("Approve", Color::Green),
    };
    let comment = if confirm.needs_comment { "comment (needed)" } else { "comment" };
    let mut lines = vec![
        Line::from(Span::styled(text::line(&confirm.title), Style::new().add_modifier(Modifier::BOLD))),
        Line::from(text::line(&confirm.id)),
        Line::default(),
        Line::from(format!("{comment}: {}_", text::line(&confirm.comment))),
    ];
    if confirm.changed {
        let said = "It changed meanwhile: leave with Esc, and look again.";
        lines.push(Line::from(Span::styled(said, paint.color(Color::Red).add_modifier(Modifier::BOLD))));
    }
    let [_, middle, _] =
        Layout::vertical([Constraint::Fill(1), Constraint::Length(8), Constraint::Fill(1)]).areas(area);
    let [_, middle, _] =
        Layout::horizontal([Constraint::Fill(1), Constraint::Max(72), Constraint::Fill(1)]).areas(middle);
    let block = Block::bordered().title(format!(" {verb}? ")).border_style(paint.color(color));
    frame.render_widget(Clear, middle);
    frame.render_widget(Paragraph::new(lines).wrap(Wrap { trim: false }).block(block), middle);
}

#[cfg(test)]
#[path = "draw_tests.rs"]
mod tests;
