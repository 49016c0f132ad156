#!/usr/bin/env python3
"""Runs Kafka's own command line tools, unchanged, against a broker, and checks what they answer: see README.md."""

import argparse
import json
import re
import subprocess
import sys
import time

import install
import servers
from runs import Failed, exit_code, run_folder, wait_until

CLASSES = {
    "kafka-topics": "org.apache.kafka.tools.TopicCommand",
    "kafka-console-producer": "kafka.tools.ConsoleProducer",
    "kafka-console-consumer": "org.apache.kafka.tools.consumer.ConsoleConsumer",
    "kafka-consumer-groups": "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
    "kafka-configs": "kafka.admin.ConfigCommand",
    "kafka-get-offsets": "org.apache.kafka.tools.GetOffsetShell",
    "kafka-broker-api-versions": "kafka.admin.BrokerApiVersionsCommand",
    "kafka-log-dirs": "org.apache.kafka.tools.LogDirsCommand",
    "kafka-delete-records": "org.apache.kafka.tools.DeleteRecordsCommand",
    "kafka-cluster": "org.apache.kafka.tools.ClusterTool",
    "kafka-leader-election": "org.apache.kafka.tools.LeaderElectionCommand",
    "kafka-reassign-partitions": "org.apache.kafka.tools.reassign.ReassignPartitionsCommand",
    "kafka-transactions": "org.apache.kafka.tools.TransactionsCommand",
    "kafka-producer-perf-test": "org.apache.kafka.tools.ProducerPerformance",
    "kafka-dump-log": "kafka.tools.DumpLogSegments",
    "zookeeper-shell": "org.apache.zookeeper.ZooKeeperMain",
}
RECORDS = 500
CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]


class Tools:
    """The tools, one JVM a call, pointed at one broker."""

    def __init__(self, broker, folder):
        self.broker = broker
        self.folder = folder
        self.calls = 0
        (folder / "tools.properties").write_text(servers.LOG4J.format(level="ERROR"))

    def run(self, tool, *arguments, lines=(), connect=True, may_fail=False):
        """Runs a tool and returns all it printed."""
        log = f"-Dlog4j.configuration=file:{self.folder}/tools.properties"
        command = [*servers.JVM, "-Xmx256m", log, CLASSES[tool]]
        command += ["--bootstrap-server", self.broker.bootstrap] if connect else []
        done = subprocess.run(
            [*command, *map(str, arguments)],
            input="".join(f"{line}\n" for line in lines),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
        )
        self.calls += 1
        with open(self.folder / "tools.log", "a") as log:
            log.write(f"$ {tool} {' '.join(map(str, arguments))}\n{done.stdout}(ended with {done.returncode})\n")
        if done.returncode != 0 and not may_fail:
            raise Failed(f"{tool} {arguments} ended with {done.returncode}: {done.stdout[-600:]}")
        return done.stdout

    def expect(self, wanted, tool, *arguments, **options):
        """Runs a tool whose answer must hold the text, or match the pattern, `wanted`."""
        answer = self.run(tool, *arguments, **options)
        if not (wanted.search(answer) if isinstance(wanted, re.Pattern) else wanted in answer):
            raise Failed(f"{tool} {arguments}: expected {wanted!r} in: {answer[-600:]}")
        return answer


def topics(tools):
    create = ["--create", "--topic", "tools", "--partitions", 3, "--replication-factor", 1, "--config", "retention.ms=86400000"]
    tools.expect("Created topic tools.", "kafka-topics", *create)
    tools.expect("already exists", "kafka-topics", *create, may_fail=True)
    answer = tools.expect("PartitionCount: 3", "kafka-topics", "--describe", "--topic", "tools")
    if "retention.ms=86400000" not in answer or len(re.findall(r"Leader: \d+\s+Replicas: \d+\s+Isr: \d+", answer)) != 3:
        raise Failed(f"kafka-topics --describe: {answer}")
    tools.run("kafka-topics", "--alter", "--topic", "tools", "--partitions", 5)
    tools.expect("PartitionCount: 5", "kafka-topics", "--describe", "--topic", "tools")
    tools.expect("Created topic doomed.", "kafka-topics", "--create", "--topic", "doomed", "--partitions", 2)
    tools.expect("doomed", "kafka-topics", "--list")
    tools.run("kafka-topics", "--delete", "--topic", "doomed")
    wait_until(lambda: "topic doomed deleted", lambda: "doomed" not in tools.run("kafka-topics", "--list"), 30)


