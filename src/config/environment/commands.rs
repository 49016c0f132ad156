//! Variables that hold a command of the shell, whose answer is the value of another (`start-kafka.sh` of wurstmeister's image).

use std::collections::BTreeMap;

use super::Outside;

/// The variable of the command, the one it is the value of, whether it fills places `_{NAME}` in all values too, and what it must
/// print.
const COMMANDS: &[(&str, &str, bool, Answer)] = &[
    ("BROKER_ID_COMMAND", "KAFKA_BROKER_ID", false, Answer::Id),
    ("RACK_COMMAND", "KAFKA_BROKER_RACK", false, Answer::Anything),
    ("HOSTNAME_COMMAND", "KAFKA_ADVERTISED_HOST_NAME", true, Answer::Host),
    ("PORT_COMMAND", "KAFKA_ADVERTISED_PORT", true, Answer::Port),
];

enum Answer {
    Id,
    Anything,
    Host,
    Port,
}

impl Answer {
    /// What it must be, where `said` is not.
    fn refuses(&self, said: &str) -> Option<&'static str> {
        let (is_fit, what) = match self {
            Answer::Anything => (true, ""),
            Answer::Id => (said.parse::<i32>().is_ok(), "broker id"),
            Answer::Host => (!said.is_empty() && !said.contains(char::is_whitespace), "host name"),
            Answer::Port => (said.parse::<u16>().is_ok(), "port"),
        };
        (!is_fit).then_some(what)
    }
}

/// The variables once every command has answered.
pub struct Answered {
    /// All of them.
    pub variables: BTreeMap<String, String>,
    /// Those that a command gave, and its variable.
    given_by: BTreeMap<&'static str, &'static str>,
}

impl Answered {
    /// What the user wrote to set `variable`.
    pub fn origin<'a>(&self, variable: &'a str) -> &'a str {
        self.given_by.get(variable).copied().unwrap_or(variable)
    }

    /// Sets `variable` to what was asked of `origin`.
    pub fn give(&mut self, variable: &'static str, value: String, origin: &'static str) {
        self.variables.insert(variable.to_owned(), value);
        self.given_by.insert(variable, origin);
    }
}

/// Asks every command; a sentence for each that fails or prints what cannot be meant.
pub fn answer(
    variables: &BTreeMap<String, String>,
    outside: &dyn Outside,
    errors: &mut Vec<String>,
) -> Answered {
    let mut answered = Answered { variables: variables.clone(), given_by: BTreeMap::new() };
    for (name, becomes, fills, must) in COMMANDS {
        let Some(command) = variables.get(*name).filter(|command| !command.is_empty()) else { continue };
        let is_given = variables.contains_key(*becomes);
        if is_given && !fills {
            continue;
        }
        let place = format!("_{{{name}}}");
        let is_used = *fills && variables.values().any(|value| value.contains(&place));
        let remedy = || without_docker(must, command, is_used.then_some(&place), becomes);
        let said = match outside.run(command) {
            Ok(said) => said.trim().to_owned(),
            Err(error) => {
                errors.push(format!("{name}: {error}{}", remedy()));
                continue;
            }
        };
        if let Some(what) = must.refuses(&said) {
            let remedy = if said.is_empty() { remedy() } else { String::new() };
            errors.push(format!("{name}: {command:?} prints {said:?}, which is no {what}{remedy}"));
            continue;
        }
        if is_used {
            for value in answered.variables.values_mut() {
                *value = value.replace(&place, &said);
            }
        } else if !is_given && !said.is_empty() {
            answered.give(becomes, said, name);
        }
    }
    answered
}

/// What to do where `command` wants a Docker client: in a pipe, its absence shows only as an answer that is empty.
fn without_docker(must: &Answer, command: &str, place: Option<&String>, becomes: &str) -> String {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if !command.split(|c| !is_part(c)).any(|word| word == "docker") {
        return String::new();
    }
    let remedy = match (must, place) {
        (Answer::Host | Answer::Port, Some(place)) => {
            format!("write what it would print in place of {place}")
        }
        (Answer::Port, None) => format!(
            "leave it and {becomes} away and mount {}, or set {becomes} to the port of the host",
            super::mapped::SOCKET
        ),
        (_, _) => format!("leave it away and set {becomes}"),
    };
    format!("; Ottla's image has no docker client: {remedy}")
}
