"""kcat behind the common driver interface: runs it, feeds it, and turns its JSON into the driver's lines.

kcat commits every 5 s, counted from its start, and cannot be told otherwise (its -X sets the property of that name for
topics, which does nothing); nor can it say what it commits. It counts a record as consumed before it has printed it. So
the runner checks its members without their commits, and does not kill one while it may just have committed.
It has no admin commands: it creates topics by asking for them, with the broker's own number of partitions.
"""

import json
import os
import re
import select
import signal
import subprocess
import sys
import threading
import time

import common

ASSIGNED = re.compile(r"assigned: (.*)")
PLACE = re.compile(r"(\S+) \[(\d+)\]")
AT_END = re.compile(r"Reached end of topic (\S+) \[(\d+)\]")


def create(options):
    for topic in options.topics:
        ask = ["kcat", "-L", "-J", "-b", options.bootstrap, "-t", topic]
        for _ in range(100):
            listed = json.loads(subprocess.run(ask, check=True, capture_output=True).stdout)["topics"]
            if listed and listed[0]["partitions"] and not listed[0].get("error"):
                break
            time.sleep(0.1)
        else:
            sys.exit(f"{topic} was not created: {listed}")


def produce(options):
    (name, value), (bare, _) = common.headers_of(options.seed)
    command = ["kcat", "-P", "-b", options.bootstrap, "-t", options.topics[0], "-K", "\t", "-z", options.codec]
    command += ["-H", f"{name}={value}", "-H", bare, "-X", "enable.idempotence=true", "-X", "linger.ms=20"]
    numbers = range(options.first, options.first + options.records)
    lines = "".join(f"{common.key_of(number)}\t{common.value_of(options.seed, number)}\n" for number in numbers)
    subprocess.run(command, input=lines.encode(), check=True)
    common.say_now({"produced": options.records})


def consume(options):
    command = ["kcat", "-G", options.group, "-b", options.bootstrap, "-J", "-u", "-v", "-E", "-X", "auto.offset.reset=earliest"]
    command += ["-X", "session.timeout.ms=6000", *options.topics]
    kcat = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    common.say_now({"pid": kcat.pid})
    # A pipe, not an Event: an Event set by a handler that interrupted its own wait() can deadlock.
    told_to_stop, tell_to_stop = os.pipe()

    def stop(*_):
        # Before the pipe is drained: kcat then waits in the middle of printing, not between taking and printing.
        kcat.send_signal(signal.SIGTERM)
        os.write(tell_to_stop, b".")

    signal.signal(signal.SIGTERM, stop)
    threading.Thread(target=report_assignments, args=[kcat.stderr], daemon=True).start()
    pace = common.Pace(options.rate)
    for line in kcat.stdout:
        if not line.endswith(b"\n"):
            break  # killed in the middle of a record
        record = json.loads(line)
        names = iter(record.get("headers", []))
        headers = [[name, value] for name, value in zip(names, names)]
        common.say([record["topic"], record["partition"], record["offset"], record["key"], record["payload"], headers])
        sys.stdout.flush()
        if delay := pace.delay(1):
            select.select([told_to_stop], [], [], delay)
    sys.exit(f"kcat ended with {kcat.returncode}" if kcat.wait() else 0)


def report_assignments(stderr):
    for line in stderr:
        text = line.decode()
        sys.stderr.write(text)
        if found := ASSIGNED.search(text):
            common.say_now({"assigned": [f"{topic}/{number}" for topic, number in PLACE.findall(found[1])]})
        if found := AT_END.search(text):
            common.say_now({"at_end": f"{found[1]}/{found[2]}"})


OPTIONS = common.arguments()
{"create": create, "produce": produce, "consume": consume}[OPTIONS.command](OPTIONS)
