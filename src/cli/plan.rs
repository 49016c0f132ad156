//! Kafka's JSON of reassignments, read and written: which replicas partitions shall have, and in which directories.
//!
//! What may not be in a plan (duplicates, no partitions) is for who uses it to say. Source:
//! `ReassignPartitionsCommand.{parsePartitionReassignmentData, formatAsReassignmentJson}` of Kafka's tools.

use serde_json::Value;

use super::offsets::Place;

/// Where one partition shall be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The partition.
    pub place: Place,
    /// Its replicas.
    pub replicas: Vec<i32>,
    /// The directory of each, `None` where any will do.
    pub dirs: Vec<Option<String>>,
}

/// A broker id or a partition.
fn number(value: &Value) -> Option<i32> {
    value.as_i64().and_then(|number| i32::try_from(number).ok())
}

/// The JSON in a file, whose version must be 1.
fn versioned(text: &[u8]) -> Result<Value, String> {
    let json: Value = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    match json.get("version").filter(|version| version.as_i64() != Some(1)) {
        Some(version) => Err(format!("Not supported version field value {version}")),
        None => Ok(json),
    }
}

/// The entries of a plan, as they stand there; `None` if it has no list of partitions.
pub fn parse(text: &[u8]) -> Result<Option<Vec<Entry>>, String> {
    let json = versioned(text)?;
    let Some(list) = json.get("partitions") else { return Ok(None) };
    let list = list.as_array().ok_or("\"partitions\" is not a list")?;
    list.iter().map(entry).collect::<Result<Vec<Entry>, String>>().map(Some)
}

fn entry(entry: &Value) -> Result<Entry, String> {
    let wrong = |what: &str| format!("{what} in {entry}");
    let topic = entry.get("topic").and_then(Value::as_str).ok_or_else(|| wrong("no topic"))?;
    let index = entry.get("partition").and_then(number).ok_or_else(|| wrong("no partition"))?;
    let replicas = entry.get("replicas").and_then(Value::as_array).ok_or_else(|| wrong("no replicas"))?;
    let replicas: Option<Vec<i32>> = replicas.iter().map(number).collect();
    let replicas = replicas.ok_or_else(|| wrong("a replica that is no broker id"))?;
    let dirs = match entry.get("log_dirs") {
        None => vec![None; replicas.len()],
        Some(dirs) => {
            let dirs = dirs.as_array().ok_or_else(|| wrong("log_dirs that are no list"))?;
            let dir = |dir: &Value| Some(dir.as_str()?).map(|dir| (dir != "any").then(|| dir.to_owned()));
            let dirs: Option<Vec<Option<String>>> = dirs.iter().map(dir).collect();
            dirs.ok_or_else(|| wrong("a directory that is no text"))?
        }
    };
    if dirs.len() != replicas.len() {
        let any = |dir: &Option<String>| dir.clone().unwrap_or_else(|| "any".to_owned());
        return Err(format!(
            "Size of replicas list {replicas:?} is different from size of log dirs list [{}] for partition {topic}-{index}",
            dirs.iter().map(any).collect::<Vec<_>>().join(", ")
        ));
    }
    Ok(Entry { place: (topic.to_owned(), index), replicas, dirs })
}

/// The names in a list of topics to move: `{"version":1,"topics":[{"topic":"t"}]}`.
pub fn parse_topics(text: &[u8]) -> Result<Vec<String>, String> {
    let json = versioned(text)?;
    let Some(list) = json.get("topics") else { return Ok(Vec::new()) };
    let list = list.as_array().ok_or("\"topics\" is not a list")?;
    let name = |entry: &Value| {
        let name = entry.get("topic").and_then(Value::as_str).map(str::to_owned);
        name.ok_or_else(|| format!("no topic in {entry}"))
    };
    list.iter().map(name).collect()
}

/// A plan as Kafka's tool writes it, keys in its order, every directory left to the broker.
pub fn write<'a>(plan: impl IntoIterator<Item = (&'a Place, &'a Vec<i32>)>) -> String {
    let entry = |((topic, index), replicas): (&Place, &Vec<i32>)| {
        let topic = Value::from(topic.as_str());
        let ids = replicas.iter().map(i32::to_string).collect::<Vec<_>>().join(",");
        let dirs = vec![r#""any""#; replicas.len()].join(",");
        format!(r#"{{"topic":{topic},"partition":{index},"replicas":[{ids}],"log_dirs":[{dirs}]}}"#)
    };
    let entries = plan.into_iter().map(entry).collect::<Vec<_>>().join(",");
    format!(r#"{{"version":1,"partitions":[{entries}]}}"#)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_round_trip() {
        let text = r#"{"version":1,"partitions":[{"topic":"t","partition":0,"replicas":[1,2],"log_dirs":["any","any"]}]}"#;
        let entries = parse(text.as_bytes()).unwrap().unwrap();
        let entry = Entry { place: ("t".into(), 0), replicas: vec![1, 2], dirs: vec![None, None] };
        assert_eq!(entries.iter().collect::<Vec<_>>(), [&entry]);
        assert_eq!(write([(&entry.place, &entry.replicas)]), text);
    }

    #[test]
    fn directories_are_one_a_replica() {
        let with = |dirs: &str| {
            let text = format!(
                r#"{{"partitions":[{{"topic":"t","partition":0,"replicas":[1,2],"log_dirs":{dirs}}}]}}"#
            );
            parse(text.as_bytes()).map(|entries| entries.unwrap()[0].dirs.clone())
        };
        assert_eq!(with(r#"["any","/d"]"#), Ok(vec![None, Some("/d".to_owned())]));
        let wrong = with(r#"["/d"]"#).unwrap_err();
        assert_eq!(
            wrong,
            "Size of replicas list [1, 2] is different from size of log dirs list [/d] for partition t-0"
        );
        assert!(with("[1,2]").is_err() && with("1").is_err());
    }

    #[test]
    fn topics_to_move() {
        assert_eq!(
            parse_topics(br#"{"topics":[{"topic":"a"},{"topic":"b"}],"version":1}"#).unwrap(),
            ["a", "b"]
        );
        assert!(parse_topics(br#"{"topics":[{}]}"#).is_err());
        assert_eq!(parse_topics(br#"{"version":3}"#).unwrap_err(), "Not supported version field value 3");
    }
}
