//! Looks for what is wrong, from the settings outwards. What can't be looked at, as something before it is wrong, is
//! left out.

use std::{
    net::SocketAddr,
    time::{Duration, Instant, SystemTime},
};

use approve_client::{
    Client, Code, Error, Filter, List, Reason,
    prost_types::Timestamp,
    proto::{GetCallerResponse, GetServerInfoResponse, Permission},
};
use http::Uri;
use jiff::SignedDuration;
use tokio::net::TcpStream;

use crate::{
    args::{Global, OutputFormat},
    context::Context,
    exit::Exit,
    failure::{self, Failure},
    output::{
        Out, access,
        doctor::{Finding, Report, Verdict},
        plan,
        rule::count,
        settings,
        time::{span, timestamp},
    },
    settings::{Origin, Settings, Token, is_open_to_others},
};

/// How long a connection may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// From when on clocks are told to be apart: a token that is made here may not hold there yet.
const SKEW: SignedDuration = SignedDuration::from_secs(5);
/// How many approvals are counted.
const COUNTED: u32 = 100;

pub(crate) async fn run(global: &Global) -> Result<Exit, Failure> {
    let out = Out::new();
    let mut report = Report::default();
    let mut json = global.output == Some(OutputFormat::Json);
    match Context::new(global) {
        Ok(context) => {
            json = context.json();
            let skipped = Finding::skip("the rest", "it takes what failed");
            if look(&context, &mut report).await.is_none() {
                report.add(skipped);
            }
        }
        Err(failure) => report.add(failed("settings", &failure, "mend the config file, or name another with --config")),
    }
    if json {
        out.print_json(&report.json())?;
    } else {
        out.print(&report.page(out.style))?;
    }
    Ok(report.exit())
}

/// `None` where there was no way to go on.
async fn look(context: &Context, report: &mut Report) -> Option<()> {
    look_at_settings(&context.settings, report);
    let mut reached = None;
    // Of several servers one is enough to go on with.
    for url in context.settings.url().split(',') {
        if let Some((uri, address)) = resolve(url, report).await {
            let this = reach(address, report).await.map(|()| (uri, address));
            reached = reached.or(this);
        }
    }
    let (uri, address) = reached?;
    let client = connect(context, &uri, address, report).await?;
    let caller = look_at_caller(&client, report).await?;
    look_at_server(&client, report).await;
    look_at_store(&client, &caller, report).await;
    look_at_aws(&client, &caller, report).await;
    Some(())
}

fn look_at_settings(settings: &Settings, report: &mut Report) {
    let file = settings.file.as_ref().filter(|file| file.exists());
    let what = match (&settings.profile, file) {
        (Some(profile), Some(file)) => format!("profile {profile} of {}", file.display()),
        (None, Some(file)) => format!("no profile of {}", file.display()),
        _ => "no config file".to_owned(),
    };
    report.add(Finding::ok("settings", what));
    if settings.withheld {
        report.add(
            Finding::warn("settings", "the profile's tokens and certificates are left out: the server is another")
                .advise("leave --server and APPROVE_SERVER out, or use a profile of its own for that server"),
        );
    }
    let Some(token) = &settings.token else { return };
    if let Token::File(path) = &token.value {
        match std::fs::metadata(path) {
            Ok(metadata) if is_open_to_others(&metadata) => report.add(
                Finding::warn("token", format!("others on this computer may read {}", path.display()))
                    .advise(format!("chmod 600 {}", path.display())),
            ),
            Ok(_) => report.add(Finding::ok("token", settings::shown(&token.value))),
            Err(error) => report.add(
                Finding::fail("token", format!("can't read {}: {error}", path.display()), Exit::InvalidInput)
                    .advise("name a file that there is with --token-file"),
            ),
        }
    } else {
        let from = match token.from {
            Origin::Login => "login",
            other => other.name(),
        };
        report.add(Finding::ok("token", format!("{} ({from})", settings::shown(&token.value))));
    }
}

/// The server's first address.
async fn resolve(url: &str, report: &mut Report) -> Option<(Uri, SocketAddr)> {
    let parsed = url.parse::<Uri>().ok();
    let host = parsed.as_ref().and_then(Uri::host).map(|host| host.trim_matches(['[', ']']).to_owned());
    let (Some(uri), Some(host)) = (parsed, host) else {
        let what = format!("{url:?} is not the URL of a server");
        report.add(Finding::fail("address", what, Exit::InvalidInput).advise("such as https://approve.example.com"));
        return None;
    };
    let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
    let looked_up = tokio::time::timeout(PATIENCE, tokio::net::lookup_host((host.as_str(), port))).await;
    let addresses: Vec<_> = match looked_up {
        Ok(Ok(addresses)) => addresses.collect(),
        Ok(Err(_)) | Err(_) => Vec::new(),
    };
    let Some(first) = addresses.first() else {
        report.add(
            Finding::fail("address", format!("{host} has no address"), Exit::Unavailable)
                .advise("is the name right, and does this computer's DNS know it?"),
        );
        return None;
    };
    report.add(Finding::ok("address", format!("{url} is at {first}")));
    Some((uri, *first))
}

