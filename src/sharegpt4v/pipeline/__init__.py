"""What speaks to Snakemake, DVC and Slurm: the table of stages, targets, reruns, the start and the end of a run."""
