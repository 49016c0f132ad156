"""Brings what the rig needs and this machine lacks: Kafka and ZooKeeper, confluent-kafka, and the built driver of franz-go."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "clients"))

import install  # noqa: E402  (the installer of the other tests with real clients)
import paths  # noqa: E402

install.ensure("peers", "python")
driver = paths.ROOT / "target" / "chaos" / "franz"
driver.parent.mkdir(parents=True, exist_ok=True)
install.run(install.go_command(), "build", "-o", driver, ".", cwd=HERE / "drivers" / "franz")
