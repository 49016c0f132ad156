#!/usr/bin/env python3
"""The checks themselves must be able to fail: each kind of damage, put into a sound account, is found."""

import unittest

import sigkills
from ledger import Ledger, headers_of, key_of, value_of
from runs import Failed

RECORDS = 4000


def line(number, offset, partition=0):
    return ["t", partition, offset, key_of(number), value_of(7, number), headers_of(7)]


def account(numbers, **changes):
    """A ledger of one partition that holds these records; `changes` are lines added as they are."""
    ledger = Ledger({"t": 7}, None)
    ledger.add("m", [line(number, offset) for offset, number in enumerate(numbers)] + changes.get("lines", []))
    return ledger


class LedgerTest(unittest.TestCase):
    def assert_fails(self, text, check, *arguments):
        with self.assertRaisesRegex(Failed, text):
            check(*arguments)

    def test_sound(self):
        ledger = account(range(RECORDS))
        ledger.check_topic("t", RECORDS)
        ledger.check_runs(True)

    def test_missing(self):
        numbers = [number for number in range(RECORDS) if number != 1234]
        self.assert_fails("1 of 4000 records missing, the first is 1234", account(numbers).check_topic, "t", RECORDS)

    def test_stored_twice(self):
        self.assert_fails("1 records are stored more than once", account([*range(RECORDS), 5]).check_topic, "t", RECORDS)

    def test_out_of_order_within_a_key(self):
        numbers = list(range(RECORDS))
        numbers[500], numbers[1500] = 1500, 500
        self.assert_fails("comes after", account(numbers).check_topic, "t", RECORDS)

    def test_key_in_two_partitions(self):
        ledger = account(range(RECORDS - 1), lines=[line(RECORDS - 1, 0, partition=1)])
        self.assert_fails("k999 is in partitions 0 and 1", ledger.check_topic, "t", RECORDS)

    def test_changed_value_key_or_header(self):
        for at, bad in [(3, "k8"), (4, "7:9:0:the quick brewn"), (5, [["seed", "7"], ["none", ""]])]:
            changed = line(9, 0)
            changed[at] = bad
            self.assert_fails("not a record that was produced", Ledger({"t": 7}, None).add, "m", [changed])

    def test_another_record_at_the_same_offset(self):
        self.assert_fails("was record 3, is now 4", account(range(10)).add, "n", [line(4, 3)])

    def test_begins_where_nobody_committed(self):
        ledger = account(range(10), lines=[{"committing": {"t/0": 5}}])
        ledger.add("n", [line(5, 5)])
        ledger.check_runs(True)
        ledger.add("o", [line(6, 6)])
        self.assert_fails("o began at t/0 offset 6", ledger.check_runs, True)

    def test_does_not_continue_at_the_committed_offset(self):
        ledger = account(range(10))
        ledger.add("n", [line(4, 4)])
        ledger.check_continued("n", {"t/0": 4})
        self.assert_fails("committed was 5", ledger.check_continued, "n", {"t/0": 5})

    def test_continues_where_a_killed_member_may_have_committed(self):
        ledger = account(range(10), lines=[{"committing": {"t/0": 5}}])
        ledger.add("n", [line(5, 5)])
        ledger.check_continued("n", {"t/0": 3})
        ledger.add("m", [{"committed": {"t/0": 5}}])
        self.assert_fails("committed was 3", ledger.check_continued, "n", {"t/0": 3})


class SigkillsTest(unittest.TestCase):
    def test_each_kind_of_damage(self):
        sound = {(0, offset): offset for offset in range(10)}
        sigkills.compare(sound, dict(sound))
        swapped = sound | {(0, 3): 4, (0, 4): 3}
        shorter = {place: number for place, number in sound.items() if number != 9}
        for damaged in [shorter, sound | {(0, 10): 9}, swapped]:
            with self.assertRaises(Failed):
                sigkills.compare(sound, damaged)


if __name__ == "__main__":
    unittest.main()
