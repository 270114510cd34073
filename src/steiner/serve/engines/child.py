"""The engine's process: takes orders from a socket and sends tokens, until the other end is gone."""

from __future__ import annotations

import os
import select
import socket
import sys
import threading

from steiner.core.errors import SteinerError
from steiner.serve.engines.frames import Job, Ready, Refused, frame, receive

LOOK_MILLISECONDS = 2000
"""How often it is looked whether the asking process still lives, should somebody else hold its socket."""


def main() -> None:
    """Be the process. Ends at once when the other end is gone, whatever it is doing.

    Its arguments are the number of the socket and that of the asking process.
    """
    number, asker = int(sys.argv[1]), int(sys.argv[2])
    os.dup2(2, 1)  # The asker's output is not for us.
    connection = socket.socket(fileno=number)
    threading.Thread(target=_end_with, args=(number, asker), daemon=True).start()
    try:
        _work(connection, receive(connection))
    except (EOFError, ConnectionError):
        os._exit(0)


def _end_with(number: int, asker: int) -> None:
    """Wait until the other end of the socket is closed, then end this process."""
    poller = select.poll()
    poller.register(number, 0)  # Nothing but hanging up is of interest.
    while not poller.poll(LOOK_MILLISECONDS) and os.getppid() == asker:
        pass
    os._exit(0)


def _work(connection: socket.socket, job: Job) -> None:
    import torch

    from steiner.decode.load import load_model
    from steiner.protocol import ControlIds
    from steiner.serve.engines.desk import Desk
    from steiner.serve.engines.writer import Writer

    if job.threads is not None:
        torch.set_num_threads(job.threads)
    try:
        model, tokenizer = load_model(job.place, job.settings.device)
        writer: Writer[int] = Writer(model, ControlIds.from_tokenizer(tokenizer), job.settings)
    except SteinerError as error:
        connection.sendall(frame(Refused(kind=type(error).__name__, message=str(error))))
        return
    connection.sendall(frame(Ready(context=writer.context)))
    writer.begin()
    desk = Desk(connection, writer)
    while True:
        desk.take_orders()
        desk.tell(writer.step())
