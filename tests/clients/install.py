"""Brings each client's libraries from the ordinary registries, once, into target/clients (and Kafka's into target/peers)."""

import hashlib
import json
import re
import shutil
import subprocess
import sys

import paths


def run(*command, **options):
    subprocess.run([str(part) for part in command], check=True, stdout=sys.stderr, **options)


def output(*command, **options):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, **options).stdout


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
    run(go_command(), "build", "-o", paths.GO_DRIVER, ".", cwd=paths.DRIVERS / "go")


def go_command():
    """Go, of the release go.mod asks for: Go 1.21 and later bring it by themselves; an older one (Debian 12's is 1.19) can
    fetch it all the same, as the module it is published as, checksum and all, but does not know how to make it run."""
    major, minor = re.match(r"go version go(\d+)\.(\d+)", output("go", "version")).groups()
    if (int(major), int(minor)) >= (1, 21):
        return "go"
    wanted = re.search(r"^go (\S+)$", (paths.DRIVERS / "go" / "go.mod").read_text(), re.MULTILINE)[1]
    platform = "-".join(output("go", "env", "GOOS", "GOARCH").split())
    module = f"golang.org/toolchain@v0.0.1-go{wanted}.{platform}"
    root = paths.CACHE / f"go{wanted}"
    if not root.exists():
        kept = json.loads(output("go", "mod", "download", "-json", module, cwd=paths.CACHE))["Dir"]
        part = root.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        # Modules are kept read-only, and without the right to execute.
        run("cp", "-r", "--no-preserve=mode", kept, part)
        for program in [*part.glob("bin/*"), *part.glob("pkg/tool/*/*")]:
            program.chmod(0o755)
        part.rename(root)
    return root / "bin" / "go"


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
