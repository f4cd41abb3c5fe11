"""What the README shows, runs."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from server import REPOSITORY, Process

README = (REPOSITORY / "client" / "python" / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def test_its_programs_run_against_a_server_of_ones_own(tmp_path: Path) -> None:
    arguments = ["--listen", "127.0.0.1:0", "--aws-listen", "127.0.0.1:0", "--data-dir", "data"]
    server = Process(tmp_path, "dev", "dev", *arguments)
    try:
        said = []
        for program in blocks("python"):
            assert "http://127.0.0.1:50051" in program
            text = program.replace("http://127.0.0.1:50051", server.ready["grpc"])
            run = subprocess.run([sys.executable, "-W", "error", "-c", text], capture_output=True, text=True, timeout=60)
            assert run.returncode == 0, run.stderr
            said.append(run.stdout)
    finally:
        server.kill()
    assert len(said) == 3
    assert '"amount": 1200.50' in said[0].replace('"amount":1200.50', '"amount": 1200.50')
    assert "decided at revision" in said[0]
    assert "all that is pending was told" in said[1]
    assert "HumanApproval" in said[2]


@pytest.mark.parametrize("command", [line for block in blocks("sh") for line in block.splitlines()])
def test_its_commands_do_what_they_say(command: str, tmp_path: Path) -> None:
    # In a copy: pip builds where the sources are.
    clone = tmp_path / "clone"
    shutil.copytree(REPOSITORY / "client" / "python", clone / "client" / "python")
    # The packages that it needs are installed, each in the version that is pinned; nothing else is fetched.
    environment = {
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "PIP_NO_INDEX": "1",
        "PIP_NO_BUILD_ISOLATION": "0",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_TARGET": str(tmp_path / "installed"),
        "PIP_NO_DEPS": "1",
        "HOME": str(tmp_path),
    }
    run = subprocess.run(command, shell=True, cwd=clone, env=environment, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    package = tmp_path / "installed" / "approve_client"
    assert (package / "v1" / "approvals_pb2.pyi").exists()
    assert (package / "py.typed").exists()
    check = [sys.executable, "-c", "import approve_client; print(approve_client.__file__)"]
    where = subprocess.run(
        check, cwd=tmp_path, env={"PYTHONPATH": str(tmp_path / "installed")}, capture_output=True, text=True, check=True
    )
    assert str(package) in where.stdout
