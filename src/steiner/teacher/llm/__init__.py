"""A language model as the one who writes steps: prompts, schemas, parsing, checks."""

from steiner.teacher.llm.types import AsyncTeacher, Rejected, RejectReason

__all__ = ["AsyncTeacher", "RejectReason", "Rejected"]
