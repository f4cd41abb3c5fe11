use std::io::{self, BufRead, IsTerminal, Write};

use crate::failure::Failure;

/// Whether there is a person who can answer.
pub(crate) fn is_possible() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks on stderr and returns the answer, trimmed; `None` at the end of input.
pub(crate) async fn ask(question: &str) -> Result<Option<String>, Failure> {
    let question = question.to_owned();
    let read = move || -> io::Result<Option<String>> {
        let mut stderr = io::stderr().lock();
        stderr.write_all(question.as_bytes())?;
        stderr.flush()?;
        let mut answer = String::new();
        if io::stdin().lock().read_line(&mut answer)? == 0 {
            stderr.write_all(b"\n")?;
            return Ok(None);
        }
        Ok(Some(answer.trim().to_owned()))
    };
    // On a thread of its own, so that the connection stays alive while the person thinks.
    let failed = |source| Failure::Read { what: "can't read the answer".into(), source };
    tokio::task::spawn_blocking(read).await.map_err(|error| failed(io::Error::other(error)))?.map_err(failed)
}
