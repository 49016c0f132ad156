//! Which topics a pattern of Kafka's tools means: names or regular expressions with commas between.
//!
//! A name must match as a whole. Patterns are Java's as far as the `regex` crate has them: look-around and
//! back-references are refused. Source: `TopicFilter.IncludeList`.

use regex::bytes::{Regex, RegexBuilder};

use super::errors::Failure;

/// A pattern.
#[derive(Debug)]
pub struct Include {
    whole: Regex,
}

impl Include {
    /// Reads a pattern: commas part alternatives, blanks and quotes around it do not count.
    pub fn new(raw: &str) -> Result<Include, Failure> {
        let quotes = ['"', '\''];
        let text = raw.trim().replace(',', "|").replace(' ', "");
        let text = text.trim_start_matches(quotes).trim_end_matches(quotes);
        // Java's classes are of ASCII too; names of topics are nothing else.
        let built = RegexBuilder::new(&format!(r"\A(?:{text})\z")).unicode(false).build();
        let whole = built.map_err(|error| {
            Failure::new("java.lang.RuntimeException", format!("{text} is an invalid regex. ({error})"))
        })?;
        Ok(Include { whole })
    }

    /// Whether a topic is meant.
    pub fn has(&self, topic: &str) -> bool {
        self.whole.is_match(topic.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_as_a_whole() {
        let both = Include::new("'orders, pay.*' ").unwrap();
        for (topic, has) in [("orders", true), ("payments", true), ("my-orders", false), ("orders2", false)] {
            assert_eq!(both.has(topic), has, "{topic}");
        }
        assert!(Include::new(r"test\.topic").unwrap().has("test.topic"));
        let wrong = Include::new("a(").unwrap_err();
        assert!(wrong.message.starts_with("a( is an invalid regex."), "{wrong}");
    }
}
