"""Server-sent events, read in pieces cut anywhere."""

from __future__ import annotations


class SseParser:
    """Turns the bytes of an event stream into the data of its events.

    Takes the three line ends of the standard, comments, data over several lines and a byte order mark. The
    other fields (event, id, retry) say nothing that chat endpoints do not repeat in the data.
    """

    def __init__(self) -> None:
        self._pieces: list[bytes] = []  # of the line that has not ended
        self._data: list[bytes] = []  # lines of the event that has not ended
        self._after_return = False  # the last byte was "\r", which may be half a line end
        self._first = True

    def feed(self, chunk: bytes) -> list[bytes]:
        """Take the next bytes and return the data of the events that they complete."""
        if not chunk:
            return []
        if self._after_return and chunk[:1] == b"\n":
            chunk = chunk[1:]
            self._after_return = False
            if not chunk:
                return []
        self._after_return = chunk.endswith(b"\r")
        if b"\r" in chunk:
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if b"\n" not in chunk:
            self._pieces.append(chunk)
            return []
        lines = chunk.split(b"\n")
        if self._pieces:
            lines[0] = b"".join(self._pieces) + lines[0]
        self._pieces = [lines.pop()]
        return self._events(lines)

    def close(self) -> list[bytes]:
        """Return the data of an event whose lines are whole but whose blank line is missing."""
        line = b"".join(self._pieces)
        self._pieces = []
        return self._events([line, b""] if line else [b""])

    def _events(self, lines: list[bytes]) -> list[bytes]:
        events: list[bytes] = []
        for line in lines:
            if self._first:
                self._first = False
                line = line.removeprefix(b"\xef\xbb\xbf")
            if not line:
                if self._data:
                    events.append(b"\n".join(self._data))
                    self._data = []
            elif line.startswith(b"data:"):
                self._data.append(line[6:] if line[5:6] == b" " else line[5:])
            elif line == b"data":
                self._data.append(b"")
        return events
