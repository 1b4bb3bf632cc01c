"""One history file: a header, chunks of columns each with a checksum, and a footer.

A file cut short by SIGKILL or a full disk has no footer, and can be read up to the cut. All parts are framed the same
way: `CS`, the payload's length and CRC-32 (little-endian), then the payload as MessagePack.
"""

import struct
import zlib
from array import array
from pathlib import Path
from typing import BinaryIO

import msgspec
import numpy as np
import numpy.typing as npt

from chatswarm.loadtests.system.text import encodable

from .tables import FORMAT, READABLE, TABLES, Code

_FRAME = struct.Struct("<2sII")
_MAGIC = b"CS"
_LONGEST = 1 << 30

Column = npt.NDArray[np.generic] | list[str]


class HistoryError(Exception):
    """The file is not a history, or has another format version. The text says which file, and what it contains."""


class Header(msgspec.Struct, tag="header"):
    """Who wrote a file."""

    format: int
    run: str
    process: str
    boot_id: str  # processes with the same boot id share a clock


class Chunk(msgspec.Struct, tag="chunk"):
    """Rows of one table, column by column."""

    table: str
    rows: int
    columns: list[memoryview]  # read in place: there are millions of frames


class Footer(msgspec.Struct, tag="footer"):
    """Written last: how many rows each table must have."""

    rows: dict[str, int]


_NONE = {name: table.none for name, table in TABLES.items()}
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Header | Chunk | Footer).decode


class Writer:
    """Appends observations to columns in memory; `flush` writes them out in chunks.

    The columns are public so that hot paths can append to them directly: `writer.columns["frame"]`.
    """

    def __init__(self, path: Path, header: Header) -> None:
        self.columns: dict[str, list[array[float] | list[str]]] = {
            name: [_empty(code) for code in table.columns.values()] for name, table in TABLES.items()
        }
        self.failure: str | None = None  # why no more can be written
        self._rows = dict.fromkeys(TABLES, 0)
        self._file: BinaryIO = path.open("xb", buffering=0)
        self._put(header)

    def append(self, table: str, *values: float | str) -> None:
        """Appends one row, with its columns in order. Those that are left out at the end hold "none"."""
        columns = self.columns[table]
        if len(values) < len(columns):
            values += _NONE[table][len(values) :]
        for column, value in zip(columns, values, strict=True):
            column.append(value)  # type: ignore[arg-type]

    def flush(self) -> None:
        """Writes out the collected rows. A full disk ends the file here: see `failure`."""
        for name, columns in self.columns.items():
            rows = len(columns[0])
            if not rows:
                continue
            packed = [memoryview(_pack(column)) for column in columns]
            # In place, because hot paths keep references to the columns.
            for column in columns:
                del column[:]
            self._put(Chunk(name, rows, packed))
            self._rows[name] += rows

    def close(self) -> None:
        """Writes out the rest and the footer. A file without a footer counts as cut."""
        self.flush()
        self._put(Footer(self._rows))
        self._file.close()

    def _put(self, part: Header | Chunk | Footer) -> None:
        if self.failure is not None:
            return
        payload = _encode(part)
        data = memoryview(_FRAME.pack(_MAGIC, len(payload), zlib.crc32(payload)) + payload)
        try:
            while data:
                data = data[self._file.write(data) :]
        except OSError as error:
            self.failure = str(error)


class History(msgspec.Struct):
    """The contents of one file. `cut` says why it is incomplete; None if it is complete."""

    header: Header
    tables: dict[str, dict[str, Column]]
    cut: str | None


def read(path: Path) -> History:
    """Reads a file, up to where it was cut. Raises HistoryError if it is not a history of this version."""
    with path.open("rb") as file:
        header, cut = _next(file)
        if not isinstance(header, Header):
            raise HistoryError(f"{path}: expected a history file, got {cut or 'something else'}")
        if header.format not in READABLE:
            raise HistoryError(f"{path}: expected history format {FORMAT}, got {header.format}")
        chunks: dict[str, list[Chunk]] = {name: [] for name in TABLES}
        while True:
            part, cut = _next(file)
            if isinstance(part, Chunk) and part.table in chunks:
                chunks[part.table].append(part)
                continue
            if isinstance(part, Footer):
                rows = {name: sum(chunk.rows for chunk in found) for name, found in chunks.items()}
                # A file older than one of the tables has no rows of it.
                expected = {name: part.rows.get(name, 0) for name in TABLES}
                cut = None if rows == expected else f"expected the rows {expected}, got {rows}"
            elif isinstance(part, Chunk):
                cut = f"it holds a table {part.table!r} that this version of chatswarm does not know"
            elif cut is None:
                cut = "a second header"
            break
    tables = {
        name: {
            column: _join([_column(chunk, index, code) for chunk in chunks[name]], code)
            for index, (column, code) in enumerate(table.columns.items())
        }
        for name, table in TABLES.items()
    }
    return History(header, tables, cut)


def _column(chunk: Chunk, index: int, code: Code) -> memoryview:
    """A column of a chunk. Formats only ever add columns at the end, so an older chunk has none there."""
    if index < len(chunk.columns):
        return chunk.columns[index]
    none = _NONE[chunk.table][index]
    return memoryview(
        _encode([none] * chunk.rows) if code == "s" else np.full(chunk.rows, none, np.dtype(code)).tobytes()
    )


def _next(file: BinaryIO) -> tuple[Header | Chunk | Footer | None, str | None]:
    """The next part, or None and the reason why there is none."""
    at = file.tell()
    frame = file.read(_FRAME.size)
    if not frame:
        return None, f"it ends without a footer after {at} bytes"
    if len(frame) < _FRAME.size:
        return None, f"it is cut at byte {at}"
    magic, length, checksum = _FRAME.unpack(frame)
    if magic != _MAGIC or length > _LONGEST:
        return None, f"it is damaged at byte {at}"
    payload = file.read(length)
    if len(payload) < length:
        return None, f"it is cut at byte {at}"
    if zlib.crc32(payload) != checksum:
        return None, f"a checksum does not fit at byte {at}"
    try:
        return _decode(payload), None
    except msgspec.MsgspecError as error:
        return None, f"it is damaged at byte {at}: {error}"


def _empty(code: Code) -> "array[float] | list[str]":
    return [] if code == "s" else array(code)


def _pack(column: "array[float] | list[str]") -> bytes:
    if not isinstance(column, list):
        return column.tobytes()
    try:
        return _encode(column)
    except UnicodeEncodeError:
        # The target may have sent a lone surrogate, which a protocol passes on.
        return _encode([encodable(text) for text in column])


def _join(parts: list[memoryview], code: Code) -> Column:
    if code == "s":
        return [text for part in parts for text in msgspec.msgpack.decode(part, type=list[str])]
    return np.frombuffer(parts[0] if len(parts) == 1 else b"".join(parts), dtype=np.dtype(code))
