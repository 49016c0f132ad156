"""The account of one client's records: what was produced, what the group's members read and committed, and what is wrong."""

import sys

import paths

sys.path.insert(0, str(paths.DRIVERS))
from common import headers_of, key_of, value_of  # noqa: E402  (the drivers' own definition of the records)

from runs import Failed


class Ledger:
    """Takes every line of every member, in the order of each member."""

    def __init__(self, seeds, empty_header):
        self.seeds = seeds  # topic -> seed of its records
        self.headers = {topic: headers_of(seed, empty_header) for topic, seed in seeds.items()}
        self.read = {topic: {} for topic in seeds}  # topic -> {(partition, offset): number}
        self.position = {}  # (member, topic, partition) -> next offset
        self.run_starts = []  # (member, topic, partition, offset): where a member began or jumped to
        self.may_be_committed = set()  # (place, offset) of each commit that was asked for
        self.unanswered = {}  # (member, place) -> offset of its last commit, while no answer to it was seen
        self.committed = {}  # place -> offset of the highest acknowledged commit
        self.read_by = {}  # member -> count

    def add(self, member, lines):
        for line in lines:
            if isinstance(line, list):
                self.add_record(member, *line)
            elif "committing" in line:
                self.may_be_committed.update(line["committing"].items())
                self.unanswered.update({(member, place): offset for place, offset in line["committing"].items()})
            elif "committed" in line:
                self.may_be_committed.update(line["committed"].items())
                for place, offset in line["committed"].items():
                    self.unanswered.pop((member, place), None)
                    self.committed[place] = max(offset, self.committed.get(place, 0))

    def add_record(self, member, topic, partition, offset, key, value, headers):
        seed = self.seeds[topic]
        number = int(value.split(":", 2)[1])
        if (key, value) != (key_of(number), value_of(seed, number)) or headers != self.headers[topic]:
            raise Failed(f"{topic}/{partition} offset {offset}: not a record that was produced: {key} {value} {headers}")
        known = self.read[topic].setdefault((partition, offset), number)
        if known != number:
            raise Failed(f"{topic}/{partition} offset {offset}: was record {known}, is now {number}")
        place = (member, topic, partition)
        if self.position.get(place) != offset:
            self.run_starts.append((*place, offset))
        self.position[place] = offset + 1
        self.read_by[member] = self.read_by.get(member, 0) + 1

    def ends(self):
        """One after the last record read of each partition."""
        ends = {}
        for topic, records in self.read.items():
            for partition, offset in records:
                place = f"{topic}/{partition}"
                ends[place] = max(offset + 1, ends.get(place, 0))
        return ends

    def count(self):
        """How many different records were read."""
        return sum(len(records) for records in self.read.values())

    def total_reads(self):
        return sum(self.read_by.values())

    def check_runs(self, says_commits):
        """A member may begin, or jump, only to where the group had committed (or to the start of a partition)."""
        for member, topic, partition, offset in self.run_starts:
            place = f"{topic}/{partition}"
            after_a_read = (partition, offset - 1) in self.read[topic]
            allowed = (place, offset) in self.may_be_committed if says_commits else after_a_read
            if offset != 0 and not allowed:
                raise Failed(f"{member} began at {place} offset {offset}, which nobody committed")

    def check_continued(self, member, committed):
        """A new member begins each partition exactly at the committed offset.

        Where a member was killed between asking for a commit and its answer, either offset is right.
        """
        begun = set()
        for who, topic, partition, offset in self.run_starts:
            place = f"{topic}/{partition}"
            if who != member or place in begun:
                continue
            begun.add(place)
            in_doubt = {asked for (_, other), asked in self.unanswered.items() if other == place}
            later = offset in in_doubt and offset > committed.get(place, 0)
            if offset != committed.get(place, 0) and not later:
                raise Failed(f"{member} began at {place} offset {offset}, committed was {committed.get(place, 0)}")

    def check_topic(self, topic, records):
        """Every record once, at offsets without gaps, each key in one partition and in order."""
        read = sorted(self.read[topic].items())
        numbers = [number for _, number in read]
        missing = set(range(records)) - set(numbers)
        if missing:
            raise Failed(f"{topic}: {len(missing)} of {records} records missing, the first is {min(missing)}")
        if len(numbers) != records:
            raise Failed(f"{topic}: {len(numbers) - records} records are stored more than once")
        last, next_offset = {}, {}
        for (partition, offset), number in read:
            if offset != next_offset.get(partition, 0):
                raise Failed(f"{topic}/{partition}: offset {offset} where {next_offset.get(partition, 0)} was due")
            next_offset[partition] = offset + 1
            before = last.get(number % 1000)
            if before and before[0] != partition:
                raise Failed(f"{topic}: {key_of(number)} is in partitions {before[0]} and {partition}")
            if before and before[1] >= number:
                raise Failed(f"{topic}/{partition} offset {offset}: record {number} comes after {before[1]}")
            last[number % 1000] = (partition, number)
