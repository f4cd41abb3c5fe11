//! The device authorization grant: a code to be typed into a browser anywhere.

use oauth2::{DeviceAuthorizationUrl, StandardDeviceAuthorizationResponse};

use super::{
    LoginError, Wanted,
    http::Http,
    provider::Provider,
    tokens::{self, Expected, Tokens},
};

pub(super) async fn sign_in(
    http: &Http,
    provider: &Provider,
    wanted: &Wanted,
    tell: &(dyn Fn(&str) + Sync),
) -> Result<Tokens, LoginError> {
    let endpoint = provider.device_authorization_endpoint.clone();
    let endpoint = endpoint.ok_or_else(|| LoginError::Settings("the provider knows no device codes".into()))?;
    let endpoint = DeviceAuthorizationUrl::new(endpoint)
        .map_err(|error| LoginError::Answer(format!("has a device authorization endpoint that {error}")))?;
    let client = tokens::client(&wanted.client_id)
        .set_device_authorization_url(endpoint)
        .set_token_uri(tokens::token_url(&provider.token_endpoint)?);
    let mut request = client.exchange_device_code().add_scopes(tokens::scopes(wanted));
    if let Some(audience) = &wanted.audience {
        request = request.add_extra_param("audience", audience.clone());
    }
    let details: StandardDeviceAuthorizationResponse = request.request_async(http).await?;
    let (page, code) = (details.verification_uri().as_str(), details.user_code().secret());
    let direct = details.verification_uri_complete().map(|url| format!("\nor open:     {}", url.secret()));
    let direct = direct.unwrap_or_default();
    let minutes = details.expires_in().as_secs() / 60;
    tell(&format!("with any browser, within {minutes} minutes\n\nopen:        {page}\nand enter:   {code}{direct}\n"));
    let answer = client.exchange_device_access_token(&details).request_async(http, tokio::time::sleep, None).await?;
    let expected = Expected { issuer: &provider.issuer, client_id: &wanted.client_id, nonce: None, kind: wanted.kind };
    Tokens::read(&answer, &expected)
}
