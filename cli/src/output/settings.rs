use comfy_table::Cell;
use serde::Serialize;

use super::{style::Style, table::Columns, text, time::Now};
use crate::{
    args::OutputFormat,
    context::Context,
    failure::Failure,
    settings::{Origin, Setting, Token},
};

/// A setting as it is shown. Never a secret.
#[derive(Serialize)]
pub(crate) struct Row {
    name: &'static str,
    value: String,
    from: &'static str,
}

/// Those that hold, in the order of the options.
pub(crate) fn rows(context: &Context) -> Result<Vec<Row>, Failure> {
    let set = &context.settings;
    let mut rows = Vec::new();
    let mut add = |name, value: String, from: Origin| rows.push(Row { name, value, from: from.name() });
    add("server", set.url(), set.server.from);
    let actor = set.actor.as_ref().map_or(Origin::Default, |actor| actor.from);
    if set.token.is_none() && set.cert.is_none() {
        add("as", context.actor()?, actor);
    }
    if !set.groups.value.is_empty() {
        add("group", set.groups.value.join(", "), set.groups.from);
    }
    let mut given = |name, setting: Option<Setting<String>>| {
        if let Some(Setting { value, from }) = setting {
            add(name, value, from);
        }
    };
    let file = |setting: &Option<Setting<std::path::PathBuf>>| {
        setting.as_ref().map(|file| Setting { value: file.value.display().to_string(), from: file.from })
    };
    given("on-behalf-of", set.on_behalf_of.clone());
    given("token", set.token.as_ref().map(|token| Setting { value: shown(&token.value), from: token.from }));
    given("ca", file(&set.ca));
    given("cert", file(&set.cert));
    given("key", file(&set.key));
    given("server-name", set.server_name.clone());
    let output = match set.output.value {
        OutputFormat::Table => "table",
        OutputFormat::Json => "json",
    };
    given("output", Some(Setting { value: output.to_owned(), from: set.output.from }));
    let timeout = set.timeout.as_ref();
    let timeout = timeout.map(|timeout| Setting { value: format!("{:?}", timeout.value), from: timeout.from });
    let default = Setting { value: "30s, and 5m for provisioning".to_owned(), from: Origin::Default };
    given("timeout", Some(timeout.unwrap_or(default)));
    let mut login = |name, value: &Option<String>| {
        given(name, value.clone().map(|value| Setting { value, from: Origin::Profile }));
    };
    login("issuer", &set.login.issuer);
    login("client-id", &set.login.client_id);
    Ok(rows)
}

/// What kind of token it is.
pub(crate) fn shown(token: &Token) -> String {
    match token {
        Token::File(path) => format!("in {}", path.display()),
        Token::Text(_) => "(not shown)".to_owned(),
        Token::Session(file) => match file.load() {
            Ok(Some(session)) => {
                let now = Now::here();
                let end = session.ends().map(|end| format!(", ends {}", now.relative(end))).unwrap_or_default();
                let renewed = if session.refresh_token.is_some() { ", renewed by itself" } else { "" };
                format!("of {} at {}{end}{renewed}", session.subject, session.issuer)
            }
            _ => format!("in {}", file.path().display()),
        },
    }
}

pub(crate) fn table(rows: &[Row], style: Style) -> String {
    let mut columns = Columns::new(style, &["SETTING", "VALUE", "FROM"]);
    for Row { name, value, from } in rows {
        columns.row(vec![Cell::new(name), Cell::new(text::line(value)), Cell::new(from)]);
    }
    columns.keep(&[0, 2]);
    columns.render()
}
