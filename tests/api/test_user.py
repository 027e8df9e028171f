"""A user whom no passwd entry names, as in containers."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import os, pwd, subprocess, sys

def unknown(number):
    raise KeyError(f"getpwuid(): uid not found: {number}")

pwd.getpwuid = unknown
import ssl_bench
import getpass

call = [sys.executable, "-c", "import getpass; print(getpass.getuser())"]
print(getpass.getuser(), subprocess.check_output(call, text=True).strip(), os.getuid())
"""


def names(**environment: str) -> list[str]:
    """The user's name after ssl-bench was imported, in a child, and the user's number."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout.split()


def test_a_user_without_a_name_is_called_by_the_number_in_children_too() -> None:
    own, childs, number = names()
    assert own == childs == f"uid-{number}"


def test_a_name_that_the_environment_gives_stays() -> None:
    assert names(LOGNAME="somebody")[:2] == ["somebody", "somebody"]
    assert names(USER="somebody")[:2] == ["somebody", "somebody"]
