"""librdkafka as a client of the chaos rig: every operation becomes one line of JSON in a file (see ../README.md).

A send is `ok` (acknowledged, at this offset), `fail` (certainly not done) or `info` (nobody knows). Retries, fail-overs and
time-outs make nearly every error an `info`: an earlier attempt may have been appended. Only what never left this process, and
what every attempt must be refused for (a record larger than its topic takes), is `fail`.
"""

import argparse
import json
import os
import random
import signal
import sys
import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

FILLER = "the quick brown fox jumps over the lazy dog and runs away from the hounds of the old mill by the river " * 2
# Larger than the topics take, while no batch of other records is.
OVERSIZE = "x" * 100_000
TOPIC_BYTES = 65_536
BATCH_BYTES = 16_384
SEND_SECONDS = 40
CRASH_SECONDS = 30
FINAL_SECONDS = 200


class Journal:
    """The file of operations, with times in microseconds since the Unix epoch that never go back."""

    def __init__(self, path):
        self.file = open(path, "a", buffering=1 << 16)
        self.wall, self.start, self.flushed = time.time_ns(), time.monotonic_ns(), 0

    def now(self):
        return (self.wall + time.monotonic_ns() - self.start) // 1000

    def write(self, **line):
        self.file.write(json.dumps(line, separators=(",", ":")) + "\n")
        if time.monotonic() - self.flushed > 0.5:
            self.flush()

    def flush(self):
        self.flushed = time.monotonic()
        self.file.flush()


class Stop:
    """Whether SIGTERM has come."""

    def __init__(self):
        self.asked = False
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, self.ask)

    def ask(self, *_):
        self.asked = True


def keys_of(options):
    """Every partition of the workload, as (topic, partition)."""
    topics = options.topics.split(",")
    return [(topic, partition) for partition in range(options.partitions) for topic in topics]


def name(topic, partition):
    return f"{topic}/{partition}"


def create(options):
    """Creates the topics; a topic that is there already is fine."""
    admin = AdminClient({"bootstrap.servers": options.bootstrap})
    config = {"min.insync.replicas": str(options.min_isr), "unclean.leader.election.enable": str(options.unclean).lower()}
    config["max.message.bytes"] = str(TOPIC_BYTES)
    topics = [
        NewTopic(topic, options.partitions, options.replication, config=config) for topic in options.topics.split(",")
    ]
    for attempt in range(10):
        refused = []
        for topic, future in admin.create_topics(topics, operation_timeout=30, request_timeout=40).items():
            try:
                future.result()
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    refused.append(f"{topic}: {error}")
        if not refused:
            return
        time.sleep(1)
    sys.exit("; ".join(refused))


