"""The engine `ray`: the functions of a stage as Ray Data stages, on this machine or a cluster.

The driver packs records into blocks, Ray Data maps the blocks (`map_batches`), and the driver takes the
results in order and stores them. Three choices that are not obvious:

- Ray Data knows no input that grows while it is read, so the stream goes through in waves of bounded size.
- Blocks are mapped by tasks, not by actors: an actor pool ends with its wave and would load the model again
  in every wave, while the worker processes of tasks live on. Each prepares itself once (`_prepare`).
- The items are pickled into one binary column. Arrow would turn bytes, tuples and big integers into its own.
"""

from __future__ import annotations

import hashlib
import importlib
import logging
import os
import pickle
import socket
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from steiner.core import InputError, SteinerError
from steiner.store.beside import Beside, collect, hand_over
from steiner.store.engine import Item, Result
from steiner.store.journal import Journal, StoredRecord

if TYPE_CHECKING:
    import pyarrow as pa

BLOCK_ITEMS = 16
BLOCK_BYTES = 256 * 1024
"""A block, the work of one task, ends with the item that reaches one of these."""
WAVE_BLOCKS = 128
WAVE_BYTES = 32 * 1024 * 1024
"""A wave holds at most this much for each core."""
OBJECT_STORE_BYTES = 512 * 1024 * 1024
"""Shared memory of a Ray that is started here; it is taken only as far as it is filled."""

KNOCK_SECONDS = 10.0

_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_USAGE_STATS_PROMPT_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
}


class _Setup(NamedTuple):
    """What a worker process needs once."""

    function: Callable[[Any], Any]
    initializer: Callable[..., None] | None
    initargs: tuple[Any, ...]


class _Parcel(NamedTuple):
    """An item and what is read beside it."""

    item: Any
    bodies: dict[str, bytes] | None


class _Outcome(NamedTuple):
    """The results of one block, in order; after an error there is no further one."""

    number: int
    results: list[Any]
    error: BaseException | None


class RayEngine:
    """Runs stages on Ray Data."""

    def __init__(self, workers: int | None = None, address: str = "") -> None:
        """Join a Ray cluster, or start Ray on this machine. A Ray that was joined before is used as it is.

        Args:
            workers: most processes at a time; None: as many as there are cores.
            address: of a cluster, such as `ray://head:10001`, `head:6379` or `auto`; empty: what the variable
                RAY_ADDRESS says, else a Ray of this process alone, which ends with it.

        Raises:
            InputError: if ray is missing or the cluster cannot be reached.
        """
        os.environ.update({name: value for name, value in _QUIET.items() if name not in os.environ})
        try:
            ray = _ray()
        except ImportError as error:
            raise InputError(
                f"The engine ray needs a package that is missing ({error}): install steiner[ray], or use "
                "--engine local."
            ) from error
        _silence()
        address = address or os.environ.get("RAY_ADDRESS", "local")
        own = address == "local" and not ray.is_initialized()
        if not ray.is_initialized():
            _join(address, workers)
        self._limit = None if own else workers  # our own Ray was started with so many cores
        cores = int(ray.cluster_resources().get("CPU", 1))
        self._slots = max(1, min(cores, workers or cores))

    def map(
        self,
        function: Callable[[Item], Result],
        items: Iterable[Item],
        *,
        initializer: Callable[..., None] | None = None,
        initargs: tuple[Any, ...] = (),
        beside: Beside | None = None,
    ) -> Iterator[Result]:
        """Yield `function(item)` in the order of `items`; see `Engine.map`.

        Raises:
            SteinerError: if Ray gives up. It does a block again whenever its worker dies, until nothing has
                got done for half an hour.
        """
        ray = _ray()
        setup = ray.cloudpickle.dumps(_Setup(function, initializer, initargs))
        token = hashlib.blake2b(setup, digest_size=16).hexdigest()
        reference = ray.put(setup)
        with closing(Journal(beside.journal, read_only=True)) if beside else nullcontext() as journal:
            blocks = _blocks(_parcels(items, beside, journal))
            for wave in _waves(blocks, self._slots):
                for outcome in self._run(wave, reference, token):
                    yield from outcome.results
                    if outcome.error is not None:
                        raise outcome.error

    def _run(self, wave: list[bytes], reference: Any, token: str) -> Iterator[_Outcome]:
        """Map the blocks of one wave; yield what came of each, in order."""
        import pyarrow as pa

        ray = _ray()
        context = ray.data.DataContext.get_current().copy()
        context.execution_options.preserve_order = True
        context.enable_progress_bars = False
        context.enable_operator_progress_bars = False
        tables = [
            pa.table({"number": [number], "block": pa.array([block], pa.large_binary())})
            for number, block in enumerate(wave)
        ]
        try:
            with ray.data.DataContext.current(context):
                outcomes = ray.data.from_arrow(tables).map_batches(
                    _work, batch_size=None, batch_format="pyarrow",
                    concurrency=self._limit and min(self._limit, len(wave)),
                    fn_kwargs={"setup": [reference], "token": token},
                )  # fmt: skip
                batches = outcomes.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)
                expected = 0
                for batch in batches:
                    for packed in batch.column("outcome").to_pylist():
                        outcome: _Outcome = pickle.loads(packed)
                        assert outcome.number == expected, "Ray Data gave blocks out of order"
                        expected += 1
                        yield outcome
            assert expected == len(wave), "Ray Data lost a block"
        except (ray.exceptions.RayError, ray.data.exceptions.ExecutionTimeoutError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[-1]
            raise SteinerError(
                f"Ray gave up: {reason} What was finished is kept. A worker that dies again and again mostly "
                "lacks memory: run the same command again with fewer --workers, or with --engine local."
            ) from error


def _ray() -> Any:
    """Import ray with its data library; `Any`, because it is not installed everywhere."""
    importlib.import_module("ray.data")
    return importlib.import_module("ray")


def _join(address: str, workers: int | None) -> None:
    """Connect this process to Ray; for the address `local` start one that ends with this process."""
    ray = _ray()
    options: dict[str, Any] = {}
    if address == "local":
        options = {
            "num_cpus": workers,
            "include_dashboard": False,
            "object_store_memory": OBJECT_STORE_BYTES,
        }
    try:
        _knock(address)
        with _same_modules():
            ray.init(
                address=address,
                log_to_driver=False,
                logging_level=logging.ERROR,
                **options,
            )
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(
            f"Ray cannot be reached at '{address}': {error}. Check --ray-address and RAY_ADDRESS, "
            "or use --engine local."
        ) from error
    _silence()


def _knock(address: str) -> None:
    """See whether anything listens at `HOST:PORT`: Ray itself tries for minutes."""
    host, colon, port = address.rpartition("://")[2].rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=KNOCK_SECONDS).close()


