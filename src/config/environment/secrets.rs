//! Values that are kept in files: Confluent's and Apache's key stores under `/etc/kafka/secrets`, and `*_FILE` variables.
//!
//! A variable beside its `*_FILE` is refused, as the official images' `file_env` refuses it: bitnami's lets the file win, and nobody
//! can tell which was meant.

use std::collections::BTreeMap;

use super::names::{Meaning, meaning};
use super::{Keys, Outside, Source};

const FOLDER: &str = "/etc/kafka/secrets";

/// Variable, key, and whether the key is what the file says rather than where it is.
const STORES: &[(&str, &str, bool)] = &[
    ("KAFKA_SSL_KEYSTORE_FILENAME", "ssl.keystore.location", false),
    ("KAFKA_SSL_KEYSTORE_CREDENTIALS", "ssl.keystore.password", true),
    ("KAFKA_SSL_KEY_CREDENTIALS", "ssl.key.password", true),
    ("KAFKA_SSL_TRUSTSTORE_FILENAME", "ssl.truststore.location", false),
    ("KAFKA_SSL_TRUSTSTORE_CREDENTIALS", "ssl.truststore.password", true),
];

/// Adds the keys that files give; one line for each file that is not there, and for each key that is given twice.
pub fn read(
    keys: &mut Keys,
    variables: &BTreeMap<String, String>,
    outside: &dyn Outside,
    errors: &mut Vec<String>,
) {
    let mut from = |variable: &str, path: String, key: &str, is_content: bool| match outside.file(&path) {
        Ok(Some(text)) => {
            let value = if is_content { text.trim_end_matches(['\r', '\n']).to_owned() } else { path };
            let is_beside = variable.ends_with("_FILE");
            match keys.get(key) {
                Some((other, Source::Variable(first)))
                    if !other.is_empty() && (is_beside || *other != value) =>
                {
                    errors.push(format!(
                        "{first} and {variable} are both set, and each sets {key}; keep one of them"
                    ));
                }
                _ => drop(keys.insert(key.to_owned(), (value, Source::Variable(variable.to_owned())))),
            }
        }
        Ok(None) => errors.push(format!("{variable} names {path}, which is not there: mount it")),
        Err(error) => errors.push(format!("{variable} names {path}, which cannot be read: {error}")),
    };
    for (variable, key, is_content) in STORES {
        if let Some(name) = variables.get(*variable).filter(|name| !name.is_empty()) {
            from(variable, format!("{FOLDER}/{name}"), key, *is_content);
        }
    }
    for (variable, path) in variables.iter().filter(|(_, path)| !path.is_empty()) {
        if meaning(variable) == Some(Meaning::File)
            && let Some(Meaning::Key(key)) = variable.strip_suffix("_FILE").and_then(meaning)
        {
            from(variable, path.clone(), &key, true);
        }
    }
}
