//! Puts the data of an upload into chunks again, of one length, so that the length of the whole is known beforehand.

use std::collections::VecDeque;

use bytes::Bytes;

/// S3 takes no chunk but the last below 8 KiB; clients send 64 KiB or more.
const FRAME: u64 = 64 << 10;

/// Puts data into frames of one length, without copying it: so the length of the whole is known before any of it came.
#[derive(Debug)]
pub(super) struct Frames {
    /// What is left to come, of all data and of this frame.
    left: u64,
    in_frame: u64,
    begun: bool,
}

/// The length of `data` bytes in frames, with trailer lines of `trailers` bytes behind them.
pub(super) fn length(data: u64, trailers: u64) -> u64 {
    let frame = |size: u64| head(size).len() as u64 + size + 2;
    let rest = data % FRAME;
    let rest = if rest > 0 { frame(rest) } else { 0 };
    data / FRAME * frame(FRAME) + rest + head(0).len() as u64 + trailers + 2
}

fn head(size: u64) -> String {
    format!("{size:x}\r\n")
}

impl Frames {
    pub(super) const fn new(length: u64) -> Self {
        Self {
            left: length,
            in_frame: 0,
            begun: false,
        }
    }

    pub(super) fn data(&mut self, mut data: Bytes, ready: &mut VecDeque<Bytes>) {
        while !data.is_empty() {
            if self.in_frame == 0 {
                self.in_frame = self.left.min(FRAME);
                ready.push_back(self.begin(self.in_frame));
            }
            let fits = usize::try_from(self.in_frame).unwrap_or(usize::MAX);
            let piece = data.split_to(data.len().min(fits));
            self.in_frame = self.in_frame.saturating_sub(piece.len() as u64);
            self.left = self.left.saturating_sub(piece.len() as u64);
            ready.push_back(piece);
            if self.in_frame == 0 && self.left == 0 {
                break;
            }
        }
    }

    pub(super) fn end(&mut self, trailers: &str, ready: &mut VecDeque<Bytes>) {
        let head = self.begin(0);
        ready.push_back([&head, trailers.as_bytes(), b"\r\n"].concat().into());
    }

    /// The end of the last frame and the beginning of the next.
    fn begin(&mut self, size: u64) -> Bytes {
        let end = if std::mem::replace(&mut self.begun, true) {
            "\r\n"
        } else {
            ""
        };
        format!("{end}{}", head(size)).into()
    }
}