async fn reach(address: SocketAddr, report: &mut Report) -> Option<()> {
    let begun = Instant::now();
    let problem = match tokio::time::timeout(PATIENCE, TcpStream::connect(address)).await {
        Ok(Ok(_)) => {
            report.add(Finding::ok("connection", format!("made in {}", millis(begun.elapsed()))));
            return Some(());
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer within {} s", PATIENCE.as_secs()),
    };
    report.add(
        Finding::fail("connection", format!("{address}: {problem}"), Exit::Unavailable)
            .advise("does the server run there, and do firewalls let you through?"),
    );
    None
}

async fn connect(context: &Context, uri: &Uri, address: SocketAddr, report: &mut Report) -> Option<Client> {
    let encrypted = uri.scheme_str() == Some("https");
    match context.connect().await {
        Ok(client) => {
            let near = address.ip().is_loopback();
            report.add(match (encrypted, near) {
                (true, _) => {
                    let trust = context.settings.ca.as_ref();
                    let trust = trust.map_or("an authority that this computer trusts".to_owned(), |ca| {
                        format!("an authority in {}", ca.value.display())
                    });
                    Finding::ok("tls", format!("encrypted; the server's certificate is of {trust}"))
                }
                (false, true) => Finding::ok("tls", "not encrypted, and does not leave this computer"),
                (false, false) => Finding::warn("tls", "not encrypted: others may read and change what is sent")
                    .advise("use an https:// URL"),
            });
            Some(client)
        }
        Err(Failure::Client(error @ Error::Connect { .. })) if encrypted => {
            report.add(
                Finding::fail("tls", failure::line(&error), Exit::Unavailable)
                    .advise("whom to trust, --ca says; which name the certificate is of, --server-name"),
            );
            None
        }
        Err(failure) => {
            let name = if matches!(failure.exit(), Exit::Refused) { "identity" } else { "connection" };
            report.add(failed(name, &failure, "see the settings with: approve-cli config"));
            None
        }
    }
}

async fn look_at_caller(client: &Client, report: &mut Report) -> Option<GetCallerResponse> {
    match client.caller().await {
        Ok(caller) => {
            let grants: Vec<_> = caller.grants.iter().map(access::grant).collect();
            let who = format!("{} by {}", caller.principal, caller.via);
            report.add(if grants.is_empty() {
                Finding::warn("identity", format!("{who}, may do nothing"))
                    .advise("ask whoever operates the server for a role")
            } else {
                Finding::ok("identity", format!("{who}, may {}", grants.join("; ")))
            });
            Some(caller)
        }
        Err(error) => {
            let advice = match error.code() {
                Code::Unauthenticated => "sign in with login, or show a token or certificate; see approve-cli config",
                _ => "is this an approve-server, and does its URL begin with https:// where it has TLS?",
            };
            report.add(failed("identity", &Failure::Client(error), advice));
            None
        }
    }
}

async fn look_at_server(client: &Client, report: &mut Report) {
    let before = SystemTime::now();
    match client.server_info().await {
        Ok(info) => {
            report.add(version(&info));
            report.extend(clock(&info, before, SystemTime::now()));
        }
        Err(error) if error.code() == Code::Unimplemented => {
            report.add(Finding::warn("version", "the server is too old to tell its version").advise("update it"));
        }
        Err(error) => report.add(failed("version", &Failure::Client(error), "")),
    }
    match client.is_serving().await {
        Ok(true) => report.add(Finding::ok("health", "serving")),
        Ok(false) => report.add(
            Finding::fail("health", "not serving: it stops, or has lost its store", Exit::Unavailable)
                .advise("see its log, and /readyz beside its metrics"),
        ),
        Err(error) => report.add(failed("health", &Failure::Client(error), "")),
    }
}

fn version(info: &GetServerInfoResponse) -> Finding {
    let ours = env!("CARGO_PKG_VERSION");
    let what = format!("server {}, this program {ours}", info.version);
    // Below 1.0 it is the second number that tells what gets along.
    let line = |version: &str| version.splitn(3, '.').take(2).map(str::to_owned).collect::<Vec<_>>();
    if line(&info.version) == line(ours) {
        Finding::ok("version", what)
    } else {
        Finding::warn("version", what).advise("use a program of the server's version: what is new to one is lost on it")
    }
}

/// How far the clocks are apart, as well as can be told: the server's was read at some time in between.
fn clock(info: &GetServerInfoResponse, before: SystemTime, after: SystemTime) -> Option<Finding> {
    let moment = |time: SystemTime| jiff::Timestamp::try_from(time).ok();
    let theirs = info.time.as_ref().and_then(|time: &Timestamp| timestamp(time))?;
    let (before, after) = (moment(before)?, moment(after)?);
    let (apart, behind) = if theirs < before {
        (before.duration_since(theirs), false)
    } else if theirs > after {
        (theirs.duration_since(after), true)
    } else {
        (SignedDuration::ZERO, false)
    };
    if apart <= SKEW {
        return Some(Finding::ok("clock", "this computer's and the server's agree"));
    }
    let way = if behind { "behind" } else { "ahead of" };
    Some(
        Finding::warn("clock", format!("this computer is {} {way} the server", span(apart)))
            .advise("set the clocks by NTP: tokens and deadlines go by them"),
    )
}

fn may(caller: &GetCallerResponse, permission: Permission) -> bool {
    caller.grants.iter().any(|grant| grant.permissions.contains(&permission.into()))
}

async fn look_at_store(client: &Client, caller: &GetCallerResponse, report: &mut Report) {
    if !may(caller, Permission::View) {
        return report.add(Finding::skip("store", "it takes the permission to view"));
    }
    let begun = Instant::now();
    let list = List::pending().filter(Filter::new().awaiting_me(true)).page_size(COUNTED);
    match client.list(list).await {
        Ok(page) => {
            let more = if page.next.is_some() { " or more" } else { "" };
            let waiting = page.approvals.len();
            let took = millis(begun.elapsed());
            report.add(Finding::ok("store", format!("answered in {took}; {waiting}{more} wait for you")));
        }
        Err(error) => {
            report.add(failed("store", &Failure::Client(error), "see the server's log: what has become of its store?"));
        }
    }
}

/// As far as the API tells: what the server finds of the first workflow's resources.
async fn look_at_aws(client: &Client, caller: &GetCallerResponse, report: &mut Report) {
    if !may(caller, Permission::Provision) {
        return report.add(Finding::skip("aws", "it takes the permission to provision"));
    }
    let workflows = match client.list_workflows().await {
        Ok(workflows) => workflows,
        Err(error) => return report.add(failed("aws", &Failure::Client(error), "")),
    };
    let Some(workflow) = workflows.first() else {
        return report.add(Finding::skip("aws", "there is no workflow to look at"));
    };
    let name = &workflow.name;
    match client.workflow_drift(name.as_str()).await {
        Ok(drift) if plan::is_empty(&drift) => {
            let of = count(u64::try_from(workflows.len()).unwrap_or(u64::MAX), "workflow");
            report.add(Finding::ok("aws", format!("answered the server; {name}, of {of}, is as it was applied")));
        }
        Ok(_) => report.add(
            Finding::warn("aws", format!("answered the server; {name} is not as it was applied"))
                .advise(format!("see approve-cli workflow drift {name}")),
        ),
        Err(error) if error.reason() == Some(&Reason::PermissionMissing) => {
            report.add(Finding::skip("aws", "it takes the permission to provision"));
        }
        Err(error) => report.add(failed(
            "aws",
            &Failure::Client(error),
            "the server's credentials and network: see its log, and approve-server iam-policy",
        )),
    }
}

fn failed(name: &'static str, failure: &Failure, advice: &str) -> Finding {
    Finding { verdict: Verdict::Fail(failure.exit()), ..Finding::ok(name, failure::line(failure)) }.advise(advice)
}

fn millis(duration: Duration) -> String {
    format!("{} ms", duration.as_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_that_are_apart_are_told() {
        let second = |n| SystemTime::UNIX_EPOCH + Duration::from_secs(n);
        let look = |theirs: i64| {
            let time = Some(Timestamp { seconds: theirs, nanos: 0 });
            clock(&GetServerInfoResponse { version: String::new(), time }, second(100), second(102)).unwrap()
        };
        for good in [95, 100, 101, 102, 107] {
            assert_eq!(look(good).verdict, Verdict::Ok, "{good}");
        }
        assert!(look(94).what.contains("6s ahead of"), "{:?}", look(94));
        assert!(look(112).what.contains("10s behind"), "{:?}", look(112));
    }

    #[test]
    fn versions_of_one_line_get_along() {
        let look = |theirs: &str| version(&GetServerInfoResponse { version: theirs.into(), time: None }).verdict;
        assert_eq!(look(env!("CARGO_PKG_VERSION")), Verdict::Ok);
        assert_eq!(look("99.1.0"), Verdict::Warn);
    }
}
