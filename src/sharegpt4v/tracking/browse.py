"""`make browse`: MLflow's pages on this machine alone, opened on the list of models with their scores as columns.

``python -m sharegpt4v.tracking.browse --folder FOLDER --port 5000``: the store is that of the config of the run in the
folder. The address that it prints opens the list for trainings, and not the one for chats, with a view that is kept in
the store as MLflow keeps those that people share.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sharegpt4v import layout
from sharegpt4v.config import Config, load
from sharegpt4v.errors import UserError
from sharegpt4v.evaluation.table import COLUMNS

PARAMS = ("size", "pretraining", "mix", "substitution")
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the address and become MLflow's server; a user error is one line and exit code 1."""
    parser = argparse.ArgumentParser(prog="python -m sharegpt4v.tracking.browse", description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(), help="the folder of a run")
    parser.add_argument("--port", type=int, default=5000)
    options = parser.parse_args(arguments)
    os.chdir(options.folder)
    try:
        config = load(layout.config_here())
        experiment = prepare(config)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    print("MLflow takes some seconds to start; then open one of these (end with Ctrl-C):", flush=True)
    for name, about in {"scores": "the models and their scores", "curves": "the losses of all trainings"}.items():
        print(f"  {about}: {address(options.port, experiment, name)}", flush=True)
    server = [
        "-W",
        "ignore",
        "-m",
        "mlflow",
        "ui",
        "--backend-store-uri",
        config.tracking.store(),
        "--host",
        "127.0.0.1",
    ]
    os.environ.update(QUIET)
    os.execv(sys.executable, [sys.executable, *server, "--port", str(options.port), "--workers", "1"])


def prepare(config: Config) -> str:
    """Keep the views in the store; return the id of the experiment.

    A `UserError` where the store is a server, which has pages of its own, or has no runs yet.
    """
    from sharegpt4v.tracking.trackers.mlflow import SQLITE, client_of, locked

    uri, name = config.tracking.store(), config.tracking.experiment_name()
    if not uri.startswith(SQLITE):
        raise UserError(f"tracking.uri: {uri}: a server; open that address in the browser")
    with locked(uri):
        found = client_of(uri).get_experiment_by_name(name) if Path(uri.removeprefix(SQLITE)).exists() else None
        if found is None:
            raise UserError(f"{uri}: no experiment {name!r} in it; run snakemake or `s4v stage tracking` first")
        for view, state in views().items():
            client_of(uri).set_experiment_tag(found.experiment_id, f"mlflow.sharedViewState.{view}", json.dumps(state))
    return str(found.experiment_id)


def views() -> dict[str, dict[str, Any]]:
    """Return the states of MLflow's list of runs: the models' scores as columns, and the trainings for their charts."""
    columns = [*(f"params.`{name}`" for name in PARAMS), *(f"metrics.`{name}`" for name in COLUMNS)]
    trainings = {"searchFilter": "metrics.loss > 0", "orderByKey": "metrics.`loss`", "orderByAsc": True}
    return {"scores": {"selectedColumns": columns}, "curves": trainings}


def address(port: int, experiment: str, view: str) -> str:
    """Return the address of the list of runs in a view; that of the curves shows charts."""
    runs = f"http://127.0.0.1:{port}/#/experiments/{experiment}/runs?workflowType=machine_learning"
    return f"{runs}&viewStateShareKey={view}" + ("&compareRunsMode=CHART" if view == "curves" else "")


if __name__ == "__main__":
    sys.exit(main())
