"""The work of scripts/cluster: starts, watches and stops the processes of a cluster, and remembers them in cluster.json.

A process is known by its id *and* the moment it was started, so that an id given anew is never stopped. Nothing but the
standard library. Whoever changes the cluster holds a lock; looking at it takes none.
"""

import argparse
import contextlib
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# As cargo sees it, which runs in ROOT.
TARGET = ROOT / os.environ.get("CARGO_TARGET_DIR", "target")
JARS = TARGET / "peers" / "zookeeper"
POM = ROOT / "tests" / "peers" / "zookeeper" / "pom.xml"
MAIN = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
# The kernel gives ports from here on to outgoing connections.
PORTS_END = 32768
START_SECONDS = 60
STOP_SECONDS = 60
HOST = "127.0.0.1"
DATA = ROOT / "target" / "cluster"

class Trouble(Exception):
    """What went wrong, and what to do about it: one sentence."""


def moment(pid):
    """When the process with this id was started, in words that differ from any other's; None if there is none."""
    try:
        # What stands in brackets is the program's name, and may hold anything.
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return None if fields[0] in "ZX" else f"{boot} {fields[19]}"
    except FileNotFoundError:
        if Path("/proc/self").exists():
            return None
    told = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], stdout=subprocess.PIPE, text=True)
    words = told.stdout.split()
    return " ".join(words[1:]) if words and not words[0].startswith("Z") else None


def ask(port, question):
    """What a server answers to some bytes; nothing if there is none."""
    try:
        with socket.create_connection((HOST, port), timeout=2) as connection:
            connection.sendall(question)
            return connection.recv(64)
    except OSError:
        return b""


def taken(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            return False
        except OSError:
            return True


def table(rows):
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())


def say(text):
    print(text, flush=True)


def call(action, data):
    """How this script is called for the cluster in `data`."""
    return f"scripts/cluster {action}" + ("" if data == DATA.resolve() else f" --data {data}")


