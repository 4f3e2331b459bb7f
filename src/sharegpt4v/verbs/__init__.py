"""The verbs of `s4v`, one module each, in the order of the pipeline.

The docstring of a module is the verb's help, `add_arguments` its command line, `run` what it does. Modules are light to
import; what is heavy is imported inside `run`.
"""
