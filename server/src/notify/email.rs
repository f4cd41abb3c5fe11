//! Mail, over SMTP: as text and as HTML, to one recipient each.

use std::time::{Duration, SystemTime};

use askama::Template;
use jiff::Timestamp;
use lettre::{
    AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor,
    message::{
        Mailbox, Message as Mail, MultiPart,
        header::{HeaderName, HeaderValue},
    },
    transport::smtp::{
        self,
        authentication::Credentials,
        client::{Certificate, CertificateStore, Tls, TlsParameters},
    },
};

use super::{
    failure::{Failure, Fault, chain},
    link::Links,
    message::{Include, Message},
    route::{Recipient, To},
    words,
};
use crate::approval::Approval;

/// The longest text that is shown of a payload or a description, in characters.
const LONGEST: usize = 20_000;

/// How a mail server is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encryption {
    /// TLS from the start.
    Tls,
    /// TLS after STARTTLS; nothing is sent without.
    Starttls,
    /// None.
    None,
}

/// A mail server, and who writes.
pub struct Server {
    /// Its name.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How it is reached.
    pub encryption: Encryption,
    /// PEM of the roots of its certificate. Absent: the system's.
    pub roots: Option<Vec<u8>>,
    /// Name and password.
    pub credentials: Option<(String, String)>,
    /// Who writes.
    pub from: Mailbox,
    /// Whom mail goes to.
    pub to: Vec<To>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("host", &self.host).field("port", &self.port).finish_non_exhaustive()
    }
}

/// A mail server, connected to as needed.
#[derive(Debug)]
pub(super) struct Email {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    timeout: Duration,
    from: Mailbox,
    pub(super) to: Vec<To>,
}

#[derive(Template)]
#[template(path = "notify/email.html")]
struct Html<'a> {
    heading: &'a str,
    title: &'a str,
    facts: &'a [(&'static str, String)],
    more: &'a [(&'static str, String)],
    url: Option<&'a str>,
    action: &'a str,
    personal: bool,
}

#[derive(Template)]
#[template(path = "notify/email.txt", escape = "none")]
struct Text<'a> {
    heading: &'a str,
    title: &'a str,
    facts: &'a [(&'static str, String)],
    more: &'a [(&'static str, String)],
    url: Option<&'a str>,
    action: &'a str,
    personal: bool,
}

/// A mail, as text and as HTML.
pub(super) struct Written {
    subject: String,
    text: String,
    html: String,
}

/// Writes a message. Of `approval` there is in it what the target includes.
pub(super) fn write(
    message: &Message,
    to: &Recipient,
    approval: Option<&Approval>,
    include: &[Include],
    links: Option<&Links>,
) -> Result<Written, askama::Error> {
    let notice = &message.notice;
    let (heading, title, facts) = (words::heading(notice), words::title(notice), words::facts(notice));
    let more = approval.map(|approval| details(approval, include)).unwrap_or_default();
    let is_own = notice.kind.asks() && links.is_some_and(Links::are_signed);
    let own = to.person.as_ref().filter(|_| is_own);
    let url = links.map(|links| match own {
        Some(person) => links.for_person(&notice.approval, person, notice.at),
        None => links.page(&notice.approval),
    });
    let personal = own.is_some();
    let action = if notice.kind.asks() { "Review and decide" } else { "See the approval" };
    let (heading, title, facts, more, url) = (&*heading, &*title, &*facts, &*more, url.as_deref());
    Ok(Written {
        subject: format!("{heading}: {title}"),
        text: Text { heading, title, facts, more, url, action, personal }.render()?,
        html: Html { heading, title, facts, more, url, action, personal }.render()?,
    })
}

fn details(approval: &Approval, include: &[Include]) -> Vec<(&'static str, String)> {
    let mut more = Vec::new();
    let description = &approval.request.description;
    if include.contains(&Include::Description) && !description.is_empty() {
        more.push(("Description", shown(description)));
    }
    if include.contains(&Include::Comments) {
        let said = approval.votes.iter().filter(|vote| !vote.comment.is_empty());
        let said: Vec<_> = said.map(|vote| format!("{}: {}", words::name(&vote.voter), shown(&vote.comment))).collect();
        if !said.is_empty() {
            more.push(("Comments", said.join("\n")));
        }
    }
    if include.contains(&Include::Payload) {
        more.push(("Payload", shown(&approval.input)));
    }
    more
}

/// A text of several lines, without other control characters.
fn shown(text: &str) -> String {
    text.chars().filter(|c| *c == '\n' || *c == '\t' || !c.is_control()).take(LONGEST).collect()
}

