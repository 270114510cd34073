"""How far the weights that wrote completions are from those in training: what shows stale weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from steiner.train.rollout import Rollout

GAP_TOKENS = 1024
"""Most tokens of a completion that are compared: the logits of all would take memory that is needed."""


def logprob_gap(model: Any, rollouts: Sequence[Rollout]) -> float:
    """Return the mean of |log p of the trainer − log p of the rollouts| over chosen tokens, in nats.

    Both are of the model alone, before temperature and step control. One forward pass per completion, so
    that processes that hold weights in shares stay together: each has to call it with as many completions.

    Args:
        model: in training; it is left in its mode.
        rollouts: with `logprobs`.

    Returns:
        The mean, 0 where no token was chosen.
    """
    training = bool(model.training)
    model.eval()
    try:
        with torch.no_grad():
            gaps = np.concatenate([_gaps(model, one) for one in rollouts])
    finally:
        model.train(training)
    return float(gaps.mean()) if len(gaps) else 0.0


def _gaps(model: Any, rollout: Rollout) -> np.ndarray[Any, np.dtype[np.float64]]:
    written = list(rollout.completion.completion_ids[:GAP_TOKENS])
    device = next(model.parameters()).device
    ids = torch.tensor([[*rollout.completion.prompt_ids, *written]], device=device)
    logits = model(input_ids=ids, logits_to_keep=len(written) + 1, use_cache=False).logits[0, :-1]
    picked = ids[0, -len(written) :, None]
    own = torch.log_softmax(logits.float(), dim=-1).gather(1, picked)[:, 0].double().cpu().numpy()
    theirs = np.array(rollout.logprobs)[: len(written)]
    gaps: np.ndarray[Any, np.dtype[np.float64]] = np.abs(own - theirs)[rollout.chosen[: len(written)]]
    return gaps
