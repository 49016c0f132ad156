"""Brings each client's libraries from the ordinary registries, once, into target/clients (and Kafka's into target/peers)."""

import hashlib
import shutil
import subprocess
import sys

import paths


def run(*command, **options):
    subprocess.run([str(part) for part in command], check=True, stdout=sys.stderr, **options)


def peers():
    """Apache Kafka 3.9 with its tools, its Java clients, and ZooKeeper."""
    pom = paths.ROOT / "tests" / "peers" / "pom.xml"
    run("mvn", "-q", "-B", "-f", pom, "dependency:copy-dependencies", f"-DoutputDirectory={paths.JARS}")


def python():
    run(sys.executable, "-m", "venv", "--clear", paths.VENV)
    run(paths.VENV / "bin" / "pip", "install", "-q", "-r", paths.HERE / "requirements.txt")


def node():
    shutil.copytree(paths.DRIVERS / "node", paths.NODE, dirs_exist_ok=True)
    run("npm", "ci", "--silent", "--no-audit", "--no-fund", cwd=paths.NODE)


def go():
    run("go", "build", "-o", paths.GO_DRIVER, ".", cwd=paths.DRIVERS / "go")


def java():
    run("javac", "-cp", f"{paths.JARS}/*", "-d", paths.JAVA_CLASSES, paths.DRIVERS / "Driver.java")


# What is installed, from which files: it is installed again when they change.
PARTS = {
    "peers": (peers, ["../peers/pom.xml"]),
    "python": (python, ["requirements.txt"]),
    "node": (node, ["drivers/node/package-lock.json", "drivers/node/driver.js"]),
    "go": (go, ["drivers/go/go.sum", "drivers/go/main.go"]),
    "java": (java, ["../peers/pom.xml", "drivers/Driver.java"]),
}


def ensure(*parts):
    """Installs what is missing or out of date."""
    for part in parts:
        install, sources = PARTS[part]
        stamp = paths.CACHE / f"{part}.installed"
        now = hashlib.sha256(b"".join((paths.HERE / source).read_bytes() for source in sources)).hexdigest()
        if stamp.exists() and stamp.read_text() == now:
            continue
        print(f"installing {part}", file=sys.stderr)
        paths.CACHE.mkdir(parents=True, exist_ok=True)
        install()
        stamp.write_text(now)


def kcat():
    if not shutil.which("kcat"):
        sys.exit("kcat is not installed: apt-get install kcat")


if __name__ == "__main__":
    ensure(*PARTS)
    kcat()
