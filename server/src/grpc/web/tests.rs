use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS,
    ACCESS_CONTROL_REQUEST_HEADERS,
};
use http_body_util::BodyExt as _;
use tower::service_fn;

use super::*;

const DECIDE: &str = "/approve.v1.ApprovalService/Decide";

fn request(method: Method, version: Version, path: &str) -> Request<Body> {
    let mut request = Request::new(Body::empty());
    *request.method_mut() = method;
    *request.version_mut() = version;
    *request.uri_mut() = path.parse().unwrap();
    request
}

fn post(content_type: &'static str, version: Version) -> Request<Body> {
    let mut request = request(Method::POST, version, DECIDE);
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    request
}

fn from(origin: &'static str, mut request: Request<Body>) -> Request<Body> {
    request.headers_mut().insert(ORIGIN, HeaderValue::from_static(origin));
    request
}

/// Says in headers which type came to it, and refuses in trailers.
async fn ask(settings: Option<GrpcWeb>, request: Request<Body>) -> Response<Body> {
    let service = service_fn(|request: Request<Body>| async move {
        let mut trailers = http::HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("5"));
        let body = http_body_util::Empty::new().with_trailers(future::ready(Some(Ok::<_, Infallible>(trailers))));
        let mut response = Response::new(Body::new(body));
        if let Some(content_type) = request.headers().get(CONTENT_TYPE) {
            response.headers_mut().insert("came-as", content_type.clone());
        }
        Ok::<_, Infallible>(response)
    });
    Web::new(settings).layer(service).oneshot(request).await.unwrap()
}

fn on() -> Option<GrpcWeb> {
    Some(GrpcWeb::local())
}

#[tokio::test]
async fn grpc_goes_on_untouched() {
    for settings in [None, on()] {
        for content_type in ["application/grpc", "application/grpc+proto", "application/grpc;v=1"] {
            let response = ask(settings.clone(), post(content_type, Version::HTTP_2)).await;
            assert_eq!(response.headers()["came-as"], content_type);
            assert_eq!(response.headers().len(), 1, "{:?}", response.headers());
            let trailers = response.into_body().collect().await.unwrap().trailers().cloned();
            assert_eq!(trailers.unwrap()["grpc-status"], "5");
        }
    }
}

#[tokio::test]
async fn grpc_web_comes_in_as_grpc_and_its_status_goes_out_in_the_body() {
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let response = ask(on(), post("application/grpc-web+proto", version)).await;
        assert_eq!(response.headers()["came-as"], "application/grpc");
        assert_eq!(response.headers()[CONTENT_TYPE], "application/grpc-web+proto");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(&body[..], b"\x80\0\0\0\x0fgrpc-status:5\r\n");
    }
}

#[tokio::test]
async fn a_preflight_is_answered_and_what_a_page_needs_is_exposed() {
    let mut preflight = from("http://localhost:5173", request(Method::OPTIONS, Version::HTTP_11, DECIDE));
    preflight.headers_mut().insert(ACCESS_CONTROL_REQUEST_METHOD, HeaderValue::from_static("POST"));
    preflight
        .headers_mut()
        .insert(ACCESS_CONTROL_REQUEST_HEADERS, HeaderValue::from_static("authorization,grpc-timeout"));
    let response = ask(on(), preflight).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert!(!response.headers().contains_key("came-as"));
    assert_eq!(response.headers()[ACCESS_CONTROL_ALLOW_ORIGIN], "http://localhost:5173");
    assert_eq!(response.headers()[ACCESS_CONTROL_ALLOW_HEADERS], "authorization,grpc-timeout");

    let call = from("http://localhost:5173", post("application/grpc-web+proto", Version::HTTP_11));
    let response = ask(on(), call).await;
    let exposed = response.headers()[ACCESS_CONTROL_EXPOSE_HEADERS].to_str().unwrap();
    assert!(exposed.contains("grpc-status-details-bin"), "{exposed}");
}

#[tokio::test]
async fn another_origin_does_not_get_in() {
    let mut preflight = request(Method::OPTIONS, Version::HTTP_11, DECIDE);
    preflight.headers_mut().insert(ACCESS_CONTROL_REQUEST_METHOD, HeaderValue::from_static("POST"));
    // Also where the page's host is the server's own: a name may lead here.
    for request in [preflight, post("application/grpc-web+proto", Version::HTTP_11)] {
        let response = ask(on(), from("http://evil.example", request)).await;
        assert_eq!(response.status(), StatusCode::FORBIDDEN);
        assert!(!response.headers().contains_key(ACCESS_CONTROL_ALLOW_ORIGIN));
        assert!(!response.headers().contains_key("came-as"));
    }
    let none = ask(Some(GrpcWeb::default()), from("http://localhost", post(WEB, Version::HTTP_11))).await;
    assert_eq!(none.status(), StatusCode::FORBIDDEN);
}

const WEB: &str = "application/grpc-web+proto";

#[tokio::test]
async fn what_a_page_may_send_without_a_preflight_reaches_no_call() {
    for content_type in
        ["text/plain", "application/x-www-form-urlencoded", "application/json", "application/grpc-web+json"]
    {
        for version in [Version::HTTP_11, Version::HTTP_2] {
            let response = ask(on(), post(content_type, version)).await;
            assert_eq!(response.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE, "{content_type}");
        }
    }
    let response = ask(on(), request(Method::POST, Version::HTTP_2, DECIDE)).await;
    assert_eq!(response.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    // Without trailers there is no status.
    let response = ask(on(), post("application/grpc", Version::HTTP_11)).await;
    assert_eq!(response.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let response = ask(None, post(WEB, Version::HTTP_2)).await;
    assert_eq!(response.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test]
async fn what_is_not_for_the_api_is_left_alone() {
    for path in ["/", "/inbox", "/approve.v1x"] {
        let response = ask(None, request(Method::GET, Version::HTTP_11, path)).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        assert!(response.headers().is_empty());
    }
}
