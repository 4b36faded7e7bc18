//! Reads what an origin got as the strictest of parsers would, and names everything that another parser could read differently.

/// One request in the only form that every parser reads alike.
#[derive(Clone, Debug)]
pub struct Sent {
    pub method: String,
    pub target: String,
    /// `name: value`, the name in lower case.
    pub lines: Vec<String>,
    pub body: Vec<u8>,
    pub trailers: Vec<String>,
}

// === impl Sent ===

impl Sent {
    /// Returns the values of a header.
    pub fn values(&self, name: &str) -> Vec<&str> {
        self.lines.iter().filter_map(|line| line.split_once(": ").filter(|(known, _)| *known == name).map(|(_, value)| value)).collect()
    }
}

/// Reads the requests of one connection. A request that was cut off is no dirt and no request.
pub fn requests(mut bytes: &[u8]) -> Result<Vec<Sent>, String> {
    let mut requests = Vec::new();
    while !bytes.is_empty() {
        let Some(end) = find(bytes, b"\r\n\r\n") else {
            return dirt_in_part(bytes).map_or(Ok(requests), Err);
        };
        let mut sent = head(&bytes[..end])?;
        let Some((body, trailers, rest)) = body(&sent, &bytes[end + 4..])? else { return Ok(requests) };
        (sent.body, sent.trailers) = (body, trailers);
        requests.push(sent);
        bytes = rest;
    }
    Ok(requests)
}

/// Judges a head that is not complete.
fn dirt_in_part(bytes: &[u8]) -> Option<String> {
    if find(bytes, b"\n\n").is_some() {
        return Some("a head ends in bare line feeds".into());
    }
    let whole = bytes.iter().rposition(|byte| *byte == b'\n')?;
    bytes[..whole]
        .split(|byte| *byte == b'\n')
        .find(|line| !line.ends_with(b"\r"))
        .filter(|_| bytes[whole - 1] != b'\r')
        .map(dirty("bare line feed"))
}

fn head(bytes: &[u8]) -> Result<Sent, String> {
    let lines = lines(bytes)?;
    let (first, fields) = lines.split_first().ok_or("an empty head")?;
    let words: Vec<&[u8]> = first.split(|byte| *byte == b' ').collect();
    let [method, target, b"HTTP/1.1"] = words[..] else { return Err(dirty("request line")(first)) };
    let clean =
        is_token(method) && target.first() == Some(&b'/') && target.iter().all(|byte| *byte > b' ' && *byte != 0x7f && *byte != b'#');
    if !clean {
        return Err(dirty("request line")(first));
    }
    let lines = fields.iter().map(|line| field(line)).collect::<Result<Vec<_>, _>>()?;
    let sent = Sent { method: text(method), target: text(target), lines, body: Vec::new(), trailers: Vec::new() };
    framing(&sent)?;
    Ok(sent)
}

fn lines(bytes: &[u8]) -> Result<Vec<&[u8]>, String> {
    let lines: Vec<&[u8]> = split(bytes);
    match lines.iter().find(|line| line.iter().any(|byte| (*byte < b' ' && *byte != b'\t') || *byte == 0x7f)) {
        Some(line) => Err(dirty("control byte")(line)),
        None => Ok(lines),
    }
}

/// Splits at CR LF and nowhere else.
fn split(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut lines = Vec::new();
    while let Some(at) = find(bytes, b"\r\n") {
        lines.push(&bytes[..at]);
        bytes = &bytes[at + 2..];
    }
    lines.push(bytes);
    lines
}

fn field(line: &[u8]) -> Result<String, String> {
    let colon = line.iter().position(|byte| *byte == b':').ok_or_else(|| dirty("no header")(line))?;
    if !is_token(&line[..colon]) {
        return Err(dirty("header name")(line));
    }
    Ok(format!("{}: {}", text(&line[..colon]).to_ascii_lowercase(), text(&line[colon + 1..]).trim_matches([' ', '\t'])))
}

fn framing(sent: &Sent) -> Result<(), String> {
    let (hosts, lengths, codings) = (sent.values("host"), sent.values("content-length"), sent.values("transfer-encoding"));
    let digits = |text: &&str| !text.is_empty() && text.len() <= 20 && text.bytes().all(|byte| byte.is_ascii_digit());
    match () {
        () if hosts.len() != 1 => Err(format!("{} hosts", hosts.len())),
        () if lengths.len() > 1 || !lengths.iter().all(digits) => Err(format!("lengths {lengths:?}")),
        () if codings.len() > 1 || codings.iter().any(|coding| *coding != "chunked") => Err(format!("codings {codings:?}")),
        () if !lengths.is_empty() && !codings.is_empty() => Err("a length and a coding".into()),
        () => Ok(()),
    }
}

