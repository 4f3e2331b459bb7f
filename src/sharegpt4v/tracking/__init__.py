"""A view of a run, in MLflow or elsewhere: curves, tables, images, provenance, from the records beside artefacts."""
