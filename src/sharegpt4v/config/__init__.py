"""The config: one strict model of every number and path of a run, and the errors a wrong one gets.

``load`` reads a preset such as ``config/config.yaml`` into a frozen ``Config``; ``missing_keys`` tells before any work
starts which environment variables a run still needs.
"""

from sharegpt4v.config.loading import load
from sharegpt4v.config.model import Config
from sharegpt4v.config.secrets import missing_keys

__all__ = ["Config", "load", "missing_keys"]
