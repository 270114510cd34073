"""FSDP2 on processors, to test what GPUs do: PyTorch can, accelerate turns it on for accelerators only."""

from __future__ import annotations

from typing import Any

from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType


def allow() -> None:
    """Let accelerate shard a model over processes that compute on the CPU, as it does over GPUs."""
    initialise = AcceleratorState.__init__

    def with_shares(self: AcceleratorState, *given: Any, fsdp_plugin: Any = None, **named: Any) -> None:
        initialise(self, *given, fsdp_plugin=fsdp_plugin, **named)
        if fsdp_plugin is None or self.distributed_type != DistributedType.MULTI_CPU:
            return
        if self._mixed_precision != "no":
            fsdp_plugin.set_mixed_precision(self._mixed_precision)
        self.fsdp_plugin = fsdp_plugin
        self.distributed_type = DistributedType.FSDP
        PartialState._shared_state["distributed_type"] = DistributedType.FSDP

    AcceleratorState.__init__ = with_shares
