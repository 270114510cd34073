"""Whether the step graphs of a run belong to its problems."""

from __future__ import annotations

import orjson

from steiner.core import InputError, Problem
from steiner.store import RunDir, StoredRecord
from steiner.store.stage import stage_digest

GRAPHS, TRACES = "graphs", "traces"


def graphs_digest(run: RunDir) -> str:
    """Return the digest of a run's graphs, which were made from the traces and problems that it holds now.

    Raises:
        InputError: if a stage is missing or unfinished, or was made again since, so that graphs and problems
            no longer belong together.
    """
    for name in (TRACES, GRAPHS):
        stage_digest(run, name)  # refuses a missing or unfinished stage
        state = run.journal.stage(name)
        assert state is not None  # the line above sees to it
        for source, known in sorted(state.inputs.items()):
            if run.journal.stage(source) is not None and stage_digest(run, source) != known:
                raise InputError(
                    f"The stage '{name}' of {run.path} was made from other {source} than the run holds now, "
                    "so its graphs do not belong to its problems. Run the commands that make traces and "
                    "graphs again, with --force."
                )
    return stage_digest(run, GRAPHS)


def problem_of(run: RunDir, graph: StoredRecord) -> Problem:
    """Return the problem that a stored graph belongs to.

    Raises:
        InputError: if the run has no such problem, or the graph is of another one.
    """
    owner = orjson.loads(graph.body).get("problem_id")
    problem = run.journal.get("problems", graph.key)
    if problem is None or owner != graph.key:
        found = "a problem that it does not hold" if problem is None else owner
        raise InputError(
            f"The graph that {run.path} holds of problem {graph.key} belongs to {found}: the run was put "
            "together from others. Make its graphs again with `steiner graph --force`."
        )
    return Problem.model_validate_json(problem.body)
