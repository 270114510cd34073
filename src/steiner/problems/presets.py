"""Well-known problem sets as data: their columns as files and on the hub."""

from __future__ import annotations

import difflib

from steiner.core import Grading, InputError, Record
from steiner.problems.layout import AnswerForm, Layout


class HubSet(Record):
    """Where a set lies on the Hugging Face hub."""

    id: str
    config: str | None = None
    split: str = "train"
    layout: Layout | None = None
    """Its columns where they differ from those of the files."""


class Preset(Record):
    """One problem set."""

    title: str
    layout: Layout
    hub: HubSet | None = None
    password: str | None = None
    """Password of the archive, where its authors published one against accidental crawling."""
    hidden: bool = False
    """Its authors ask that examples are not published in plain text: never show one."""
    skip_bad: bool = False
    """Rows without a usable answer are known to occur: leave them out and count them."""

    def layouts(self, *, from_hub: bool = False) -> list[Layout]:
        """Return the layouts that a table may have, the likelier first: that of the files, or of the hub."""
        layouts = [self.layout, *([self.hub.layout] if self.hub and self.hub.layout else [])]
        return layouts[::-1] if from_hub else layouts


_MATH = Layout(question="problem", grading=Grading.MATH, category="type")
_MATH_SOLUTION = Layout(
    question="problem", answer="solution", answer_form=AnswerForm.BOXED, grading=Grading.MATH
)
_NUMERIC_HASHES = Layout(answer_form=AnswerForm.HASHES, grading=Grading.NUMERIC)

PRESETS: dict[str, Preset] = {
    "gsm8k": Preset(
        title="GSM8K: grade-school mathematics (Cobbe et al. 2021, arXiv 2110.14168)",
        layout=_NUMERIC_HASHES,
        hub=HubSet(id="openai/gsm8k", config="main"),
    ),
    "math": Preset(
        title="MATH: competition mathematics (Hendrycks et al. 2021, arXiv 2103.03874)",
        layout=_MATH,
        hub=HubSet(id="EleutherAI/hendrycks_math", config="algebra", layout=_MATH_SOLUTION),
        skip_bad=True,
    ),
    "math500": Preset(
        title="MATH-500: the test problems of Lightman et al. 2023 (arXiv 2305.20050)",
        layout=Layout(question="problem", grading=Grading.MATH),
        hub=HubSet(id="HuggingFaceH4/MATH-500", split="test"),
    ),
    "aime24": Preset(
        title="AIME 2024",
        layout=_MATH_SOLUTION,
        hub=HubSet(id="HuggingFaceH4/aime_2024", layout=Layout(question="problem", grading=Grading.MATH)),
    ),
    "mmlu": Preset(
        title="MMLU: four options, 57 subjects (Hendrycks et al. 2020, arXiv 2009.03300)",
        layout=Layout(
            header=("question", "A", "B", "C", "D", "answer"),
            choices=("A", "B", "C", "D"),
            answer_form=AnswerForm.LETTER,
            grading=Grading.CHOICE,
            member="*/test/*.csv",
        ),
        hub=HubSet(
            id="cais/mmlu",
            config="all",
            split="test",
            layout=Layout(
                choices=("choices",), answer_form=AnswerForm.INDEX, grading=Grading.CHOICE, category="subject"
            ),
        ),
    ),
    "mmlu-pro": Preset(
        title="MMLU-Pro: up to ten options (Wang et al. 2024, arXiv 2406.01574); also its model outputs",
        layout=Layout(
            choices=("options",), answer_form=AnswerForm.LETTER, grading=Grading.CHOICE, category="category"
        ),
        hub=HubSet(id="TIGER-Lab/MMLU-Pro", split="test"),
        skip_bad=True,
    ),
    "gpqa": Preset(
        title="GPQA: graduate-level science (Rein et al. 2023, arXiv 2311.12022)",
        layout=Layout(
            question="Question",
            answer="Correct Answer",
            wrong_choices=("Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3"),
            grading=Grading.CHOICE,
            category="High-level domain",
        ),
        hub=HubSet(id="Idavidrein/gpqa", config="gpqa_diamond"),
        password="deserted-untie-orchid",
        hidden=True,
    ),
    "mgsm": Preset(
        title="MGSM: GSM8K problems in many languages (Shi et al. 2022, arXiv 2210.03057)",
        layout=Layout(
            header=("question", "answer"), grading=Grading.NUMERIC, language_in_name=r"_([a-z]{2})\.tsv"
        ),
        hub=HubSet(
            id="juletxara/mgsm",
            config="en",
            split="test",
            layout=Layout(answer="answer_number", grading=Grading.NUMERIC, language_in_name="^([a-z]{2})$"),
        ),
    ),
    "game24": Preset(
        title="Game of 24 (puzzles of Yao et al. 2023, arXiv 2305.10601)",
        layout=Layout(question="Puzzles", game24=True),
    ),
    "big-bench-mistake": Preset(
        title="BIG-Bench Mistake: the questions (Tyen et al. 2023, arXiv 2311.08516)",
        layout=Layout(question="input", answer="target"),
    ),
}


def find_preset(name: str) -> Preset:
    """Return a preset.

    Raises:
        InputError: if there is none of that name.
    """
    if name not in PRESETS:
        near = difflib.get_close_matches(name, PRESETS, n=1, cutoff=0.5)
        hint = f"did you mean '{near[0]}'?" if near else "choose one of the known ones."
        raise InputError(f"Unknown preset '{name}': {hint} Known: {', '.join(PRESETS)}.")
    return PRESETS[name]


def preset_of_hub(dataset_id: str) -> str:
    """Return the name of the preset that a hub dataset has, empty if it has none."""
    return next((n for n, p in PRESETS.items() if p.hub and p.hub.id.casefold() == dataset_id.casefold()), "")
