"""Model outputs as MMLU-Pro publishes them: one ZIP a model, a JSON list of answered questions.

Source: TIGER-AI-Lab/MMLU-Pro, `eval_results/` (Wang et al. 2024, arXiv 2406.01574). The files hold:

- the text is called `generated_text` in some and `model_outputs` in others; a list may hold stray strings;
- base models go on after their answer with questions of their own;
- where no letter was found in a text, one was guessed: such a trace did not answer (`UNFINISHED`);
- a few questions were corrected between the files, and some occur twice under different numbers.
"""

from __future__ import annotations

import ast
import zipfile
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from steiner.core import Grading, InputError, Problem, Provenance, Trace, TraceStep, Verdict
from steiner.synthesis.importers.answers import separate_answer
from steiner.synthesis.importers.prose import ProseSettings, split_prose
from steiner.synthesis.importers.sentences import without_fragment
from steiner.synthesis.importers.spill import Plan, Spill
from steiner.synthesis.importers.wording import make_step

_TEXT_KEYS = ("generated_text", "model_outputs")
_NEEDED = ("question_id", "question", "options", "answer", "pred")
MAX_MEMBER_BYTES = 1 << 30
"""A larger JSON file in a ZIP is refused: it would have to be held in memory whole."""


def read_archive(path: Path) -> Iterator[tuple[int, str, bytes]]:
    """Yield (question number, key, JSON) of each record of one ZIP.

    Raises:
        InputError: if it is no ZIP, is damaged, or holds no list of MMLU-Pro records.
    """
    for name, items in _members(path):
        if not isinstance(items, list):
            raise InputError(
                f"{path}: {name} holds a JSON {type(items).__name__}, expected a list of answered questions."
            )
        records = [item for item in items if isinstance(item, dict)]
        if items and not records:
            raise InputError(
                f"{path}: {name} is a list without any record (objects with {', '.join(_NEEDED)})."
            )
        for index, item in enumerate(records):
            row = _checked(item, f"{path}: record {index} of {name}")
            yield row["question_id"], str(row["question_id"]), orjson.dumps(row)


def _members(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield name and parsed content of each JSON file in a ZIP."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = [item for item in archive.infolist() if item.filename.lower().endswith(".json")]
            members = [item for item in members if not item.filename.startswith("__MACOSX/")]
            if not members:
                names = ", ".join(archive.namelist()[:5]) or "nothing"
                raise InputError(f"{path} holds no .json file; it holds {names}.")
            for member in members:
                if member.file_size > MAX_MEMBER_BYTES:
                    raise InputError(
                        f"{path}: {member.filename} has {member.file_size:,} bytes, "
                        f"at most {MAX_MEMBER_BYTES:,} are read."
                    )
                yield member.filename, orjson.loads(archive.read(member))
    except FileNotFoundError:
        raise InputError(f"{path} does not exist.") from None
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise InputError(f"{path} is no readable ZIP file ({error}): download it again.") from error
    except RuntimeError as error:  # zipfile's way to say that a password is needed
        raise InputError(f"{path} cannot be read: {error}.") from error
    except orjson.JSONDecodeError as error:
        raise InputError(
            f"{path}: line {error.lineno} of its JSON file is malformed: {error.msg}."
        ) from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error}.") from error


def _checked(item: Mapping[str, Any], place: str) -> dict[str, Any]:
    """Return the fields that are used, or say what is missing."""
    text_key = next((key for key in _TEXT_KEYS if isinstance(item.get(key), str)), None)
    missing = [key for key in _NEEDED if key not in item]
    if missing or text_key is None:
        wanted = [*missing, *([] if text_key else [" or ".join(_TEXT_KEYS)])]
        raise InputError(
            f"{place} has no {', no '.join(wanted)}: expected the model outputs of MMLU-Pro; it has "
            f"{', '.join(map(str, item)) or 'no keys'}."
        )
    try:
        options = item["options"]
        options = ast.literal_eval(options) if isinstance(options, str) else options
        row = {
            "question_id": int(item["question_id"]),
            "question": str(item["question"]).strip(),
            "options": [str(option).strip() for option in options],
            "answer": str(item["answer"]).strip(),
            "category": str(item.get("category", "")),
            "pred": None if item["pred"] is None else str(item["pred"]).strip(),
            "text": item[text_key],
        }
    except (ValueError, SyntaxError, TypeError) as error:
        raise InputError(f"{place} is malformed: {error}.") from error
    if not row["question"] or not 0 <= _index(row["answer"]) < len(row["options"]):
        raise InputError(
            f"{place}: its answer {row['answer']!r} is not the letter of one of its {len(row['options'])} "
            "options, or its question is empty."
        )
    return row


