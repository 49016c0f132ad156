//! What can be said to `zookeeper-shell`: a line into words, words into a command. Pure.
//!
//! Options may stand anywhere behind the command's name. What ZooKeeper's own shell has and this one has not is refused by
//! name. Source: `ZooKeeperMain.parseCommand`, `org.apache.zookeeper.cli` of ZooKeeper 3.8.

/// A command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// The children of a node; with `recursive` all that is below it.
    Ls { path: String, stat: bool, recursive: bool },
    /// The data of a node.
    Get { path: String, stat: bool, base64: bool },
    /// What ZooKeeper keeps beside the data.
    Stat { path: String },
    /// Overwrites the data.
    Set { path: String, data: String, version: Option<i32>, stat: bool },
    /// Makes a node.
    Create { path: String, data: String, ephemeral: bool, sequential: bool },
    /// Deletes a node without children.
    Delete { path: String, version: Option<i32> },
    /// Deletes a node and all below it.
    DeleteAll { path: String },
    /// Who may do what.
    GetAcl { path: String, stat: bool },
    /// Brings the server up to date.
    Sync,
    /// Ends the shell.
    Quit,
    /// Says what there is.
    Help,
}

/// Name, flags, flags with a value, and how it is used.
type Form = (&'static str, &'static str, &'static str, &'static str);

const FORMS: &[Form] = &[
    ("create", "se", "", "create [-s] [-e] path [data]"),
    ("delete", "", "v", "delete [-v version] path"),
    ("deleteall", "", "b", "deleteall path"),
    ("get", "sb", "", "get [-s] [-b] path"),
    ("getAcl", "s", "", "getAcl [-s] path"),
    ("help", "", "", "help"),
    ("ls", "sR", "", "ls [-s] [-R] path"),
    ("quit", "", "", "quit"),
    ("set", "s", "v", "set path data [-s] [-v version]"),
    ("stat", "", "", "stat path"),
    ("sync", "", "", "sync path"),
];

/// Names that ZooKeeper's own shell knows besides.
const ONLY_THERE: &[&str] = &[
    "addWatch",
    "addauth",
    "close",
    "config",
    "connect",
    "delquota",
    "getAllChildrenNumber",
    "getEphemerals",
    "history",
    "listquota",
    "printwatches",
    "reconfig",
    "redo",
    "removewatches",
    "setAcl",
    "setquota",
    "version",
    "whoami",
];

/// What is said when it is not understood.
pub fn usage() -> String {
    let lines: Vec<String> = FORMS.iter().map(|form| format!("\t{}", form.3)).collect();
    format!("ZooKeeper -server host:port cmd args\n{}", lines.join("\n"))
}

/// Cuts a line at spaces, except inside quotes, which go.
pub fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = line.trim();
    while let Some(first) = rest.chars().next() {
        let quoted = (first == '"' || first == '\'').then(|| &rest[1..]);
        let closed = quoted.and_then(|inside| inside.find(first));
        let (word, after) = match closed {
            Some(end) => (&rest[1..=end], &rest[end + 2..]),
            None => rest.split_at(rest.find(char::is_whitespace).unwrap_or(rest.len())),
        };
        words.push(word.to_owned());
        rest = after.trim_start();
    }
    words
}

/// Makes a command of words, of which there is at least one.
pub fn command(words: &[String]) -> Result<Command, String> {
    let (name, rest) = words.split_first().ok_or_else(usage)?;
    let Some(form) = FORMS.iter().find(|form| form.0 == name) else {
        return Err(match ONLY_THERE.contains(&name.as_str()) {
            true => format!("{name} is not in this shell: use the zkCli.sh of ZooKeeper for it"),
            false => format!("{}\nCommand not found: Command not found {name}", usage()),
        });
    };
    let given = Given::read(form, rest)?;
    let missing = || form.3.to_owned();
    let path = || given.plain.first().cloned().ok_or_else(missing).and_then(checked);
    let (stat, most) = (given.has('s'), if matches!(form.0, "create" | "set") { 2 } else { 1 });
    if given.plain.len() > most {
        return Err(format!("{:?} is too much: {}", given.plain[most], form.3));
    }
    Ok(match form.0 {
        "ls" => Command::Ls { path: path()?, stat, recursive: given.has('R') },
        "get" => Command::Get { path: path()?, stat, base64: given.has('b') },
        "getAcl" => Command::GetAcl { path: path()?, stat },
        "stat" => Command::Stat { path: path()? },
        "set" => {
            let data = given.plain.get(1).cloned().ok_or_else(missing)?;
            Command::Set { path: path()?, data, version: given.version()?, stat }
        }
        "create" => {
            let data = given.plain.get(1).cloned().unwrap_or_default();
            let (ephemeral, sequential) = (given.has('e'), stat);
            if ephemeral && sequential {
                return Err("create -e -s is not in this shell: use the zkCli.sh of ZooKeeper for it".into());
            }
            Command::Create { path: path()?, data, ephemeral, sequential }
        }
        "delete" => Command::Delete { path: path()?, version: given.version()? },
        "deleteall" => Command::DeleteAll { path: path()? },
        "sync" => path().map(|_| Command::Sync)?,
        "quit" => Command::Quit,
        _ => Command::Help,
    })
}

