//! Times as `java.text.SimpleDateFormat` writes them, in UTC and in English.
//!
//! Patterns: `y M d H h k K m s S a E D z Z X` and text in quotes; other letters are errors, as there. Knows nothing of time
//! zones. Source: `java.text.SimpleDateFormat`.

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];
const DAY_MS: i64 = 86_400_000;

/// A pattern that was found to be one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DateFormat {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Field(char, usize),
}

impl DateFormat {
    /// Reads a pattern.
    pub fn new(pattern: &str) -> Result<DateFormat, String> {
        let mut parts = Vec::new();
        let mut rest = pattern.chars().peekable();
        while let Some(first) = rest.next() {
            match first {
                '\'' if rest.next_if_eq(&'\'').is_some() => parts.push(Part::Text("'".into())),
                '\'' => {
                    let mut text = String::new();
                    loop {
                        match rest.next() {
                            None => {
                                return Err("java.lang.IllegalArgumentException: Unterminated quote".into());
                            }
                            Some('\'') if rest.next_if_eq(&'\'').is_some() => text.push('\''),
                            Some('\'') => break,
                            Some(letter) => text.push(letter),
                        }
                    }
                    parts.push(Part::Text(text));
                }
                letter if letter.is_ascii_alphabetic() => {
                    if !"yMdHhkKmsSaEDzZX".contains(letter) {
                        return Err(format!(
                            "java.lang.IllegalArgumentException: Illegal pattern character '{letter}'"
                        ));
                    }
                    let mut count = 1;
                    while rest.next_if_eq(&letter).is_some() {
                        count += 1;
                    }
                    parts.push(Part::Field(letter, count));
                }
                other => parts.push(Part::Text(other.into())),
            }
        }
        Ok(DateFormat { parts })
    }

    /// Writes milliseconds since 1970.
    pub fn write(&self, ms: i64) -> String {
        let moment = Moment::of(ms);
        let part = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Field(letter, count) => moment.field(*letter, *count),
        };
        self.parts.iter().map(part).collect()
    }
}

/// A moment by the calendar.
struct Moment {
    year: i64,
    month: i64,
    day: i64,
    day_of_year: i64,
    days: i64,
    ms: i64,
}

impl Moment {
    fn of(ms: i64) -> Moment {
        let days = ms.div_euclid(DAY_MS);
        // Years begin in March here, so that the leap day is the last; eras are of 400 years.
        let shifted = days + 719_468;
        let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * of_year + 2) / 153;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        let day = of_year - (153 * from_march + 2) / 5 + 1;
        let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let day_of_year = if month > 2 { of_year + 60 + i64::from(is_leap) } else { of_year - 305 };
        Moment { year, month, day, day_of_year, days, ms: ms.rem_euclid(DAY_MS) }
    }

    fn field(&self, letter: char, count: usize) -> String {
        let padded = |number: i64| format!("{number:0count$}");
        let name =
            |name: &str| if count > 3 { name.to_owned() } else { name.get(..3).unwrap_or(name).to_owned() };
        let hour = self.ms / 3_600_000;
        match letter {
            'y' if count == 2 => format!("{:02}", self.year.rem_euclid(100)),
            'y' => padded(self.year),
            'M' if count > 2 => name(MONTHS[(self.month - 1) as usize]),
            'M' => padded(self.month),
            'd' => padded(self.day),
            'D' => padded(self.day_of_year),
            'E' => name(DAYS[self.days.rem_euclid(7) as usize]),
            'a' => if hour < 12 { "AM" } else { "PM" }.to_owned(),
            'H' => padded(hour),
            'k' => padded(if hour == 0 { 24 } else { hour }),
            'K' => padded(hour % 12),
            'h' => padded(if hour % 12 == 0 { 12 } else { hour % 12 }),
            'm' => padded(self.ms / 60_000 % 60),
            's' => padded(self.ms / 1_000 % 60),
            'S' => padded(self.ms % 1_000),
            'z' if count > 3 => "Coordinated Universal Time".to_owned(),
            'z' => "UTC".to_owned(),
            'Z' => "+0000".to_owned(),
            _ => "Z".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(pattern: &str, ms: i64) -> String {
        DateFormat::new(pattern).unwrap().write(ms)
    }

    #[test]
    fn moments_are_written_as_java_does() {
        let ms = 1_732_247_660_123;
        assert_eq!(write("yyyy-MM-dd HH:mm:ss:SSS", ms), "2024-11-22 03:54:20:123");
        assert_eq!(
            write("EEE, d MMM yy h:mm a 'o''clock' DDD z", ms + 12 * 3_600_000),
            "Fri, 22 Nov 24 3:54 PM o'clock 327 UTC"
        );
        assert_eq!(write("EEEE MMMM k K ''X Z", 0), "Thursday January 24 0 'Z +0000");
        for (ms, date) in [
            (951_782_400_000, "2000-02-29 060"),
            (951_868_800_000, "2000-03-01 061"),
            (-1, "1969-12-31 365"),
            (4_107_542_400_000, "2100-03-01 060"),
            (1_704_067_200_000, "2024-01-01 001"),
            (1_735_603_200_000, "2024-12-31 366"),
        ] {
            assert_eq!(write("yyyy-MM-dd DDD", ms), date);
        }
    }

    #[test]
    fn what_is_no_pattern_is_said() {
        assert!(DateFormat::new("yyyy b").unwrap_err().ends_with("Illegal pattern character 'b'"));
        assert!(DateFormat::new("'x").is_err());
    }
}