def _index(letter: str) -> int:
    return ord(letter) - ord("A") if len(letter) == 1 else -1


def plan_problems(spill: Spill, sources: Sequence[str], limit: int | None) -> Plan:
    """Decide which version of each question counts and which numbers are the same question.

    Memory: one problem per question, no text of any model.
    """
    versions: dict[int, Counter[str]] = defaultdict(Counter)
    problems: dict[str, Problem] = {}
    for source in sources:
        for number, row in spill.records(source):
            problem = _problem(row)
            problems.setdefault(problem.id, problem)
            versions[number][problem.id] += 1
    members: dict[str, list[int]] = {}
    for number in sorted(versions):
        # Most files, then the smaller hash: the same whatever the order of the files.
        chosen = min(versions[number].items(), key=lambda item: (-item[1], item[0]))[0]
        members.setdefault(chosen, []).append(number)
    taken = list(members)[:limit]
    found = [
        (key, version, count) for key in taken for n in members[key] for version, count in versions[n].items()
    ]
    return Plan(
        problems=[problems[key] for key in taken],
        groups=[(key, [str(number) for number in members[key]]) for key in taken],
        records=sum(count for _, _, count in found),
        other_options=sum(n for key, v, n in found if problems[v].choices != problems[key].choices),
        repeated=len(versions) - len(members),
        corrected=sum(len(counter) > 1 for counter in versions.values()),
    )


def _problem(row: Mapping[str, Any]) -> Problem:
    return Problem(
        question=row["question"],
        answer=row["answer"],
        grading=Grading.CHOICE,
        choices=tuple(row["options"]),
        facts={"category": row["category"]} if row["category"] else {},
        source="mmlu-pro",
    )


def problem_traces(
    spill: Spill, sources: Sequence[str], problem: Problem, prose: ProseSettings
) -> list[Trace]:
    """Return the traces of one problem, in order of the models' names.

    Left out: records with other options than the problem's (their letters mean something else), texts without
    any reasoning, and a model's literal repetition of itself.
    """
    traces: dict[str, Trace] = {}
    for source in sorted(sources):
        for number in spill.group(problem.id):
            row = spill.get(source, number)
            if row is None or tuple(row["options"]) != problem.choices:
                continue
            trace = _trace(problem, row, source, prose)
            if trace.steps:
                traces.setdefault(trace.id, trace)
    return list(traces.values())


def _trace(problem: Problem, row: Mapping[str, Any], model: str, prose: ProseSettings) -> Trace:
    found = separate_answer(row["text"], row["pred"])
    letter = row["pred"] if found.stated else ""
    verdict = Verdict.UNFINISHED
    if letter:
        verdict = Verdict.RIGHT if letter == problem.answer else Verdict.WRONG
    reasoning = found.reasoning if found.stated else without_fragment(found.reasoning)
    passages = split_prose(reasoning, prose) or split_prose(without_fragment(found.explanation), prose)
    steps = tuple(TraceStep(step=make_step(passage), parent=i - 1) for i, passage in enumerate(passages))
    return Trace(
        problem_id=problem.id,
        steps=steps,
        answer=f"The answer is ({letter})." if letter else "",
        verdict=verdict,
        provenance=Provenance(teacher=model, method="import", details={"format": "mmlu-pro"}),
    )
