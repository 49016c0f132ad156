"""kafka-python behind the common driver interface."""

import time

from kafka import KafkaConsumer, KafkaProducer, OffsetAndMetadata
from kafka.admin import KafkaAdminClient, NewTopic
from kafka.consumer.subscription_state import ConsumerRebalanceListener
from kafka.errors import KafkaError

import common


def create(options):
    admin = KafkaAdminClient(bootstrap_servers=options.bootstrap)
    admin.create_topics([NewTopic(topic, num_partitions=options.partitions, replication_factor=1) for topic in options.topics])
    admin.close()


def produce(options):
    producer = KafkaProducer(
        bootstrap_servers=options.bootstrap,
        compression_type=None if options.codec == "none" else options.codec,
        acks="all",
        enable_idempotence=True,
        linger_ms=20,
    )
    headers = [(name, value.encode()) for name, value in common.headers_of(options.seed, nothing="")]
    sent = []
    for number in range(options.first, options.first + options.records):
        value = common.value_of(options.seed, number).encode()
        sent.append(producer.send(options.topics[0], value, common.key_of(number).encode(), headers))
    producer.flush()
    for each in sent:
        each.get(60)
    producer.close()
    common.say_now({"produced": len(sent)})


class Listener(ConsumerRebalanceListener):
    def on_partitions_revoked(self, revoked):
        pass

    def on_partitions_assigned(self, assigned):
        common.say_now({"assigned": [f"{each.topic}/{each.partition}" for each in assigned]})


def consume(options):
    stop, pace = common.Stop(), common.Pace(options.rate)
    consumer = KafkaConsumer(
        bootstrap_servers=options.bootstrap,
        group_id=options.group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        session_timeout_ms=6000,
        heartbeat_interval_ms=1000,
        max_poll_records=common.BATCH,
    )
    consumer.subscribe(options.topics, listener=Listener())
    while not stop.asked:
        polled = consumer.poll(200)
        read = 0
        for place, records in polled.items():
            read += len(records)
            for record in records:
                headers = [[name, value if value is None else value.decode()] for name, value in record.headers]
                common.say([place.topic, place.partition, record.offset, record.key.decode(), record.value.decode(), headers])
        if read:
            ends = {place: records[-1].offset + 1 for place, records in polled.items()}
            common.say_now({"committing": common.places(ends)})
            commit(consumer, ends)
        time.sleep(pace.delay(read))
    consumer.close(autocommit=False)


def commit(consumer, ends):
    try:
        consumer.commit({place: OffsetAndMetadata(offset, "", -1) for place, offset in ends.items()})
    except KafkaError as refused:
        common.say_now({"refused": repr(refused)})
        return
    common.say_now({"committed": common.places(ends)})


OPTIONS = common.arguments()
{"create": create, "produce": produce, "consume": consume}[OPTIONS.command](OPTIONS)
