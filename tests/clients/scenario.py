"""What every client must live through, in phases; the broker is killed and restarted between them (see run.py)."""

import time

import drivers
from ledger import Ledger
from runs import Failed, wait_until

PARTITIONS = 6


class Scenario:
    """One client against one broker: a topic for each codec, one consumer group over all of them."""

    def __init__(self, name, codecs, records, bootstrap, folder):
        self.name = name
        self.client = drivers.CLIENTS[name]
        self.codecs = codecs
        self.records = records
        self.bootstrap = bootstrap
        self.folder = folder
        folder.mkdir(parents=True)
        self.seed = {codec: at + 1 for at, codec in enumerate(codecs)}
        self.topic = {codec: f"{name}-{codec}" for codec in codecs}
        self.ledger = Ledger({self.topic[codec]: self.seed[codec] for codec in codecs}, self.client.empty_header)
        self.members = []
        self.committed = {}  # by the members that left before the broker was killed
        self.produce_s = dict.fromkeys(codecs, 0.0)
        self.consume_s = 0.0
        self.failures = {}  # codec, or None for all -> what went wrong
        self.patience = 60 + records * len(codecs) // 2000

    # Nine records of ten are produced before the broker is killed, the rest after it was killed twice.
    @property
    def early_records(self):
        return self.records * 9 // 10

    def create_and_produce(self):
        topics = ",".join(self.topic.values())
        self.call("create", topics=topics, partitions=PARTITIONS)
        self.produce(0, self.early_records)

    def consume_in_a_group(self):
        """Three members read from the beginning; one is killed; the other two take its partitions, commit and leave."""
        began = time.monotonic()
        expected = self.early_records * len(self.codecs)
        # Slow enough that most is unread when a dead member's session (6 s) ends.
        rate = max(expected // (48 if self.client.says_commits else 24), 20)
        members = [self.join(f"member-{number}", rate) for number in (1, 2, 3)]
        self.wait(lambda: f"three members with partitions: {self.assignments()}", lambda: self.all_assigned(members))
        victim, *others = members
        at_kill = expected // 12
        self.wait(lambda: f"member-1 read {at_kill}", lambda: self.ledger.read_by.get(victim.name, 0) >= at_kill)
        if not self.client.says_commits:
            self.wait(lambda: "a moment without a commit", lambda: 1.5 < (time.monotonic() - victim.began) % 5 < 4.5)
        victim.sigkill()
        self.collect()
        victim.assigned = set()
        self.wait(lambda: f"two members with all partitions: {self.assignments()}", lambda: self.all_assigned(others))
        if not self.client.says_commits:
            # Only when they themselves are at the end of everything is it known what they commit: that every record was
            # read is not enough, for the dead member may have been ahead of its last commit.
            self.wait(lambda: f"{expected} records read: {self.ledger.count()}", lambda: self.ledger.count() >= expected)
            self.wait(lambda: "the end of every partition", lambda: all(each.at_end >= each.assigned for each in others))
        for member in others:
            member.leave()
        self.collect()
        for member in others:
            self.require_reads(member)
        self.consume_s += time.monotonic() - began

    def continue_from_committed(self):
        """After the broker's death: a new member begins exactly at the committed offsets and reads the rest."""
        began = time.monotonic()
        self.committed = dict(self.ledger.committed) if self.client.says_commits else self.ledger.ends()
        if not self.committed:
            raise Failed("nothing was committed before the broker was killed")
        self.join("member-4", 0)
        expected = self.early_records * len(self.codecs)
        self.wait(lambda: f"{expected} records read: {self.ledger.count()}", lambda: self.ledger.count() >= expected)
        self.consume_s += time.monotonic() - began

    def finish_with_the_same_member(self):
        """After the broker's second death: the member that lived through it reads what is produced now."""
        self.produce(self.early_records, self.records - self.early_records)
        began = time.monotonic()
        expected = self.records * len(self.codecs)
        self.wait(lambda: f"{expected} records read: {self.ledger.count()}", lambda: self.ledger.count() >= expected)
        self.members[-1].leave()
        self.collect()
        self.consume_s += time.monotonic() - began
        self.ledger.check_continued("member-4", self.committed)
        self.ledger.check_runs(self.client.says_commits)
        for codec in self.codecs:
            try:
                self.ledger.check_topic(self.topic[codec], self.records)
            except Failed as failed:
                self.failures[codec] = str(failed)

    def run_phase(self, phase):
        """Runs one phase unless an earlier one failed."""
        if self.failures:
            return
        try:
            phase(self)
        except Failed as failed:
            self.failures[None] = str(failed)
        except Exception as error:  # a bug of the test must not stop the other clients, nor look like success
            self.failures[None] = f"{phase.__name__}: {error!r}"

    def rows(self):
        """One line of the report a codec."""
        return [
            {
                "client": self.name,
                "codec": codec,
                "records": self.records,
                "produce_s": round(self.produce_s[codec], 1),
                "consume_s": round(self.consume_s, 1),
                "read_again": self.ledger.total_reads() - self.ledger.count(),
                "verdict": self.failures.get(codec) or self.failures.get(None) or "ok",
            }
            for codec in self.codecs
        ]

    def close(self):
        for member in self.members:
            member.close()

    def call(self, command, **options):
        return drivers.call(self.client, self.folder, command, self.patience, bootstrap=self.bootstrap, **options)

    def produce(self, first, records):
        for codec in self.codecs:
            began = time.monotonic()
            answer = self.call(
                "produce", topics=self.topic[codec], first=first, records=records, codec=codec, seed=self.seed[codec]
            )
            self.produce_s[codec] += time.monotonic() - began
            if answer.get("produced") != records:
                raise Failed(f"{codec}: {answer.get('produced')} of {records} records acknowledged")

    def join(self, name, rate):
        options = {"topics": ",".join(self.topic.values()), "group": f"{self.name}-group", "rate": rate}
        member = drivers.Member(name, self.client, self.folder, bootstrap=self.bootstrap, **options)
        self.members.append(member)
        return member

    def collect(self):
        for member in self.members:
            self.ledger.add(member.name, member.read())

    def wait(self, what, condition):
        """Reads what the members print until `condition` holds; no member may end meanwhile."""

        def holds():
            self.collect()
            for member in self.members:
                if member.ended() and member.process.returncode != 0 and member.name != "member-1":
                    raise Failed(f"{member.name} ended with {member.process.returncode}: see {member.log}")
            return condition()

        wait_until(what, holds, self.patience)

    def assignments(self):
        return {member.name: sorted(member.assigned) for member in self.members}

    def all_assigned(self, members):
        """Every partition has exactly one owner among `members`, and each of them has at least one."""
        owned = [place for member in members for place in member.assigned]
        everything = {f"{topic}/{partition}" for topic in self.topic.values() for partition in range(PARTITIONS)}
        return all(member.assigned for member in members) and len(owned) == len(set(owned)) and set(owned) == everything

    def require_reads(self, member):
        if not self.ledger.read_by.get(member.name):
            raise Failed(f"{member.name} read nothing")


# In this order; the broker is killed and restarted after each of the middle two.
BEFORE = [Scenario.create_and_produce, Scenario.consume_in_a_group]
BETWEEN = [Scenario.continue_from_committed]
AFTER = [Scenario.finish_with_the_same_member]