impl Email {
    pub(super) fn new(server: Server, timeout: Duration) -> Result<Self, smtp::Error> {
        let Server { host, port, encryption, roots, credentials, from, to } = server;
        let tls = || {
            let mut tls = TlsParameters::builder(host.clone());
            if let Some(pem) = &roots {
                tls = tls.certificate_store(CertificateStore::None);
                tls = tls.add_root_certificate(Certificate::from_pem(pem)?);
            }
            tls.build()
        };
        let tls = match encryption {
            Encryption::Tls => Tls::Wrapper(tls()?),
            Encryption::Starttls => Tls::Required(tls()?),
            Encryption::None => Tls::None,
        };
        let mut transport =
            AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&host).port(port).tls(tls).timeout(Some(timeout));
        if let Some((name, password)) = credentials {
            transport = transport.credentials(Credentials::new(name, password));
        }
        Ok(Self { transport: transport.build(), timeout, from, to })
    }

    pub(super) async fn send(
        &self,
        message: &Message,
        to: &Recipient,
        written: Written,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let mail = self.mail(message, to, written, now).map_err(|problem| Failure::new(Fault::Lasting, problem))?;
        // A whole conversation; each command has its own time as well.
        match tokio::time::timeout(self.timeout * 3, self.transport.send(mail)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(failure(&error)),
            Err(_) => Err(Failure::new(Fault::Target, format!("not sent within {} s", self.timeout.as_secs() * 3))),
        }
    }

    /// The mail. Its id is the message's, so that mail servers see that they have it already.
    fn mail(&self, message: &Message, to: &Recipient, written: Written, now: Timestamp) -> Result<Mail, String> {
        let Written { subject, text, html } = written;
        let domain = self.from.email.domain();
        let address = to.address.parse().map_err(|error| format!("{:?} is no address: {error}", to.address))?;
        let header =
            |name: &'static str, value: &str| HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned());
        let thread = format!("<{}@{domain}>", message.notice.approval);
        let mail = Mail::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, address))
            .subject(subject)
            .date(SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(now.as_second()).unwrap_or(0)))
            .message_id(Some(format!("<{}@{domain}>", message.id)))
            .references(thread)
            .raw_header(header("Auto-Submitted", "auto-generated"))
            .raw_header(header("X-Auto-Response-Suppress", "All"))
            .multipart(MultiPart::alternative_plain_html(text, html));
        mail.map_err(|error| chain(&error))
    }
}

fn failure(error: &smtp::Error) -> Failure {
    let reason = chain(error);
    let code = error.status().map(u16::from);
    let fault = match code {
        // Whoever sends may not, or has to say who they are.
        Some(421 | 454 | 530 | 534 | 535 | 538) => Fault::Target,
        Some(500..=599) => Fault::Lasting,
        Some(400..=499) => Fault::Message,
        _ => Fault::Target,
    };
    Failure::new(fault, reason)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::SignedDuration;

    use super::*;
    use crate::notify::{notice::Kind, test_notice};

    fn recipient(person: Option<&str>) -> Recipient {
        Recipient { address: "ana@example.com".to_owned(), person: person.map(|name| name.parse().unwrap()) }
    }

    fn email() -> Email {
        let server = Server {
            host: "127.0.0.1".to_owned(),
            port: 25,
            encryption: Encryption::None,
            roots: None,
            credentials: None,
            from: "Approve <approve@example.com>".parse().unwrap(),
            to: Vec::new(),
        };
        Email::new(server, Duration::from_secs(1)).unwrap()
    }

    fn message(title: &str) -> Message {
        let approval =
            crate::approval::arbitrary::new_approval(crate::notify::test_request(title), r#"{"amount":1200.50}"#);
        Message::new("mail", test_notice(title), Some(recipient(None)), Arc::new(approval))
    }

    fn sent(title: &str, to: &Recipient, include: &[Include], links: Option<&Links>) -> String {
        let message = message(title);
        let written = write(&message, to, message.approval.as_deref(), include, links).unwrap();
        let mail = email().mail(&message, to, written, message.notice.at).unwrap();
        String::from_utf8(mail.formatted()).unwrap()
    }

    #[test]
    fn a_title_adds_no_header() {
        let mail = sent("Pay\r\nBcc: eve@evil.example\r\n\r\nbody", &recipient(None), &[], None);
        let head = mail.split("\r\n\r\n").next().unwrap();
        assert!(!head.lines().any(|line| line.to_ascii_lowercase().starts_with("bcc")), "{head}");
        assert!(head.contains("Subject: Approval needed: Pay Bcc: eve@evil.example body"), "{head}");
        assert!(head.contains("Auto-Submitted: auto-generated"), "{head}");
        assert!(head.contains("Message-ID: <mail.7.requested."), "{head}");
    }

    #[test]
    fn markup_in_a_title_is_text() {
        let message = message("<script>alert(1)</script> & <a href=\"https://evil.example\">x</a>");
        let written = write(&message, &recipient(None), None, &[], None).unwrap();
        assert!(!written.html.contains("<script") && !written.html.contains("evil.example\">"), "{}", written.html);
        assert!(written.text.contains("<script>alert(1)</script> & <a href="), "{}", written.text);
    }

    #[test]
    fn a_payload_is_mailed_only_where_it_is_included() {
        let message = message("Pay");
        let with = |include: &[Include]| {
            let written = write(&message, &recipient(None), message.approval.as_deref(), include, None).unwrap();
            [written.text, written.html, written.subject].concat()
        };
        assert!(!with(&[]).contains("1200.50"));
        assert!(!with(&[Include::Comments, Include::Description]).contains("1200.50"));
        assert!(with(&[Include::Payload]).contains("1200.50"));
    }

    #[test]
    fn a_person_gets_a_link_of_their_own_and_a_group_the_page() {
        let links = Links::new("https://approve.example.com", &[vec![1; 32]], SignedDuration::from_hours(1));
        let mut message = message("Pay");
        let text = |message: &Message, to| write(message, &to, None, &[], Some(&links)).unwrap().text;
        let own = text(&message, recipient(Some("user:ana")));
        assert!(own.contains("Review and decide: https://approve.example.com/link/") && own.contains("alone"), "{own}");
        let page = text(&message, recipient(None));
        assert!(page.contains("https://approve.example.com/approvals/apr_") && !page.contains("alone"), "{page}");
        message.notice.kind = Kind::Canceled;
        let ended = text(&message, recipient(Some("user:ana")));
        assert!(ended.contains("See the approval: https://approve.example.com/approvals/apr_"), "{ended}");
    }
}