class Sender:
    """Sends rising numbers to all partitions in turn, at a steady rate."""

    def __init__(self, options, journal):
        self.options, self.journal = options, journal
        self.open, self.sent, self.fatal = {}, 0, False
        self.idempotent = options.acks == "all" and not options.refusals
        self.settings = {"bootstrap.servers": options.bootstrap, "acks": options.acks, "linger.ms": 5}
        self.settings |= {"enable.idempotence": self.idempotent, "message.timeout.ms": SEND_SECONDS * 1000}
        self.settings |= {"request.timeout.ms": options.patience_ms, "socket.timeout.ms": options.patience_ms * 3 // 2}
        self.settings |= {"error_cb": self.failed}
        self.settings |= {"reconnect.backoff.max.ms": 1000, "metadata.max.age.ms": 30_000, "batch.size": BATCH_BYTES}
        if debug := os.environ.get("CHAOS_DEBUG"):
            self.settings["debug"] = debug
        if options.refusals:
            # A refusal is that of one record.
            self.settings |= {"batch.num.messages": 1}
        journal.write(op="producer", id=options.id, idempotent=self.idempotent, client="librdkafka")
        self.producer = Producer(self.settings)

    def failed(self, error):
        self.fatal = self.fatal or error.code() == KafkaError._FATAL

    def outcome(self, error, oversize):
        """`fail` only for what cannot have been appended."""
        if error is None:
            return "ok"
        return "fail" if oversize and error.code() == KafkaError.MSG_SIZE_TOO_LARGE else "info"

    def answered(self, number, key, began, oversize, error, message):
        if self.open.pop(number, None) is None:
            return
        line = {"op": "send", "k": key, "v": number, "s": began, "e": self.journal.now(), "r": self.outcome(error, oversize)}
        if error is None:
            line["o"] = message.offset()
        else:
            line["err"] = error.name()
        self.journal.write(**line)

    def send(self, topic, partition):
        number = (self.options.id << 40) | self.sent
        self.sent += 1
        key, began = name(topic, partition), self.journal.now()
        self.open[number] = (key, began)
        oversize = self.options.refusals and self.sent % 4 == 0
        value = f"{number} {OVERSIZE if oversize else FILLER[: self.sent % len(FILLER)]}"

        def delivered(error, message):
            self.answered(number, key, began, oversize, error, message)

        try:
            self.producer.produce(topic, value, partition=partition, on_delivery=delivered)
        except (BufferError, KafkaException) as error:
            # It was refused by this process itself.
            del self.open[number]
            self.journal.write(op="send", k=key, v=number, s=began, e=self.journal.now(), r="fail", err=str(error))

    def renew(self):
        """A fatal error ends a producer for good: what is under way is unknown, a new one goes on."""
        print("a fatal error: a new producer goes on", file=sys.stderr, flush=True)
        self.give_up("_FATAL")
        self.fatal = False
        self.producer.purge()
        self.producer = Producer(self.settings)
        self.journal.write(op="renewed", id=self.options.id, at=self.journal.now())

    def give_up(self, why):
        for number, (key, began) in self.open.items():
            self.journal.write(op="send", k=key, v=number, s=began, e=self.journal.now(), r="info", err=why)
        self.open.clear()

    def run(self, stop):
        keys = keys_of(self.options)
        began, due = time.monotonic(), 0
        while not stop.asked:
            wanted = int((time.monotonic() - began) * self.options.rate)
            # What could not be sent in time is not made up for in one burst.
            due = max(due, wanted - self.options.rate)
            while due < wanted:
                self.send(*keys[due % len(keys)])
                due += 1
            self.producer.poll(0.005)
            if self.fatal:
                self.renew()
        self.producer.flush(SEND_SECONDS + 5)
        self.give_up("_FLUSH")


class Poller:
    """Reads all partitions by assignment; is torn down now and then, and goes on a little before where it was."""

    def __init__(self, options, journal):
        self.options, self.journal = options, journal
        self.keys = keys_of(options)
        self.position = {key: 0 for key in self.keys}
        self.consumer, self.commits = None, 0

    def open(self):
        settings = {"bootstrap.servers": self.options.bootstrap, "group.id": f"chaos-{self.options.id}"}
        settings |= {"enable.auto.commit": False, "isolation.level": "read_committed", "check.crcs": True}
        settings |= {"auto.offset.reset": "earliest", "fetch.wait.max.ms": 200, "reconnect.backoff.max.ms": 1000}
        settings |= {"error_cb": lambda error: None}
        self.consumer = Consumer(settings)

    def assign(self, positions):
        self.position = positions
        self.consumer.assign([TopicPartition(*key, offset) for key, offset in positions.items()])
        named = {name(*key): max(offset, 0) for key, offset in positions.items()}
        self.journal.write(op="assign", id=self.options.id, at=self.journal.now(), **{"from": named})

    def poll(self, seconds):
        """One poll, as one operation; returns how many records it brought."""
        got = {}
        for message in self.consumer.consume(500, seconds):
            if message.error():
                continue
            key = (message.topic(), message.partition())
            number = int(message.value().split(b" ", 1)[0])
            got.setdefault(name(*key), []).append([message.offset(), number])
            self.position[key] = message.offset() + 1
        if got:
            self.journal.write(op="poll", id=self.options.id, at=self.journal.now(), got=got)
        return sum(map(len, got.values()))

    def commit(self):
        """Commits where it is, then asks what is committed."""
        wanted = [TopicPartition(*key, offset) for key, offset in self.position.items() if offset > 0]
        if not wanted:
            return
        line = {"op": "commit", "id": self.options.id, "s": self.journal.now()}
        line["offsets"] = {name(each.topic, each.partition): each.offset for each in wanted}
        try:
            refused = [each for each in self.consumer.commit(offsets=wanted, asynchronous=False) if each.error]
            line["r"] = "info" if refused else "ok"
        except KafkaException as error:
            line |= {"r": "info", "err": error.args[0].name()}
        self.journal.write(**line, e=self.journal.now())
        self.committed()

    def committed(self):
        began = self.journal.now()
        try:
            found = self.consumer.committed([TopicPartition(*key) for key in self.keys], timeout=5)
        except KafkaException:
            return
        if any(each.error for each in found):
            return
        offsets = {name(each.topic, each.partition): max(each.offset, -1) for each in found}
        self.journal.write(op="committed", id=self.options.id, s=began, e=self.journal.now(), offsets=offsets)

    def run(self, stop):
        chance = random.Random(self.options.seed)
        self.open()
        self.assign({key: 0 for key in self.keys})
        crash_at, commit_at = time.monotonic() + CRASH_SECONDS, time.monotonic() + 5
        while not stop.asked:
            self.poll(0.1)
            now = time.monotonic()
            if now > commit_at and self.options.commits:
                commit_at = now + 5
                self.commit()
            if now > crash_at:
                crash_at = now + CRASH_SECONDS
                self.consumer.close()
                self.open()
                self.assign({key: max(0, offset - chance.randrange(50)) for key, offset in self.position.items()})
        self.consumer.close()

    def ends(self):
        """The end of every partition, or None where nobody tells."""
        ends = {}
        for key in self.keys:
            try:
                ends[key] = self.consumer.get_watermark_offsets(TopicPartition(*key), timeout=10)[1]
            except KafkaException:
                ends[key] = None
        return ends

    def read_all(self):
        """Reads everything from the beginning; gives up after a while."""
        self.open()
        self.assign({key: OFFSET_BEGINNING for key in self.keys})
        give_up = time.monotonic() + FINAL_SECONDS
        ends = self.ends()
        while time.monotonic() < give_up:
            if self.poll(0.5):
                continue
            if any(end is None or end > max(self.position[key], 0) for key, end in ends.items()):
                ends = self.ends()
            else:
                break
        complete = all(end is not None and end <= max(self.position[key], 0) for key, end in ends.items())
        self.journal.write(op="final", id=self.options.id, at=self.journal.now(), complete=complete)
        self.consumer.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("role", choices=["create", "produce", "poll", "final"])
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--topics", required=True)
    parser.add_argument("--partitions", type=int, required=True, help="of each topic")
    parser.add_argument("--file", help="where the operations are written")
    parser.add_argument("--id", type=int, default=0, help="of this process: the upper bits of its values")
    parser.add_argument("--rate", type=int, default=100, help="records a second")
    parser.add_argument("--patience-ms", type=int, default=10_000, help="how long a broker may try")
    parser.add_argument("--acks", default="all")
    parser.add_argument("--refusals", action="store_true", help="not idempotent; now and then a record too large")
    parser.add_argument("--commits", action="store_true", help="commit offsets, and ask for them")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--replication", type=int, default=3)
    parser.add_argument("--min-isr", type=int, default=2)
    parser.add_argument("--unclean", action="store_true")
    options = parser.parse_args()
    if options.role == "create":
        return create(options)
    journal, stop = Journal(options.file), Stop()
    try:
        if options.role == "produce":
            Sender(options, journal).run(stop)
        elif options.role == "poll":
            Poller(options, journal).run(stop)
        else:
            Poller(options, journal).read_all()
    finally:
        journal.write(op="end", id=options.id, at=journal.now())
        journal.flush()


main()
