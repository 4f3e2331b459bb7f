"""`make audit` and `make attack`: what could not be asked is not "none", and the pages on them name what is there."""

from __future__ import annotations

import re
import sys

import pytest

from conftest import PROJECT, run


def test_an_audit_that_could_not_ask_is_one_line_and_no_success() -> None:
    ended = run([sys.executable, "envs/audit.py"])  # in this environment there is no pip-audit
    assert ended.returncode == 2 and ended.stdout == ""
    assert re.fullmatch(r"audit\.lock: not audited: .*No module named pip_audit\n", ended.stderr), ended.stderr


@pytest.mark.parametrize("page", ["SECURITY.md", "docs/reliability.md"])
def test_pages_name_what_is_there(page: str) -> None:
    text = (PROJECT / page).read_text()
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        assert link.startswith("https://") or ((PROJECT / page).parent / link).exists(), link
    for path in re.findall(r"`((?:tests|benchmarks|config|src)/[\w./-]+)`", text):
        assert (PROJECT / path).exists(), path
    targets = set(re.findall(r"`make ([a-z]+)`", text))
    assert {"attack", "audit"} <= targets
    assert run(["make", "--dry-run", *sorted(targets)]).returncode == 0


def test_an_attack_fails_when_a_part_of_it_does() -> None:
    recipe = run(["make", "--dry-run", "attack", "CASES=7", "KILLS=3"]).stdout
    line = recipe[recipe.index("S4V_FAULT_CASES") :].replace("\\\n", " ")
    for tests, kills in ((0, 0), (1, 0), (0, 1)):
        shell = f"pytest() {{ return {tests}; }}; python() {{ return {kills}; }}; {line}"
        assert bool(run(["bash", "-c", shell]).returncode) == bool(tests or kills), (tests, kills)
