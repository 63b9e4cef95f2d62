/// Where the frames of a WebSocket end (RFC 6455 §5.2), as its bytes pass.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// The first bytes of a frame: two, an extended length, a mask.
    head: [u8; 14],
    have: usize,
    payload: u64,
}

/// Why a WebSocket is ended from here (RFC 6455 §7.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Close {
    /// The host shuts down, or nothing moved for too long.
    GoingAway,
    /// The token is no longer good.
    PolicyViolation,
}

impl Frames {
    pub(super) fn is_between(&self) -> bool {
        self.have == 0 && self.payload == 0
    }

    pub(super) fn pass(&mut self, mut bytes: &[u8]) {
        while let Some(first) = bytes.first() {
            if self.payload > 0 {
                let skipped = self.payload.min(bytes.len() as u64);
                self.payload -= skipped;
                bytes = bytes.get(skipped as usize..).unwrap_or_default();
                continue;
            }
            if let Some(slot) = self.head.get_mut(self.have) {
                *slot = *first;
            }
            self.have += 1;
            bytes = bytes.get(1..).unwrap_or_default();
            if let Some(payload) = self.payload_length() {
                self.payload = payload;
                self.have = 0;
            }
        }
    }

    /// The length of the payload, once the head is whole.
    fn payload_length(&self) -> Option<u64> {
        let [_, second, a, b, c, d, e, f, g, h, ..] = self.head;
        let mask = if second & 0x80 == 0 { 0 } else { 4 };
        let (length, extended) = match second & 0x7f {
            126 => (u64::from(u16::from_be_bytes([a, b])), 2),
            127 => (u64::from_be_bytes([a, b, c, d, e, f, g, h]), 8),
            length => (u64::from(length), 0),
        };
        (self.have >= 2 && self.have == 2 + extended + mask).then_some(length)
    }
}

impl Close {
    const fn code(self) -> [u8; 2] {
        match self {
            Self::GoingAway => 1001_u16.to_be_bytes(),
            Self::PolicyViolation => 1008_u16.to_be_bytes(),
        }
    }

    /// The closing frame as a server sends it.
    pub(super) const fn to_client(self) -> [u8; 4] {
        let [high, low] = self.code();
        [0x88, 2, high, low]
    }

    /// The closing frame as a client sends it: masked, and a mask of zeros changes nothing.
    pub(super) const fn to_server(self) -> [u8; 8] {
        let [high, low] = self.code();
        [0x88, 0x82, 0, 0, 0, 0, high, low]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_end_where_their_heads_say_however_the_bytes_are_cut() {
        let frames: [Vec<u8>; 5] = [
            vec![0x81, 0],
            [vec![0x82, 5], vec![7; 5]].concat(),
            [vec![0x81, 0x83, 1, 2, 3, 4], vec![0; 3]].concat(),
            [vec![0x82, 126, 1, 0], vec![1; 256]].concat(),
            [
                vec![0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 9, 9, 9, 9],
                vec![2; 65536],
            ]
            .concat(),
        ];
        let whole = frames.concat();
        let mut ends = Vec::new();
        for frame in &frames {
            ends.push(ends.last().unwrap_or(&0) + frame.len());
        }
        let mut state = Frames::default();
        for (at, byte) in whole.iter().enumerate() {
            state.pass(std::slice::from_ref(byte));
            assert_eq!(
                state.is_between(),
                ends.contains(&(at + 1)),
                "after byte {at}"
            );
        }
        for cut in [3, 7, 14, 300, whole.len()] {
            let mut state = Frames::default();
            whole.chunks(cut).for_each(|chunk| state.pass(chunk));
            assert!(state.is_between(), "in pieces of {cut}");
            state.pass(&[0x81]);
            assert!(!state.is_between());
        }
    }
}
