"""How each client's driver is called, and a consumer process whose lines are read while it runs."""

import json
import os
import signal
import subprocess
import time

import install
import paths
from runs import Failed

PYTHON = str(paths.VENV / "bin" / "python")
JAVA = ["java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx256m"]
JAVA += ["-cp", f"{paths.JAVA_CLASSES}:{paths.JARS}/*", "Driver"]


class Client:
    """One client: its command, what it needs installed, and what it cannot do."""

    def __init__(self, command, needs, says_commits=True, empty_header=None):
        self.command = [str(part) for part in command]
        self.needs = needs
        self.says_commits = says_commits  # if not, it commits every 5 s, even what it is still printing
        self.empty_header = empty_header  # what it writes as a header without a value


CLIENTS = {
    "kcat": Client([PYTHON, paths.DRIVERS / "kcat_driver.py"], ["python"], says_commits=False),
    "confluent-kafka": Client([PYTHON, paths.DRIVERS / "confluent_driver.py"], ["python"]),
    "kafka-python": Client([PYTHON, paths.DRIVERS / "kafka_python_driver.py"], ["python"], empty_header=""),
    "aiokafka": Client([PYTHON, paths.DRIVERS / "aiokafka_driver.py"], ["python"]),
    "kafkajs": Client(["node", paths.NODE / "driver.js"], ["node"], empty_header=""),
    "franz-go": Client([paths.GO_DRIVER], ["go"]),
    "java": Client(JAVA, ["peers", "java"]),
}


def install_for(names):
    """Installs what these clients need."""
    if "kcat" in names:
        install.kcat()
    install.ensure(*{need: None for name in names for need in CLIENTS[name].needs})


def flags(options):
    return [part for name, value in options.items() for part in (f"--{name}", str(value))]


def call(client, folder, command, seconds, **options):
    """Runs a driver to its end; returns its last line."""
    log = folder / "calls.log"
    with open(log, "ab") as errors:
        try:
            done = subprocess.run(
                [*client.command, command, *flags(options)], stdout=subprocess.PIPE, stderr=errors, timeout=seconds
            )
        except subprocess.TimeoutExpired:
            raise Failed(f"{command} took more than {seconds} s: see {log}") from None
    if done.returncode != 0:
        raise Failed(f"{command} ended with {done.returncode}: see {log}")
    lines = done.stdout.splitlines()
    return json.loads(lines[-1]) if lines else {}


class Member:
    """One member of a consumer group: a process that writes what it reads into a file."""

    def __init__(self, name, client, folder, **options):
        self.name = name
        self.log = folder / f"{name}.log"
        self.began = time.monotonic()
        self.pid = None
        self.assigned = set()
        self.at_end = set()  # those of the assigned partitions that it has read to their end, if it says so
        self.tail = b""
        with open(folder / f"{name}.jsonl", "wb") as out, open(self.log, "wb") as errors:
            command = [*client.command, "consume", *flags(options)]
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=errors)
        self.lines = open(folder / f"{name}.jsonl", "rb")

    def read(self):
        """The lines printed since the last call; a line cut off by SIGKILL is not a line."""
        *whole, self.tail = (self.tail + self.lines.read()).split(b"\n")
        lines = [json.loads(line) for line in whole]
        for line in lines:
            if isinstance(line, dict):
                self.pid = line.get("pid", self.pid)
                if "assigned" in line:
                    self.assigned, self.at_end = set(line["assigned"]), set()
                if "at_end" in line:
                    self.at_end.add(line["at_end"])
        return lines

    def ended(self):
        return self.process.poll() is not None

    def sigkill(self):
        """Kills the client itself, which may be a child of the driver."""
        os.kill(self.pid, signal.SIGKILL)
        self.process.wait(30)

    def leave(self, seconds=30):
        """Asks it to commit, to leave its group and to end."""
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failed(f"{self.name} did not end within {seconds} s of SIGTERM: see {self.log}") from None
        if code != 0:
            raise Failed(f"{self.name} ended with {code}: see {self.log}")

    def close(self):
        """Leaves nothing running, whatever happened."""
        if not self.ended():
            if self.pid and self.pid != self.process.pid:
                os.kill(self.pid, signal.SIGKILL)
            self.process.kill()
            self.process.wait()
        self.lines.close()
