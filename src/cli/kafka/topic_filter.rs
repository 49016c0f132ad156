//! Topics by a regular expression, as Kafka's tools take it: commas are alternatives, spaces and quotes around it fall
//! away, and the whole name must match.
//!
//! Java's syntax but for what no automaton can do (look-around, back references). Source: `TopicFilter.IncludeList`.

use regex::Regex;

/// A compiled expression.
#[derive(Debug, Clone)]
pub struct TopicFilter {
    whole: Regex,
}

impl TopicFilter {
    /// Compiles what the user wrote.
    pub fn include(text: &str) -> Result<TopicFilter, String> {
        let quotes: &[char] = &['"', '\''];
        let text = text.trim().replace(',', "|").replace(' ', "");
        let text = text.trim_start_matches(quotes).trim_end_matches(quotes);
        match Regex::new(&format!("^(?:{text})$")) {
            Ok(whole) => Ok(TopicFilter { whole }),
            Err(_) => Err(format!("{text} is an invalid regex.")),
        }
    }

    /// Whether the topic is meant.
    pub fn matches(&self, topic: &str) -> bool {
        self.whole.is_match(topic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_names_alternatives_and_quotes() {
        let matching = |text: &str, topics: &[&str]| -> Vec<bool> {
            let filter = TopicFilter::include(text).unwrap();
            topics.iter().map(|topic| filter.matches(topic)).collect()
        };
        assert_eq!(matching("t|k", &["t", "k", "tk", "x"]), [true, true, false, false]);
        assert_eq!(matching("'a.*, b'", &["abc", "b", "bc"]), [true, true, false]);
        assert_eq!(matching("", &["", "a"]), [true, false]);
        assert_eq!(TopicFilter::include("(").map(drop), Err("( is an invalid regex.".to_owned()));
    }
}
