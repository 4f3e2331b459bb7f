"""Whether lmms-eval, asked our questions, gives a checkpoint's answers word for word as a run has them.

    python benchmarks/lmms_eval_equal.py checkpoints/sharegpt4v-7b/finetuned --answers results/answers/sharegpt4v-7b

writes the tasks of five benchmarks (others: --benchmarks), lets lmms-eval's `llava_hf` ask the checkpoint in float32
on the CPU, joins its samples to the answers, and prints what `s4v bridge lmms-eval --join` does. Exit code 1 unless all
are equal. `make lmms-eval` makes the environment of lmms-eval.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from sharegpt4v import layout
from sharegpt4v.bridge.lmms_eval_samples import join, read_samples, text_of
from sharegpt4v.bridge.lmms_eval_tasks import write_tasks
from sharegpt4v.config import load
from sharegpt4v.lifetime import end_on_signals
from sharegpt4v.project import preset

PYTHON = Path(__file__).resolve().parents[1] / ".venv-lmms-eval" / "bin" / "python"
BENCHMARKS = ("mme", "mmbench", "seed", "gqa", "textvqa")
ALONE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}


def ask(model: Path, tasks: Path, names: Sequence[str], work: Path) -> Path:
    """Let lmms-eval answer the tasks; return the folder of its samples. `SystemExit` with its last words if it fails.

    It is given nothing of this project but the folder of tasks, and a cache of data sets of its own.
    """
    if not PYTHON.is_file():
        sys.exit(f"no {PYTHON}; `make lmms-eval` installs lmms-eval")
    command = [
        str(PYTHON), "-m", "lmms_eval", "--model", "llava_hf", "--device", "cpu", "--batch_size", "1",
        "--model_args", f"pretrained={model.resolve()},dtype=float32,device_map=cpu",
        "--include_path", str(tasks), "--tasks", ",".join(names), "--log_samples", "--output_path", str(work / "logs"),
    ]  # fmt: skip
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    ended = subprocess.run(
        command, cwd=work, env={**kept, **ALONE, "HF_HOME": str(work / "cache")}, capture_output=True, text=True
    )
    if ended.returncode:
        sys.exit(f"lmms-eval failed:\n{ended.stdout[-2000:]}\n{ended.stderr[-2000:]}")
    return work / "logs"


def main() -> None:
    """Write, ask, join and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="folder of a checkpoint")
    parser.add_argument("--answers", type=Path, required=True, help="folder of the answers that it gave")
    parser.add_argument("--benchmarks", nargs="+", default=BENCHMARKS)
    parser.add_argument("--config", type=preset, default=layout.config_here(), help="where the benchmarks' files are")
    options = parser.parse_args()
    end_on_signals()

    config = load(options.config)
    benchmarks = [(name, layout.benchmark_folder(config, name)) for name in options.benchmarks]
    with tempfile.TemporaryDirectory(prefix="s4v-lmms-eval-") as folder:
        work, began = Path(folder), time.monotonic()
        written = write_tasks(benchmarks, work / "tasks", config.base_models.vision_tower.image_size)
        logs = ask(options.model, work / "tasks", [one.task for one in written], work)
        found = [join(one, options.answers / f"{one.benchmark}.jsonl") for one in read_samples(logs)]
        print(text_of(found))
    questions = sum(one.questions for one in written)
    equal = sum(one.equal for one in found)
    seconds = time.monotonic() - began
    print(f"{equal} of {questions} answers to {len(found)} benchmarks are equal; lmms-eval took {seconds:.0f} s")
    alike = equal == questions and len(found) == len(benchmarks) and not any(one.differences for one in found)
    sys.exit(not alike)


if __name__ == "__main__":
    main()
