//! Takes the chunks of an upload apart (`aws-chunked`), with their signatures, in constant memory.

use bytes::{Buf, Bytes};
use memchr::memchr;

use super::{super::refusal::Refusal, Announced};
use crate::TransformError;

/// What is wrong with a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
    Head,
    HeadTooLong,
    Length,
    Total,
    Trailer,
    TrailersTooLong,
    Truncated,
}

impl Broken {
    /// What S3 would say to it.
    pub(super) fn refusal(self) -> TransformError {
        match self {
            Self::Head => Refusal::bad("InvalidRequest", "A chunk does not begin with its length"),
            Self::HeadTooLong => Refusal::bad("InvalidRequest", "The head of a chunk is too long"),
            Self::Length => Refusal::bad("InvalidRequest", "A chunk is not as long as it says"),
            Self::Total => Refusal::bad(
                "IncompleteBody",
                "The body is not as long as x-amz-decoded-content-length says",
            ),
            Self::Trailer => Refusal::bad(
                "MalformedTrailerError",
                "A trailer is malformed, was not announced, or did not come",
            ),
            Self::TrailersTooLong => {
                Refusal::bad("MalformedTrailerError", "The trailers are too long")
            }
            Self::Truncated => Refusal::bad("IncompleteBody", "The request body broke off"),
        }
    }
}

/// Data of the object.
pub(super) struct Piece(pub(super) Bytes);

/// A length in hexadecimal and a signature take a hundred bytes.
const HEAD_MAX: usize = 256;
const TRAILERS_MAX: usize = 8 << 10;

/// Takes chunks apart as they come, whatever pieces they come in. It holds one line at most.
#[derive(Debug)]
pub(super) struct Decoder {
    state: State,
    line: Vec<u8>,
    /// What is left of this chunk, and of all data.
    in_chunk: u64,
    left: u64,
    announced: Announced,
    /// Those that came, in lines of their own.
    trailers: String,
    seen: usize,
    trailer_bytes: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Head,
    Data,
    DataEnd,
    Trailer,
    End,
}

impl Decoder {
    pub(super) const fn new(length: u64, announced: Announced) -> Self {
        Self {
            state: State::Head,
            line: Vec::new(),
            in_chunk: 0,
            left: length,
            announced,
            trailers: String::new(),
            seen: 0,
            trailer_bytes: 0,
        }
    }

    /// Reads on until there is data, or no more input.
    pub(super) fn decode(&mut self, input: &mut Bytes) -> Result<Option<Piece>, Broken> {
        while !input.is_empty() {
            match self.state {
                State::Data => {
                    let fits = usize::try_from(self.in_chunk).unwrap_or(usize::MAX);
                    let data = input.split_to(input.len().min(fits));
                    self.in_chunk = self.in_chunk.saturating_sub(data.len() as u64);
                    if self.in_chunk == 0 {
                        self.state = State::DataEnd;
                    }
                    return Ok(Some(Piece(data)));
                }
                State::End => return Err(Broken::Total),
                State::Head | State::DataEnd | State::Trailer => self.read_line(input)?,
            }
        }
        Ok(None)
    }

    /// The end of the input. Gives the trailers, each in its line.
    pub(super) fn end(&self) -> Result<&str, Broken> {
        match self.state {
            State::End => Ok(&self.trailers),
            _ => Err(Broken::Truncated),
        }
    }

    /// Moves input to the line, and acts on it once it is whole.
    fn read_line(&mut self, input: &mut Bytes) -> Result<(), Broken> {
        let (limit, over) = match self.state {
            // Chunks that are longer than they say have data here.
            State::DataEnd => (2, Broken::Length),
            State::Head => (HEAD_MAX, Broken::HeadTooLong),
            _ => (
                TRAILERS_MAX.saturating_sub(self.trailer_bytes),
                Broken::TrailersTooLong,
            ),
        };
        let room = limit.saturating_sub(self.line.len());
        let within = input.get(..input.len().min(room)).unwrap_or_default();
        let Some(at) = memchr(b'\n', within) else {
            if within.len() < input.len() {
                return Err(over);
            }
            self.line.extend_from_slice(within);
            input.clear();
            return Ok(());
        };
        self.line
            .extend_from_slice(within.get(..=at).unwrap_or_default());
        input.advance(at + 1);
        let line = std::mem::take(&mut self.line);
        let text = line
            .strip_suffix(b"\r\n")
            .and_then(|text| str::from_utf8(text).ok());
        match self.state {
            State::Head => self.head(text.ok_or(Broken::Head)?)?,
            State::DataEnd if text == Some("") => self.state = State::Head,
            State::DataEnd => return Err(Broken::Length),
            _ => {
                self.trailer_bytes += line.len();
                self.trailer(text.ok_or(Broken::Trailer)?)?;
            }
        }
        // The memory serves for the next one.
        self.line = line;
        self.line.clear();
        Ok(())
    }

    /// `<length>[;<extension>]`: the extension is the signature, if any.
    fn head(&mut self, head: &str) -> Result<(), Broken> {
        let digits = head.split(';').next().unwrap_or_default();
        let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let length = plain
            .then(|| u64::from_str_radix(digits, 16).ok())
            .flatten();
        let length = length.ok_or(Broken::Head)?;
        self.left = self.left.checked_sub(length).ok_or(Broken::Total)?;
        if length > 0 {
            self.in_chunk = length;
            self.state = State::Data;
        } else if self.left == 0 {
            self.state = State::Trailer;
        } else {
            return Err(Broken::Total);
        }
        Ok(())
    }

    /// `name:value`; an empty line ends them.
    fn trailer(&mut self, line: &str) -> Result<(), Broken> {
        if line.is_empty() {
            if self.seen < self.announced.names().len() {
                return Err(Broken::Trailer);
            }
            self.state = State::End;
            return Ok(());
        }
        let (name, value) = line.split_once(':').ok_or(Broken::Trailer)?;
        let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
        if self.announced.signed && name == "x-amz-trailer-signature" {
            return Ok(());
        }
        let line = format!("{name}:{value}\r\n");
        let announced = self.announced.names().iter().any(|known| **known == name);
        if !announced || !Announced::fits(&name, value) || self.has_trailer(&name) {
            return Err(Broken::Trailer);
        }
        self.trailers.push_str(&line);
        self.seen += 1;
        Ok(())
    }

    fn has_trailer(&self, name: &str) -> bool {
        let mut lines = self.trailers.lines();
        lines.any(|line| line.split(':').next() == Some(name))
    }
}
