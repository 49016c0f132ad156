"""Produces idempotently with acks=all at a steady rate until SIGTERM; reports where each acknowledged record is."""

import argparse
import sys
import time

from confluent_kafka import KafkaError, Producer

import common


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--rate", type=int, required=True, help="records a second")
    options = parser.parse_args()
    stop = common.Stop()

    def fatal(error):
        if error.code() == KafkaError._FATAL:
            sys.exit(f"the producer cannot go on: {error}")

    settings = {"bootstrap.servers": options.bootstrap, "enable.idempotence": True, "acks": "all", "linger.ms": 5}
    settings |= {"message.timeout.ms": 600_000, "error_cb": fatal, "queue.buffering.max.messages": 1_000_000}
    producer = Producer(settings)

    def delivered(error, message):
        if error:
            sys.exit(f"{message.key()} was not delivered: {error}")
        common.say([message.partition(), message.offset(), int(message.value())])

    began, number = time.monotonic(), 0
    while not stop.asked:
        due = int((time.monotonic() - began) * options.rate)
        while number < due:
            producer.produce(options.topic, str(number), common.key_of(number), on_delivery=delivered)
            number += 1
        producer.poll(0.01)
    left = producer.flush(120)
    common.say_now({"sent": number, "left": left})


main()
