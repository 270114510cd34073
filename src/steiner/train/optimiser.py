"""Which optimiser a stage uses: AdamW as transformers makes it, or Muon for the matrices."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.nn import Module, Parameter

from steiner.train.settings import OptimiserSettings


class MuonWithAdamW(torch.optim.Optimizer):  # type: ignore[misc]  # torch is checked as Any
    """Muon for the weight matrices of the layers, AdamW for embeddings, head, norms and biases, as one.

    Muon orthogonalises the momentum of a matrix (Keller Jordan, https://kellerjordan.github.io/posts/muon/),
    so it fits hidden layers only. Both are torch's own; this class gives a trainer one object to step,
    schedule, shard and save, with groups and states as any optimiser has them. Weight decay applies to the
    matrices only.
    """

    def __init__(self, model: Module, settings: OptimiserSettings) -> None:
        """Divide the parameters of `model` that are trained."""
        matrices, others = split_parameters(model)
        self._parts: list[torch.optim.Optimizer] = []
        if matrices:
            self._parts.append(
                torch.optim.Muon(
                    matrices,
                    lr=settings.matrix_learning_rate,
                    weight_decay=settings.weight_decay,
                    momentum=0.95,
                )
            )
        if others:
            self._parts.append(
                torch.optim.AdamW(
                    others, lr=settings.learning_rate, betas=(0.9, settings.beta2), weight_decay=0.0
                )
            )
        super().__init__([group for part in self._parts for group in part.param_groups], {})
        self._share()

    def _share(self) -> None:
        """Let both work on this object's groups and states, which a trainer schedules, shards and saves."""
        for part, group in zip(self._parts, self.param_groups, strict=True):
            part.param_groups = [group]
            part.state = self.state

    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Update all parameters once."""
        loss = None if closure is None else closure()
        for part in self._parts:
            part.step()
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take what `state_dict` gave."""
        super().load_state_dict(state_dict)
        self._share()


def split_parameters(model: Module) -> tuple[list[Parameter], list[Parameter]]:
    """Return the trained matrices of the layers, and all other trained parameters (tied ones once)."""
    tables = {
        id(parameter)
        for table in _token_tables(model)
        if table is not None
        for parameter in table.parameters()
    }
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    matrices = [p for p in trained if p.ndim == 2 and id(p) not in tables]
    chosen = {id(p) for p in matrices}
    return matrices, [p for p in trained if id(p) not in chosen]


def _token_tables(model: Module) -> Iterable[Module | None]:
    for name in ("get_input_embeddings", "get_output_embeddings"):
        yield getattr(model, name)() if hasattr(model, name) else None


def make_optimiser(model: Module, settings: OptimiserSettings) -> torch.optim.Optimizer | None:
    """Return the optimiser, or None where the trainer is to make its own AdamW."""
    return MuonWithAdamW(model, settings) if settings.algorithm == "muon" else None
