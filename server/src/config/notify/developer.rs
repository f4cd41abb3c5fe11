//! What `dev` tells, and to whom.

use std::collections::BTreeMap;

use super::{HookUrl, Notify, NotifyRoute, Target, Webhook, default_concurrency, default_timeout};

impl Notify {
    /// Everything is told to these webhooks, which may be where a developer's are: on loopback, and in private networks.
    #[must_use]
    pub fn of_developer(webhooks: Vec<HookUrl>) -> Self {
        let networks = ["127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"];
        let target = |(at, url): (usize, HookUrl)| Target {
            name: format!("webhook-{}", at + 1),
            webhook: Some(Webhook {
                url: Some(url),
                url_file: None,
                secret_files: Vec::new(),
                allow_networks: networks.map(str::to_owned).to_vec(),
                ca_file: None,
            }),
            slack: None,
            email: None,
            include: Vec::new(),
            timeout_seconds: default_timeout(),
            concurrency: default_concurrency(),
            // What happened while nobody listened is old news to them.
            give_up_hours: 1,
        };
        let target: Vec<_> = webhooks.into_iter().enumerate().map(target).collect();
        let to: Vec<_> = target.iter().map(|target| target.name.clone()).collect();
        let everything =
            NotifyRoute { to, on: Vec::new(), workflows: Vec::new(), labels: BTreeMap::new(), approvers: Vec::new() };
        let route = if target.is_empty() { Vec::new() } else { vec![everything] };
        Self { target, route, ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::ChannelSettings;

    #[test]
    fn a_developer_is_told_everything_on_loopback_and_in_private_networks() {
        let urls = ["http://127.0.0.1:8080/", "http://[::1]:8081/"].map(|url| url.parse().unwrap());
        let settings = Notify::of_developer(urls.to_vec()).settings().unwrap();
        assert_eq!(settings.targets.len(), 2);
        for target in settings.targets {
            assert_eq!(target.routes, [crate::notify::Route::default()]);
            let ChannelSettings::Webhook { http, signer: None } = target.channel else {
                panic!("another channel, or signed")
            };
            for (address, holds) in
                [("127.0.0.1", true), ("::1", true), ("172.17.0.1", true), ("169.254.169.254", false)]
            {
                assert_eq!(http.reach.holds(address.parse().unwrap()), holds, "{address}");
            }
        }
        assert_eq!(Notify::of_developer(Vec::new()), Notify::default());
    }
}
