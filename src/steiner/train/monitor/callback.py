"""The monitor inside a trainer: logs alarms as they come, and stops what must not go on."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import torch
from transformers import TrainerCallback, TrainingArguments

from steiner.core import InputError
from steiner.train.monitor.alarms import STALE, Alarm, find_alarms, find_loss_alarms
from steiner.train.monitor.figures import UpdateFigures, read

if TYPE_CHECKING:
    from transformers.trainer_callback import TrainerControl, TrainerState

log = logging.getLogger("steiner.train")


class Monitor(TrainerCallback):  # type: ignore[misc]  # transformers has no types
    """Judges a training after each logged point; the alarms so far are in `alarms`."""

    def __init__(self, stage: str) -> None:
        """Watch the stage of this name."""
        self.alarms: tuple[Alarm, ...] = ()
        self._stage = stage
        self._figures: list[tuple[int, UpdateFigures]] = []
        self._losses: list[tuple[int, float]] = []

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Take over the history of a resumed run; its alarms have been told already."""
        self._figures, self._losses = [], []
        for entry in state.log_history:
            self._take(int(entry["step"]), entry)
        self.alarms = self._find()

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **more: Any
    ) -> None:
        """Stop before an update by a gradient that is no number, so that no checkpoint ever holds it.

        Raises:
            InputError: names the step and what to change. Checkpoints stay.
        """
        model = more.get("model")
        if model is not None and not gradient_is_finite(model):
            raise InputError(
                f"{self._stage}: the loss is nan at step {state.global_step + 1}, or its gradient is. The "
                f"model was not updated, and the last checkpoint in {args.output_dir} is kept. Lower the "
                'learning rate or use precision = "fp32"; if it fails at the same step again, look at the '
                "data there."
            )

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any],
        **_: Any,
    ) -> None:
        """Log each new alarm once.

        Raises:
            InputError: if the rollout engine has stale weights. Checkpoints stay.
        """
        self._take(state.global_step, logs)
        known = {alarm.name for alarm in self.alarms}
        self.alarms = self._find()
        for alarm in self.alarms:
            if alarm.name in known:
                continue
            if state.is_world_process_zero:
                log.warning("%s", in_words(self._stage, alarm))
            if alarm.name == STALE:
                raise InputError(
                    f"{in_words(self._stage, alarm)} The training was stopped; the last checkpoint in "
                    f"{args.output_dir} is kept."
                )

    def _take(self, step: int, values: dict[str, Any]) -> None:
        figures = read(values)
        if figures is not None:
            self._figures.append((step, figures))
        elif isinstance(values.get("loss"), int | float):
            self._losses.append((step, float(values["loss"])))

    def _find(self) -> tuple[Alarm, ...]:
        # The loss of RL is no measure of anything; its points carry figures.
        return find_alarms(self._figures) if self._figures else find_loss_alarms(self._losses)


def in_words(stage: str, alarm: Alarm) -> str:
    """Return an alarm as one line."""
    return f"{stage}: {alarm.name} since step {alarm.since}: {alarm.evidence}. {alarm.advice}"


def gradient_is_finite(model: torch.nn.Module) -> bool:
    """Tell whether a clipped gradient is made of numbers, by its smallest tensor.

    Clipping multiplies every gradient by one factor made from the norm of all, so a single NaN or infinity
    anywhere makes all of them NaN, and one small tensor tells. Of a sharded one the local part is read. Under
    DeepSpeed gradients are not at hand: True.
    """
    gradients = (p.grad for p in model.parameters() if p.grad is not None)
    local = [g.to_local() if hasattr(g, "to_local") else g for g in gradients]
    smallest = min((g for g in local if g.numel()), key=lambda g: g.numel(), default=None)
    return smallest is None or bool(torch.isfinite(smallest).all())
