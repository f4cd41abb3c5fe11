"""What is made from the ``.proto`` files, or repeats them, is as they are."""

from __future__ import annotations

import filecmp
import itertools
import re
import subprocess
import sys
from pathlib import Path

import grpc

from approve_client import Reason
from server import REPOSITORY

PYTHON = REPOSITORY / "client" / "python"


def test_what_is_generated_is_as_the_generator_makes_it(tmp_path: Path) -> None:
    subprocess.run([PYTHON / "generate", tmp_path], env={"PYTHON": sys.executable, "PATH": "/usr/bin:/bin"}, check=True)
    committed = PYTHON / "src" / "approve_client" / "v1"
    made = sorted(file.name for file in tmp_path.iterdir())
    assert len(made) == 17
    assert made == sorted(file.name for file in committed.iterdir() if file.is_file())
    _, differing, missing = filecmp.cmpfiles(tmp_path, committed, made, shallow=False)
    assert (differing, missing) == ([], []), "run tests/sdks/generate"


def test_every_reason_that_the_api_names_is_known() -> None:
    codes = {code.name for code in grpc.StatusCode}
    named = set()
    for file in (REPOSITORY / "proto" / "approve" / "v1").glob("*.proto"):
        for line in file.read_text().splitlines():
            if line.strip().startswith("//"):
                words = [word for word in re.split(r"[ /,;.:]", line) if word]
                pairs = itertools.pairwise(words)
                named |= {reason for code, reason in pairs if code in codes and re.fullmatch(r"[A-Z]+(_[A-Z]+)+", reason)}
    assert len(named) > 30
    assert named <= set(Reason), named - set(Reason)


def test_the_reasons_are_those_of_the_other_clients() -> None:
    rust = re.findall(r'= "([A-Z_]+)",', (REPOSITORY / "client" / "src" / "reason.rs").read_text())
    assert set(rust) == set(Reason)
