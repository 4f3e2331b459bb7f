"""What a run will cost before anything is spent: jobs, GPU-hours, money, disk, and what is missing for it."""
