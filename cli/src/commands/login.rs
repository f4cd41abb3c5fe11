use approve_client::{Code, Credentials};
use serde::Serialize;

use crate::{
    args::LoginArgs,
    context::Context,
    exit::Exit,
    failure::{self, Failure},
    login::{self, SessionFile, Wanted},
    output::text,
    settings::{Origin, Token},
};

/// What is asked for where nothing else is said.
const SCOPES: [&str; 3] = ["openid", "profile", "offline_access"];

#[derive(Serialize)]
struct LoginJson<'a> {
    profile: Option<&'a str>,
    server: &'a str,
    issuer: &'a str,
    subject: &'a str,
    /// Who the server takes the token's owner for.
    principal: Option<&'a str>,
    expire_time: Option<String>,
    renewable: bool,
    file: String,
}

#[derive(Serialize)]
struct LogoutJson {
    signed_out: bool,
    revoked: bool,
}

pub(crate) async fn login(context: &Context, args: LoginArgs) -> Result<Exit, Failure> {
    let file = session_file(context)?;
    let wanted = wanted(context, args)?;
    // What a provider says is text of others.
    let tell = |said: &str| context.out.note(text::block(said, "").trim_end());
    let session = login::sign_in(&wanted, context.settings.url(), &tell).await?;
    file.save(&session)?;
    let principal = known_as(context, &file).await?;
    let now = context.out.now();
    if context.json() {
        context.out.print_json(&LoginJson {
            profile: context.settings.profile.as_deref(),
            server: &session.server,
            issuer: &session.issuer,
            subject: &session.subject,
            principal: principal.as_deref(),
            expire_time: session.ends().map(|end| end.to_string()),
            renewable: session.refresh_token.is_some(),
            file: file.path().display().to_string(),
        })?;
    } else {
        let who = principal.unwrap_or_else(|| session.subject.clone());
        let until = session.ends().map(|end| format!("; the token ends {}", now.relative(end))).unwrap_or_default();
        let then = if session.refresh_token.is_some() { ", and is renewed by itself" } else { "" };
        let (who, server) = (text::line(&who), text::line(&session.server));
        context.out.print(&format!("signed in as {who} for {server}{until}{then}\n"))?;
    }
    if let Some(token) = context.settings.token.as_ref().filter(|token| !matches!(token.value, Token::Session(_))) {
        let from = match token.from {
            Origin::Profile => "the profile's token",
            _ => "a token from a flag or the environment",
        };
        context.out.note(&format!("{from} comes before it: leave that out to use this session"));
    }
    Ok(Exit::Ok)
}

pub(crate) async fn logout(context: &Context) -> Result<Exit, Failure> {
    let file = session_file(context)?;
    // What can't be read can be forgotten all the same.
    let session = file.load().ok().flatten();
    let mut revoked = false;
    if let Some(session) = &session {
        match login::give_back(session).await {
            Ok(done) => revoked = done,
            Err(error) => {
                let why = text::line(&failure::line(&error));
                context.out.note(&format!("the provider was not told, and may take the session until it ends: {why}"));
            }
        }
    }
    let signed_out = file.remove()?;
    if context.json() {
        context.out.print_json(&LogoutJson { signed_out, revoked })?;
    } else if signed_out {
        context.out.print("signed out\n")?;
    } else {
        context.out.note("you were not signed in");
    }
    Ok(Exit::Ok)
}

fn session_file(context: &Context) -> Result<SessionFile, Failure> {
    let none = || Failure::Usage("there is no place for a session: set HOME or XDG_STATE_HOME".into());
    context.settings.session().ok_or_else(none)
}

fn wanted(context: &Context, args: LoginArgs) -> Result<Wanted, Failure> {
    let set = &context.settings.login;
    let missing = |flag: &str, key: &str| {
        let place = match &context.settings.profile {
            Some(name) => format!("[profile.{name}.login]"),
            None => "a profile's login table".to_owned(),
        };
        Failure::Usage(format!("say {flag}, or set {key} in {place} of the config file"))
    };
    let issuer = args.issuer.or_else(|| set.issuer.clone()).ok_or_else(|| missing("--issuer", "issuer"))?;
    let client_id = args.client_id.or_else(|| set.client_id.clone());
    let client_id = client_id.ok_or_else(|| missing("--client-id", "client_id"))?;
    let given = Some(args.scopes).filter(|scopes| !scopes.is_empty()).or_else(|| set.scopes.clone());
    let mut scopes = given.unwrap_or_else(|| SCOPES.map(str::to_owned).to_vec());
    if !scopes.iter().any(|scope| scope == SCOPES[0]) {
        scopes.insert(0, SCOPES[0].to_owned());
    }
    let has_display = has_display();
    Ok(Wanted {
        issuer,
        client_id,
        scopes,
        audience: args.audience.or_else(|| set.audience.clone()),
        kind: args.token.or(set.token).unwrap_or_default(),
        flow: args.flow.or(set.flow),
        ca: args.issuer_ca.or_else(|| set.ca.clone()),
        open_browser: has_display && !args.no_browser,
        has_display,
    })
}

/// Whether whoever sits here would see a browser that is opened.
fn has_display() -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    if cfg!(any(target_os = "macos", windows)) {
        !set("SSH_CONNECTION")
    } else {
        set("DISPLAY") || set("WAYLAND_DISPLAY")
    }
}

/// Who the server takes the session's owner for; `None` where it can't be asked now.
async fn known_as(context: &Context, file: &SessionFile) -> Result<Option<String>, Failure> {
    let credentials = Credentials::Bearer(login::bearer(file.clone()));
    let asked = async { Ok(context.connect_as(credentials, false).await?.caller().await?) };
    match asked.await {
        Ok(caller) => Ok(Some(caller.principal)),
        Err(Failure::Client(error)) if error.code() == Code::Unauthenticated => Err(Failure::Explained {
            hint: "you are signed in, but the server has to know this provider, and the token's audience; see \
                   --token and --audience"
                .into(),
            source: error,
        }),
        Err(Failure::Client(error)) => {
            let why = text::line(&failure::line(&error));
            context.out.note(&format!("the server could not be asked who you are to it: {why}"));
            Ok(None)
        }
        Err(other) => Err(other),
    }
}
