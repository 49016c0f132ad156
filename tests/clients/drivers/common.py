"""What the Python drivers share: the command line, the records, the lines they print, and how they are stopped."""

import argparse
import json
import os
import signal
import sys
import time

FILLER = "the quick brown fox jumps over the lazy dog and runs away from the hounds of the old mill by the river"
BATCH = 200


def key_of(number):
    """Record `number` has one of a thousand keys."""
    return f"k{number % 1000}"


def value_of(seed, number):
    """Says which record it is, holds its number within its key, and is up to 100 characters longer than that."""
    return f"{seed}:{number}:{number // 1000}:{FILLER[:number % 100]}"


def headers_of(seed, nothing=None):
    """One header with a value, one without: `None`, or the empty value where a client cannot write the former."""
    return [["seed", str(seed)], ["none", nothing]]


def arguments():
    """The command line every driver has, in every language: see README.md."""
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["create", "produce", "consume"])
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--topics", required=True, help="separated by commas; produce takes one")
    parser.add_argument("--partitions", type=int, default=6)
    parser.add_argument("--first", type=int, default=0, help="number of the first record to produce")
    parser.add_argument("--records", type=int, default=0, help="how many to produce")
    parser.add_argument("--codec", default="none")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--group", default="")
    parser.add_argument("--rate", type=int, default=0, help="records a second to consume at most; 0: no limit")
    options = parser.parse_args()
    options.topics = options.topics.split(",")
    return options


def say(line):
    """One line of JSON."""
    sys.stdout.write(json.dumps(line, separators=(",", ":")) + "\n")


def say_now(line):
    """One line of JSON that survives a SIGKILL of this process."""
    say(line)
    sys.stdout.flush()


class Stop:
    """Becomes true on SIGTERM: the consumer then commits, leaves its group and ends."""

    def __init__(self):
        self.asked = False
        signal.signal(signal.SIGTERM, self.ask)
        say_now({"pid": os.getpid()})

    def ask(self, *_):
        self.asked = True


class Pace:
    """Holds a consumer back, so that there is time to kill it in the middle."""

    def __init__(self, rate):
        self.rate = rate
        self.began = time.monotonic()
        self.count = 0

    def delay(self, records):
        """Seconds to wait after having consumed that many records."""
        if not self.rate:
            return 0
        if records and not self.count:
            self.began = time.monotonic()
        self.count += records
        return max(0.0, min(1.0, self.began + self.count / self.rate - time.monotonic()))


def places(ends):
    """{(topic, partition): offset} as it is printed."""
    return {f"{topic}/{partition}": offset for (topic, partition), offset in ends.items()}
