"""confluent-kafka (librdkafka) behind the common driver interface."""

import time

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

import common


def create(options):
    admin = AdminClient({"bootstrap.servers": options.bootstrap})
    topics = [NewTopic(topic, num_partitions=options.partitions, replication_factor=1) for topic in options.topics]
    for created in admin.create_topics(topics).values():
        created.result(30)


def produce(options):
    producer = Producer(
        {
            "bootstrap.servers": options.bootstrap,
            "compression.type": options.codec,
            "enable.idempotence": True,
            "linger.ms": 20,
            "queue.buffering.max.messages": 1_000_000,
        }
    )
    acknowledged = 0

    def delivered(error, _message):
        nonlocal acknowledged
        if error:
            raise KafkaException(error)
        acknowledged += 1

    headers = common.headers_of(options.seed)
    headers = [tuple(header) for header in headers]
    for number in range(options.first, options.first + options.records):
        value = common.value_of(options.seed, number)
        producer.produce(options.topics[0], value, common.key_of(number), headers=headers, on_delivery=delivered)
        if number % 1000 == 0:
            producer.poll(0)
    producer.flush(60)
    common.say_now({"produced": acknowledged})


def consume(options):
    stop, pace = common.Stop(), common.Pace(options.rate)
    consumer = Consumer(
        {
            "bootstrap.servers": options.bootstrap,
            "group.id": options.group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "session.timeout.ms": 6000,
            "debug": "cgrp",  # a member that does not come back must have left a trace
        }
    )

    def assigned(_consumer, partitions):
        common.say_now({"assigned": [f"{each.topic}/{each.partition}" for each in partitions]})

    consumer.subscribe(options.topics, on_assign=assigned)
    while not stop.asked:
        messages = consumer.consume(common.BATCH, 0.2)
        ends = {}
        for message in messages:
            if message.error():
                raise KafkaException(message.error())
            place = (message.topic(), message.partition())
            ends[place] = message.offset() + 1
            headers = [[name, value if value is None else value.decode()] for name, value in message.headers() or []]
            common.say([*place, message.offset(), message.key().decode(), message.value().decode(), headers])
        if ends:
            common.say_now({"committing": common.places(ends)})
            commit(consumer, ends)
        time.sleep(pace.delay(len(messages)))
    consumer.close()


def commit(consumer, ends):
    offsets = [TopicPartition(topic, partition, offset) for (topic, partition), offset in ends.items()]
    try:
        consumer.commit(offsets=offsets, asynchronous=False)
    except KafkaException as refused:
        common.say_now({"refused": str(refused)})
        return
    common.say_now({"committed": common.places(ends)})


OPTIONS = common.arguments()
{"create": create, "produce": produce, "consume": consume}[OPTIONS.command](OPTIONS)
