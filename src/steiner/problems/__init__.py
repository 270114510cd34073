"""Sources of problems and graders.

>>> from steiner.problems import grade, make_problem
>>> problem = make_problem([3, 5, 7], 22)
>>> problem.answer
'7 + (3 * 5)'
>>> grade(problem, "**3 × 5 + 7 = 22**").right
True
"""

from steiner.problems.countdown import CountdownSettings, Split, make_problem
from steiner.problems.grading import Grade, answers_equivalent, grade, register
from steiner.problems.source import (
    CountdownProblems,
    GymProblems,
    ProblemsSummary,
    check_disjoint,
    countdown_source,
    file_source,
    gym_source,
    hub_source,
    read_problems,
    write_problems,
)

__all__ = [
    "CountdownProblems",
    "CountdownSettings",
    "Grade",
    "GymProblems",
    "ProblemsSummary",
    "Split",
    "answers_equivalent",
    "check_disjoint",
    "countdown_source",
    "file_source",
    "grade",
    "gym_source",
    "hub_source",
    "make_problem",
    "read_problems",
    "register",
    "write_problems",
]
