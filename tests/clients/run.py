#!/usr/bin/env python3
"""Drives Kafka's clients against a broker that is killed in the middle, and accounts for every record: see README.md."""

import argparse
import concurrent.futures
import json
import signal
import sys
from contextlib import ExitStack

import drivers
import install
import scenario
import servers
from runs import Failed, exit_code, run_folder

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
COLUMNS = ["broker", "zookeeper", "client", "codec", "records", "produce_s", "consume_s", "read_again", "verdict"]


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    servers.add_arguments(parser)
    parser.add_argument("--client", default="all", help="one of " + ", ".join(drivers.CLIENTS) + "; several with commas; or all")
    parser.add_argument("--records", type=int, default=20_000, help="a codec")
    parser.add_argument("--codecs", default=",".join(CODECS))
    parser.add_argument("--output", choices=["table", "json"], default="table")
    parser.add_argument("--at-once", type=int, default=4, help="how many clients consume at the same time")
    options = parser.parse_args()
    options.clients = list(drivers.CLIENTS) if options.client == "all" else options.client.split(",")
    options.codecs = options.codecs.split(",")
    if unknown := (set(options.clients) - set(drivers.CLIENTS)) | (set(options.codecs) - set(CODECS)):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    if options.broker == "kafka" and options.zookeeper == "embedded":
        parser.error("Kafka has no embedded ZooKeeper")
    return options


def note(text):
    print(text, file=sys.stderr, flush=True)


def for_each(scenarios, phases, at_once):
    """Takes every client through these phases, some clients at the same time."""

    def run(each):
        for phase in phases:
            each.run_phase(phase)
            note(f"  {each.name}: {phase.__name__} {'failed' if each.failures else 'done'}")

    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        list(pool.map(run, scenarios))


def run(options, folder):
    """All phases against one broker, which is killed and restarted twice."""
    with servers.running(options.broker, options.zookeeper, folder, options.ottla_bin) as broker, ExitStack() as cleanup:
        scenarios = [
            scenario.Scenario(name, options.codecs, options.records, broker.bootstrap, folder / name)
            for name in options.clients
        ]
        for each in scenarios:
            cleanup.callback(each.close)
        for_each(scenarios, scenario.BEFORE, options.at_once)
        note(f"{broker.name} was killed and is back after {broker.restart_after_kill():.1f} s")
        for_each(scenarios, scenario.BETWEEN, options.at_once)
        note(f"{broker.name} was killed and is back after {broker.restart_after_kill():.1f} s")
        for_each(scenarios, scenario.AFTER, options.at_once)
        if not broker.stop():
            raise Failed(f"{broker.name} did not stop on SIGTERM")
    about = {"broker": options.broker, "zookeeper": options.zookeeper}
    return [{**about, **row} for each in scenarios for row in each.rows()]


def show(rows, output):
    if output == "json":
        print(json.dumps(rows, indent=1))
        return
    table = [COLUMNS] + [[str(row[column]) for column in COLUMNS] for row in rows]
    widths = [max(len(line[at]) for line in table) for at in range(len(COLUMNS))]
    for line in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip())


def main():
    options = parse_arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    install.ensure("peers")
    drivers.install_for(options.clients)
    with run_folder(f"{options.broker}-{options.zookeeper}") as folder:
        rows = run(options, folder)
        show(rows, options.output)
        if failed := sum(row["verdict"] != "ok" for row in rows):
            raise Failed(f"{failed} of {len(rows)} lines")


if __name__ == "__main__":
    sys.exit(exit_code(main))
