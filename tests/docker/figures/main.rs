//! What the image costs, beside Kafka 3.9.2 in the same engine: size, container start to the first Metadata answer, a cluster of
//! three in one command, memory. `scripts/test-docker --figures [ROUNDS]`; docker/base-images makes Kafka's image.
//!
//! Both start on a ZooKeeper that is up, each round under a path of its own; both are asked from outside, every 20 ms.

use std::time::{Duration, Instant};

use ottla_docker_tests::compose::{Project, repository};
use ottla_docker_tests::engine::{self, docker};
use ottla_docker_tests::{metadata, stack};

const KAFKA: &str = "ottla-peer-kafka:3.9.2";
const PATIENCE: Duration = Duration::from_secs(120);

/// One image's figures; times in seconds.
struct Figures {
    megabytes: f64,
    start: Vec<f64>,
    cluster: Vec<f64>,
    mebibytes: Vec<f64>,
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// `docker run` to the first answer.
fn start(image: &str, network: &str, round: usize) -> Result<f64, String> {
    let (port, name) = (stack::free_port(), stack::fresh_name());
    let variables = [
        format!("KAFKA_BROKER_ID={}", round + 1),
        format!("KAFKA_ZOOKEEPER_CONNECT={network}-zoo:2181/{name}"),
        "KAFKA_LISTENERS=INTERNAL://:19092,EXTERNAL://:9092".into(),
        format!("KAFKA_ADVERTISED_LISTENERS=INTERNAL://{name}:19092,EXTERNAL://127.0.0.1:{port}"),
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP=INTERNAL:PLAINTEXT,EXTERNAL:PLAINTEXT".into(),
        "KAFKA_INTER_BROKER_LISTENER_NAME=INTERNAL".into(),
    ];
    let ports = format!("{port}:9092");
    let mut command = vec!["run", "-d", "--name", &name, "--network", network, "-p", &ports];
    variables.iter().for_each(|variable| command.extend(["-e", variable]));
    command.push(image);
    let begun = Instant::now();
    docker(&command)?;
    let answered = metadata::wait(port, 1, PATIENCE);
    let took = begun.elapsed().as_secs_f64();
    let said = if answered.is_err() { docker(&["logs", "--tail", "30", &name])? } else { String::new() };
    docker(&["rm", "-f", "-v", &name])?;
    answered.map(|_| took).map_err(|error| format!("{image}: {error}\n{said}"))
}

/// A container that does nothing: what the engine takes for itself.
fn nothing() -> Result<f64, String> {
    let begun = Instant::now();
    docker(&["run", "--rm", &engine::image(), "true"])?;
    Ok(begun.elapsed().as_secs_f64())
}

/// `docker compose up` to the moment when each of three brokers answers for all three; and their memory a little later.
fn cluster(image: &str) -> Result<(f64, f64), String> {
    let begun = Instant::now();
    let project = Project::up_with(&repository().join("docker/compose.yaml"), image)?;
    for port in [9092, 9093, 9094] {
        metadata::wait(port, 3, PATIENCE)?;
    }
    let took = begun.elapsed().as_secs_f64();
    std::thread::sleep(Duration::from_secs(5));
    let mut memory = 0.0;
    for service in ["kafka1", "kafka2", "kafka3"] {
        let status = project.run(service, &["cat", "/proc/1/status"])?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes = resident
            .and_then(|line| line.split_whitespace().next())
            .and_then(|text| text.parse::<f64>().ok());
        memory += kibibytes.ok_or_else(|| format!("no VmRSS in {status}"))? / 1024.0;
    }
    Ok((took, memory))
}

fn measure(rounds: usize) -> Result<([Figures; 2], Vec<f64>), String> {
    let images = [engine::image(), KAFKA.to_owned()];
    let mut figures = Vec::new();
    for image in &images {
        let size = docker(&["image", "inspect", "-f", "{{.Size}}", image])?;
        let megabytes = size.parse::<f64>().map_err(|error| format!("{size}: {error}"))? / 1e6;
        figures.push(Figures { megabytes, start: vec![], cluster: vec![], mebibytes: vec![] });
    }
    let mut empty = Vec::new();
    {
        let network = stack::fresh_name();
        let _zookeeper = stack::zookeeper(&network);
        // Not counted: the first of each finds nothing in the page cache, and ZooKeeper perhaps not up.
        for image in &images {
            start(image, &network, 0)?;
        }
        for round in 0..rounds {
            empty.push(nothing()?);
            for (image, figures) in images.iter().zip(&mut figures) {
                figures.start.push(start(image, &network, round)?);
            }
        }
    }
    for _ in 0..rounds.min(3) {
        for (image, figures) in images.iter().zip(&mut figures) {
            let (took, memory) = cluster(image)?;
            figures.cluster.push(took);
            figures.mebibytes.push(memory);
        }
    }
    let figures = figures.try_into().map_err(|_| "two images".to_owned())?;
    Ok((figures, empty))
}

fn main() -> std::process::ExitCode {
    let Some(_turn) = engine::turn() else { return std::process::ExitCode::SUCCESS };
    let rounds = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(5);
    let ([ottla, kafka], empty) = match measure(rounds) {
        Ok(measured) => measured,
        Err(error) => {
            eprintln!("{error}");
            return std::process::ExitCode::FAILURE;
        }
    };
    let row = |what: &str, ours: f64, theirs: f64| {
        println!("| {what} | {ours:.2} | {theirs:.2} | {:.3} |", ours / theirs);
    };
    let spread = |name: &str, values: &[f64]| {
        let texts: Vec<String> = values.iter().map(|value| format!("{value:.2}")).collect();
        println!("{name}: {}", texts.join(" "));
    };
    println!("| figure (medians) | Ottla | Kafka 3.9.2 | ratio |");
    println!("|---|---|---|---|");
    row("image, MB", ottla.megabytes, kafka.megabytes);
    row("`docker run` to the first Metadata, s", median(&ottla.start), median(&kafka.start));
    row(
        "three brokers and a ZooKeeper, `docker compose up` to Metadata of all, s",
        median(&ottla.cluster),
        median(&kafka.cluster),
    );
    row("resident memory of the three, MiB", median(&ottla.mebibytes), median(&kafka.mebibytes));
    println!();
    println!("a container that does nothing: {:.2} s; single rounds, s:", median(&empty));
    spread("start, Ottla", &ottla.start);
    spread("start, Kafka", &kafka.start);
    spread("compose, Ottla", &ottla.cluster);
    spread("compose, Kafka", &kafka.cluster);
    std::process::ExitCode::SUCCESS
}
