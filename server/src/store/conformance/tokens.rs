//! API tokens.

use super::{Bed, seconds};
use crate::{
    approval::Origin,
    store::{ApiTokenRecord, EventQuery},
};

fn token(digest: u8, name: &str, second: i64) -> ApiTokenRecord {
    ApiTokenRecord {
        digest: vec![digest; 32],
        name: name.to_owned(),
        grants: r#"[{"permissions":["view"],"workflows":[],"labels":{}}]"#.to_owned(),
        seal: vec![digest + 1; 32],
        created: seconds(second),
        created_by: Origin::system("test").by,
        expires: seconds(second + 100),
        revoked: None,
    }
}

pub(crate) async fn a_token_is_kept_until_it_is_revoked(bed: &dyn Bed) {
    let origin = || Origin::system("test");
    let store = bed.open().await;
    let (bot, other) = (token(1, "bot", 0), token(3, "a", 1));
    assert!(store.put_api_token(bot.clone(), origin()).await.unwrap());
    assert!(store.put_api_token(other.clone(), origin()).await.unwrap());
    assert!(!store.put_api_token(token(5, "bot", 50), origin()).await.unwrap(), "two of a name are alive");
    assert_eq!(store.api_tokens().await.unwrap(), [other.clone(), bot.clone()]);

    let at = seconds(60);
    assert_eq!(store.revoke_api_token("nobody", origin(), at).await.unwrap(), None);
    let revoked = ApiTokenRecord { revoked: Some(at), ..bot };
    assert_eq!(store.revoke_api_token("bot", origin(), at).await.unwrap(), Some(revoked.clone()));
    let later = seconds(65);
    assert_eq!(store.revoke_api_token("bot", origin(), later).await.unwrap(), Some(revoked.clone()), "it moved");

    let again = token(7, "bot", 61);
    assert!(store.put_api_token(again.clone(), origin()).await.unwrap(), "the name is not free");
    // One that has expired does not hold its name either.
    let third = token(9, "a", 101);
    assert!(store.put_api_token(third.clone(), origin()).await.unwrap());
    let all = [third, other, again, revoked];
    assert_eq!(store.api_tokens().await.unwrap(), all);
    drop(store);
    assert_eq!(bed.open().await.api_tokens().await.unwrap(), all);
}

pub(crate) async fn what_is_done_with_tokens_is_recorded(bed: &dyn Bed) {
    let store = bed.open().await;
    let origin = || Origin::system("test");
    store.put_api_token(token(1, "bot", 0), origin()).await.unwrap();
    store.put_api_token(token(3, "bot", 1), origin()).await.unwrap();
    for second in [2, 3] {
        store.revoke_api_token("bot", origin(), seconds(second)).await.unwrap();
    }
    let events = store.events(EventQuery { limit: 10, ..EventQuery::default() }).await.unwrap().events;
    let records: Vec<_> = events.iter().rev().map(|event| event.record.as_str()).collect();
    assert_eq!(records.len(), 2, "{records:?}");
    assert!(records[0].contains("token_created") && records[0].contains("service:bot"), "{}", records[0]);
    assert!(records[0].contains("view"), "{}", records[0]);
    assert!(records[1].contains("token_revoked"), "{}", records[1]);
}