class Cluster:
    """What cluster.json says: the ZooKeeper and the brokers, each with name, port, and process."""

    def __init__(self, data):
        self.data = data
        self.file = data / "cluster.json"
        self.parts = {}
        self.kind = None

    @staticmethod
    def load(data):
        cluster = Cluster(data)
        try:
            kept = json.loads(cluster.file.read_text())
            cluster.kind, cluster.parts = kept["zookeeper"], kept["parts"]
        except FileNotFoundError:
            raise Trouble(f"there is no cluster in {data}: start one with {call('up', data)}") from None
        except (ValueError, KeyError) as error:
            raise Trouble(f"{cluster.file} cannot be read ({error}): stop its processes, and remove {data}") from None
        return cluster

    def save(self):
        new = self.file.with_suffix(".new")
        new.write_text(json.dumps({"zookeeper": self.kind, "parts": self.parts}, indent=1) + "\n")
        new.replace(self.file)

    def brokers(self):
        return [name for name in self.parts if name != "zookeeper"]

    def pid(self, name):
        """The process of a part, if it runs and is still the one that was started."""
        part = self.parts[name]
        return part["pid"] if part.get("moment") and moment(part["pid"]) == part["moment"] else None

    def log(self, name):
        return self.data / "logs" / f"{name}.log"

    def config(self, name):
        return self.data / name / ("zookeeper.properties" if name == "zookeeper" else "server.properties")

    def bootstrap(self):
        return ",".join(f"{HOST}:{self.parts[name]['port']}" for name in self.brokers())

    def broker(self, number):
        name = f"broker-{number}"
        if name not in self.parts:
            numbers = ", ".join(other.partition("-")[2] for other in self.brokers())
            raise Trouble(f"there is no broker {number}: there are {numbers}")
        return name

    # Configurations: written once, so that changes made by hand stay.

    def write_configs(self):
        (self.data / "logs").mkdir(parents=True, exist_ok=True)
        copies = min(3, len(self.brokers()))
        for name, part in self.parts.items():
            data = self.data / name / "data"
            data.mkdir(parents=True, exist_ok=True)
            if self.config(name).exists():
                continue
            if name == "zookeeper":
                settings = {
                    "dataDir": data,
                    "clientPort": part["port"],
                    "clientPortAddress": HOST,
                    "tickTime": 2000,
                    "maxClientCnxns": 0,
                    "admin.enableServer": "false",
                    "4lw.commands.whitelist": "ruok,srvr,stat,mntr,conf",
                }
            else:
                settings = {
                    "broker.id": name.partition("-")[2],
                    "listeners": f"PLAINTEXT://{HOST}:{part['port']}",
                    "log.dirs": data,
                    "zookeeper.connect": f"{HOST}:{self.parts['zookeeper']['port']}",
                    # A killed broker is missed after this.
                    "zookeeper.session.timeout.ms": 6000,
                    # When all are stopped together, the controller is among them.
                    "controlled.shutdown.retry.backoff.ms": 500,
                    "default.replication.factor": copies,
                    "offsets.topic.replication.factor": copies,
                    "transaction.state.log.replication.factor": copies,
                    "transaction.state.log.min.isr": min(2, copies),
                    "group.initial.rebalance.delay.ms": 0,
                }
            self.config(name).write_text("".join(f"{key}={value}\n" for key, value in settings.items()))

    # Processes.

    def command(self, name):
        if name != "zookeeper":
            return [binary(), "start", "--config", self.config(name)], None
        if self.kind == "embedded":
            return ["zookeeper-server-start", self.config(name)], binary()
        log = [f"-Dorg.slf4j.simpleLogger.{key}" for key in ("logFile=System.out", "showDateTime=true")]
        return ["java", *log, "-Xmx256m", "-cp", f"{JARS}/*", MAIN, self.config(name)], None

    def refuse_taken(self, name):
        port = self.parts[name]["port"]
        if taken(port):
            option = "--zookeeper-port" if name == "zookeeper" else "--port"
            other = "stop that" if self.config(name).exists() else f"stop that, or choose another with {option}"
            raise Trouble(f"port {port}, for {name}, is taken by another process: {other}")

    def launch(self, name):
        self.refuse_taken(name)
        words, executable = self.command(name)
        with open(self.log(name), "ab") as log:
            process = subprocess.Popen(
                [str(word) for word in words], executable=executable, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                cwd=self.data / name, start_new_session=True,
            )
        self.parts[name].update(pid=process.pid, moment=moment(process.pid))
        self.save()
        return process

    def wait(self, name, process, is_up, began):
        told = time.monotonic()
        while not is_up():
            if process.poll() is not None:
                raise Trouble(f"{name} ended at once; the end of {self.log(name)}:\n{self.tail(name)}")
            if time.monotonic() - began > START_SECONDS:
                raise Trouble(f"{name} is not up after {START_SECONDS} s; the end of {self.log(name)}:\n{self.tail(name)}")
            if time.monotonic() - told > 2:
                told = time.monotonic() + 3
                say(f"  {name:<12} not yet; it says: {self.tail(name, 1)}")
            time.sleep(0.05)
        say(f"  {name:<12} up after {time.monotonic() - began:.1f} s, process {process.pid}")

    def tail(self, name, lines=8):
        text = self.log(name).read_text(errors="replace") if self.log(name).exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def start(self, names):
        """Starts those of these parts that do not run, and waits until they answer."""
        missing = [name for name in names if not self.pid(name)]
        if "zookeeper" in missing:
            missing.remove("zookeeper")
            began = time.monotonic()
            process = self.launch("zookeeper")
            port = self.parts["zookeeper"]["port"]
            self.wait("zookeeper", process, lambda: ask(port, b"ruok") == b"imok", began)
        began = time.monotonic()
        processes = {name: self.launch(name) for name in missing}
        for name, process in processes.items():
            self.wait(name, process, lambda name=name: self.serves(name), began)

    def serves(self, name):
        """Whether a broker answers, and counts itself among those alive."""
        bootstrap = f"{HOST}:{self.parts[name]['port']}"
        if not taken(self.parts[name]["port"]):
            return False
        told = subprocess.run(
            [binary(), "cluster", "--bootstrap", bootstrap, "--output", "json"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=START_SECONDS,
        )
        try:
            brokers = json.loads(told.stdout)["brokers"]
        except (ValueError, KeyError):
            return False
        return any(str(broker["id"]) == name.partition("-")[2] for broker in brokers)

    def send(self, name, number):
        """A signal to the process of a part; whether there was one."""
        pid = self.pid(name)
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        return pid is not None

    def wait_gone(self, names):
        until = time.monotonic() + STOP_SECONDS
        while any(self.pid(name) for name in names):
            if time.monotonic() > until:
                left = [name for name in names if self.pid(name)]
                say(f"  {', '.join(left)} did not stop within {STOP_SECONDS} s: killed")
                for name in left:
                    self.send(name, signal.SIGKILL)
                until = time.monotonic() + STOP_SECONDS
            time.sleep(0.05)

    def rows(self):
        """Each part as it is now."""
        for name, part in self.parts.items():
            pid = self.pid(name)
            state = "down" if not pid else "up" if taken(part["port"]) else "starting"
            yield {
                "name": name, "address": f"{HOST}:{part['port']}", "state": state, "pid": pid,
                "data": str(self.data / name / "data"), "log": str(self.log(name)), "config": str(self.config(name)),
            }


def binary():
    path = os.environ.get("OTTLA_BIN")
    if not path or not os.access(path, os.X_OK):
        raise Trouble(f"there is no binary at {path or 'OTTLA_BIN'}: build it, or name one with OTTLA_BIN")
    return os.path.abspath(path)


@contextlib.contextmanager
def locked(data):
    data.mkdir(parents=True, exist_ok=True)
    with open(data / "lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            say(f"another scripts/cluster is busy with {data}: waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def choose_zookeeper(wanted, otherwise="leave --zookeeper away, or take the embedded one"):
    """`real` or `embedded`: Apache's where Java is there and its jars can be had. `otherwise` is said where it must be real."""
    if wanted == "embedded":
        return wanted
    why = None
    if not shutil.which("java"):
        why = "there is no java here"
    elif not JARS.is_dir():
        if not shutil.which("mvn"):
            why = "there is no mvn here to bring it"
        else:
            say("bringing Apache ZooKeeper from Maven Central")
            part = JARS.with_suffix(".part")  # beside their place: a copy that was interrupted must not pass for whole
            fetch = ["mvn", "-q", "-B", "-f", POM, "dependency:copy-dependencies", f"-DoutputDirectory={part}"]
            done = subprocess.run([str(word) for word in fetch], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            if done.returncode:
                lines = [line for line in done.stdout.splitlines() if "ERROR" in line]
                why = f"Maven could not bring it ({lines[0] if lines else 'it does not say why'})"
            else:
                part.rename(JARS)
    if why is None:
        return "real"
    if wanted == "real":
        raise Trouble(f"no Apache ZooKeeper: {why}; {otherwise}")
    say(f"no Apache ZooKeeper, because {why}: Ottla's own takes its place")
    return "embedded"


def plan(options):
    """The cluster in its directory, made anew or as it was; options that contradict it are refused."""
    try:
        cluster = Cluster.load(options.data)
    except Trouble:
        if (options.data / "cluster.json").exists():
            raise
        cluster = Cluster(options.data)
        cluster.kind = choose_zookeeper(options.zookeeper)
        cluster.parts["zookeeper"] = {"port": options.zookeeper_port or 2181}
    remove = f"stop it and remove {options.data} to begin anew"
    if options.zookeeper not in ("auto", cluster.kind):
        raise Trouble(f"this cluster was made with ZooKeeper {cluster.kind}, not {options.zookeeper}: {remove}")
    if options.zookeeper_port not in (None, cluster.parts["zookeeper"]["port"]):
        raise Trouble(f"this cluster has its ZooKeeper on port {cluster.parts['zookeeper']['port']}: {remove}")
    ports = [cluster.parts[name]["port"] for name in cluster.brokers()]
    first = ports[0] if ports else options.port or 9092
    if options.port not in (None, first):
        raise Trouble(f"this cluster has its brokers on port {first} and up: {remove}")
    wanted = options.brokers or len(ports) or 3
    if wanted < len(ports):
        raise Trouble(f"this cluster has {len(ports)} brokers, and none is taken away: stop single ones with kill, or {remove}")
    for index in range(len(ports), wanted):
        cluster.parts[f"broker-{index + 1}"] = {"port": first + index}
    all_ports = [part["port"] for part in cluster.parts.values()]
    if len(set(all_ports)) < len(all_ports) or not all(0 < port < PORTS_END for port in all_ports):
        raise Trouble(f"ports {all_ports}: they must differ, and stay below {PORTS_END}, for the rest is for outgoing connections")
    return cluster


def up(options):
    began = time.monotonic()
    binary()  # before anything is started
    with locked(options.data):
        cluster = plan(options)
        if cluster.kind == "real":
            choose_zookeeper("real", f"this cluster has its data in one: bring it, or remove {options.data} to begin anew")
        down = [name for name in cluster.parts if not cluster.pid(name)]
        for name in down:
            cluster.refuse_taken(name)
        cluster.write_configs()
        cluster.save()
        names = {"real": "Apache ZooKeeper", "embedded": "Ottla's own ZooKeeper"}
        say(f"starting {', '.join(down)} ({names[cluster.kind]})" if down else "all of it runs already")
        try:
            cluster.start(list(cluster.parts))
        except Trouble as trouble:
            runs = [name for name in cluster.parts if cluster.pid(name)]
            stop = call("down", options.data)
            raise Trouble(f"{trouble}; {', '.join(runs)} {'runs' if len(runs) == 1 else 'run'} on: {stop}" if runs else trouble) from None
        if down:
            say(f"up after {time.monotonic() - began:.1f} s\n")
    show(cluster)
    print(f"\npoint clients at  {cluster.bootstrap()}")
    print(f"ZooKeeper is at   {HOST}:{cluster.parts['zookeeper']['port']}")
    print(f"look around       {call('status|logs|znodes|kill 1|start 1|down', options.data)}")


def show(cluster):
    rows = [["NAME", "ADDRESS", "STATE", "PROCESS", "DATA", "LOG"]]
    for row in cluster.rows():
        rows.append([row["name"], row["address"], row["state"], str(row["pid"] or "-"), row["data"], row["log"]])
    table(rows)


def status(options):
    cluster = Cluster.load(options.data)
    if options.output == "json":
        answer = {"bootstrap": cluster.bootstrap(), "zookeeper": cluster.kind, "parts": list(cluster.rows())}
        return print(json.dumps(answer, indent=2))
    return show(cluster)


def down(options):
    with locked(options.data):
        cluster = Cluster.load(options.data)
        brokers = [name for name in cluster.brokers() if cluster.send(name, signal.SIGTERM)]
        if brokers:
            say(f"stopping {', '.join(brokers)}")
        cluster.wait_gone(brokers)
        if cluster.send("zookeeper", signal.SIGTERM):
            say("stopping zookeeper")
            cluster.wait_gone(["zookeeper"])
        for part in cluster.parts.values():
            part.pop("pid", None)
            part.pop("moment", None)
        cluster.save()
    say(f"all of it is down; the data stay in {options.data}")


def kill(options):
    with locked(options.data):
        cluster = Cluster.load(options.data)
        name = cluster.broker(options.broker)
        back = call(f"start {options.broker}", options.data)
        if not cluster.send(name, signal.SIGKILL):
            raise Trouble(f"{name} does not run: start it with {back}")
        cluster.wait_gone([name])
    say(f"{name} is killed; the others miss it after 6 s; bring it back with {back}")


def start(options):
    with locked(options.data):
        cluster = Cluster.load(options.data)
        name = cluster.broker(options.broker)
        if cluster.pid(name):
            return say(f"{name} runs already")
        if not cluster.pid("zookeeper"):
            raise Trouble(f"ZooKeeper does not run: start all with {call('up', options.data)}")
        say(f"starting {name} (after a kill it waits until its old registration is gone)")
        return cluster.start([name])


def logs(options):
    cluster = Cluster.load(options.data)
    if options.part is None:
        names = list(cluster.parts)
    else:
        names = ["zookeeper"] if options.part == "zookeeper" else [cluster.broker(options.part)]
    files = [str(cluster.log(name)) for name in names if cluster.log(name).exists()]
    if not files:
        raise Trouble(f"nothing was logged yet in {options.data / 'logs'}")
    sys.stdout.flush()
    os.execvp("tail", ["tail", "-n", str(options.lines), *(["-F"] if options.follow else []), *files])


def znodes(options):
    cluster = Cluster.load(options.data)
    words = options.words or ["tree", "/"]
    server = f"{HOST}:{cluster.parts['zookeeper']['port']}"
    os.execv(binary(), ["ottla", "znodes", *words, "--zookeeper", server])


def number(least, most):
    def read(text):
        if text.isdigit() and least <= int(text) <= most:
            return int(text)
        raise argparse.ArgumentTypeError(f"{text} is no number between {least} and {most}")

    return read


def parser():
    main = argparse.ArgumentParser(prog="scripts/cluster", description="A cluster on this machine, without Docker.")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--data", type=Path, default=DATA, help="where all of it is kept")
    actions = main.add_subparsers(dest="action", required=True)

    def action(run, text):
        made = actions.add_parser(run.__name__, parents=[common], help=text, description=text)
        made.set_defaults(run=run)
        return made

    one = action(up, "starts what does not run")
    one.add_argument("--brokers", type=number(1, 50), help="how many (default: 3)")
    one.add_argument("--port", type=number(1, PORTS_END - 1), help="the first broker's (default: 9092)")
    one.add_argument("--zookeeper-port", type=number(1, PORTS_END - 1), help="(default: 2181)")
    one.add_argument("--zookeeper", choices=["auto", "real", "embedded"], default="auto", help="Apache's, or Ottla's own")
    action(down, "stops all")
    action(status, "what runs where").add_argument("--output", choices=["table", "json"], default="table")
    one = action(logs, "what they say")
    one.add_argument("part", nargs="?", help="a broker's number, or zookeeper")
    one.add_argument("--follow", "-f", action="store_true")
    one.add_argument("--lines", "-n", type=number(0, 1_000_000), default=20)
    action(kill, "kill -9 for one broker").add_argument("broker", type=number(1, 50))
    action(start, "starts one broker").add_argument("broker", type=number(1, 50))
    action(znodes, "the cluster as ZooKeeper has it").add_argument("words", nargs="*", help="for `ottla znodes`")
    return main


def main():
    options, rest = parser().parse_known_args()
    if options.action == "znodes":
        options.words += rest
    elif rest:
        parser().error(f"unrecognized arguments: {' '.join(rest)}")
    options.data = options.data.resolve()
    try:
        options.run(options)
    except Trouble as trouble:
        print(f"cluster: {trouble}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"cluster: {error}; all of it is kept in {options.data}: --data names another directory", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
