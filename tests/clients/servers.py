"""Starts and stops what clients talk to: ZooKeeper, Apache Kafka 3.9 and Ottla. Stops only what it started."""

import contextlib
import signal
import socket
import struct
import subprocess
import time

import paths
from runs import Failed

START_SECONDS = 60
# Short, so that a killed Kafka may register again soon: it refuses to start while its old ephemeral znode lives.
SESSION_MS = 6000
JVM = ["java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", f"{paths.JARS}/*"]
LOG4J = """log4j.rootLogger={level}, out
log4j.appender.out=org.apache.log4j.ConsoleAppender
log4j.appender.out.target=System.err
log4j.appender.out.layout=org.apache.log4j.PatternLayout
log4j.appender.out.layout.ConversionPattern=[%d] %p %m (%c)%n
"""


class Server:
    """One server process with its log; subclasses say how it is started and when it is up."""

    name = "server"

    def __init__(self, folder):
        self.folder = folder
        self.process = None
        folder.mkdir(parents=True, exist_ok=True)

    def command(self):
        raise NotImplementedError

    def is_up(self):
        raise NotImplementedError

    def start(self):
        """Starts the process and waits until it answers; returns how many seconds that took."""
        began = time.monotonic()
        with open(self.folder / f"{self.name}.log", "ab") as log:
            self.process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder, start_new_session=True
            )
        while not self.is_up():
            if self.process.poll() is not None:
                raise Failed(f"{self.name} ended with {self.process.returncode}: see {self.folder}/{self.name}.log")
            if time.monotonic() - began > START_SECONDS:
                self.kill()
                raise Failed(f"{self.name} is not up after {START_SECONDS} s: see {self.folder}/{self.name}.log")
            time.sleep(0.05)
        return time.monotonic() - began

    def kill(self):
        """SIGKILL: the process writes nothing more."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def stop(self, seconds=30):
        """SIGTERM, and SIGKILL when that is ignored; returns whether it ended by itself."""
        if not self.process or self.process.poll() is not None:
            return True
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(seconds)
            return True
        except subprocess.TimeoutExpired:
            self.kill()
            return False


def port_answers(port, question, expected):
    """Sends `question` to a local port and says whether the answer begins with `expected`."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.sendall(question)
            answer = b""
            while len(answer) < len(expected):
                more = connection.recv(len(expected) - len(answer))
                if not more:
                    return False
                answer += more
            return answer == expected
    except OSError:
        return False


class ZooKeeper(Server):
    """A real ZooKeeper of one machine."""

    name = "zookeeper"

    def __init__(self, folder):
        super().__init__(folder)
        self.port = paths.free_port()
        self.address = f"127.0.0.1:{self.port}"
        (folder / "zk.properties").write_text(
            f"dataDir={folder}/data\nclientPort={self.port}\nclientPortAddress=127.0.0.1\ntickTime=500\n"
            "admin.enableServer=false\n4lw.commands.whitelist=*\nmaxClientCnxns=0\n"
        )
        (folder / "log4j.properties").write_text(LOG4J.format(level="WARN"))

    def command(self):
        # It is never killed here, so it need not sync: on a busy disk that takes longer than a session.
        settings = [f"-Dlog4j.configuration=file:{self.folder}/log4j.properties", "-Dzookeeper.forceSync=no"]
        main = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
        return [*JVM, "-Xmx256m", *settings, main, f"{self.folder}/zk.properties"]

    def is_up(self):
        return port_answers(self.port, b"ruok", b"imok")


