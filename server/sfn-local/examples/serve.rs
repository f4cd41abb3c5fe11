//! Serves on the port given as the first argument, until Ctrl-C. `cargo run -p sfn-local --example serve -- 4566`
#![allow(clippy::print_stdout, reason = "an example talks to its user")]

use std::error::Error;

use sfn_local::{Options, Server};
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let port = std::env::args().nth(1).map_or(Ok(0), |text| text.parse())?;
    let server = Server::bind(Options { addr: ([127, 0, 0, 1], port).into(), ..Options::default() }).await?;
    println!("{}", server.endpoint());
    let cancel = CancellationToken::new();
    let serving = tokio::spawn(server.serve(cancel.clone()));
    tokio::signal::ctrl_c().await?;
    cancel.cancel();
    serving.await??;
    Ok(())
}
