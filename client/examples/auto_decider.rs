//! A service that decides small invoices by itself: up to a limit it approves, above it rejects, and what has no
//! amount it leaves to people.
//!
//! ```text
//! cargo run -p approve-server -- dev
//! cargo run -p approve-client --example auto_decider -- http://127.0.0.1:50051 1000.00
//! cargo run -p approve-cli -- start --input '{"invoice": 4711, "amount": 999.99}'
//! ```

use std::{cmp::Ordering, fmt, str::FromStr};

use anyhow::Context;
use approve_client::{Approval, Client, Config, Credentials, Decide, Reason, Watch, WatchEvent};
use futures::StreamExt;
use serde::Deserialize;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let url = args.next().unwrap_or_else(|| "http://127.0.0.1:50051".to_owned());
    let limit: Decimal = args.next().as_deref().unwrap_or("1000.00").parse().context("the limit")?;

    let me = Credentials::asserted("user:auto-decider", ["services"]);
    let client = Client::connect_lazy(Config::new(url).credentials(me))?;
    let mut events = client.watch(Watch::new());
    println!("deciding invoices up to {limit}; Ctrl-C ends it");
    loop {
        let event = tokio::select! {
            _ = tokio::signal::ctrl_c() => return Ok(()),
            event = events.next() => event,
        };
        match event.transpose()? {
            Some(WatchEvent::Upserted(approval)) => decide(&client, &approval, &limit).await?,
            Some(WatchEvent::Disconnected { cause, retry_in }) => eprintln!("{cause}; again in {retry_in:?}"),
            Some(_) => {}
            None => return Ok(()),
        }
    }
}

async fn decide(client: &Client, approval: &Approval, limit: &Decimal) -> anyhow::Result<()> {
    let Some(amount) = amount(&approval.input_json) else {
        println!("{}: no amount, left to people", approval.id);
        return Ok(());
    };
    let decide = if amount <= *limit {
        Decide::approve(&approval.id).comment(format!("{amount} is within {limit}"))
    } else {
        Decide::reject(&approval.id).comment(format!("{amount} is over {limit}"))
    };
    // What was looked at is what is decided: not a version that came after it.
    match client.decide(decide.etag(&approval.etag)).await {
        Ok(decided) => println!("{}: {}", approval.id, decided.approval.status().as_str_name()),
        Err(error) => match error.reason() {
            // Someone was faster; or it changed, and comes again.
            Some(Reason::AlreadyDecided | Reason::EtagMismatch) => {}
            Some(Reason::NotAnApprover | Reason::SelfApproval) => println!("{}: not mine", approval.id),
            // Started again, the service is shown all that is pending, this one too.
            _ => return Err(error.into()),
        },
    }
    Ok(())
}

/// The invoice's amount: a JSON number, or a string that holds one. Never by way of a float.
fn amount(input_json: &str) -> Option<Decimal> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Amount {
        Number(serde_json::Number),
        Text(String),
    }
    #[derive(Deserialize)]
    struct Invoice {
        amount: Amount,
    }
    match serde_json::from_str::<Invoice>(input_json).ok()?.amount {
        Amount::Number(number) => number.to_string().parse().ok(),
        Amount::Text(text) => text.parse().ok(),
    }
}

/// A decimal number that is not negative, of any length, compared digit by digit.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Decimal {
    /// Without leading zeros.
    whole: String,
    /// Without trailing zeros.
    fraction: String,
}

impl FromStr for Decimal {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        anyhow::ensure!(!whole.is_empty() && digits(whole) && digits(fraction), "{text:?} is not a plain amount");
        Ok(Self {
            whole: whole.trim_start_matches('0').to_owned(),
            fraction: fraction.trim_end_matches('0').to_owned(),
        })
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        let longer = self.whole.len().cmp(&other.whole.len());
        longer.then_with(|| self.whole.cmp(&other.whole)).then_with(|| self.fraction.cmp(&other.fraction))
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = if self.whole.is_empty() { "0" } else { &self.whole };
        write!(f, "{whole}.{:0<2}", self.fraction)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_compared_exactly() {
        let decimal = |text: &str| text.parse::<Decimal>().unwrap();
        assert!(decimal("999.99") < decimal("1000"));
        assert!(decimal("1000.000000000000000000001") > decimal("1000.00"));
        assert!(decimal("0.30") == decimal("00.3"));
        assert!(decimal("10000000000000000000000000000") > decimal("9999999999999999999999999999.9"));
        assert_eq!(decimal("1200.5").to_string(), "1200.50");
        for bad in ["", "-1", "1e3", ".5", "1.2.3", "NaN"] {
            assert!(bad.parse::<Decimal>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn amounts_are_found() {
        assert_eq!(amount(r#"{"amount": 1200.50}"#), "1200.5".parse().ok());
        assert_eq!(amount(r#"{"amount": "0.1"}"#), "0.1".parse().ok());
        for none in ["{}", "[]", r#"{"amount": 1e3}"#, r#"{"amount": null}"#, "not json"] {
            assert_eq!(amount(none), None, "{none}");
        }
    }
}
