"""Controlled decoding: how much a model thinks is decided by the request.

`StepControl` is pure and knows no engine. The adapter and the batched generation for transformers import
torch and are imported by name:

>>> from steiner.decode.hf import StepControlLogitsProcessor
>>> from steiner.decode.generate import answer_now, generate
"""

from steiner.decode.control import AllowedSet, Decision, History, Mode, Rest, StepControl

__all__ = ["AllowedSet", "Decision", "History", "Mode", "Rest", "StepControl"]
