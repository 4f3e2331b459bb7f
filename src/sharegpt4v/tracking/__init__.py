"""MLflow as a view of a run: curves, tables, images and provenance, from the records beside the artefacts."""
