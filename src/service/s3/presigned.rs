//! Presigned URLs: what makes one is taken out of the query, and its own expiry is checked.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderName, HeaderValue, header::HeaderMap};

use super::{query::Query, refusal::Refusal};
use crate::TransformError;

/// How far the clock of who made the URL may be ahead.
const AHEAD: Duration = Duration::from_secs(15 * 60);
const WEEK: u64 = 7 * 24 * 60 * 60;

/// What makes a URL a presigned one.
const SIGNING: [&str; 7] = [
    "x-amz-algorithm",
    "x-amz-credential",
    "x-amz-date",
    "x-amz-expires",
    "x-amz-security-token",
    "x-amz-signature",
    "x-amz-signedheaders",
];

/// What the query of a presigned URL says about itself.
#[derive(Debug, Default)]
pub(super) struct Presigned {
    date: Option<String>,
    expires: Option<String>,
    /// It was there at all.
    any: bool,
}

impl Presigned {
    /// Takes a presigned URL apart: the signature goes; other `X-Amz-` parameters stand for the headers of that name, and
    /// become these.
    pub(super) fn take(query: &mut Query, headers: &mut HeaderMap) -> Result<Self, TransformError> {
        let mut presigned = Self::default();
        for (name, value) in query.take_amz() {
            presigned.any |= SIGNING.contains(&name.as_str());
            match name.as_str() {
                "x-amz-date" => presigned.date = Some(value),
                "x-amz-expires" => presigned.expires = Some(value),
                name if SIGNING.contains(&name) => {}
                _ => stand_for_header(&name, value, headers)?,
            }
        }
        Ok(presigned)
    }

    /// Checks when the URL was made, and for how long. A request whose token was nowhere else `must` say.
    pub(super) fn check(&self, must: bool, now: SystemTime) -> Result<(), TransformError> {
        if !self.any && !must {
            return Ok(());
        }
        let wrong = |message| Refusal::bad("AuthorizationQueryParametersError", message);
        let date = self.date.as_deref().and_then(read_date);
        let date =
            date.ok_or_else(|| wrong("X-Amz-Date is not a date, such as 20260131T235959Z"))?;
        let digits = |text: &&str| text.bytes().all(|byte| byte.is_ascii_digit());
        let expires = self.expires.as_deref().filter(digits);
        let expires = expires
            .and_then(|text| text.parse().ok())
            .filter(|seconds| (1..=WEEK).contains(seconds))
            .ok_or_else(|| wrong("X-Amz-Expires is not from 1 to 604800 seconds"))?;
        if now > date + Duration::from_secs(expires) {
            return Err(Refusal::denied("Request has expired"));
        }
        if date > now + AHEAD {
            return Err(Refusal::denied("Request is not valid yet"));
        }
        Ok(())
    }
}

fn stand_for_header(
    name: &str,
    value: String,
    headers: &mut HeaderMap,
) -> Result<(), TransformError> {
    let wrong = || Refusal::bad("InvalidArgument", "A query parameter stands for no header");
    let name = HeaderName::try_from(name).map_err(|_| wrong())?;
    let value = HeaderValue::try_from(value).map_err(|_| wrong())?;
    match headers.insert(name, value) {
        None => Ok(()),
        Some(_) => Err(wrong()),
    }
}

/// `YYYYMMDD'T'HHMMSS'Z'`, from 1970 to 9999.
fn read_date(text: &str) -> Option<SystemTime> {
    let shape = |(at, byte): (usize, u8)| match at {
        8 => byte == b'T',
        15 => byte == b'Z',
        _ => byte.is_ascii_digit(),
    };
    if text.len() != 16 || !text.bytes().enumerate().all(shape) {
        return None;
    }
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<u64>().ok();
    let (year, month, day) = (number(0, 4)?, number(4, 6)?, number(6, 8)?);
    let (hour, minute, second) = (number(9, 11)?, number(11, 13)?, number(13, 15)?);
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let days = |month| match month {
        2 => 28 + u64::from(leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    let real = year >= 1970
        && (1..=12).contains(&month)
        && (1..=days(month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    if !real {
        return None;
    }
    let before = year - 1;
    let leaps = before / 4 - before / 100 + before / 400 - (1969 / 4 - 1969 / 100 + 1969 / 400);
    let day = (year - 1970) * 365 + leaps + (1..month).map(days).sum::<u64>() + day - 1;
    Some(UNIX_EPOCH + Duration::from_secs(day * 86_400 + hour * 3600 + minute * 60 + second))
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    fn seconds(text: &str) -> Option<u64> {
        let date = read_date(text)?;
        Some(date.duration_since(UNIX_EPOCH).unwrap().as_secs())
    }

    #[test]
    fn dates_are_read() {
        assert_eq!(seconds("19700101T000000Z"), Some(0));
        assert_eq!(seconds("20150830T123600Z"), Some(1_440_938_160));
        assert_eq!(seconds("20000229T235959Z"), Some(951_868_799));
        assert_eq!(seconds("20991231T000000Z"), Some(4_102_358_400));
        for wrong in [
            "",
            "20150830T123600",
            "20150230T123600Z",
            "20151330T123600Z",
            "20150800T123600Z",
            "20150830T243600Z",
            "20150830 123600Z",
            "+0150830T123600Z",
            "19691231T235959Z",
        ] {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_url_holds_from_its_date_until_it_expires() {
        let made = read_date("20150830T123600Z").unwrap();
        let check = |query: &str, now| {
            let mut query = Query::parse(query).unwrap();
            let presigned = Presigned::take(&mut query, &mut HeaderMap::new()).unwrap();
            presigned
                .check(true, now)
                .map_err(|error| (error.status(), Refusal::of(&error).unwrap().message))
        };
        let good = "X-Amz-Date=20150830T123600Z&X-Amz-Expires=60";
        let second = Duration::from_secs(1);
        assert_eq!(check(good, made), Ok(()));
        assert_eq!(check(good, made + second * 60), Ok(()));
        assert_eq!(
            check(good, made + second * 61),
            Err((StatusCode::FORBIDDEN, "Request has expired"))
        );
        assert_eq!(check(good, made - AHEAD), Ok(()));
        assert_eq!(
            check(good, made - AHEAD - second),
            Err((StatusCode::FORBIDDEN, "Request is not valid yet"))
        );
        for wrong in [
            "",
            "X-Amz-Date=20150830T123600Z",
            "X-Amz-Expires=60",
            "X-Amz-Date=20150830T123600Z&X-Amz-Expires=0",
            "X-Amz-Date=20150830T123600Z&X-Amz-Expires=604801",
            "X-Amz-Date=20150830T123600Z&X-Amz-Expires=%2B60",
            "X-Amz-Date=20150830T123600Z&X-Amz-Expires=99999999999999999999",
            "X-Amz-Date=soon&X-Amz-Expires=60",
        ] {
            assert_eq!(
                check(wrong, made).unwrap_err().0,
                StatusCode::BAD_REQUEST,
                "{wrong}"
            );
        }
    }

    #[test]
    fn other_parameters_become_the_headers_they_stand_for() {
        let mut query = Query::parse("x-id=PutObject&X-Amz-Acl=private&X-Amz-Signature=0").unwrap();
        let mut headers = HeaderMap::new();
        Presigned::take(&mut query, &mut headers).unwrap();
        assert_eq!(query.encode().unwrap(), "x-id=PutObject");
        assert_eq!(headers["x-amz-acl"], "private");
        assert_eq!(headers.len(), 1);
        let mut again = Query::parse("x-amz-acl=public-read").unwrap();
        assert!(Presigned::take(&mut again, &mut headers).is_err());
    }
}
