"""torchrun that hands Slurm's warning before a time limit on to the processes that train, and does not end by it.

`python -m sharegpt4v.training.torchrun` takes the arguments of torchrun; `launch` starts it on every node.
"""

from __future__ import annotations

from torch.distributed.run import main

from sharegpt4v.pipeline.slurm import pass_on_warnings

if __name__ == "__main__":
    pass_on_warnings()
    main()
