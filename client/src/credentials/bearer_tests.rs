use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

#[tokio::test]
async fn a_token_from_memory_has_no_successor() {
    let token = BearerToken::new(" abc\n");
    let secret = token.get().await.unwrap();
    assert_eq!(secret.expose(), "abc");
    assert_eq!(token.renew(&secret).await.unwrap(), None);
    assert!(!token.is_renewable());
}

#[tokio::test]
async fn a_file_is_read_again_when_it_changed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    let token = BearerToken::from_file(&path);
    assert!(matches!(token.get().await, Err(Error::Credentials { .. })));
    std::fs::write(&path, "first\n").unwrap();
    let first = token.get().await.unwrap();
    assert_eq!(first.expose(), "first");
    assert_eq!(token.renew(&first).await.unwrap(), None);
    std::fs::write(&path, "the second").unwrap();
    assert_eq!(token.get().await.unwrap().expose(), "the second");
    // A change that the time stamp does not show is found once the token is refused.
    let modified = std::fs::metadata(&path).unwrap().modified().unwrap();
    std::fs::write(&path, "THE SECOND").unwrap();
    std::fs::File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
    let stale = token.get().await.unwrap();
    assert_eq!(stale.expose(), "the second");
    assert_eq!(token.renew(&stale).await.unwrap().unwrap().expose(), "THE SECOND");
    std::fs::write(&path, vec![b'x'; 70_000]).unwrap();
    let error = token.get().await.unwrap_err();
    assert!(error.to_string().contains(&path.display().to_string()), "{error}");
}

#[tokio::test]
async fn a_callback_is_asked_once_for_each_token_that_was_refused() {
    let asked = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&asked);
    let token = BearerToken::from_fn(move || {
        let n = counter.fetch_add(1, Ordering::Relaxed);
        async move { Ok::<_, std::io::Error>(format!("t{n}")) }
    });
    let first = token.get().await.unwrap();
    assert_eq!(token.get().await.unwrap(), first);
    let (a, b) = tokio::join!(token.renew(&first), token.renew(&first));
    assert_eq!(a.unwrap().unwrap().expose(), "t1");
    assert_eq!(b.unwrap().unwrap().expose(), "t1");
    assert_eq!(asked.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_callback_that_fails_is_the_reason_and_asked_again_by_the_next_call() {
    let asked = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&asked);
    let token = BearerToken::from_fn(move || {
        let n = counter.fetch_add(1, Ordering::Relaxed);
        async move { if n == 0 { Err("the issuer is down") } else { Ok("t".to_owned()) } }
    });
    let error = token.get().await.unwrap_err();
    let Error::Credentials { source, .. } = &error else { panic!("{error:?}") };
    assert_eq!(source.to_string(), "the issuer is down");
    assert_eq!(token.get().await.unwrap().expose(), "t");
}

#[test]
fn nothing_shows_a_secret() {
    let token = BearerToken::new("planted");
    assert!(!format!("{token:?} {:?}", Secret::new("planted")).contains("planted"));
}
