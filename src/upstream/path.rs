use percent_encoding::percent_decode;

/// Why a path is refused: two parsers could read it differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PathProblem {
    /// A backslash, or an encoded one where the service does not take it.
    #[error("backslash")]
    Backslash,
    /// `.` or `..` as a segment, in any encoding or with parameters.
    #[error("dot segment")]
    DotSegment,
    /// The first segment is empty.
    #[error("empty first segment")]
    EmptySegment,
    /// An encoded slash where the service does not take it.
    #[error("encoded slash")]
    EncodedSlash,
    /// A percent sign without two hexadecimal digits.
    #[error("broken percent-encoding")]
    Escape,
    /// The token stands in it and cannot be taken out.
    #[error("token")]
    Token,
    /// A control character, raw or encoded, or a raw byte outside ASCII.
    #[error("not printable ASCII")]
    Unprintable,
    /// No service name behind the mount, or a request target that is no path at all.
    #[error("no service name behind the mount")]
    Unroutable,
    /// Bytes that no UTF-8 text has, overlong forms among them.
    #[error("impossible UTF-8")]
    Utf8,
}

/// How often a path may be encoded over and over before it is refused.
const LEVELS: usize = 4;

/// Refuses what a server behind the proxy could read as another path than the one that was authorized.
///
/// Nothing is repaired: the bytes that pass are the bytes sent.
pub(crate) fn check(path: &str, encoded_slashes: bool) -> Result<(), PathProblem> {
    check_level(path.as_bytes())?;
    if !path.contains('%') {
        return Ok(());
    }
    check_escapes(path, encoded_slashes)?;
    let mut level: Vec<u8> = percent_decode(path.as_bytes()).collect();
    check_utf8(&level)?;
    for _ in 0..LEVELS {
        if level.iter().any(u8::is_ascii_control) {
            return Err(PathProblem::Unprintable);
        }
        check_shape(&level)?;
        let next: Vec<u8> = percent_decode(&level).collect();
        if next == level {
            return Ok(());
        }
        level = next;
    }
    Err(PathProblem::Escape)
}

/// Refuses raw bytes that no query may hold.
pub(crate) fn check_query(query: &str) -> Result<(), PathProblem> {
    if query.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(())
    } else {
        Err(PathProblem::Unprintable)
    }
}

fn check_level(path: &[u8]) -> Result<(), PathProblem> {
    for byte in path {
        match byte {
            b'\\' => return Err(PathProblem::Backslash),
            b'!'..=b'~' => {}
            _ => return Err(PathProblem::Unprintable),
        }
    }
    check_shape(path)
}

fn check_shape(path: &[u8]) -> Result<(), PathProblem> {
    if matches!(path, [b'/', b'/' | b'\\', ..]) {
        return Err(PathProblem::EmptySegment);
    }
    for segment in path.split(|byte| matches!(byte, b'/' | b'\\')) {
        // Some servers drop `;parameters` before they look for dots.
        let name = segment
            .split(|byte| *byte == b';')
            .next()
            .unwrap_or_default();
        if matches!(name, b"." | b"..") {
            return Err(PathProblem::DotSegment);
        }
    }
    Ok(())
}

fn check_escapes(path: &str, encoded_slashes: bool) -> Result<(), PathProblem> {
    for escape in path.split('%').skip(1) {
        match escape.as_bytes() {
            [b'2', b'f' | b'F', ..] if !encoded_slashes => return Err(PathProblem::EncodedSlash),
            [b'5', b'c' | b'C', ..] if !encoded_slashes => return Err(PathProblem::Backslash),
            [high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {}
            _ => return Err(PathProblem::Escape),
        }
    }
    Ok(())
}

/// RFC 3629 §3: these bytes and pairs stand in no UTF-8 text, and old decoders read some of them as `.` or `/`.
fn check_utf8(path: &[u8]) -> Result<(), PathProblem> {
    let impossible = path
        .iter()
        .any(|byte| matches!(byte, 0xc0 | 0xc1 | 0xf5..=0xff))
        || path
            .windows(2)
            .any(|pair| matches!(pair, [0xe0, 0x80..=0x9f] | [0xf0, 0x80..=0x8f]));
    if impossible {
        Err(PathProblem::Utf8)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ambiguous_paths_are_refused() {
        for (path, problem) in [
            ("/a/../b", PathProblem::DotSegment),
            ("/a/..", PathProblem::DotSegment),
            ("/.", PathProblem::DotSegment),
            ("/..;/b", PathProblem::DotSegment),
            ("/..;a=b/c", PathProblem::DotSegment),
            ("/%2e%2E/b", PathProblem::DotSegment),
            ("/.%2e/b", PathProblem::DotSegment),
            ("/%252e%252e/b", PathProblem::DotSegment),
            ("/%25252e%25252e/b", PathProblem::DotSegment),
            ("/%2525252525252e/b", PathProblem::Escape),
            ("/..%3b/b", PathProblem::DotSegment),
            ("//evil", PathProblem::EmptySegment),
            ("/\\evil", PathProblem::Backslash),
            ("/a%2fb", PathProblem::EncodedSlash),
            ("/a%5Cb", PathProblem::Backslash),
            ("/a%", PathProblem::Escape),
            ("/a%2", PathProblem::Escape),
            ("/a%zz", PathProblem::Escape),
            ("/a%00", PathProblem::Unprintable),
            ("/a%0d%0ab", PathProblem::Unprintable),
            ("/a%2500", PathProblem::Unprintable),
            ("/\u{e9}", PathProblem::Unprintable),
            ("/%c0%ae%c0%ae/b", PathProblem::Utf8),
            ("/%e0%80%ae/b", PathProblem::Utf8),
        ] {
            assert_eq!(check(path, false), Err(problem), "{path}");
        }
    }

    #[test]
    fn plain_paths_pass() {
        for path in [
            "",
            "/",
            "/a",
            "/a/",
            "/a//b",
            "/a;x=1/b",
            "/...",
            "/a.b/..c",
            "/%20",
            "/%c3%a9",
            "/~u/[::1]",
            "/a%252fb",
        ] {
            assert_eq!(check(path, false), Ok(()), "{path}");
        }
    }

    #[test]
    fn encoded_slashes_pass_where_the_service_takes_them_but_hide_no_dots() {
        assert_eq!(check("/a%2fb%5Cc", true), Ok(()));
        assert_eq!(check("/a%2f..%2fb", true), Err(PathProblem::DotSegment));
        assert_eq!(check("/a%5c..", true), Err(PathProblem::DotSegment));
        assert_eq!(check("/%2fevil", true), Err(PathProblem::EmptySegment));
    }
}
