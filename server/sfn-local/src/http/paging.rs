//! Pages of lists: sizes and opaque tokens.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::engine::ApiError;

const DEFAULT: usize = 100;
const MAX_TOKEN: usize = 1024;
/// The most entries on a page.
pub(super) const MAX_PAGE: u64 = 1000;

/// What a token is only good for: the operation and the parameters that choose the list.
pub(super) struct Paging {
    tag: [u8; 8],
}

impl Paging {
    pub(super) fn new(operation: &str, parameters: &[&str]) -> Self {
        let mut hash = Sha256::new();
        for part in [&[operation], parameters].concat() {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let mut tag = [0; 8];
        tag.iter_mut().zip(hash.finalize()).for_each(|(to, from)| *to = from);
        Self { tag }
    }

    /// The place that a token stands for; `None` without one.
    pub(super) fn read(&self, token: Option<&str>) -> Result<Option<u64>, ApiError> {
        let Some(token) = token else { return Ok(None) };
        if token.is_empty() || token.len() > MAX_TOKEN {
            let constraint = format!("Member must have length between 1 and {MAX_TOKEN}");
            return Err(ApiError::constraint("'***'", "nextToken", &constraint));
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).ok();
        let place = bytes.as_deref().and_then(|bytes| {
            let (tag, place) = bytes.split_first_chunk::<8>()?;
            (*tag == self.tag).then(|| place.try_into().ok().map(u64::from_be_bytes)).flatten()
        });
        let invalid = || ApiError::new("InvalidToken", format!("Invalid Token: '{token}'"));
        place.map(Some).ok_or_else(invalid)
    }

    pub(super) fn write(&self, place: u64) -> String {
        URL_SAFE_NO_PAD.encode([self.tag, place.to_be_bytes()].concat())
    }

    /// The page of `items` that the token stands for, put into `answer` under `field`.
    pub(super) fn slice(
        &self,
        items: Vec<Value>,
        token: Option<&str>,
        max_results: Option<i64>,
        field: &str,
    ) -> Result<Value, ApiError> {
        let limit = limit(max_results, MAX_PAGE)?;
        let start = usize::try_from(self.read(token)?.unwrap_or(0)).unwrap_or(usize::MAX);
        let total = items.len();
        let page: Vec<Value> = items.into_iter().skip(start).take(limit).collect();
        let end = start.saturating_add(page.len());
        let mut answer = Map::new();
        answer.insert(field.to_owned(), Value::Array(page));
        if end < total {
            answer.insert("nextToken".to_owned(), Value::String(self.write(end as u64)));
        }
        Ok(Value::Object(answer))
    }
}

/// The size of a page: 0 and absent stand for 100.
pub(super) fn limit(max_results: Option<i64>, max: u64) -> Result<usize, ApiError> {
    let Some(wanted) = max_results else { return Ok(DEFAULT) };
    let bound =
        if wanted < 0 { "greater than or equal to 0".to_owned() } else { format!("less than or equal to {max}") };
    match u64::try_from(wanted) {
        Ok(0) => Ok(DEFAULT),
        Ok(wanted) if wanted <= max => Ok(usize::try_from(wanted).unwrap_or(DEFAULT)),
        _ => {
            let constraint = format!("Member must have value {bound}");
            Err(ApiError::constraint(&format!("'{wanted}'"), "maxResults", &constraint))
        }
    }
}
