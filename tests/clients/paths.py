"""Where things are: the repository, the cached dependencies, free ports."""

import os
import random
import socket
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
DRIVERS = HERE / "drivers"
JARS = ROOT / "target" / "peers" / "jars"
CACHE = ROOT / "target" / "clients"
VENV = CACHE / "venv"
NODE = CACHE / "node"
GO_DRIVER = CACHE / "franz-go-driver"
JAVA_CLASSES = CACHE / "java"
OTTLA = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release" / "ottla"


def free_port():
    """A port nobody listens on, below the range from which the kernel picks ports for outgoing connections."""
    while True:
        port = random.randrange(12000, 32000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
