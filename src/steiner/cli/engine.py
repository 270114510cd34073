"""The options `--engine` and `--ray-address`, which the commands of `graphs`, `paths` and `dataset` share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from steiner.store import Workers

EngineOption = Annotated[
    str, typer.Option(help="Who does the work: local (processes of this machine) or ray (Ray Data).")
]
RayAddressOption = Annotated[
    str,
    typer.Option(envvar="RAY_ADDRESS", help="Cluster to work on. Default: a Ray of this command's own."),
]


def engine_for(engine: str, workers: int | None, ray_address: str = "") -> Workers:
    """Return who does the work, as the options say.

    Raises:
        InputError: if there is no such engine, ray is missing or the cluster cannot be reached.
    """
    from steiner.core import InputError
    from steiner.store.parallel import default_workers

    if engine == "local":
        return workers or default_workers()
    if engine == "ray":
        from steiner.store.ray_engine import RayEngine

        return RayEngine(workers, ray_address)
    raise InputError(f"There is no engine '{engine}': use local or ray.")
