//! Points in time as users write them: `2020-01-01T00:00:00.000` and `P1DT2H`.
//!
//! Source: `Utils.getDateTime` in Kafka's clients, `java.time.Duration.parse`.

use std::time::{SystemTime, UNIX_EPOCH};

const NO_T: &str = "java.text.ParseException: Error parsing timestamp. It does not contain a 'T' according to ISO8601 format";

/// Milliseconds since 1970 of `YYYY-MM-DDTHH:mm:SS.sss`, in UTC unless `Z` or an offset follows.
pub fn datetime(text: &str) -> Result<i64, String> {
    let (date, time) = text.split_once('T').ok_or(NO_T)?;
    let wrong = || format!("java.text.ParseException: Unparseable date: \"{text}\"");
    let (time, zone) = match time.find(['Z', '+', '-']) {
        Some(at) => (&time[..at], &time[at..]),
        None => (time, "Z"),
    };
    let numbers = |text: &str, separator: char| -> Option<Vec<i64>> {
        text.split(separator)
            .map(|part| Some(part).filter(|part| is_digits(part)).and_then(|part| part.parse().ok()))
            .collect()
    };
    let (time, millis) = time.split_once('.').unwrap_or((time, "0"));
    let [year, month, day] = numbers(date, '-').ok_or_else(wrong)?[..] else { return Err(wrong()) };
    let [hour, minute, second] = numbers(time, ':').ok_or_else(wrong)?[..] else { return Err(wrong()) };
    let millis: i64 =
        Some(millis).filter(|part| is_digits(part)).and_then(|part| part.parse().ok()).ok_or_else(wrong)?;
    let fits =
        (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second < 60;
    if !fits || year > 9_999 || millis > 999 {
        return Err(wrong());
    }
    let seconds = ((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
    Ok((seconds - zone_minutes(zone).ok_or_else(wrong)? * 60) * 1_000 + millis)
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.len() <= 9 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Days from 1970-01-01 in the Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> i64 {
    // Years begin in March, so that the leap day is the last.
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// `Z`, `+01`, `+0130` or `+01:30` in minutes.
fn zone_minutes(text: &str) -> Option<i64> {
    if text == "Z" {
        return Some(0);
    }
    let (sign, digits) = match text.split_at_checked(1)? {
        ("+", digits) => (1, digits.replace(':', "")),
        ("-", digits) => (-1, digits.replace(':', "")),
        _ => return None,
    };
    if !is_digits(&digits) || ![2, 4].contains(&digits.len()) {
        return None;
    }
    let (hours, minutes) = digits.split_at(2);
    Some(sign * (hours.parse::<i64>().ok()? * 60 + minutes.parse::<i64>().unwrap_or(0)))
}

/// Milliseconds since 1970 of a duration before now.
pub fn before_now(text: &str) -> Result<i64, String> {
    let wrong = || "java.time.format.DateTimeParseException: Text cannot be parsed to a Duration".to_owned();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as i64;
    let millis = duration(text).ok_or_else(wrong)?;
    Ok(now.saturating_sub(millis))
}

/// Milliseconds of `PnDTnHnMn.nS`.
fn duration(text: &str) -> Option<i64> {
    let (sign, text) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    let text = text.to_ascii_uppercase();
    let text = text.strip_prefix('P')?;
    let (days, time) = match text.split_once('T') {
        Some((days, time)) if !time.is_empty() => (days, time),
        Some(_) => return None,
        None => (text, ""),
    };
    let mut millis = 0.0;
    let mut any = false;
    for (mut rest, units) in
        [(days, &[('D', 86_400_000.0)][..]), (time, &[('H', 3_600_000.0), ('M', 60_000.0), ('S', 1_000.0)])]
    {
        for (unit, size) in units {
            let Some((number, after)) = rest.split_once(*unit) else { continue };
            let number: f64 = number.parse().ok().filter(|number: &f64| number.is_finite())?;
            (millis, rest, any) = (millis + number * size, after, true);
        }
        if !rest.is_empty() {
            return None;
        }
    }
    any.then_some((sign * millis) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_utc_unless_they_say_otherwise() {
        assert_eq!(datetime("1970-01-01T00:00:00.000"), Ok(0));
        assert_eq!(datetime("2020-02-29T12:30:15.250"), Ok(1_582_979_415_250));
        assert_eq!(datetime("2020-02-29T12:30:15.250Z"), datetime("2020-02-29T14:30:15.250+02:00"));
        assert_eq!(datetime("2020-02-29T12:30:15.250"), datetime("2020-02-29T11:00:15.250-0130"));
        assert_eq!(datetime("junk"), Err(NO_T.to_owned()));
        for wrong in [
            "2020-01T00:00:00.000",
            "2020-13-01T00:00:00.000",
            "2020-01-01T00:00",
            "2020-01-01T00:00:00.000+1",
            "2020-01-01T00:00:00.000Z12",
        ] {
            assert!(datetime(wrong).unwrap_err().contains("Unparseable"), "{wrong}");
        }
    }

    #[test]
    fn durations() {
        assert_eq!(duration("PT0S"), Some(0));
        assert_eq!(duration("P1DT2H3M4.5S"), Some(93_784_500));
        assert_eq!(duration("-P1D"), Some(-86_400_000));
        for wrong in ["", "P", "PT", "1D", "P1H", "PT1D", "PTxS", "P1DT"] {
            assert_eq!(duration(wrong), None, "{wrong}");
        }
    }
}
