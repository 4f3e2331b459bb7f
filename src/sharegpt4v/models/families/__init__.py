"""One file per family of models: a module `NAME` holds the `FAMILY` of the checkpoints whose `model_type` is NAME."""