@contextmanager
def _same_modules() -> Iterator[None]:
    """Let a Ray that is started here find the modules that this process finds."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    try:
        yield
    finally:
        del os.environ["PYTHONPATH"]
        if before is not None:
            os.environ["PYTHONPATH"] = before


def _silence() -> None:
    """Keep Ray off the terminal; its log files in the session folder stay complete."""
    for name in ("ray", "ray.data"):
        for handler in logging.getLogger(name).handlers:
            if isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler):
                handler.setLevel(logging.CRITICAL)


def _parcels(items: Iterable[Any], beside: Beside | None, journal: Journal | None) -> Iterator[_Parcel]:
    for item in items:
        if beside is None or journal is None:
            yield _Parcel(item, None)
        else:
            yield _Parcel(item, collect(journal, beside, cast(StoredRecord, item).key))


def _blocks(parcels: Iterable[_Parcel]) -> Iterator[bytes]:
    """Pickle items one by one and join them to blocks."""
    held: list[bytes] = []
    size = 0
    for parcel in parcels:
        held.append(pickle.dumps(tuple(parcel), protocol=pickle.HIGHEST_PROTOCOL))
        size += len(held[-1])
        if len(held) >= BLOCK_ITEMS or size >= BLOCK_BYTES:
            yield pickle.dumps(held)
            held, size = [], 0
    if held:
        yield pickle.dumps(held)


def _waves(blocks: Iterator[bytes], slots: int) -> Iterator[list[bytes]]:
    """Group blocks; the stream is read no further than the wave that is wanted."""
    for first in blocks:
        wave, size = [first], len(first)
        while len(wave) < WAVE_BLOCKS * slots and size < WAVE_BYTES * slots:
            block = next(blocks, None)
            if block is None:
                break
            wave.append(block)
            size += len(block)
        yield wave


_ready: tuple[str, Callable[[Any], Any]] | None = None
"""In a worker: which setup this process is prepared for, and its function."""


def _prepare(setup: list[Any], token: str) -> Callable[[Any], Any]:
    """Load models and the like, unless this process has them from an earlier block."""
    global _ready
    if _ready is None or _ready[0] != token:
        ray = _ray()
        loaded: _Setup = ray.cloudpickle.loads(ray.get(setup[0]))
        if loaded.initializer is not None:
            loaded.initializer(*loaded.initargs)
        _ready = (token, loaded.function)
    return _ready[1]


def _work(table: pa.Table, setup: list[Any], token: str) -> pa.Table:
    """Map the blocks of a table, one row each, in a worker process."""
    import pyarrow as pa

    numbers, blocks = table.column("number").to_pylist(), table.column("block").to_pylist()
    outcomes = [
        _packed(_map_block(number, block, setup, token))
        for number, block in zip(numbers, blocks, strict=True)
    ]
    return pa.table({"outcome": pa.array(outcomes, pa.large_binary())})


def _map_block(number: int, block: bytes, setup: list[Any], token: str) -> _Outcome:
    results: list[Any] = []
    try:
        function = _prepare(setup, token)
        for packed in pickle.loads(block):
            item, bodies = pickle.loads(packed)
            if bodies is not None:
                hand_over(item.key, bodies)
            results.append(function(item))
    except Exception as error:
        error.add_note(traceback.format_exc())
        return _Outcome(number, results, error)
    return _Outcome(number, results, None)


def _packed(outcome: _Outcome) -> bytes:
    try:
        packed = pickle.dumps(outcome, protocol=pickle.HIGHEST_PROTOCOL)
        if outcome.error is not None:
            pickle.loads(packed)
        return packed
    except Exception:  # results always travel, so the error is one that does not
        told = RuntimeError("".join(traceback.format_exception(outcome.error)))
        return pickle.dumps(outcome._replace(error=told), protocol=pickle.HIGHEST_PROTOCOL)
