"""Section ``tracking``: whether and where MLflow shows the runs. The records are files beside the artefacts."""

from __future__ import annotations

import os
from collections.abc import Mapping

from pydantic import Field

from sharegpt4v.config.section import Section, Text
from sharegpt4v.project import COPY, PROJECT

STORE = "mlflow.db"


class Tracking(Section):
    """MLflow. With tracking off the pipeline is complete all the same."""

    enabled: bool = Field(default=True, description="Whether runs are shown in MLflow.")
    uri: Text | None = Field(
        default=None,
        description="Address of the tracking store, without a password in it. null: MLFLOW_TRACKING_URI of the "
        "environment, else `mlflow.db` in the clone, which all working folders share.",
    )
    experiment: Text | None = Field(
        default=None,
        description="Name of the experiment that the runs join. null: MLFLOW_EXPERIMENT_NAME of the environment, else "
        "sharegpt4v.",
    )

    def store(self, environment: Mapping[str, str] = os.environ) -> str:
        """Return the address of the store."""
        # An installed wheel has no clone, and its folder is for code alone.
        default = f"sqlite:///{STORE}" if PROJECT is COPY else f"sqlite:///{PROJECT / STORE}"
        return self.uri or environment.get("MLFLOW_TRACKING_URI") or default

    def experiment_name(self, environment: Mapping[str, str] = os.environ) -> str:
        """Return the name of the experiment."""
        return self.experiment or environment.get("MLFLOW_EXPERIMENT_NAME") or "sharegpt4v"