type Body<'a> = (Vec<u8>, Vec<String>, &'a [u8]);

type Trailers<'a> = (Vec<String>, &'a [u8]);

/// Takes a request's body; `None`: it is not complete.
fn body<'a>(sent: &Sent, rest: &'a [u8]) -> Result<Option<Body<'a>>, String> {
    if sent.values("transfer-encoding").is_empty() {
        let length = sent.values("content-length").first().map_or(0, |digits| digits.parse().unwrap_or(usize::MAX));
        return Ok((rest.len() >= length).then(|| (rest[..length].to_vec(), Vec::new(), &rest[length..])));
    }
    chunked(rest)
}

fn chunked(mut rest: &[u8]) -> Result<Option<Body<'_>>, String> {
    let mut body = Vec::new();
    loop {
        let Some(end) = find(rest, b"\r\n") else { return Ok(None) };
        let size = &rest[..end];
        if size.is_empty() || size.len() > 15 || !size.iter().all(u8::is_ascii_hexdigit) {
            return Err(dirty("chunk size")(size));
        }
        let size = usize::from_str_radix(&text(size), 16).map_err(|err| err.to_string())?;
        rest = &rest[end + 2..];
        if size == 0 {
            return trailers(rest).map(|part| part.map(|(trailers, rest)| (body, trailers, rest)));
        }
        if rest.len() < size + 2 {
            return Ok(None);
        }
        if &rest[size..size + 2] != b"\r\n" {
            return Err(dirty("end of a chunk")(&rest[size..size + 2]));
        }
        body.extend_from_slice(&rest[..size]);
        rest = &rest[size + 2..];
    }
}

fn trailers(rest: &[u8]) -> Result<Option<Trailers<'_>>, String> {
    if let Some(rest) = rest.strip_prefix(b"\r\n") {
        return Ok(Some((Vec::new(), rest)));
    }
    let Some(end) = find(rest, b"\r\n\r\n") else { return Ok(None) };
    let trailers = lines(&rest[..end])?.into_iter().map(field).collect::<Result<_, _>>()?;
    Ok(Some((trailers, &rest[end + 4..])))
}

fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

fn dirty(what: &'static str) -> impl Fn(&[u8]) -> String {
    move |bytes| format!("{what}: {:?}", text(bytes))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Returns where `needle` begins.
pub fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).position(|window| window == needle)
}

#[test]
fn what_a_parser_could_misread_is_dirt() {
    let lines = "POST / HTTP/1.1\r\nHost: a\r\n";
    let clean = format!("{lines}Content-Length: 1\r\n\r\na{lines}Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nx: y\r\n\r\n");
    assert_eq!(requests(clean.as_bytes()).unwrap().len(), 2);
    assert_eq!(requests(format!("{lines}Content-Length: 2\r\n\r\na").as_bytes()).unwrap().len(), 0);

    for dirt in [
        "Content-Length: 1\r\nContent-Length: 1\r\n\r\na",
        "Content-Length: 1, 1\r\n\r\na",
        "Content-Length: +1\r\n\r\na",
        "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: xchunked\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n1;a\r\na\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n1\r\naX0\r\n\r\n",
        "Host: b\r\n\r\n",
        "X: a\nb\r\n\r\n",
        "X: a\rb\r\n\r\n",
        "X: a\0b\r\n\r\n",
        "X: a\r\n b\r\n\r\n",
        "X : a\r\n\r\n",
        ": a\r\n\r\n",
        "X\r\n\r\n",
        "X: a\n\n",
    ] {
        assert!(requests(format!("{lines}{dirt}").as_bytes()).is_err(), "{dirt:?} was taken for clean");
    }
    for line in ["GET  / HTTP/1.1", "GET / HTTP/1.0", "GET http://a/ HTTP/1.1", "GET /a b HTTP/1.1", "G(T / HTTP/1.1", "GET /#a HTTP/1.1"] {
        assert!(requests(format!("{line}\r\nHost: a\r\n\r\n").as_bytes()).is_err(), "{line:?} was taken for clean");
    }
}
