//! Bodies in S3's own framing, `aws-chunked` ("Signature Calculations for the Authorization Header: Including Trailing
//! Headers"): taken apart as they pass, checked, and put together anew.

mod announced;
mod decoder;
mod frames;

use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tower::BoxError;

use self::{
    decoder::{Broken, Decoder, Piece},
    frames::Frames,
};
use crate::Body;

pub(super) use self::announced::Announced;

/// How the body goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// In chunks without signatures, with its trailers behind them.
    Chunks,
    /// As it is.
    None,
}

/// A body on its way through. What is not as it was announced ends it in an error, before the upstream has all of it.
pub(super) struct Upload {
    body: Body,
    input: Bytes,
    decoder: Decoder,
    output: Output,
    ready: VecDeque<Bytes>,
    /// What is left to be given, where that is known.
    left: Option<u64>,
    ended: bool,
}

enum Output {
    Framed(Frames),
    /// The last piece is kept back until the end was seen: with it, the upstream would have the whole object.
    Plain {
        kept: Bytes,
    },
}

impl Upload {
    pub(super) fn new(body: Body, length: u64, announced: Announced, framing: Framing) -> Self {
        let (output, left) = match framing {
            Framing::Chunks => {
                let trailers = announced.length();
                let left = trailers.map(|trailers| frames::length(length, trailers));
                (Output::Framed(Frames::new(length)), left)
            }
            Framing::None => (Output::Plain { kept: Bytes::new() }, Some(length)),
        };
        Self {
            body,
            input: Bytes::new(),
            decoder: Decoder::new(length, announced),
            output,
            ready: VecDeque::new(),
            left,
            ended: false,
        }
    }

    /// Reads to the end, for a body of no length.
    pub(super) async fn check(mut self) -> Result<(), BoxError> {
        while poll_fn(|cx| Pin::new(&mut self).poll_frame(cx))
            .await
            .transpose()?
            .is_some()
        {}
        Ok(())
    }

    /// Moves on by one step; `false` when the caller's body has ended.
    fn advance(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, BoxError>> {
        if self.input.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)?) {
                Some(frame) => self.input = frame.into_data().unwrap_or_default(),
                None => {
                    self.end().map_err(Broken::refusal)?;
                    return Poll::Ready(Ok(false));
                }
            }
        }
        if let Some(Piece(data)) = self
            .decoder
            .decode(&mut self.input)
            .map_err(Broken::refusal)?
        {
            match &mut self.output {
                Output::Framed(frames) => frames.data(data, &mut self.ready),
                Output::Plain { kept } => {
                    let before = std::mem::replace(kept, data);
                    self.ready
                        .extend(Some(before).filter(|piece| !piece.is_empty()));
                }
            }
        }
        Poll::Ready(Ok(true))
    }

    fn end(&mut self) -> Result<(), Broken> {
        let trailers = self.decoder.end()?;
        match &mut self.output {
            Output::Framed(frames) => frames.end(trailers, &mut self.ready),
            Output::Plain { kept } => {
                let last = std::mem::take(kept);
                self.ready
                    .extend(Some(last).filter(|piece| !piece.is_empty()));
            }
        }
        self.ended = true;
        Ok(())
    }
}

impl HttpBody for Upload {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        loop {
            if let Some(piece) = self.ready.pop_front() {
                self.left = self
                    .left
                    .map(|left| left.saturating_sub(piece.len() as u64));
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
            if self.ended || !ready!(self.advance(cx))? && self.ready.is_empty() {
                return Poll::Ready(None);
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended && self.ready.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        self.left
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

#[cfg(test)]
mod tests;
