#!/usr/bin/env python3
"""Kafka writes, another broker takes its directories, configuration and ZooKeeper over, Kafka takes them back: see README.md."""

import argparse
import contextlib
import json
import re
import subprocess
import sys
import time

import drivers
import install
import paths
import servers
from java_tools import Tools
from runs import Failed, exit_code, run_folder

TOPICS = [f"takeover-{kind}" for kind in ["none", "gzip", "snappy", "lz4", "zstd", "transactions"]]
GROUPS = ["takeover-plain", "takeover-transactional"]


def python(script, *arguments):
    """Runs a driver to its end; returns its lines."""
    done = subprocess.run(
        [drivers.PYTHON, paths.DRIVERS / script, *map(str, arguments)], capture_output=True, text=True, timeout=180
    )
    if done.returncode != 0:
        raise Failed(f"{script} ended with {done.returncode}: {done.stderr[-600:]}")
    return [json.loads(line) for line in done.stdout.splitlines()]


class State:
    """All that a broker serves: records by place, offsets by group, and how kafka-topics describes the topics."""

    def __init__(self, broker, folder):
        lines = python("reader.py", "--bootstrap", broker.bootstrap, "--topics", ",".join(TOPICS), "--groups", ",".join(GROUPS))
        self.records = {tuple(line[:3]): line[3:] for line in lines if isinstance(line, list)}
        self.groups = {line["group"]: line["committed"] for line in lines if isinstance(line, dict)}
        self.read_twice = sum(isinstance(line, list) for line in lines) - len(self.records)
        described = Tools(broker, folder).run("kafka-topics", "--describe", "--exclude-internal")
        self.topics = sorted(line.strip() for line in described.splitlines() if line.strip().startswith("Topic: "))

    def require_same(self, before, who):
        """What was there is there, at the same offset, with the same timestamp; and nothing else."""
        if self.read_twice:
            raise Failed(f"{who} served {self.read_twice} records twice")
        self.require_kept(before, who)
        if len(self.records) != len(before.records):
            raise Failed(f"{who} serves {len(self.records) - len(before.records)} records that nobody wrote")
        if self.groups != before.groups:
            raise Failed(f"{who} serves the offsets {self.groups}, committed were {before.groups}")
        if self.topics != before.topics:
            raise Failed(f"{who} describes topics as {self.topics}, before as {before.topics}")

    def require_kept(self, before, who):
        for place, record in before.records.items():
            if self.records.get(place) != record:
                raise Failed(f"{who} serves {self.records.get(place)} at {place}, written was {record}")

    def require_written(self, before, written, who):
        """A round added what its writer says, behind what was there."""
        self.require_kept(before, who)
        for topic, count in written["written"].items():
            added = sum(place[0] == topic for place in self.records) - sum(place[0] == topic for place in before.records)
            if added != count:
                raise Failed(f"{who}: {count} records were written to {topic}, {added} are served")
        committed = {**before.groups, **written["groups"]}
        if self.groups != committed:
            raise Failed(f"{who} serves the offsets {self.groups}, committed were {committed}")


class Nothing:
    """What is there before the first round."""

    records = {}
    groups = {}


def serve(kind, stage, folder, zookeeper, port, options, before):
    """One broker in the chain: serves what is there, writes a round, ends."""
    who = f"{kind} ({stage})"
    place = folder / f"{stage}-{kind}"
    broker = servers.new_broker(kind, place, zookeeper, options.ottla_bin, data=folder / "data", port=port)
    with contextlib.ExitStack() as cleanup:
        cleanup.callback(broker.kill)
        seconds = broker.start()
        if before.records:
            State(broker, place).require_same(before, who)
        arguments = ["--bootstrap", broker.bootstrap, "--round", stage, "--records", options.records]
        if kind == "ottla":
            # It serves what transactions wrote, and has none of its own yet.
            arguments.append("--no-transactions")
        written = python("takeover_writer.py", *arguments)[-1]
        after = State(broker, place)
        after.require_written(before, written, who)
        print(f"{who}: up after {seconds:.1f} s, served {len(before.records)} records, now {len(after.records)}", flush=True)
        if options.kill:
            broker.kill()
            time.sleep(servers.SESSION_MS / 1000 + 1)
        elif not broker.stop():
            raise Failed(f"{who} did not stop on SIGTERM")
    return after


def dump_log(broker, folder):
    """Kafka's reader of files accepts every segment, record by record."""
    files = sorted((folder / "data").glob("*/*.log"))
    answer = Tools(broker, folder).run("kafka-dump-log", "--deep-iteration", "--files", ",".join(map(str, files)), connect=False)
    if damage := re.search(r".*(isvalid: false|Found .* exception|Could not read|mismatches).*", answer, re.IGNORECASE):
        raise Failed(f"kafka-dump-log: {damage[0]}")
    batches = answer.count("baseOffset: ")
    print(f"kafka-dump-log accepts {batches} batches in {len(files)} segments")
    if not batches:
        raise Failed("kafka-dump-log saw no batch")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--broker", choices=["ottla", "kafka"], default="ottla", help="who takes over; kafka is the control")
    parser.add_argument("--ottla-bin", type=paths.Path, default=paths.OTTLA)
    parser.add_argument("--records", type=int, default=3000, help="a topic and round")
    parser.add_argument("--kill", action="store_true", help="end each broker with SIGKILL instead of SIGTERM")
    options = parser.parse_args()
    install.ensure("peers", "python")
    with run_folder(f"takeover-{options.broker}") as folder, contextlib.ExitStack() as cleanup:
        zookeeper = servers.ZooKeeper(folder / "zookeeper")
        cleanup.callback(zookeeper.kill)
        zookeeper.start()
        port = paths.free_port()
        state = Nothing
        for stage, kind in enumerate(["kafka", options.broker, "kafka"], start=1):
            state = serve(kind, stage, folder, zookeeper, port, options, state)
        dump_log(servers.Kafka(folder / "dump", zookeeper=zookeeper, port=port), folder)


if __name__ == "__main__":
    sys.exit(exit_code(main))
