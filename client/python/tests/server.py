"""A real server, which may be killed and started again at the same address."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

from approve_client import Asserted, Config

REPOSITORY = Path(__file__).resolve().parents[3]
_PATIENCE = 60.0


def program(name: str) -> Path:
    """A program that the build has made."""
    return Path(os.environ.get("APPROVE_BIN_DIR", REPOSITORY / "target" / "debug")).resolve() / name


class Process:
    """A program that says in a file when it is ready."""

    def __init__(self, folder: Path, name: str, *arguments: str) -> None:
        ready = folder / f"{name}.ready"
        ready.unlink(missing_ok=True)
        self._log = (folder / f"{name}.log").open("ab")
        command = [str(program("approve-server")), *arguments, "--ready-file", str(ready)]
        environment = {**os.environ, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
        self._process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log
        )
        self.ready: dict[str, Any] = self._wait(ready)

    def _wait(self, ready: Path) -> dict[str, Any]:
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end:
            if ready.exists():
                told: dict[str, Any] = json.loads(ready.read_text())
                return told
            if self._process.poll() is not None:
                break
            time.sleep(0.02)
        self.kill()
        raise AssertionError(f"the server did not start: {Path(self._log.name).read_text()}")

    def kill(self) -> None:
        """Ends it as a power cut would."""
        self._process.kill()
        self._process.wait()
        self._log.close()


class Server:
    """``approve-server serve`` with a data folder, against an embedded AWS that lives longer than it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._aws = Process(folder, "aws", "local-aws", "--port", "0")
        config = f'[aws]\nregion = "us-east-1"\nendpoint = "{self._aws.ready["aws"]}"\n'
        (folder / "approve.toml").write_text(config + "[worker]\nmin_polls = 4\nmax_polls = 8\n")
        self._listen = "127.0.0.1:0"
        self._process: Process | None = None
        self.start()

    def start(self) -> None:
        """Starts it, at the address that it had."""
        arguments = ["serve", "--config", "approve.toml", "--data-dir", "data", "--listen", self._listen]
        self._process = Process(self._folder, "server", *arguments)
        self.url: str = self._process.ready["grpc"]
        self._listen = self.url.removeprefix("http://")

    def kill(self) -> None:
        """Ends it as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    def close(self) -> None:
        """Ends it and its AWS."""
        self.kill()
        self._aws.kill()

    def config(self, who: str = "user:ana", *groups: str, url: str = "", timeout: float = 30.0) -> Config:
        """Settings of a client of it."""
        return Config(url or self.url, credentials=Asserted(who, groups), request_timeout=timeout)
