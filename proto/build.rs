//! Generates the API from `approve/v1/*.proto` with protox: no `protoc` is needed.

use std::{env, fs, path::PathBuf};

use prost::Message as _;

const FILES: [&str; 4] =
    ["approve/v1/access.proto", "approve/v1/approvals.proto", "approve/v1/audit.proto", "approve/v1/workflows.proto"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=approve");
    let descriptors = protox::compile(FILES, ["."])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("approve.v1.bin"), descriptors.encode_to_vec())?;
    // A call that a server does not implement is UNIMPLEMENTED: test servers implement what they play.
    tonic_prost_build::configure().generate_default_stubs(true).compile_fds(descriptors)?;
    Ok(())
}
