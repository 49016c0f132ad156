#!/usr/bin/env python3
"""Drives Kafka's clients against a broker that is killed in the middle, and accounts for every record: see README.md."""

import argparse
import concurrent.futures
import json
import shutil
import signal
import sys
from pathlib import Path

import drivers
import install
import paths
import scenario
import servers

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
COLUMNS = ["broker", "zookeeper", "client", "codec", "records", "produce_s", "consume_s", "read_again", "verdict"]


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--broker", choices=["ottla", "kafka"], default="ottla")
    parser.add_argument("--zookeeper", choices=["embedded", "real"], default="real")
    parser.add_argument("--client", default="all", help="one of " + ", ".join(drivers.CLIENTS) + "; several with commas; or all")
    parser.add_argument("--records", type=int, default=20_000, help="a codec")
    parser.add_argument("--codecs", default=",".join(CODECS))
    parser.add_argument("--ottla-bin", type=Path, default=paths.OTTLA)
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


def run(options, folder, started):
    """All phases against one broker; everything started is put into `started`, to be stopped by the caller."""
    zookeeper = None
    if options.zookeeper == "real":
        zookeeper = servers.ZooKeeper(folder / "zookeeper")
        started.append(zookeeper.kill)
        zookeeper.start()
    broker = servers.new_broker(options.broker, folder / "broker", zookeeper=zookeeper, binary=options.ottla_bin)
    started.append(broker.kill)
    note(f"{broker.name} is up after {broker.start():.1f} s")
    scenarios = [
        scenario.Scenario(name, options.codecs, options.records, broker.bootstrap, folder / name) for name in options.clients
    ]
    started.extend(each.close for each in scenarios)
    for_each(scenarios, scenario.BEFORE, options.at_once)
    note(f"{broker.name} was killed and is back after {broker.restart_after_kill():.1f} s")
    for_each(scenarios, scenario.BETWEEN, options.at_once)
    note(f"{broker.name} was killed and is back after {broker.restart_after_kill():.1f} s")
    for_each(scenarios, scenario.AFTER, options.at_once)
    if not broker.stop():
        raise RuntimeError(f"{broker.name} did not stop on SIGTERM")
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
    folder = paths.new_run_folder(f"{options.broker}-{options.zookeeper}")
    started, rows = [], []
    try:
        rows = run(options, folder, started)
        show(rows, options.output)
    finally:
        for stop in reversed(started):
            stop()
        failed = not rows or any(row["verdict"] != "ok" for row in rows)
        if failed:
            note(f"the logs are in {folder}")
        else:
            shutil.rmtree(folder)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
