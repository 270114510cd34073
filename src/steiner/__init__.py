"""Language models that search while they write.

`steiner` turns questions with known answers into reasoning paths with real backtracking, trains a causal
language model on them, decodes it with a controlled number of steps and measures whether thinking longer
helps. Importing this package is light: no room is imported until it is asked for.
"""

__version__ = "0.1.0"
