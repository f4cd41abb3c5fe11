//! Files that pages use. They are part of the program, and never change under their address.

use axum::{
    extract::Path,
    response::{IntoResponse as _, Response},
};
use http::{
    StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE},
};

struct Asset {
    name: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
}

const STYLE: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

const ASSETS: [Asset; 5] = [
    Asset { name: "app.css", kind: STYLE, bytes: include_bytes!("../../assets/app.css") },
    Asset { name: "app.js", kind: SCRIPT, bytes: include_bytes!("../../assets/app.js") },
    Asset { name: "htmx.min.js", kind: SCRIPT, bytes: include_bytes!("../../assets/htmx.min.js") },
    Asset { name: "htmx-sse.js", kind: SCRIPT, bytes: include_bytes!("../../assets/htmx-sse.js") },
    Asset { name: "icon.svg", kind: "image/svg+xml", bytes: include_bytes!("../../assets/icon.svg") },
];

/// Another one for other files.
const VERSION: u64 = version();

const fn version() -> u64 {
    // FNV-1a: nobody attacks our own files.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut at = 0;
    while at < ASSETS.len() {
        let bytes = ASSETS[at].bytes;
        let mut of = 0;
        while of < bytes.len() {
            hash = (hash ^ bytes[of] as u64).wrapping_mul(0x0000_0100_0000_01b3);
            of += 1;
        }
        at += 1;
    }
    hash
}

/// Where a file is.
pub(super) fn path(name: &str) -> String {
    format!("/assets/{VERSION:016x}/{name}")
}

pub(super) async fn serve(Path((version, name)): Path<(String, String)>) -> Response {
    let Some(asset) = ASSETS.iter().find(|asset| asset.name == name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    // A page of another version asks a server of this one, while both serve: it gets what there is, for now.
    let kept = match version == format!("{VERSION:016x}") {
        true => "public, max-age=31536000, immutable",
        false => "no-cache",
    };
    ([(CONTENT_TYPE, asset.kind), (CACHE_CONTROL, kept)], asset.bytes).into_response()
}
