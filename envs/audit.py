"""Known vulnerabilities in the packages of the locks, as https://osv.dev has them: `make audit`.

It prints a line for each lock and each vulnerability. The exit code is 1 when one is known, and 2 when that could not
be found out: unknown is not none.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

LOCKS = Path(__file__).parent
SECONDS = 600
COMMAND = [
    sys.executable, "-m", "pip_audit", "--vulnerability-service", "osv", "--format", "json", "--progress-spinner",
    "off", "--disable-pip", "--no-deps",
]  # fmt: skip


def main() -> int:
    """Audit each lock, and torch, which the Makefile installs by its own line; return the exit code."""
    found = 0
    with tempfile.TemporaryDirectory() as folder:
        torch = Path(folder) / "torch"
        torch.write_text("".join(re.findall(r"^torch==.*$", (LOCKS / "core.in").read_text(), re.MULTILINE)))
        for lock in (*sorted(LOCKS.glob("*.lock")), torch):
            pinned = len(re.findall(r"^[\w.-]+(?:\[.*\])?==", lock.read_text(), re.MULTILINE))
            packages = audited([*COMMAND, *(["--require-hashes"] if lock != torch else []), "--requirement", str(lock)])
            if isinstance(packages, str):
                print(f"{lock.name}: not audited: {packages}", file=sys.stderr)
                return 2
            known = [(one, flaw) for one in packages for flaw in one.get("vulns", [])]
            skipped = pinned - len([one for one in packages if "vulns" in one])
            print(f"{lock.name}: {pinned} packages, {len(known)} known vulnerabilities, {skipped} not audited")
            for one, flaw in known:
                mended = ", ".join(flaw["fix_versions"]) or "no release"
                print(f"  {one['name']} {one['version']}: {flaw['id']}, mended in {mended}")
            if skipped:
                return 2
            found += len(known)
    return 1 if found else 0


def audited(command: Sequence[str]) -> list[dict[str, object]] | str:
    """Return what pip-audit found for each package, or why it found nothing out, in one line."""
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return f"osv.dev did not answer within {SECONDS} seconds"
    try:
        return list(json.loads(ended.stdout)["dependencies"])
    except (json.JSONDecodeError, KeyError):
        lines = ended.stderr.strip().splitlines() or ["pip-audit said nothing"]
        return " ".join(lines[-1].split())[:300]


if __name__ == "__main__":
    sys.exit(main())
