#!/usr/bin/env python3
"""Kills a broker again and again under idempotent acks=all writes; no acknowledged record may suffer: see README.md."""

import argparse
import contextlib
import json
import random
import signal
import subprocess
import sys
import time

import drivers
import install
import paths
import servers
from runs import Failed, exit_code, run_folder
from takeover import python

TOPIC = "sigkills"


def create(broker):
    arguments = ["create", "--bootstrap", broker.bootstrap, "--topics", TOPIC, "--partitions", "6"]
    subprocess.run([drivers.PYTHON, paths.DRIVERS / "confluent_driver.py", *arguments], check=True, timeout=60)


def kill_repeatedly(broker, producer, options):
    """Spreads the kills over the time; each at a random moment at least half a second after the broker came back."""
    began = time.monotonic()
    for kill in range(options.kills):
        due = began + (kill + options.random.uniform(0.2, 0.8)) * options.seconds / options.kills
        time.sleep(max(0.5, due - time.monotonic()))
        if producer.poll() is not None:
            raise Failed(f"the producer ended with {producer.returncode}")
        print(f"kill {kill + 1} after {time.monotonic() - began:.1f} s", end="", flush=True)
        print(f", back after {broker.restart_after_kill():.1f} s", flush=True)
    time.sleep(max(0, began + options.seconds - time.monotonic()))


def acknowledged(producer, folder):
    """Ends the producer, which waits for what is under way; {(partition, offset): number} of all acknowledged."""
    producer.send_signal(signal.SIGTERM)
    if producer.wait(150) != 0:
        raise Failed(f"the producer ended with {producer.returncode}: see producer.log")
    lines = [json.loads(line) for line in open(folder / "producer.jsonl")]
    end = lines[-1]
    places = {(line[0], line[1]): line[2] for line in lines if isinstance(line, list)}
    if end["left"] or len(places) != end["sent"]:
        raise Failed(f"{end['sent']} records sent, {end['left']} never answered, {len(places)} offsets acknowledged")
    return places


def compare(places, stored):
    """What was acknowledged is stored, at that offset, once, in order; and nothing else is stored."""
    lost = [place for place in places if place not in stored]
    moved = [place for place in places if place in stored and stored[place] != places[place]]
    unknown = [place for place in stored if place not in places]
    doubled = len(stored) - len(set(stored.values()))
    last, reordered = {}, 0
    for (partition, _), number in sorted(stored.items()):
        reordered += number <= last.get(partition, -1)
        last[partition] = number
    found = {"lost": len(lost), "at another offset": len(moved), "doubled": doubled, "reordered": reordered}
    found["stored but not acknowledged"] = len(unknown)
    print(", ".join(f"{count} {what}" for what, count in found.items()), f"of {len(places)} acknowledged")
    if any(found.values()):
        raise Failed(f"{found}; the first: {(lost + moved + unknown)[:3]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    servers.add_arguments(parser)
    parser.add_argument("--kills", type=int, default=8)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--rate", type=int, default=2000, help="records a second")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    options = parser.parse_args()
    options.random = random.Random(options.seed)
    install.ensure("peers", "python")
    print(f"seed {options.seed}")
    with run_folder(f"sigkills-{options.broker}") as folder, contextlib.ExitStack() as cleanup:
        broker = cleanup.enter_context(servers.running(options.broker, options.zookeeper, folder, options.ottla_bin))
        create(broker)
        command = [drivers.PYTHON, paths.DRIVERS / "steady_producer.py", "--bootstrap", broker.bootstrap]
        command += ["--topic", TOPIC, "--rate", str(options.rate)]
        with open(folder / "producer.jsonl", "wb") as out, open(folder / "producer.log", "wb") as errors:
            producer = subprocess.Popen(command, stdout=out, stderr=errors)
        cleanup.callback(producer.kill)
        kill_repeatedly(broker, producer, options)
        places = acknowledged(producer, folder)
        lines = python("reader.py", "--bootstrap", broker.bootstrap, "--topics", TOPIC)
        stored = {(line[1], line[2]): int(line[4]) for line in lines}
        compare(places, stored)


if __name__ == "__main__":
    sys.exit(exit_code(main))
