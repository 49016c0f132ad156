//! `kafka-run-class [-daemon] [-name service] [-loggc] class [options]`: the tool that a Java class of Kafka is.
//!
//! There is no Java in it, so `-loggc` has nothing to log, and classes that are no tool of the table are refused by name.
//! Source: `bin/kafka-run-class.sh`.

use super::{absent, daemon, of_class};

const USAGE: &str = "USAGE: kafka-run-class.sh [-daemon] [-name servicename] [-loggc] classname [opts]";

/// What stands before the class.
#[derive(Debug, PartialEq, Eq)]
pub struct Call<'a> {
    /// Whether it is to run away from the terminal.
    pub daemon: bool,
    /// The name of the file that then takes its output.
    pub service: Option<&'a str>,
    /// The class and what it is given; empty if no class is named.
    pub rest: &'a [String],
}

/// Takes off what is meant for the script.
pub fn read(arguments: &[String]) -> Call<'_> {
    let mut call = Call { daemon: false, service: None, rest: arguments };
    loop {
        call.rest = match call.rest {
            [flag, rest @ ..] if flag == "-daemon" => {
                call.daemon = true;
                rest
            }
            [flag, rest @ ..] if flag == "-loggc" => rest,
            // For the JVM.
            [flag, rest @ ..] if flag.starts_with("-D") || flag.starts_with("-X") => rest,
            [flag, name, rest @ ..] if flag == "-name" => {
                call.service = Some(name);
                rest
            }
            _ => return call,
        };
    }
}

/// Runs it.
pub fn run(arguments: &[String]) -> Result<(), String> {
    let call = read(arguments);
    let Some((class, options)) = call.rest.split_first() else { return Err(USAGE.into()) };
    let tool = of_class(class).ok_or_else(|| match absent::of_class(class) {
        Some(absent) => absent.sentence(),
        None => format!(
            "Error: Could not find or load main class {class}: this is Ottla, which runs no Java; it has the tools \
             that `ottla tool-names` lists, under the classes of Kafka 3.9"
        ),
    })?;
    if call.daemon {
        let service = call.service.or_else(|| class.rsplit('.').next()).unwrap_or(class);
        return daemon::start(call.rest, service);
    }
    (tool.run)(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_meant_for_the_script_is_taken_off() {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<String>>();
        let all = words("-daemon -name kafkaServer -loggc -Da=b -Xmx1G kafka.Kafka a.properties -name x");
        let call = read(&all);
        assert_eq!((call.daemon, call.service), (true, Some("kafkaServer")));
        assert_eq!(call.rest, words("kafka.Kafka a.properties -name x"));
        assert_eq!(read(&words("-name")).rest.len(), 1);
        assert!(read(&words("-daemon")).rest.is_empty());
    }
}
