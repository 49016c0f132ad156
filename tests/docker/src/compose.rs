//! A compose file, up as a project of its own and down again with its volumes.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::engine::{self, output};
use crate::stack;

/// A project that is up; dropped, it is gone with its volumes.
pub struct Project {
    name: String,
    file: PathBuf,
    image: String,
    /// How long `up` took.
    pub took: Duration,
}

/// The top of the repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("tests/docker is two deep").to_owned()
}

impl Project {
    /// `docker compose up -d`, with the image under test. The error says what is missing or who refused.
    pub fn up(file: &Path) -> Result<Project, String> {
        Project::up_with(file, &engine::image())
    }

    /// The same with another image in its place.
    pub fn up_with(file: &Path, image: &str) -> Result<Project, String> {
        output(Command::new("docker").args(["compose", "version"]))
            .map_err(|error| format!("docker compose, version 2, is missing: {error}"))?;
        let (name, file, image) = (stack::fresh_name(), file.to_owned(), image.to_owned());
        let mut project = Project { name, file, image, took: Duration::ZERO };
        let start = Instant::now();
        project.compose(&["up", "-d", "--no-build", "--quiet-pull"])?;
        project.took = start.elapsed();
        Ok(project)
    }

    /// `docker compose ...` of this project.
    pub fn compose(&self, arguments: &[&str]) -> Result<String, String> {
        output(
            Command::new("docker")
                .args(["compose", "-p", &self.name, "-f"])
                .arg(&self.file)
                .args(arguments)
                .env("OTTLA_IMAGE", &self.image),
        )
    }

    /// What a command prints in the container of a service.
    pub fn run(&self, service: &str, command: &[&str]) -> Result<String, String> {
        self.compose(&[&["exec", "-T", service], command].concat())
    }

    /// The state of a service's container, by a template of `docker inspect`.
    pub fn inspect(&self, service: &str, template: &str) -> Result<String, String> {
        let id = self.compose(&["ps", "-a", "-q", service])?;
        engine::docker(&["inspect", "-f", template, &id])
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.compose(&["logs", "--no-color", "--tail", "15"]).unwrap_or_default());
        }
        if let Err(error) = self.compose(&["down", "-v", "-t", "20", "--remove-orphans"]) {
            eprintln!("{error}");
        }
    }
}
