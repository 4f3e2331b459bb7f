"""Section ``tracking``: whether and where MLflow shows the runs. The records are files beside the artefacts."""

from __future__ import annotations

from pydantic import Field

from sharegpt4v.config.section import Section, Text


class Tracking(Section):
    """MLflow. With tracking off the pipeline is complete all the same."""

    enabled: bool = Field(default=True, description="Whether runs are shown in MLflow.")
    uri: Text = Field(
        default="sqlite:///mlflow.db", description="Address of the tracking store, without a password in it."
    )
    experiment: Text = Field(default="sharegpt4v", description="Name of the experiment that the runs join.")
