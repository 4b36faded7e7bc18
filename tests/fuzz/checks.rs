//! What must hold for any bytes: for the fuzz targets, and for `tests/conformance`, which replays the corpus.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use mini::proxy::fuzz::{answered, forwarded, host};

use super::judge;

/// A host that is taken has one normal form, in which nothing means anything to anybody else.
pub fn check_host(bytes: &[u8]) {
    let Some(normal) = std::str::from_utf8(bytes).ok().and_then(host) else { return };

    assert_eq!(host(&normal).as_deref(), Some(normal.as_str()), "the normal form is one");
    assert!(normal.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b':' | b'[' | b']')), "{normal}");
    let authority: http::uri::Authority = normal.parse().expect("another parser takes it");
    let written = authority.port_u16().map_or_else(|| authority.host().to_owned(), |port| format!("{}:{port}", authority.host()));
    assert_eq!(written, normal, "another parser reads it alike");
    assert!(!authority.host().ends_with('.') && !normal.contains('@'), "{normal}");
}

/// A head that is forwarded is read alike by two parsers, and says once where it goes and where it ends.
pub fn check_head(bytes: &[u8]) {
    let Some((head, has_body)) = read(bytes) else { return };
    let Some(sent) = forwarded(head, has_body) else { return };
    let written = write(&sent, has_body);

    let mut fields = [httparse::EMPTY_HEADER; 256];
    let mut parsed = httparse::Request::new(&mut fields);
    assert!(parsed.parse(&written).expect("httparse takes it").is_complete());
    let strict = judge::requests(&written).expect("the strictest parser takes it");
    let [strict] = &strict[..] else { panic!("{} requests in {:?}", strict.len(), String::from_utf8_lossy(&written)) };
    assert_eq!((parsed.method, parsed.path), (Some(strict.method.as_str()), Some(strict.target.as_str())));
    let lines: Vec<String> = parsed.headers.iter().map(|field| line(field.name, field.value)).collect();
    assert_eq!(lines, strict.lines);
}

/// What a side names in `Connection` does not reach the other side, in either direction. The first line is the header's value.
pub fn check_connection(bytes: &[u8]) {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let Some(connection) = lines.next().and_then(|value| HeaderValue::from_bytes(value).ok()) else { return };
    let mut headers: HeaderMap =
        lines.filter_map(|name| HeaderName::from_bytes(name).ok()).map(|name| (name, HeaderValue::from_static("1"))).collect();
    headers.append("connection", connection.clone());

    let named = |name: &str| {
        connection.as_bytes().split(|byte| *byte == b',').any(|member| member.trim_ascii().eq_ignore_ascii_case(name.as_bytes()))
    };
    let stays = |name: &HeaderName| ["host", "content-length", "transfer-encoding"].contains(&name.as_str());
    let answer = answered(headers.clone());
    assert!(!answer.keys().any(|name| named(name.as_str()) && !stays(name)), "{answer:?}");

    headers.remove("host");
    headers.remove("content-length");
    headers.remove("transfer-encoding");
    headers.insert("host", HeaderValue::from_static("a.test"));
    let mut head = Request::new(());
    *head.headers_mut() = headers;
    let sent = forwarded(head, false).expect("it is well-formed");
    // These are our own words to the app, whatever was named.
    let ours = |name: &str| name.starts_with("x-forwarded-") || ["x-real-ip", "x-request-id"].contains(&name);
    assert!(!sent.headers().keys().any(|name| named(name.as_str()) && !stays(name) && !ours(name.as_str())), "{sent:?}");
    assert!(sent.headers().get("connection").is_none());
}

/// Reads a head as hyper does.
fn read(bytes: &[u8]) -> Option<(Request<()>, bool)> {
    let mut fields = [httparse::EMPTY_HEADER; 100];
    let mut parsed = httparse::Request::new(&mut fields);
    if !parsed.parse(bytes).ok()?.is_complete() {
        return None;
    }
    let mut head = Request::new(());
    *head.method_mut() = Method::from_bytes(parsed.method?.as_bytes()).ok()?;
    *head.uri_mut() = parsed.path?.parse::<Uri>().ok()?;
    *head.version_mut() = if parsed.version? == 0 { http::Version::HTTP_10 } else { http::Version::HTTP_11 };
    for field in parsed.headers {
        head.headers_mut().append(HeaderName::from_bytes(field.name.as_bytes()).ok()?, HeaderValue::from_bytes(field.value).ok()?);
    }
    // A body is made up below, and has to fit into memory.
    let length = head.headers().get("content-length").and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > 1 << 16) {
        return None;
    }
    let has = |name: &str| head.headers().contains_key(name);
    let has_body = has("transfer-encoding") || has("content-length");
    Some((head, has_body))
}

/// Writes a request as hyper does, with an empty body in chunks where no length is known.
fn write(request: &Request<()>, has_body: bool) -> Vec<u8> {
    let mut bytes = format!("{} {} HTTP/1.1\r\n", request.method(), request.uri()).into_bytes();
    for (name, value) in request.headers() {
        bytes.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    let length = request.headers().get("content-length").and_then(|length| length.to_str().ok()?.parse().ok());
    match length {
        Some(length) => bytes.extend([b"\r\n".as_slice(), &vec![b'a'; length]].concat()),
        None if has_body => bytes.extend(b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        None => bytes.extend(b"\r\n"),
    }
    bytes
}

fn line(name: &str, value: &[u8]) -> String {
    format!("{}: {}", name.to_ascii_lowercase(), String::from_utf8_lossy(value).trim_matches([' ', '\t']))
}
