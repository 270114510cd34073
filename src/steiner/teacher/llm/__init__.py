"""A language model as the one who writes steps: prompts, schemas, parsing, checks.

Only the types load here; the parts are `steiner.teacher.llm.teacher` (`LlmTeacher`, `LlmSettings`),
`.templates` (`load_prompts`), `.parse`, `.checks`, `.language` and `.leak`.
"""

from steiner.teacher.llm.types import AsyncTeacher, Rejected, RejectReason

__all__ = ["AsyncTeacher", "RejectReason", "Rejected"]
