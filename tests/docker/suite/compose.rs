//! Compose files: Ottla's own, and the shapes that people start clusters with, `image:` changed and nothing else.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ottla_docker_tests::compose::{Project, repository};
use ottla_docker_tests::engine::{self, docker};
use ottla_docker_tests::metadata;

const PATIENCE: Duration = Duration::from_secs(60);

/// The files name ports, so those must be free.
fn need(ports: &[u16]) {
    for port in ports {
        TcpListener::bind(("0.0.0.0", *port))
            .unwrap_or_else(|error| panic!("port {port}, which a compose file names: {error}"));
    }
}

fn up(file: &Path, brokers: &[u16], others: &[u16]) -> Project {
    need(&[brokers, others].concat());
    let project = Project::up(file).expect("the project comes up");
    for port in brokers {
        let (found, waited) =
            metadata::wait(*port, brokers.len(), PATIENCE).expect("a broker answers outside");
        let ports: Vec<i32> = found.brokers.values().map(|(_, port)| *port).collect();
        assert_eq!(ports, brokers.iter().map(|port| i32::from(*port)).collect::<Vec<i32>>(), "{file:?}");
        eprintln!(
            "{}: up {:.1} s, and {waited:.1?} for port {port}",
            file.display(),
            project.took.as_secs_f64()
        );
    }
    project
}

/// Records written inside, through one broker's listener, and read through another's.
fn records(project: &Project, from: (&str, &str), to: (&str, &str)) {
    let write = format!("seq 1 100 | ottla produce testtopic --bootstrap {}", from.1);
    let create = ["ottla", "topics", "create", "testtopic", "--partitions", "12", "--bootstrap", from.1];
    project.run(from.0, &create).expect("a topic is made");
    project.run(from.0, &["bash", "-c", &write]).expect("records are written");
    let read = ["ottla", "consume", "testtopic", "--max", "100", "--timeout", "10000", "--bootstrap", to.1];
    let mut read: Vec<u32> = project
        .run(to.0, &read)
        .expect("records are read")
        .lines()
        .filter_map(|line| line.parse().ok())
        .collect();
    read.sort_unstable();
    assert_eq!(read, (1..=100).collect::<Vec<u32>>());
}

#[test]
fn one_zookeeper_and_three_brokers() {
    let Some(_turn) = engine::turn() else { return };
    let project = up(&repository().join("docker/compose.yaml"), &[9092, 9093, 9094], &[2181]);
    records(&project, ("kafka1", "kafka1:19092"), ("kafka3", "kafka2:19093"));
    let image = project.inspect("kafka2", "{{.Config.Image}}").expect("it is there");
    assert_eq!(image, engine::image());
}

#[test]
fn three_zookeepers_one_of_which_is_killed() {
    let Some(_turn) = engine::turn() else { return };
    let file = repository().join("docker/compose.ensemble.yaml");
    let project = up(&file, &[9092, 9093, 9094], &[2181, 2182, 2183]);
    project.compose(&["kill", "zoo2"]).expect("a member of the ensemble is killed");
    records(&project, ("kafka1", "kafka1:19092"), ("kafka2", "kafka3:19094"));
}

#[test]
fn one_container_for_development() {
    let Some(_turn) = engine::turn() else { return };
    let project = up(&repository().join("docker/compose.dev.yaml"), &[9092], &[2181]);
    records(&project, ("kafka", "kafka:19092"), ("kafka", "localhost:19092"));
    // Its ZooKeeper can be looked into from outside: here, from another container.
    let network =
        project.inspect("kafka", "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}}{{end}}");
    let command =
        ["run", "--rm", "--network", &network.expect("it has a network"), &engine::zookeeper_image()];
    let asked = [&command[..], &["zkCli.sh", "-server", "kafka:2181", "ls", "/brokers/ids"]].concat();
    let ids = docker(&asked).expect("ZooKeeper's own shell gets an answer");
    assert!(ids.lines().any(|line| line == "[1]"), "{ids}");
}

/// The file with `image:` changed, and nothing else.
fn with_our_image(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("shapes");
    let text = fs::read_to_string(folder.join(name)).expect("the shape");
    let changed: Vec<String> = text
        .lines()
        .map(|line| match line.split_once("image: confluentinc/") {
            Some((indent, image)) if image.starts_with("cp-kafka:") => {
                format!("{indent}image: {}", engine::image())
            }
            Some((indent, image)) if image.starts_with("cp-zookeeper:") => {
                format!("{indent}image: {}", engine::zookeeper_image())
            }
            _ => line.to_owned(),
        })
        .collect();
    let differ = text.lines().zip(&changed).filter(|(old, new)| old != new);
    assert!(
        differ.clone().count() >= 2 && differ.clone().all(|(old, _)| old.contains("image: confluentinc/"))
    );
    let file = std::env::temp_dir().join(format!("ottla-test-{}-{name}", std::process::id()));
    fs::write(&file, changed.join("\n") + "\n").expect("the temporary directory takes a file");
    file
}

#[test]
fn conduktor_single() {
    let Some(_turn) = engine::turn() else { return };
    let file = with_our_image("zk-single-kafka-single.yml");
    let project = up(&file, &[9092], &[2181, 9999, 29092]);
    records(&project, ("kafka1", "kafka1:19092"), ("kafka1", "localhost:19092"));
    drop(project);
    fs::remove_file(file).expect("the file was ours");
}

#[test]
fn conduktor_multiple() {
    let Some(_turn) = engine::turn() else { return };
    let file = with_our_image("zk-multiple-kafka-multiple.yml");
    let project = up(&file, &[9092, 9093, 9094], &[2181, 2182, 2183, 29092, 29093, 29094]);
    records(&project, ("kafka1", "kafka1:19092"), ("kafka2", "kafka3:19094"));
    drop(project);
    fs::remove_file(file).expect("the file was ours");
}
