"""The verbs of `s4v`, what people type, one module each. `stage` runs what the rules run, which is in `stages/`.

The docstring of a module is the verb's help, `add_arguments` its command line, `run` what it does. Modules are light to
import; what is heavy is imported inside `run`.
"""
