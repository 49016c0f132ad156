"""Reads all there is: every committed record of some topics, and the committed offsets of some groups, as lines of JSON."""

import argparse
import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

import common


def partitions_of(admin, topics):
    """A broker that has just started knows no topics for a moment: asks until it knows all."""
    for _ in range(100):
        known = admin.list_topics(timeout=30).topics
        if all(topic in known and known[topic].partitions for topic in topics):
            break
        time.sleep(0.1)
    places = [(topic, partition) for topic in topics for partition in sorted(known[topic].partitions)]
    return [TopicPartition(*place, OFFSET_BEGINNING) for place in places]


def read(bootstrap, partitions):
    settings = {"bootstrap.servers": bootstrap, "group.id": "reader", "enable.auto.commit": False}
    settings |= {"isolation.level": "read_committed", "enable.partition.eof": True, "check.crcs": True}
    consumer = Consumer(settings)
    consumer.assign(partitions)
    at_end = set()
    while len(at_end) < len(partitions):
        for message in consumer.consume(1000, 1):
            place = (message.topic(), message.partition())
            if message.error():
                if message.error().name() != "_PARTITION_EOF":
                    raise KafkaException(message.error())
                at_end.add(place)
                continue
            headers = [[name, value if value is None else value.decode()] for name, value in message.headers() or []]
            timestamp = list(message.timestamp())
            common.say([*place, message.offset(), message.key().decode(), message.value().decode(), headers, timestamp])
    consumer.close()


def committed(admin, group, partitions):
    wanted = [TopicPartition(each.topic, each.partition) for each in partitions]
    [answer] = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group, wanted)]).values()
    found = answer.result(30).topic_partitions
    return {f"{each.topic}/{each.partition}": each.offset for each in found if each.offset >= 0}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--topics", required=True)
    parser.add_argument("--groups", default="")
    options = parser.parse_args()
    admin = AdminClient({"bootstrap.servers": options.bootstrap})
    partitions = partitions_of(admin, options.topics.split(","))
    read(options.bootstrap, partitions)
    for group in filter(None, options.groups.split(",")):
        common.say({"group": group, "committed": committed(admin, group, partitions)})


main()
