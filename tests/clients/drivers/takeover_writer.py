"""Writes one round of what a take-over must keep: idempotent records in each codec, transactions, offsets of groups."""

import argparse

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

import common

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
PARTITIONS = 3
TRANSACTIONS = 12


def create(bootstrap, topics):
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for created in admin.create_topics([NewTopic(topic, PARTITIONS, 1) for topic in topics]).values():
        try:
            created.result(30)
        except KafkaException as refused:
            if refused.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise


def send(producer, topic, round_number, numbers):
    headers = [tuple(header) for header in common.headers_of(round_number)]
    for number in numbers:
        producer.produce(topic, common.value_of(round_number, number), common.key_of(number), headers=headers)
        producer.poll(0)


def write_idempotent(bootstrap, round_number, records):
    for codec in CODECS:
        producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True, "compression.type": codec})
        send(producer, f"takeover-{codec}", round_number, range(records))
        if producer.flush(60):
            raise SystemExit(f"{codec}: not all records were acknowledged")


def write_transactions(bootstrap, round_number, records):
    """Every third transaction is aborted; the others also commit an offset for a group. Returns what was committed."""
    settings = {"bootstrap.servers": bootstrap, "transactional.id": "takeover", "compression.type": CODECS[round_number % 5]}
    producer = Producer(settings)
    producer.init_transactions(30)
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "takeover-transactional"})
    size = records // TRANSACTIONS
    for at in range(TRANSACTIONS):
        producer.begin_transaction()
        send(producer, "takeover-transactions", round_number, range(at * size, (at + 1) * size))
        offset = TopicPartition("takeover-none", at % PARTITIONS, round_number * 100 + at)
        producer.send_offsets_to_transaction([offset], consumer.consumer_group_metadata(), 30)
        if at % 3 == 2:
            producer.abort_transaction(30)
        else:
            producer.commit_transaction(30)
    consumer.close()
    last = {at % PARTITIONS: round_number * 100 + at for at in range(TRANSACTIONS) if at % 3 != 2}
    return size * sum(at % 3 != 2 for at in range(TRANSACTIONS)), last


def commit_offsets(bootstrap, round_number):
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "takeover-plain"})
    offsets = {partition: round_number * 10 + partition for partition in range(PARTITIONS)}
    wanted = [TopicPartition("takeover-zstd", partition, offset) for partition, offset in offsets.items()]
    consumer.commit(offsets=wanted, asynchronous=False)
    consumer.close()
    return offsets


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--round", type=int, required=True)
    parser.add_argument("--records", type=int, required=True, help="a topic")
    parser.add_argument("--no-transactions", action="store_true", help="the broker has none")
    options = parser.parse_args()
    topics = [f"takeover-{codec}" for codec in CODECS]
    create(options.bootstrap, [*topics, "takeover-transactions"])
    write_idempotent(options.bootstrap, options.round, options.records)
    transacted, in_transactions = 0, None
    if not options.no_transactions:
        transacted, in_transactions = write_transactions(options.bootstrap, options.round, options.records)
    plain = commit_offsets(options.bootstrap, options.round)
    written = dict.fromkeys(topics, options.records) | {"takeover-transactions": transacted}
    groups = {"takeover-plain": {f"takeover-zstd/{partition}": offset for partition, offset in plain.items()}}
    if in_transactions is not None:
        committed = {f"takeover-none/{partition}": offset for partition, offset in in_transactions.items()}
        groups["takeover-transactional"] = committed
    common.say_now({"written": written, "groups": groups})


main()