/// What follows the name of a command.
struct Given {
    flags: String,
    value: Option<String>,
    plain: Vec<String>,
}

impl Given {
    fn read(form: &Form, words: &[String]) -> Result<Given, String> {
        let mut given = Given { flags: String::new(), value: None, plain: Vec::new() };
        let mut rest = words.iter();
        while let Some(word) = rest.next() {
            match word.strip_prefix('-').filter(|flag| !flag.is_empty()) {
                Some(flag) if flag.len() == 1 && form.1.contains(flag) => given.flags.push_str(flag),
                Some(flag) if flag.len() == 1 && form.2.contains(flag) => {
                    let value = rest.next().ok_or_else(|| format!("-{flag} needs a value: {}", form.3))?;
                    given.value = Some(value.clone());
                }
                // Data may begin with a dash where a path stands before it.
                Some(_) if form.0 == "set" && given.plain.len() == 1 => given.plain.push(word.clone()),
                Some(_) => return Err(format!("Unrecognized option: {word}\n{}", form.3)),
                None => given.plain.push(word.clone()),
            }
        }
        Ok(given)
    }

    fn has(&self, flag: char) -> bool {
        self.flags.contains(flag)
    }

    /// The version that a node must have; -1 is any.
    fn version(&self) -> Result<Option<i32>, String> {
        let Some(text) = &self.value else { return Ok(None) };
        let version: i32 = text.parse().map_err(|_| format!("{text:?} is no version: it is a number"))?;
        Ok(Some(version).filter(|version| *version != -1))
    }
}

fn checked(path: String) -> Result<String, String> {
    let wrong = match path.as_str() {
        "/" => return Ok(path),
        text if !text.starts_with('/') => return Err("Path must start with / character".into()),
        text if text.ends_with('/') => return Err("Path must not end with / character".into()),
        text if text.contains("//") => "empty node name specified",
        text if text.split('/').any(|part| part == "." || part == "..") => "relative paths not allowed",
        text if text.contains('\0') => "null character not allowed",
        _ => return Ok(path),
    };
    Err(format!("{wrong}: {path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(line: &str) -> Result<Command, String> {
        command(&words(line))
    }

    #[test]
    fn quotes_hold_words_together() {
        assert_eq!(
            words("  create /a  \"two words\" 'and more' "),
            ["create", "/a", "two words", "and more"]
        );
        assert_eq!(words("set /a {\"x\":1}"), ["set", "/a", "{\"x\":1}"]);
        assert_eq!(words("set /a \"open"), ["set", "/a", "\"open"]);
        assert_eq!(words("set /a \"\" é'"), ["set", "/a", "", "é'"]);
        assert_eq!(words(" \t"), [""; 0]);
    }

    #[test]
    fn options_stand_anywhere() {
        let ls = Command::Ls { path: "/".into(), stat: true, recursive: false };
        assert_eq!((said("ls -s /"), said("ls / -s")), (Ok(ls.clone()), Ok(ls)));
        let set = |version| Command::Set { path: "/a".into(), data: "-1".into(), version, stat: false };
        assert_eq!((said("set -v 3 /a -1"), said("set /a -1 -v -1")), (Ok(set(Some(3))), Ok(set(None))));
    }

    #[test]
    fn what_is_not_understood_is_said_in_zookeepers_words() {
        let cases = [
            ("ls", "ls [-s] [-R] path"),
            ("ls a", "Path must start with / character"),
            ("ls /a/", "Path must not end with / character"),
            ("get /a//b", "empty node name"),
            ("get /a/../b", "relative paths"),
            ("ls -w /", "Unrecognized option: -w"),
            ("delete /a -v", "-v needs a value"),
            ("delete /a -v x", "is no version"),
            ("create /a b world:anyone:r", "is too much"),
            ("foo", "Command not found foo"),
            ("addWatch /", "zkCli.sh"),
        ];
        for (line, says) in cases {
            let error = said(line).expect_err(line);
            assert!(error.contains(says), "{line}: {error}");
        }
    }
}
