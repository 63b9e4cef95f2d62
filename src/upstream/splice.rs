use std::{
    io,
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    time::{Instant, Sleep, timeout},
};

use crate::upstream::frames::{Close, Frames};

type Io = TokioIo<Upgraded>;

/// How long the peers may take to part.
const PARTING: Duration = Duration::from_secs(2);

/// How much is read at a time. It stands on the stack: a connection that rests has no buffer.
const CHUNK: usize = 16 << 10;

/// Two connections that became WebSockets, made one.
pub(crate) struct Splice {
    caller: Io,
    upstream: Io,
    up: Pipe,
    down: Pipe,
    idle_timeout: Duration,
}

/// What has passed, in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Passed {
    pub(crate) up: u64,
    pub(crate) down: u64,
}

/// One direction.
#[derive(Default)]
struct Pipe {
    frames: Frames,
    /// Read, and not written yet.
    unwritten: Vec<u8>,
    written: usize,
    unflushed: bool,
    passed: u64,
    state: State,
}

#[derive(Default, PartialEq, Eq)]
enum State {
    #[default]
    Open,
    Ending,
    Ended,
}

impl Splice {
    pub(crate) fn new(caller: Upgraded, upstream: Upgraded, idle_timeout: Duration) -> Self {
        Self {
            caller: TokioIo::new(caller),
            upstream: TokioIo::new(upstream),
            up: Pipe::default(),
            down: Pipe::default(),
            idle_timeout,
        }
    }

    /// Passes bytes both ways until both sides have ended, one fails, nothing moves for too long, or `end` says why to
    /// end.
    pub(crate) async fn run(mut self, end: impl Future<Output = Close>) -> Passed {
        let close = {
            let mut end = std::pin::pin!(end);
            let mut idle = std::pin::pin!(tokio::time::sleep(self.idle_timeout));
            std::future::poll_fn(|cx| {
                if let Poll::Ready(close) = end.as_mut().poll(cx) {
                    return Poll::Ready(Some(close));
                }
                self.poll(cx, idle.as_mut())
            })
            .await
        };
        if let Some(close) = close {
            let _ = timeout(PARTING, self.part(close)).await;
        }
        Passed {
            up: self.up.passed,
            down: self.down.passed,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>, mut idle: Pin<&mut Sleep>) -> Poll<Option<Close>> {
        let before = (self.up.passed, self.down.passed);
        let up = self.up.poll(cx, &mut self.caller, &mut self.upstream);
        let down = self.down.poll(cx, &mut self.upstream, &mut self.caller);
        match (up, down) {
            (Poll::Ready(Err(_)), _) | (_, Poll::Ready(Err(_))) => return Poll::Ready(None),
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => return Poll::Ready(None),
            _ => {}
        }
        if before != (self.up.passed, self.down.passed) {
            idle.as_mut().reset(Instant::now() + self.idle_timeout);
        }
        ready!(idle.poll(cx));
        Poll::Ready(Some(Close::GoingAway))
    }

    /// Tells both sides that this is the end, each where it can be told: between two frames.
    async fn part(&mut self, close: Close) -> io::Result<()> {
        if self.down.is_between_frames() {
            self.caller.write_all(&close.to_client()).await?;
        }
        if self.up.is_between_frames() {
            self.upstream.write_all(&close.to_server()).await?;
        }
        self.caller.shutdown().await?;
        self.upstream.shutdown().await?;
        // Closing before the caller has read would take back what it was told.
        let mut rest = [0; 1024];
        while self.caller.read(&mut rest).await? > 0 {}
        Ok(())
    }
}

impl Pipe {
    fn is_between_frames(&self) -> bool {
        self.state == State::Open && self.unwritten.is_empty() && self.frames.is_between()
    }

    /// Ready when the direction has ended.
    fn poll(&mut self, cx: &mut Context<'_>, from: &mut Io, to: &mut Io) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_write(cx, to))?;
            match self.state {
                State::Open => {}
                State::Ending => {
                    ready!(Pin::new(&mut *to).poll_shutdown(cx))?;
                    self.state = State::Ended;
                    return Poll::Ready(Ok(()));
                }
                State::Ended => return Poll::Ready(Ok(())),
            }
            let mut chunk = [MaybeUninit::uninit(); CHUNK];
            let mut chunk = ReadBuf::uninit(&mut chunk);
            if Pin::new(&mut *from).poll_read(cx, &mut chunk)?.is_pending() {
                if self.unflushed {
                    ready!(Pin::new(&mut *to).poll_flush(cx))?;
                    self.unflushed = false;
                }
                return Poll::Pending;
            }
            let read = chunk.filled();
            if read.is_empty() {
                self.state = State::Ending;
                continue;
            }
            self.frames.pass(read);
            self.passed += read.len() as u64;
            // Mostly it can be written at once, and need not be kept.
            let written = match Pin::new(&mut *to).poll_write(cx, read)? {
                Poll::Ready(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(written) => written,
                Poll::Pending => 0,
            };
            self.unflushed = true;
            self.unwritten
                .extend_from_slice(read.get(written..).unwrap_or_default());
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, to: &mut Io) -> Poll<io::Result<()>> {
        while let Some(rest) = self
            .unwritten
            .get(self.written..)
            .filter(|rest| !rest.is_empty())
        {
            match ready!(Pin::new(&mut *to).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.written += written,
            }
        }
        if self.written > 0 {
            self.unwritten = Vec::new();
            self.written = 0;
        }
        Poll::Ready(Ok(()))
    }
}
