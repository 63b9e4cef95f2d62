//! HTTP/2 frame by frame (RFC 9113 §4), for requests that no client would send.

use sallygate_test_support::{Front, PATIENCE, within};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

/// What a server makes of a stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// An answer with this status; the body.
    Answer(u16, Vec<u8>),
    /// The stream was reset, with this code.
    Reset(u32),
    /// The connection was ended, with this code.
    GoneAway(u32),
}

/// One connection.
pub(super) struct Frames {
    stream: TcpStream,
    next: u32,
}

impl Frames {
    pub(super) async fn connect(front: &Front) -> Self {
        let mut stream = TcpStream::connect(front.addr).await.unwrap();
        stream
            .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            .await
            .unwrap();
        let mut frames = Self { stream, next: 1 };
        frames.write(SETTINGS, 0, 0, &[]).await;
        frames
    }

    /// Sends a request on a stream of its own, with these fields to the letter, and reads what comes of it.
    pub(super) async fn ask(
        &mut self,
        fields: &[(String, String)],
        body: Option<&[u8]>,
        trailers: Option<&[(String, String)]>,
    ) -> Told {
        let stream = self.next;
        self.next += 2;
        let end = |last: bool| if last { END_STREAM } else { 0 };
        let flags = END_HEADERS | end(body.is_none());
        self.write(HEADERS, flags, stream, &block(fields)).await;
        if let Some(body) = body {
            self.write(DATA, end(trailers.is_none()), stream, body)
                .await;
        }
        if let Some(trailers) = trailers {
            let flags = END_HEADERS | END_STREAM;
            self.write(HEADERS, flags, stream, &block(trailers)).await;
        }
        within(PATIENCE, self.told(stream)).await
    }

    async fn told(&mut self, of: u32) -> Told {
        let mut answer = None;
        loop {
            let (kind, flags, stream, payload) = self.read().await;
            match kind {
                SETTINGS if flags & ACK == 0 => self.write(SETTINGS, ACK, 0, &[]).await,
                PING if flags & ACK == 0 => self.write(PING, ACK, 0, &payload).await,
                GOAWAY => return Told::GoneAway(number(&payload[4..8])),
                RST_STREAM if stream == of => return Told::Reset(number(&payload)),
                HEADERS if stream == of && answer.is_none() => {
                    answer = Some((status(&payload), Vec::new()));
                }
                DATA if stream == of => answer.as_mut().unwrap().1.extend(&payload),
                _ => {}
            }
            if stream == of && matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0 {
                let (status, body) = answer.unwrap();
                return Told::Answer(status, body);
            }
        }
    }

    async fn write(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let frame = [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload];
        // That the other side has closed shows in what it said before.
        let _ = self.stream.write_all(&frame.concat()).await;
    }

    async fn read(&mut self) -> (u8, u8, u32, Vec<u8>) {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).await.unwrap();
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        self.stream.read_exact(&mut payload).await.unwrap();
        (head[3], head[4], number(&head[5..]), payload)
    }
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes.try_into().unwrap())
}

/// Fields that go into no table and are not compressed (RFC 7541 §6.2.2).
fn block(fields: &[(String, String)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            let bytes: Vec<u8> = text
                .chars()
                .map(|latin1| u8::try_from(latin1).unwrap())
                .collect();
            length(&mut block, bytes.len());
            block.extend(bytes);
        }
    }
    block
}

/// RFC 7541 §5.1, with a prefix of seven bits.
fn length(block: &mut Vec<u8>, length: usize) {
    let Some(mut rest) = length.checked_sub(127) else {
        block.push(u8::try_from(length).unwrap());
        return;
    };
    block.push(127);
    while rest >= 128 {
        block.push(u8::try_from(rest % 128).unwrap() | 128);
        rest /= 128;
    }
    block.push(u8::try_from(rest).unwrap());
}

/// The status is the first field, and those looked for here have a place in the static table (RFC 7541, appendix A).
fn status(block: &[u8]) -> u16 {
    match block[0] {
        0x88 => 200,
        0x89 => 204,
        0x8c => 400,
        0x8d => 404,
        0x8e => 500,
        other => panic!("a status out of the table: {other:#x}"),
    }
}
