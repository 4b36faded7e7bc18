//! Header compression (RFC 7541), to read what peers write: they index, and use Huffman's code. Nothing here compresses.

pub type Fields = Vec<(String, String)>;

/// One direction of a connection.
#[derive(Default)]
pub struct Decoder {
    /// The latest first. Blocks here are few and small: nothing is ever evicted.
    dynamic: Fields,
}

// === impl Decoder ===

impl Decoder {
    /// Reads a block; `None`: it is malformed.
    pub fn read(&mut self, mut block: &[u8]) -> Option<Fields> {
        let mut fields = Fields::new();
        while let Some(first) = block.first() {
            match first {
                0x80.. => fields.push(self.entry(integer(&mut block, 7)?)?),
                0x40..0x80 => {
                    let field = self.literal(&mut block, 6)?;
                    self.dynamic.insert(0, field.clone());
                    fields.push(field);
                }
                0x20..0x40 => drop(integer(&mut block, 5)?),
                _ => fields.push(self.literal(&mut block, 4)?),
            }
        }
        Some(fields)
    }

    fn literal(&self, bytes: &mut &[u8], prefix: u32) -> Option<(String, String)> {
        let name = match integer(bytes, prefix)? {
            0 => string(bytes)?,
            index => self.entry(index)?.0,
        };
        Some((name, string(bytes)?))
    }

    fn entry(&self, index: usize) -> Option<(String, String)> {
        let at = index.checked_sub(1)?;
        let known = STATIC.get(at).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        known.or_else(|| self.dynamic.get(at.checked_sub(STATIC.len())?).cloned())
    }
}

/// Returns the value of a field.
pub fn value<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

/// RFC 7541 §5.1.
fn integer(bytes: &mut &[u8], prefix: u32) -> Option<usize> {
    let most = (1 << prefix) - 1;
    let mut value = usize::from(byte(bytes)?) & most;
    let mut shift = 0;
    while value >= most && shift < 28 {
        let more = byte(bytes)?;
        value += usize::from(more & 0x7f) << shift;
        shift += 7;
        if more < 0x80 {
            break;
        }
    }
    Some(value)
}

fn byte(bytes: &mut &[u8]) -> Option<u8> {
    let (first, rest) = bytes.split_first()?;
    *bytes = rest;
    Some(*first)
}

fn string(bytes: &mut &[u8]) -> Option<String> {
    let is_coded = bytes.first()? & 0x80 != 0;
    let length = integer(bytes, 7)?;
    let (text, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    if is_coded { huffman(text) } else { Some(String::from_utf8_lossy(text).into_owned()) }
}

/// Huffman's code is canonical: the symbols of each length, in their order, say all of it (RFC 7541, appendix B). The longer ones are for
/// bytes that no header here has.
const SYMBOLS: [(u32, &str); 11] = [
    (5, "012aceiost"),
    (6, " %-./3456789=A_bdfghlmnpru"),
    (7, ":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz"),
    (8, "&*,;XZ"),
    (10, "!\"()?"),
    (11, "'+|"),
    (12, "#>"),
    (13, "\0$@[]~"),
    (14, "^}"),
    (15, "<`{"),
    (19, "\\"),
];

fn huffman(bytes: &[u8]) -> Option<String> {
    let (mut text, mut code, mut length) = (String::new(), 0, 0);
    for bit in bytes.iter().flat_map(|byte| (0..8).rev().map(move |at| usize::from(byte >> at & 1))) {
        (code, length) = (code << 1 | bit, length + 1);
        if let Some(symbol) = symbol(code, length) {
            text.push(symbol);
            (code, length) = (0, 0);
        }
    }
    (length < 8).then_some(text)
}

fn symbol(code: usize, length: u32) -> Option<char> {
    let (mut first, mut before) = (0, 0);
    for (bits, symbols) in SYMBOLS {
        first <<= bits - before;
        if bits == length {
            return symbols.chars().nth(code.checked_sub(first)?);
        }
        (first, before) = (first + symbols.len(), bits);
    }
    None
}

/// RFC 7541, appendix A.
const STATIC: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];

/// RFC 7541 §C.6.1 and §C.6.2: Huffman's code, indices of both tables.
#[test]
fn blocks_of_the_standard_are_read() {
    let bytes = |hex: &str| -> Vec<u8> { (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect() };
    let mut decoder = Decoder::default();

    let first = bytes("488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3");
    let fields = decoder.read(&first).unwrap();
    assert_eq!(value(&fields, ":status"), Some("302"));
    assert_eq!(value(&fields, "cache-control"), Some("private"));
    assert_eq!(value(&fields, "date"), Some("Mon, 21 Oct 2013 20:13:21 GMT"));
    assert_eq!(value(&fields, "location"), Some("https://www.example.com"));

    let fields = decoder.read(&bytes("4883640effc1c0bf")).unwrap();
    assert_eq!(value(&fields, ":status"), Some("307"));
    assert_eq!(value(&fields, "location"), Some("https://www.example.com"));
    assert!(decoder.read(&[0x80]).is_none() && decoder.read(&[0x00, 0x7f, b'x']).is_none());
}
