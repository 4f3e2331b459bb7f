"""What the rules run: one module per stage, named as the stage. `s4v stage NAME [ITEM]` calls its `run`.

The docstring of a module is the stage's help. `run` takes the config and, where a stage has several jobs, the item that
one job is about: a source, a size, a shard, a model. Paths are those of `layout`, relative to the folder of the run.
Modules are light to import; what is heavy is imported inside `run`.
"""
