"""One file per tracker: a module `NAME` holds the `TRACKER` for addresses `tracking.uri` that begin with ``NAME:``."""