class Broker(Server):
    """What Kafka and Ottla have in common: a port, data, a configuration, and how to know that it serves."""

    def __init__(self, folder, zookeeper=None, data=None, port=None, **overrides):
        super().__init__(folder)
        self.zookeeper = zookeeper
        self.port = port or paths.free_port()
        self.bootstrap = f"127.0.0.1:{self.port}"
        self.data = data or folder / "data"
        self.logs = self.data  # where the directories of partitions are
        self.config = folder / "server.properties"
        self.config.write_text("".join(f"{key}={value}\n" for key, value in self.properties(overrides).items()))

    def properties(self, overrides):
        settings = {
            "broker.id": 1,
            "listeners": f"PLAINTEXT://{self.bootstrap}",
            "advertised.listeners": f"PLAINTEXT://{self.bootstrap}",
            "log.dirs": self.data,
            "num.partitions": 6,
            "offsets.topic.num.partitions": 5,
            "offsets.topic.replication.factor": 1,
            "transaction.state.log.num.partitions": 5,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "group.initial.rebalance.delay.ms": 1000,
            "zookeeper.session.timeout.ms": SESSION_MS,
        }
        if self.zookeeper:
            settings["zookeeper.connect"] = self.zookeeper.address
        return {**settings, **{key.replace("_", "."): value for key, value in overrides.items()}}

    def is_up(self):
        """Asks for the metadata of all topics, version 0: up when the broker itself is in the answer."""
        question = struct.pack(">hhihi", 3, 0, 7, -1, 0)
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
                connection.sendall(struct.pack(">i", len(question)) + question)
                head = connection.recv(12, socket.MSG_WAITALL)
                return len(head) == 12 and struct.unpack(">iii", head)[2] >= 1
        except OSError:
            return False

    def restart_after_kill(self):
        """SIGKILL and start again; returns how many seconds the broker was away."""
        began = time.monotonic()
        self.kill()
        self.start()
        return time.monotonic() - began


class Kafka(Broker):
    """Apache Kafka 3.9, unchanged."""

    name = "kafka"

    def __init__(self, folder, **arguments):
        super().__init__(folder, **arguments)
        (folder / "log4j.properties").write_text(LOG4J.format(level="INFO"))

    def command(self):
        log = f"-Dlog4j.configuration=file:{self.folder}/log4j.properties"
        return [*JVM, "-Xmx1g", log, "kafka.Kafka", str(self.config)]

    def start(self):
        """Waits out the session of a killed predecessor first: Kafka ends at once when its old ephemeral lives."""
        killed = self.process is not None and self.process.returncode == -signal.SIGKILL
        if killed:
            time.sleep(SESSION_MS / 1000 + 1)
        return super().start()


class Ottla(Broker):
    """Ottla with a real ZooKeeper (`ottla start`), or with its own (`ottla dev`)."""

    name = "ottla"

    def __init__(self, folder, binary=paths.OTTLA, **arguments):
        self.binary = binary
        if not binary.exists():
            raise Failed(f"there is no {binary}: cargo build --release, or name another with --ottla-bin")
        self.zookeeper_port = paths.free_port()
        super().__init__(folder, **arguments)
        if not self.zookeeper:
            self.logs = self.data / "logs"

    def command(self):
        if self.zookeeper:
            return [str(self.binary), "start", "--config", str(self.config)]
        ports = ["--port", str(self.port), "--zookeeper-port", str(self.zookeeper_port)]
        return [str(self.binary), "dev", "--data", str(self.data), *ports, "--override", "num.partitions=6"]


def new_broker(kind, folder, zookeeper=None, binary=None, **arguments):
    """A broker by the name given on the command line; not yet started."""
    if kind == "kafka":
        return Kafka(folder, zookeeper=zookeeper, **arguments)
    return Ottla(folder, binary=binary or paths.OTTLA, zookeeper=zookeeper, **arguments)


@contextlib.contextmanager
def running(kind, zookeeper_kind, folder, binary=None, **arguments):
    """A broker that is up, with a real ZooKeeper or its own; at the end both are gone, however it ends."""
    with contextlib.ExitStack() as cleanup:
        zookeeper = None
        if zookeeper_kind == "real":
            zookeeper = ZooKeeper(folder / "zookeeper")
            cleanup.callback(zookeeper.kill)
            zookeeper.start()
        broker = new_broker(kind, folder / "broker", zookeeper=zookeeper, binary=binary, **arguments)
        cleanup.callback(broker.kill)
        broker.start()
        yield broker


def add_arguments(parser):
    """Which broker a test runs against."""
    parser.add_argument("--broker", choices=["ottla", "kafka"], default="ottla")
    parser.add_argument("--zookeeper", choices=["embedded", "real"], default="real", help="Kafka has no embedded one")
    parser.add_argument("--ottla-bin", type=paths.Path, default=paths.OTTLA)
