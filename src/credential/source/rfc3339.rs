//! Reads the times that token endpoints write. A crate for dates would be too much for one format.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Reads a time such as `2016-07-11T22:14:10Z` ([RFC 3339] §5.6), from 1970 on. Fractions of a second are dropped.
///
/// [RFC 3339]: https://www.rfc-editor.org/rfc/rfc3339
pub(super) fn parse(text: &str) -> Option<SystemTime> {
    let (date, rest) = text.split_once(['T', 't'])?;
    let (time, ahead) = split_offset(rest)?;
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let time = match time.split_once('.') {
        Some((time, fraction)) => {
            digits(fraction)?;
            time
        }
        None => time,
    };
    let [hour, minute, second] = numbers(time, ':', [2, 2, 2])?;
    // A leap second counts as the next one.
    if hour > 23 || minute > 59 || second > 60 || !(1..=days_in(year, month)?).contains(&day) {
        return None;
    }
    let seconds = ((days_from_1970(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
    let seconds = u64::try_from(seconds - ahead).ok()?;
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

/// The time, and by how many seconds it is ahead of UTC.
fn split_offset(text: &str) -> Option<(&str, i64)> {
    if let Some(time) = text.strip_suffix(['Z', 'z']) {
        return Some((time, 0));
    }
    let (time, offset) = text.split_at_checked(text.rfind(['+', '-'])?)?;
    let [hours, minutes] = numbers(offset.get(1..)?, ':', [2, 2])?;
    if hours > 23 || minutes > 59 {
        return None;
    }
    let seconds = (hours * 60 + minutes) * 60;
    let east = offset.starts_with('+');
    Some((time, if east { seconds } else { -seconds }))
}

/// Numbers of exactly these many digits.
fn numbers<const N: usize>(text: &str, between: char, lengths: [usize; N]) -> Option<[i64; N]> {
    let mut parts = text.split(between);
    let mut numbers = [0; N];
    for (number, length) in numbers.iter_mut().zip(lengths) {
        let part = parts.next().filter(|part| part.len() == length)?;
        *number = digits(part)?.parse().ok()?;
    }
    parts.next().is_none().then_some(numbers)
}

fn digits(text: &str) -> Option<&str> {
    let all = text.bytes().all(|byte| byte.is_ascii_digit());
    (all && !text.is_empty()).then_some(text)
}

fn days_in(year: i64, month: i64) -> Option<i64> {
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => Some(31),
        4 | 6 | 9 | 11 => Some(30),
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => Some(29),
        2 => Some(28),
        _ => None,
    }
}

/// In the Gregorian calendar, with years that begin in March so that the leap day comes last.
fn days_from_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month < 3 {
        (year - 1, month + 9)
    } else {
        (year, month - 3)
    };
    let leap_days = year / 4 - year / 100 + year / 400;
    year * 365 + leap_days + (153 * month + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_nothing_else_is() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2016-07-11T22:14:10Z", 1_468_275_250),
            ("2016-07-11t22:14:10.999z", 1_468_275_250),
            ("2016-07-12T00:14:10+02:00", 1_468_275_250),
            ("2016-07-11T16:44:10-05:30", 1_468_275_250),
            ("2000-02-29T12:00:00Z", 951_825_600),
            ("2024-12-31T23:59:60Z", 1_735_689_600),
            ("2100-03-01T00:00:00Z", 4_107_542_400),
            ("9999-12-31T23:59:59Z", 253_402_300_799),
        ] {
            let read = parse(text).map(|at| at.duration_since(UNIX_EPOCH).unwrap_or_default());
            assert_eq!(read, Some(Duration::from_secs(seconds)), "{text}");
        }
        for text in [
            "",
            "Z",
            "2016-07-11",
            "2016-07-11T22:14:10",
            "2016-07-11 22:14:10Z",
            "2016-7-11T22:14:10Z",
            "2016-13-11T22:14:10Z",
            "2016-00-11T22:14:10Z",
            "2016-02-30T22:14:10Z",
            "2015-02-29T22:14:10Z",
            "2100-02-29T22:14:10Z",
            "2016-07-00T22:14:10Z",
            "2016-07-11T24:14:10Z",
            "2016-07-11T22:60:10Z",
            "2016-07-11T22:14:61Z",
            "2016-07-11T22:14:10.Z",
            "2016-07-11T22:14:10.1xZ",
            "2016-07-11T22:14:10+02",
            "2016-07-11T22:14:10+24:00",
            "2016-07-11T22:14:10+é:00",
            "+016-07-11T22:14:10Z",
            "1969-12-31T23:59:59Z",
            "1970-01-01T00:00:00+00:01",
            "2016-07-11T22:14:10ZZ",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
