"""One run of a test: its folder for data and logs, how it fails, and how it waits."""

import contextlib
import shutil
import sys
import tempfile
import time

import paths


class Failed(Exception):
    """What a client, a tool or the broker got wrong, in one line."""


@contextlib.contextmanager
def run_folder(name):
    """A fresh folder, removed when all went well, kept and named otherwise."""
    base = paths.CACHE / "runs"
    base.mkdir(parents=True, exist_ok=True)
    folder = paths.Path(tempfile.mkdtemp(prefix=f"{name}-", dir=base))
    try:
        yield folder
    except BaseException:
        print(f"the logs are in {folder}", file=sys.stderr)
        raise
    shutil.rmtree(folder)


def wait_until(what, condition, seconds):
    """Polls `condition` until it holds; `what()` tells what was waited for."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise Failed(f"after {seconds} s still not: {what()}")
        time.sleep(0.1)


def exit_code(main):
    """Runs `main`; 1 when it says what failed."""
    try:
        main()
    except Failed as failed:
        print(f"FAILED: {failed}", file=sys.stderr)
        return 1
    return 0
