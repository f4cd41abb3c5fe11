use std::fmt::Write as _;

use approve_client::proto::{ApiToken, GetCallerResponse, Grant, Permission};
use comfy_table::Cell;

use super::{names::Name, style::Style, table::Columns, text, time::Now};

/// Who the caller is and what they may do.
pub(crate) fn caller(caller: &GetCallerResponse, style: Style) -> String {
    let mut page = style.bold(&text::line(&caller.principal)) + "\n";
    let mut fact = |name: &str, value: &str| {
        if !value.is_empty() {
            let _ = writeln!(page, "  {} {value}", style.dim(&format!("{name:<9}")));
        }
    };
    let groups: Vec<_> = caller.groups.iter().map(|group| text::line(group)).collect();
    fact("groups", &groups.join(", "));
    fact("through", &text::line(&caller.authenticated_as));
    fact("known by", &text::line(&caller.via));
    if caller.grants.is_empty() {
        fact("may", "do nothing");
    }
    for (at, each) in caller.grants.iter().enumerate() {
        fact(if at == 0 { "may" } else { "and" }, &grant(each));
    }
    page
}

/// "view, decide in pay-* with env=prod".
pub(crate) fn grant(grant: &Grant) -> String {
    let permissions: Vec<_> =
        grant.permissions.iter().map(|permission| Permission::lower(*permission).replace('_', "-")).collect();
    let mut words = permissions.join(", ");
    if !grant.workflows.is_empty() {
        let workflows: Vec<_> = grant.workflows.iter().map(|name| text::line(name)).collect();
        let _ = write!(words, " in {}", workflows.join(", "));
    }
    if !grant.labels.is_empty() {
        let mut labels: Vec<_> =
            grant.labels.iter().map(|(key, value)| format!("{}={}", text::line(key), text::line(value))).collect();
        labels.sort();
        let _ = write!(words, " with {}", labels.join(" "));
    }
    words
}

pub(crate) fn tokens(tokens: &[ApiToken], now: &Now, style: Style) -> String {
    let mut columns = Columns::new(style, &["NAME", "STATE", "MAY", "MADE BY", "AGE", "EXPIRES"]);
    for token in tokens {
        let state = match token {
            ApiToken { revoke_time: Some(_), .. } => "revoked",
            ApiToken { expire_time, .. } if !now.is_ahead(expire_time.as_ref()) => "expired",
            _ => "valid",
        };
        let grants: Vec<_> = token.grants.iter().map(grant).collect();
        columns.row(vec![
            Cell::new(text::line(&token.name)),
            Cell::new(state),
            Cell::new(grants.join("; ")),
            Cell::new(text::line(&token.created_by)),
            Cell::new(now.age(token.create_time.as_ref())),
            Cell::new(now.short(token.expire_time.as_ref())),
        ]);
    }
    columns.keep(&[0, 1, 4, 5]);
    columns.render()
}
