//! A target: where messages go, which ones, and how each is sent.

use std::{path::PathBuf, sync::Arc, time::Duration};

use http::Uri;
use jiff::{SignedDuration, Timestamp};

use super::{
    Outside, SetupError,
    address::Reach,
    email::{self, Email},
    failure::{Failure, Fault, chain},
    message::{Include, Message},
    notice::notices,
    post::Poster,
    route::{Recipient, Route, To, recipients},
    sign::Signer,
    slack::{self, Slack},
    tls,
    webhook::{self, Webhook},
};
use crate::{approval::Approval, store::Change};

/// A target, as it was set.
#[derive(Debug)]
pub struct TargetSettings {
    /// Its name, kept for ever: what it was told is known by it.
    pub name: String,
    /// What it is.
    pub channel: ChannelSettings,
    /// What it is told beyond the facts.
    pub include: Vec<Include>,
    /// What it is told of: what takes one of these.
    pub routes: Vec<Route>,
    /// How long one try may take.
    pub timeout: Duration,
    /// Messages under way at once, at most.
    pub concurrency: usize,
    /// How long a message is tried.
    pub give_up_after: SignedDuration,
}

/// What a target is.
#[derive(Debug)]
pub enum ChannelSettings {
    /// A webhook.
    Webhook {
        /// How it is reached.
        http: HttpSettings,
        /// What signs.
        signer: Option<Signer>,
    },
    /// An incoming webhook of Slack's.
    Slack {
        /// How it is reached.
        http: HttpSettings,
    },
    /// Mail.
    Email(email::Server),
}

/// How a target is reached over HTTP.
pub struct HttpSettings {
    /// Where. May be secret.
    pub url: Uri,
    /// Which addresses it may be at.
    pub reach: Reach,
    /// A file of PEM roots of its certificate. Absent: the system's.
    pub roots: Option<PathBuf>,
}

impl std::fmt::Debug for HttpSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpSettings").field("host", &self.url.host()).finish_non_exhaustive()
    }
}

#[derive(Debug)]
enum Channel {
    Webhook(Webhook),
    Slack(Slack),
    Email(Email),
}

/// A target that can be sent to.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) name: String,
    channel: Channel,
    pub(super) include: Vec<Include>,
    routes: Vec<Route>,
    pub(super) concurrency: usize,
    pub(super) give_up_after: SignedDuration,
}

impl Target {
    pub(super) fn new(settings: TargetSettings) -> Result<Self, SetupError> {
        let TargetSettings { name, channel, include, routes, timeout, concurrency, give_up_after } = settings;
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| SetupError { target: name.clone(), source };
        let poster = |http: HttpSettings, refusals: &'static [u16]| {
            let tls = tls::client(http.roots.as_deref()).map_err(|error| failed(error.into()))?;
            Ok(Poster::new(http.url, http.reach, timeout, tls, refusals))
        };
        let channel = match channel {
            ChannelSettings::Webhook { http, signer } => {
                Channel::Webhook(Webhook { poster: poster(http, &webhook::REFUSALS)?, signer })
            }
            ChannelSettings::Slack { http } => Channel::Slack(Slack { poster: poster(http, &slack::REFUSALS)? }),
            ChannelSettings::Email(server) => {
                Channel::Email(Email::new(server, timeout).map_err(|error| failed(error.into()))?)
            }
        };
        Ok(Self { name, channel, include, routes, concurrency, give_up_after })
    }

    /// Whether people read what it gets: they need not be asked for what is over.
    pub(super) fn is_for_people(&self) -> bool {
        !matches!(self.channel, Channel::Webhook(_))
    }

    /// The messages that a change makes, in order.
    pub(super) fn plan(&self, change: &Change, outside: &Outside) -> Vec<Message> {
        let taken = notices(change).into_iter();
        let taken = taken.filter(|notice| self.routes.iter().any(|route| route.takes(notice, &change.after)));
        let mut messages = Vec::new();
        for notice in taken {
            let approval = || Arc::clone(&change.after);
            match self.recipients() {
                None => messages.push(Message::new(&self.name, notice, None, approval())),
                Some(to) => {
                    for recipient in recipients(&notice, to, &outside.directory) {
                        messages.push(Message::new(&self.name, notice.clone(), Some(recipient), approval()));
                    }
                }
            }
        }
        messages
    }

    fn recipients(&self) -> Option<&[To]> {
        match &self.channel {
            Channel::Email(email) => Some(&email.to),
            Channel::Webhook(_) | Channel::Slack(_) => None,
        }
    }

    /// Sends a message, once.
    pub(super) async fn send(
        &self,
        message: &Message,
        approval: Option<&Approval>,
        outside: &Outside,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let unwritable = |error: &dyn std::error::Error| Failure::new(Fault::Lasting, chain(error));
        let links = outside.links.as_deref();
        match &self.channel {
            Channel::Webhook(webhook) => {
                let body = webhook::body(&message.notice, approval, &self.include, &outside.source, links);
                webhook.send(message, body.map_err(|error| unwritable(&error))?, now).await
            }
            Channel::Slack(slack) => slack.send(&slack::body(&message.notice, links)).await,
            Channel::Email(email) => {
                let nobody = Recipient { address: String::new(), person: None };
                let to = message.to.as_ref().unwrap_or(&nobody);
                let written = email::write(message, to, approval, &self.include, links);
                email.send(message, to, written.map_err(|error| unwritable(&error))?, now).await
            }
        }
    }
}
