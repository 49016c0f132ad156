//! What a configuration key is: its type, its default, how it may change, and which values it takes.

use super::broker_keys::BROKER_KEYS;
use super::topic_keys::TOPIC_KEYS;

/// Type of a value (`ConfigDef.Type`).
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Kind {
    /// `true` or `false`.
    Bool,
    /// Text.
    Str,
    /// 32 bits.
    Int,
    /// 16 bits.
    Short,
    /// 64 bits.
    Long,
    /// Floating point.
    Double,
    /// Comma-separated texts.
    List,
    /// Name of a Java class.
    Class,
    /// Text that is never shown.
    Password,
}

impl Kind {
    /// Number in DescribeConfigs (`ConfigEntry.ConfigType`).
    pub fn wire(self) -> i8 {
        match self {
            Kind::Bool => 1,
            Kind::Str => 2,
            Kind::Int => 3,
            Kind::Short => 4,
            Kind::Long => 5,
            Kind::Double => 6,
            Kind::List => 7,
            Kind::Class => 8,
            Kind::Password => 9,
        }
    }
}

/// How a broker key may change while the broker runs (`DynamicBrokerConfig`).
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Update {
    /// At start only.
    ReadOnly,
    /// For one broker.
    PerBroker,
    /// For all brokers, or for one.
    ClusterWide,
}

/// Which values a key takes beyond its type.
#[derive(Copy, Clone, PartialEq, Debug)]
pub enum Check {
    /// All of its type.
    Any,
    /// Not less than this.
    AtLeast(i64),
    /// Between these, both included.
    Between(f64, f64),
    /// One of these words; each of them for a list.
    OneOf(&'static [&'static str]),
    /// Something.
    NonEmpty,
    /// 1 to 9, or -1.
    GzipLevel,
    /// A release that Kafka 3.9 knows (`MetadataVersion`).
    MetadataVersion,
    /// `*`, or `partition:broker` pairs.
    ThrottledReplicas,
}

/// One key.
#[derive(Debug)]
pub struct Key {
    /// As written in `server.properties`.
    pub name: &'static str,
    /// Type of its value.
    pub kind: Kind,
    /// As Kafka prints it; `None` = not set.
    pub default: Option<&'static str>,
    /// How it may change.
    pub update: Update,
    /// Which values it takes.
    pub check: Check,
}

/// One row of a table.
pub const fn key(
    name: &'static str,
    kind: Kind,
    default: Option<&'static str>,
    update: Update,
    check: Check,
) -> Key {
    Key { name, kind, default, update, check }
}

fn find(table: &'static [Key], name: &str) -> Option<&'static Key> {
    table.binary_search_by(|key| key.name.cmp(name)).ok().map(|index| &table[index])
}

/// The broker key of this name.
pub fn broker_key(name: &str) -> Option<&'static Key> {
    find(BROKER_KEYS, name)
}

/// The topic key of this name.
pub fn topic_key(name: &str) -> Option<&'static Key> {
    find(TOPIC_KEYS, name)
}

/// Releases that `inter.broker.protocol.version` may name (`MetadataVersion`); anything after the first two
/// numbers of a release from 1.0 on is ignored, so `3.9.1` means `3.9`.
const RELEASES: &[&str] = &[
    "0.8.0", "0.8.1", "0.8.2", "0.9.0", "0.10.0", "0.10.1", "0.10.2", "0.11.0", "1.0", "1.1", "2.0", "2.1",
    "2.2", "2.3", "2.4", "2.5", "2.6", "2.7", "2.8", "3.0", "3.1", "3.2", "3.3", "3.4", "3.5", "3.6", "3.7",
    "3.8", "3.9",
];

