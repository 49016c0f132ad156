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
        let said = match outside.run(command) {
            Ok(said) => said.trim().to_owned(),
            Err(error) => {
                errors.push(format!("{name}: {error}"));
                continue;
            }
        };
        if let Some(what) = must.refuses(&said) {
            errors.push(format!("{name}: {command:?} prints {said:?}, which is no {what}"));
            continue;
        }
        let place = format!("_{{{name}}}");
        let is_used = *fills && variables.values().any(|value| value.contains(&place));
        if is_used {
            for value in answered.variables.values_mut() {
                *value = value.replace(&place, &said);
            }
        } else if !is_given && !said.is_empty() {
            answered.variables.insert((*becomes).to_owned(), said);
            answered.given_by.insert(becomes, name);
        }
    }
    answered
}
