"""aiokafka behind the common driver interface."""

import asyncio

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError

import common


async def create(options):
    admin = AIOKafkaAdminClient(bootstrap_servers=options.bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(topic, options.partitions, 1) for topic in options.topics])
    await admin.close()


async def produce(options):
    producer = AIOKafkaProducer(
        bootstrap_servers=options.bootstrap,
        compression_type=None if options.codec == "none" else options.codec,
        acks="all",
        enable_idempotence=True,
        linger_ms=20,
    )
    await producer.start()
    headers = [(name, value if value is None else value.encode()) for name, value in common.headers_of(options.seed)]
    sent = []
    for number in range(options.first, options.first + options.records):
        value = common.value_of(options.seed, number).encode()
        sent.append(await producer.send(options.topics[0], value, common.key_of(number).encode(), headers=headers))
    await asyncio.wait_for(asyncio.gather(*sent), 60)
    await producer.stop()
    common.say_now({"produced": len(sent)})


class Listener(ConsumerRebalanceListener):
    async def on_partitions_revoked(self, revoked):
        pass

    async def on_partitions_assigned(self, assigned):
        common.say_now({"assigned": [f"{each.topic}/{each.partition}" for each in assigned]})


async def consume(options):
    stop, pace = common.Stop(), common.Pace(options.rate)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=options.bootstrap,
        group_id=options.group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        session_timeout_ms=6000,
        heartbeat_interval_ms=1000,
    )
    consumer.subscribe(options.topics, listener=Listener())
    await consumer.start()
    while not stop.asked:
        polled = await consumer.getmany(timeout_ms=200, max_records=common.BATCH)
        read = 0
        for place, records in polled.items():
            read += len(records)
            for record in records:
                headers = [[name, value if value is None else value.decode()] for name, value in record.headers]
                common.say([place.topic, place.partition, record.offset, record.key.decode(), record.value.decode(), headers])
        if read:
            ends = {place: records[-1].offset + 1 for place, records in polled.items()}
            common.say_now({"committing": common.places(ends)})
            await commit(consumer, ends)
        await asyncio.sleep(pace.delay(read))
    await consumer.stop()


async def commit(consumer, ends):
    try:
        await consumer.commit(ends)
    except KafkaError as refused:
        common.say_now({"refused": repr(refused)})
        return
    common.say_now({"committed": common.places(ends)})


OPTIONS = common.arguments()
asyncio.run({"create": create, "produce": produce, "consume": consume}[OPTIONS.command](OPTIONS))