def console(tools):
    for at, codec in enumerate(CODECS):
        numbers = range(at * RECORDS // len(CODECS), (at + 1) * RECORDS // len(CODECS))
        options = ["--topic", "tools", "--compression-codec", codec]
        options += ["--property", "parse.key=true", "--property", "parse.headers=true"]
        lines = [f"codec:{codec}\tk{number % 20}\tvalue {number}" for number in numbers]
        tools.run("kafka-console-producer", *options, lines=lines)
    options = ["--topic", "tools", "--from-beginning", "--group", "readers", "--max-messages", RECORDS, "--timeout-ms", 30000]
    options += ["--property", "print.key=true", "--property", "print.headers=true", "--property", "print.partition=true"]
    answer = tools.expect(f"Processed a total of {RECORDS} messages", "kafka-console-consumer", *options)
    read = re.findall(r"^Partition:(\d)\tcodec:(\w+)\tk(\d+)\tvalue (\d+)$", answer, re.MULTILINE)
    if sorted(int(number) for *_, number in read) != list(range(RECORDS)):
        raise Failed(f"kafka-console-consumer read {len(read)} records of {RECORDS}")
    last = {}
    for partition, codec, key, number in read:
        if codec != CODECS[int(number) * len(CODECS) // RECORDS] or int(number) <= last.get(key, -1):
            raise Failed(f"kafka-console-consumer: value {number} of k{key} in {codec} comes after {last.get(key)}")
        last[key] = int(number)


def group_lags(tools, group):
    """Committed offset and lag of each partition, from `kafka-consumer-groups --describe`."""
    answer = tools.run("kafka-consumer-groups", "--describe", "--group", group)
    found = re.findall(rf"^{group}\s+tools\s+(\d+)\s+(\d+)\s+(\d+)\s+(\d+)", answer, re.MULTILINE)
    return {int(partition): (int(committed), int(lag)) for partition, committed, _, lag in found}


def groups(tools):
    tools.expect("readers", "kafka-consumer-groups", "--list")
    lags = group_lags(tools, "readers")
    if sum(committed for committed, _ in lags.values()) != RECORDS or any(lag for _, lag in lags.values()):
        raise Failed(f"kafka-consumer-groups --describe: {lags}")
    tools.expect("Empty", "kafka-consumer-groups", "--describe", "--state", "--group", "readers")
    tools.run("kafka-consumer-groups", "--reset-offsets", "--group", "readers", "--topic", "tools", "--to-earliest", "--execute")
    lags = group_lags(tools, "readers")
    if sum(lag for _, lag in lags.values()) != RECORDS or any(committed for committed, _ in lags.values()):
        raise Failed(f"kafka-consumer-groups --describe after --reset-offsets: {lags}")
    tools.expect("was successful", "kafka-consumer-groups", "--delete", "--group", "readers")
    if "readers" in tools.run("kafka-consumer-groups", "--list"):
        raise Failed("kafka-consumer-groups --list still holds the deleted group")


def configs(tools):
    topic = ["--entity-type", "topics", "--entity-name", "tools"]
    change = ["--alter", "--add-config", "max.message.bytes=2000000"]
    tools.expect("Completed updating config for topic tools", "kafka-configs", *topic, *change)
    tools.expect("max.message.bytes=2000000", "kafka-configs", *topic, "--describe")
    tools.run("kafka-configs", *topic, "--alter", "--delete-config", "max.message.bytes")
    if "max.message.bytes" in tools.run("kafka-configs", *topic, "--describe"):
        raise Failed("kafka-configs: the deleted override of the topic is still there")
    tools.expect("Invalid", "kafka-configs", *topic, "--alter", "--add-config", "retention.ms=soon", may_fail=True)
    described = tools.run("kafka-topics", "--describe", "--topic", "tools")
    broker = ["--entity-type", "brokers", "--entity-name", re.search(r"Leader: (\d+)", described)[1]]
    tools.run("kafka-configs", *broker, "--alter", "--add-config", "log.cleaner.threads=2")
    tools.expect("log.cleaner.threads=2", "kafka-configs", *broker, "--describe")
    tools.run("kafka-configs", *broker, "--alter", "--delete-config", "log.cleaner.threads")
    tools.expect("log.segment.bytes=", "kafka-configs", *broker, "--describe", "--all")
    default = ["--entity-type", "brokers", "--entity-default"]
    tools.run("kafka-configs", *default, "--alter", "--add-config", "message.max.bytes=1100000")
    tools.expect("message.max.bytes=1100000", "kafka-configs", *default, "--describe")


def offsets(tools):
    ends = re.findall(r"^tools:\d+:(\d+)$", tools.run("kafka-get-offsets", "--topic", "tools"), re.MULTILINE)
    if len(ends) != 5 or sum(map(int, ends)) != RECORDS:
        raise Failed(f"kafka-get-offsets: {ends}")
    partition = max(range(5), key=lambda number: int(ends[number]))
    wish = {"version": 1, "partitions": [{"topic": "tools", "partition": partition, "offset": 10}]}
    (tools.folder / "delete-records.json").write_text(json.dumps(wish))
    answer = f"partition: tools-{partition}\tlow_watermark: 10"
    tools.expect(answer, "kafka-delete-records", "--offset-json-file", tools.folder / "delete-records.json")
    tools.expect(f"tools:{partition}:10\n", "kafka-get-offsets", "--topic", "tools", "--time", "earliest")


def cluster(tools):
    versions = tools.expect("Produce(0): 0 to 11 [usable: 11]", "kafka-broker-api-versions")
    for api in ["Fetch(1): 0 to 17", "JoinGroup(11): 0 to 9", "InitProducerId(22): 0 to 5", "ApiVersions(18): 0 to 4"]:
        if api not in versions:
            raise Failed(f"kafka-broker-api-versions: no {api!r} in {versions}")
    at = ["--bootstrap-server", tools.broker.bootstrap]
    tools.expect(re.compile(r"Cluster ID: [\w-]{22}"), "kafka-cluster", "cluster-id", *at, connect=False)
    answer = tools.run("kafka-log-dirs", "--describe", "--topic-list", "tools")
    directories = json.loads(answer[answer.index("{"):])["brokers"][0]["logDirs"]
    sizes = [partition["size"] for directory in directories for partition in directory["partitions"]]
    if len(sizes) != 5 or sum(sizes) < RECORDS * 10 or any(directory["error"] for directory in directories):
        raise Failed(f"kafka-log-dirs: {directories}")
    tools.run("kafka-leader-election", "--election-type", "preferred", "--all-topic-partitions")
    tools.expect("No partition reassignments found.", "kafka-reassign-partitions", "--list")
    tools.expect("TransactionalId", "kafka-transactions", *at, "list", connect=False)
    load = ["--topic", "tools", "--num-records", 5000, "--record-size", 100, "--throughput", -1]
    load += ["--producer-props", f"bootstrap.servers={tools.broker.bootstrap}", "acks=all"]
    tools.expect("5000 records sent", "kafka-producer-perf-test", *load, connect=False)
    address = tools.broker.zookeeper.address if tools.broker.zookeeper else f"127.0.0.1:{tools.broker.zookeeper_port}"
    tools.expect(re.compile(r"\[\d+\]"), "zookeeper-shell", "-server", address, "ls", "/brokers/ids", connect=False)


def dump_log(tools):
    """The files of a stopped broker, read by Kafka's own reader."""
    if not tools.broker.stop():
        raise Failed("the broker did not stop on SIGTERM")
    files = sorted(tools.broker.logs.glob("tools-*/*.log"))
    arguments = ["--deep-iteration", "--print-data-log", "--files", ",".join(map(str, files))]
    answer = tools.run("kafka-dump-log", *arguments, connect=False)
    values = {int(number) for number in re.findall(r"payload: value (\d+)$", answer, re.MULTILINE)}
    missing = set(range(RECORDS)) - values
    codecs = {codec.lower() for codec in re.findall(r"compresscodec: (\w+)", answer)}
    if len(missing) > 10 or not set(CODECS) <= codecs:
        raise Failed(f"kafka-dump-log: codecs {codecs}, {len(missing)} records missing beyond the ten that were deleted")
    if re.search(r"isvalid: false|Found .* exception|Could not read", answer):
        raise Failed("kafka-dump-log found damage: see tools.log")
    indexes = sorted(tools.broker.logs.glob("tools-*/*.index")) + sorted(tools.broker.logs.glob("tools-*/*.timeindex"))
    answer = tools.run("kafka-dump-log", "--index-sanity-check", "--files", ",".join(map(str, indexes)), connect=False)
    if answer.count("passed sanity check") + answer.count("is empty") != len(indexes):
        raise Failed(f"kafka-dump-log --index-sanity-check: {answer[-600:]}")


STEPS = [topics, console, groups, configs, offsets, cluster, dump_log]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    servers.add_arguments(parser)
    options = parser.parse_args()
    install.ensure("peers")
    failed = []
    with run_folder(f"tools-{options.broker}-{options.zookeeper}") as folder:
        with servers.running(options.broker, options.zookeeper, folder, options.ottla_bin) as broker:
            tools = Tools(broker, folder)
            for step in STEPS:
                began, calls, verdict = time.monotonic(), tools.calls, "ok"
                try:
                    step(tools)
                except Failed as wrong:
                    verdict = str(wrong)
                    failed.append(step.__name__)
                seconds = time.monotonic() - began
                print(f"{step.__name__:10}{tools.calls - calls:4} calls{seconds:7.1f} s  {verdict}", flush=True)
        if failed:
            raise Failed(", ".join(failed))


if __name__ == "__main__":
    sys.exit(exit_code(main))