impl Key {
    /// Checks a value's type and range. The error says what the key takes.
    pub fn check(&self, value: &str) -> Result<(), String> {
        let value = value.trim();
        let wrong = |takes: &str| Err(format!("{} = {value:?} is not valid: it takes {takes}", self.name));
        let in_range = match self.kind {
            Kind::Bool => {
                return match value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("false") {
                    true => Ok(()),
                    false => wrong("true or false"),
                };
            }
            Kind::Int => value.parse::<i32>().map(f64::from).ok(),
            Kind::Short => value.parse::<i16>().map(f64::from).ok(),
            Kind::Long => value.parse::<i64>().map(|number| number as f64).ok(),
            Kind::Double => value.parse::<f64>().ok().filter(|number| !number.is_nan()),
            Kind::Str | Kind::List | Kind::Class | Kind::Password => return self.check_words(value),
        };
        let Some(number) = in_range else {
            return wrong(match self.kind {
                Kind::Int => "a whole number of 32 bits",
                Kind::Short => "a whole number of 16 bits",
                Kind::Long => "a whole number of 64 bits",
                _ => "a number",
            });
        };
        match self.check {
            Check::AtLeast(least) if number < least as f64 => wrong(&format!("{least} or more")),
            Check::Between(low, high) if number < low || number > high => wrong(&format!("{low} to {high}")),
            Check::GzipLevel if number != -1.0 && !(1.0..=9.0).contains(&number) => wrong("-1, or 1 to 9"),
            _ => Ok(()),
        }
    }

    fn check_words(&self, value: &str) -> Result<(), String> {
        let wrong = |takes: &str| Err(format!("{} = {value:?} is not valid: it takes {takes}", self.name));
        match self.check {
            Check::NonEmpty if value.is_empty() => wrong("a value that is not empty"),
            Check::OneOf(words) => {
                let known = |word: &str| words.iter().any(|known| known.eq_ignore_ascii_case(word));
                let good = match self.kind {
                    Kind::List => value.is_empty() || value.split(',').map(str::trim).all(known),
                    // Java compares exactly, except where its validator says otherwise.
                    _ => words.contains(&value) || (words.contains(&"DISABLED") && known(value)),
                };
                if good { Ok(()) } else { wrong(&words.join(", ")) }
            }
            Check::MetadataVersion if !is_release(value) => {
                wrong("a release of Kafka up to 3.9, for example 3.9")
            }
            Check::ThrottledReplicas if !is_throttled_replicas(value) => {
                wrong("* or a list of partition:broker pairs")
            }
            _ => Ok(()),
        }
    }
}

fn is_release(value: &str) -> bool {
    let base = value.split('-').next().unwrap_or(value);
    let parts = if base.starts_with("0.") { 3 } else { 2 };
    let short: Vec<&str> = base.split('.').take(parts).collect();
    RELEASES.contains(&short.join(".").as_str())
}

fn is_throttled_replicas(value: &str) -> bool {
    let pair = |pair: &str| {
        let mut numbers = pair.trim().split(':').map(|number| number.parse::<u32>().is_ok());
        numbers.next() == Some(true) && numbers.next() == Some(true) && numbers.next().is_none()
    };
    value.is_empty() || value == "*" || value == "none" || value.split(',').all(pair)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_sorted_complete_and_their_defaults_valid() {
        for (table, count) in [(BROKER_KEYS, 329), (TOPIC_KEYS, 36)] {
            assert_eq!(table.len(), count, "as many as Kafka 3.9.2 has");
            assert!(table.is_sorted_by(|left, right| left.name < right.name));
            for key in table {
                if let Some(default) = key.default {
                    assert_eq!(key.check(default), Ok(()));
                }
            }
        }
    }

    #[test]
    fn values_out_of_type_or_range_are_refused_with_a_hint() {
        let check = |name: &str, value: &str| broker_key(name).expect("known").check(value);
        assert_eq!(check("num.io.threads", " 8 "), Ok(()));
        assert_eq!(
            check("num.io.threads", "0").expect_err("below 1"),
            "num.io.threads = \"0\" is not valid: it takes 1 or more"
        );
        assert!(check("num.io.threads", "eight").is_err());
        assert!(check("log.retention.bytes", "9223372036854775808").is_err());
        assert!(check("auto.create.topics.enable", "yes").is_err());
        assert!(check("compression.type", "brotli").is_err());
        assert!(check("log.cleanup.policy", "compact,delete").is_ok());
        assert!(check("log.cleanup.policy", "compact,shred").is_err());
        assert!(check("compression.gzip.level", "0").is_err());
        for (version, good) in
            [("3.9", true), ("3.9-IV0", true), ("2.8.1", true), ("0.10.2-IV0", true), ("4.1", false)]
        {
            assert_eq!(check("inter.broker.protocol.version", version).is_ok(), good, "{version}");
        }
        let throttled = topic_key("leader.replication.throttled.replicas").expect("known");
        assert!(throttled.check("0:1,1:2").is_ok() && throttled.check("*").is_ok());
        assert!(throttled.check("0:1:2").is_err() && throttled.check("a:1").is_err());
    }
}
