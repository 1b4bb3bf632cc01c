"""Merges the histories of all processes of a run into one.

Each process numbers its own chats, connections, announcements, versions and servers; merging renumbers them across
processes. A file that cannot be read becomes a reason in the verdict, and the rest is still read.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from chatswarm.loadtests.history.files import Column, History, HistoryError, read
from chatswarm.loadtests.history.manifest import TARGET, Manifest, history_file
from chatswarm.loadtests.history.tables import TABLES, TIMES, ConnectionEvent, Sighting

from .arrays import Bools, Floats, Ints, Numbers, floats, ints, translated
from .faults import FaultRow, FaultSpan, faults_of
from .observations import (
    ConnectionTable,
    Finals,
    FrameTable,
    MachineSamples,
    MembershipTable,
    Observations,
    ProcessSamples,
    RefetchTable,
    RigTrouble,
    Samples,
    SendTable,
    ServedBy,
    UnreadableTable,
    Users,
    Versions,
    answered,
)

_NEVER = float("nan")


def merge_histories(folder: Path, manifest: Manifest, reading: Callable[[str], None] = lambda _: None) -> Observations:
    """Merges the histories of the processes in the manifest; calls `reading` with each process before its file."""
    reasons: list[str] = []
    merger = _Merger(len(manifest.processes))
    whole = np.zeros(len(manifest.processes), bool)
    unsynchronised: list[str] = []
    for number, process in enumerate(manifest.processes):
        reading(process)
        # How busy the target's processes were decides nothing, so what is missing of it leaves nothing undecided.
        missing: list[str] = [] if process == TARGET else reasons
        history = _history(folder, process, manifest.run, missing)
        if missing is not reasons and manifest.start is not None:
            merger.notes |= dict.fromkeys(missing)
        if history is not None:
            whole[number] = history.cut is None
            if history.header.boot_id != manifest.boot_id and process not in manifest.clocks:
                unsynchronised.append(process)
        clock = manifest.clocks.get(process)
        merger.add(number, process, history, 0.0 if clock is None else clock.offset)
    expected = {history_file(folder, process).name for process in manifest.processes}
    reasons.extend(
        f"history/{path.name} belongs to no process of the manifest: it was not read"
        for path in sorted((folder / "history").glob("*.cs1"))
        if path.name not in expected
    )
    if unsynchronised:
        reasons.append(
            f"{', '.join(unsynchronised)} ran on another host, or across a reboot, and how far its clock is from the "
            "others' was not measured: their times cannot be compared"
        )
    faults, problems = faults_of(merger.faults, manifest.start or 0.0)
    return merger.observations(manifest.processes, whole, faults, [*reasons, *problems])


def _history(folder: Path, process: str, run: str, reasons: list[str]) -> History | None:
    """One process's history, or None. Appends what is wrong with it to `reasons`."""
    path = history_file(folder, process)
    name = f"history/{path.name}"
    try:
        history = read(path)
    except FileNotFoundError:
        reasons.append(f"{name} is missing: the process {process} left no history (did it die?)")
        return None
    except (HistoryError, OSError) as error:
        reasons.append(f"{name} cannot be read: {str(error).removeprefix(f'{path}: ')}")
        return None
    if history.header.run != run:
        reasons.append(f"{name} is of another run: expected {run}, got {history.header.run}")
        return None
    if history.header.process != process:
        reasons.append(f"{name} is of another process: expected {process}, got {history.header.process}")
        return None
    if history.cut is not None:
        reasons.append(
            f"{name} is not whole: {history.cut}; it was judged up to there (was the process killed, or the disk full?)"
        )
    return history


class _Merger:
    """Collects the tables of one process after another."""

    def __init__(self, processes: int) -> None:
        self.columns: dict[tuple[str, str], list[Numbers]] = {}
        self.chats: dict[str, int] = {}
        self.owners: dict[int, int] = {}
        self.rooms: dict[int, int] = {}
        self.connections = 0
        self.announcements = 0
        self.versions = [0]
        self.details: list[str] = []
        self.membership_details: list[str] = []
        self.unreadable_details: list[str] = []
        self.final_details: list[str] = []
        self.samples: list[Samples] = []
        self.machines: dict[str, MachineSamples] = {}  # by boot id
        self.process_names: list[str] = []
        self.servers: dict[ServedBy, int] = {}
        self.troubles: list[RigTrouble] = []
        self.notes: dict[str, None] = {}
        self.faults: list[FaultRow] = []
        self.last: Floats = np.full(processes, _NEVER)

    def add(self, process: int, name: str, history: History | None, offset: float) -> None:
        """`offset`: how many seconds this process's clock is ahead."""
        if history is None:
            self.versions.append(self.versions[-1])
            return
        rows = _Rows(history)
        for table, column in TIMES if offset else ():
            rows.put(table, column, rows.floats(table, column) - offset)
        chats = self._chats(rows)
        known = rows.known_versions()
        for table in ("send", "announcement", "version", "membership", "final", "final_text"):
            rows.put(table, "chat", translated(rows.ints(table, "chat"), chats))
        servers = self._servers(rows)
        for table in ("send", "connection", "refetch"):
            rows.put(table, "server", translated(rows.ints(table, "server"), servers))
        for table in ("connection", "frame", "refetch", "membership", "unreadable"):
            rows.shift(table, "connection", self.connections)
        for table in ("announcement", "frame"):
            rows.shift(table, "announcement", self.announcements)
        versions = rows.ints("refetch", "version")
        readable = (versions >= 0) & (versions < known)
        rows.put("refetch", "version", np.where(readable, versions + self.versions[-1], -1))
        rows.shift("version", "version", self.versions[-1])
        for table in ("send", "connection", "announcement", "refetch", "version", "final", "final_text"):
            rows.put(table, "process", np.full(rows.count(table), process))
        for at, values in rows.numbers.items():
            self.columns.setdefault(at, []).append(values)

        self.connections = max(
            self.connections,
            *(rows.above(t, "connection") for t in ("connection", "frame", "refetch", "unreadable")),
        )
        self.announcements = max(
            self.announcements, *(rows.above(t, "announcement") for t in ("announcement", "frame"))
        )
        self.versions.append(self.versions[-1] + known)
        self.details += rows.texts("connection", "detail")
        self.membership_details += rows.texts("membership", "detail")
        self.unreadable_details += rows.texts("unreadable", "detail")
        self.final_details += rows.texts("final", "detail")
        self.process_names += rows.texts("process", "name")
        troubles = zip(rows.texts("trouble", "kind"), rows.texts("trouble", "detail"), strict=True)
        self.troubles += [RigTrouble(name, kind, detail) for kind, detail in dict.fromkeys(troubles)]
        self.notes |= dict.fromkeys(rows.texts("note", "detail"))
        self.faults += rows.faults()
        self.last[process] = rows.last()
        self.samples.append(
            Samples(
                name=name,
                busy=bool(rows.count("send") or rows.count("connection")),
                lag_time=rows.floats("lag", "time"),
                lag=rows.floats("lag", "lag"),
                cpu_time=rows.floats("cpu", "time"),
                cpu=rows.floats("cpu", "cpu"),
            )
        )
        self._add_machine(history.header.boot_id, name, rows)

    def _add_machine(self, boot_id: str, name: str, rows: "_Rows") -> None:
        """Every process on a host records the same machine."""
        known = self.machines.get(boot_id)
        if rows.count("machine") > (0 if known is None else len(known.time)):
            self.machines[boot_id] = MachineSamples(
                process=name,
                time=rows.floats("machine", "time"),
                cpu=rows.floats("machine", "cpu"),
                cpu_pressure=rows.floats("machine", "cpu_pressure"),
                io_pressure=rows.floats("machine", "io_pressure"),
                memory_pressure=rows.floats("machine", "memory_pressure"),
                cores=rows.ints("machine", "cores"),
            )

    def _servers(self, rows: "_Rows") -> Ints:
        """This process's numbers of servers as numbers of the run."""
        local = rows.ints("server", "server")
        table = np.full(int(local.max(initial=-1)) + 1, -1, np.int64)
        for number, *who in zip(
            local.tolist(), rows.texts("server", "address"), rows.texts("server", "name"), strict=True
        ):
            table[number] = self.servers.setdefault(ServedBy(*who), len(self.servers))
        return table

    def _chats(self, rows: "_Rows") -> Ints:
        """The common number of each of the process's own."""
        local, widgets, rooms = (rows.ints("chat", column) for column in ("chat", "widget", "room"))
        table = np.full(int(local.max(initial=-1)) + 1, -1, np.int64)
        columns = (local.tolist(), widgets.tolist(), rooms.tolist(), rows.texts("chat", "chat_id"))
        for chat, widget, room, chat_id in zip(*columns, strict=True):
            common = self.chats.setdefault(chat_id, len(self.chats))
            table[chat] = common
            if widget >= 0:
                self.owners.setdefault(common, widget)
            if room >= 0:
                self.rooms.setdefault(common, room)
        return table

    def _joined(self, table: str, column: str) -> Numbers:
        # Popped, so that only the joined copy of millions of rows stays in memory.
        parts = self.columns.pop((table, column), [])
        return np.concatenate(parts) if parts else np.zeros(0, np.dtype(TABLES[table].columns.get(column, "q")))

    def _ints(self, table: str, column: str) -> Ints:
        return ints(self._joined(table, column))

    def _floats(self, table: str, column: str) -> Floats:
        return floats(self._joined(table, column))

    def observations(
        self, processes: list[str], whole: Bools, faults: list[FaultSpan], reasons: list[str]
    ) -> Observations:
        owner, room = (np.full(len(self.chats), -1, np.int64) for _ in range(2))
        owner[list(self.owners)] = list(self.owners.values())
        room[list(self.rooms)] = list(self.rooms.values())
        return Observations(
            processes=processes,
            whole=whole,
            chat_ids=list(self.chats),
            chat_widget=owner,
            chat_room=room,
            sends=SendTable(
                process=self._ints("send", "process"),
                widget=self._ints("send", "widget"),
                n=self._ints("send", "n"),
                chat=self._ints("send", "chat"),
                intended=self._floats("send", "intended"),
                handed=self._floats("send", "handed"),
                sent=self._floats("send", "sent"),
                done=self._floats("send", "done"),
                outcome=self._ints("send", "outcome"),
                status=self._ints("send", "status"),
                message_id=self._ints("send", "message_id"),
                server=self._ints("send", "server"),
            ),
            connections=self._connections(),
            frames=self._frames(),
            memberships=MembershipTable(
                connection=self._ints("membership", "connection"),
                dashboard=self._ints("membership", "dashboard"),
                chat=self._ints("membership", "chat"),
                event=self._ints("membership", "event"),
                time=self._floats("membership", "time"),
                detail=self.membership_details,
            ),
            unreadable=UnreadableTable(
                connection=self._ints("unreadable", "connection"),
                time=self._floats("unreadable", "time"),
                detail=self.unreadable_details,
            ),
            refetches=RefetchTable(
                dashboard=self._ints("refetch", "dashboard"),
                process=self._ints("refetch", "process"),
                started=self._floats("refetch", "started"),
                done=self._floats("refetch", "done"),
                status=self._ints("refetch", "status"),
                version=self._ints("refetch", "version"),
                size=self._ints("refetch", "bytes"),
                server=self._ints("refetch", "server"),
                n=self._ints("refetch", "n"),
            ),
            versions=Versions(
                start=ints(self.versions),
                process=self._ints("version", "process"),
                version=self._ints("version", "version"),
                chat=self._ints("version", "chat"),
                total=self._ints("version", "total"),
                dropped=self._ints("version", "dropped"),
                added=self._ints("version", "added"),
                text_widget=self._ints("text", "widget"),
                text_n=self._ints("text", "n"),
                text_condition=self._ints("text", "condition"),
            ),
            finals=self._finals(whole),
            users=Users(
                role=self._ints("user", "role"),
                number=self._ints("user", "number"),
                event=self._ints("user", "event"),
                time=self._floats("user", "time"),
            ),
            samples=self.samples,
            machines=list(self.machines.values()),
            target_processes=self._target_processes(),
            servers=list(self.servers),
            troubles=self.troubles,
            notes=list(self.notes),
            faults=faults,
            reasons=reasons,
        )

    def _target_processes(self) -> ProcessSamples:
        return ProcessSamples(
            time=self._floats("process", "time"),
            pid=self._ints("process", "pid"),
            name=self.process_names,
            cpu=self._floats("process", "cpu"),
            memory=self._ints("process", "memory"),
        )

    def _connections(self) -> ConnectionTable:
        number, event, code = (self._ints("connection", name) for name in ("connection", "event", "code"))
        time = self._floats("connection", "time")
        dashboard, process, last, last_code, server, deflate = (
            np.full(self.connections, -1, np.int64) for _ in range(6)
        )
        dashboard[number], process[number] = (self._ints("connection", name) for name in ("dashboard", "process"))
        # In time order, so the last event wins.
        last[number], last_code[number] = event, code
        served, agreed = self._ints("connection", "server"), self._ints("connection", "deflate")
        server[number[served >= 0]] = served[served >= 0]
        deflate[number[agreed >= 0]] = agreed[agreed >= 0]
        detail = [""] * self.connections
        for connection, text in zip(number.tolist(), self.details, strict=True):
            detail[connection] = text or detail[connection]
        opening, subscribed, ended = (np.full(self.connections, _NEVER) for _ in range(3))
        opening[number[event == ConnectionEvent.OPENING]] = time[event == ConnectionEvent.OPENING]
        subscribed[number[event == ConnectionEvent.SUBSCRIBED]] = time[event == ConnectionEvent.SUBSCRIBED]
        is_end = event > ConnectionEvent.SUBSCRIBED
        # Backwards, so that the first end of a connection wins.
        ended[number[is_end][::-1]] = time[is_end][::-1]
        open_at_end = np.isnan(ended) & (process >= 0)
        ended[open_at_end] = self.last[process[open_at_end]]
        return ConnectionTable(
            dashboard=dashboard,
            process=process,
            opening=opening,
            subscribed=subscribed,
            ended=ended,
            event=last,
            code=last_code,
            detail=detail,
            server=server,
            deflate=deflate,
        )

    def _frames(self) -> FrameTable:
        number = self._ints("announcement", "announcement")

        def of_announcement(column: str) -> Ints:
            values = np.full(self.announcements, -1, np.int64)
            values[number] = self._ints("announcement", column)
            return values

        chat, customer, message_id, process, widget, n, condition, how = (
            of_announcement(column)
            for column in ("chat", "from_customer", "message_id", "process", "widget", "n", "condition", "how")
        )
        return FrameTable(
            connection=np.asarray(self._joined("frame", "connection"), np.int32),
            announcement=np.asarray(self._joined("frame", "announcement"), np.int32),
            time=self._floats("frame", "time"),
            chat=chat,
            from_customer=customer > 0,
            message_id=message_id,
            process=process,
            widget=widget,
            n=n,
            condition=condition,
            how=np.maximum(how, Sighting.LIVE),
        )

    def _finals(self, whole: Bools) -> Finals:
        chat, process, status, totals = (self._ints("final", name) for name in ("chat", "process", "status", "total"))
        best, reader, total = (np.full(len(self.chats), -1, np.int64) for _ in range(3))
        detail: dict[int, str] = {}
        for row, (at, code) in enumerate(zip(chat.tolist(), status.tolist(), strict=True)):
            # Of several attempts, the successful one counts.
            if at >= 0 and not 200 <= best[at] < 300:
                best[at], reader[at], total[at] = code, process[row], totals[row]
                detail[at] = self.final_details[row]
        text_chat, text_process, position = (self._ints("final_text", name) for name in ("chat", "process", "position"))
        kept = np.flatnonzero((text_chat >= 0) & answered(best)[text_chat] & (reader[text_chat] == text_process))
        kept = kept[np.lexsort((position[kept], text_chat[kept]))]
        return Finals(
            status=best,
            read=answered(best) & np.append(whole, False)[reader],
            total=total,
            detail=detail,
            chat=text_chat[kept],
            position=position[kept],
            widget=self._ints("final_text", "widget")[kept],
            n=self._ints("final_text", "n")[kept],
            condition=self._ints("final_text", "condition")[kept],
            message_id=self._ints("final_text", "message_id")[kept],
        )


class _Rows:
    """The tables of one process, while they are being renumbered."""

    def __init__(self, history: History) -> None:
        self.cut = history.cut is not None
        self.numbers: dict[tuple[str, str], Numbers] = {}
        self._texts: dict[tuple[str, str], list[str]] = {}
        for table, columns in history.tables.items():
            for column, values in columns.items():
                self._keep((table, column), values)

    def _keep(self, at: tuple[str, str], values: Column) -> None:
        if isinstance(values, list):
            self._texts[at] = values
        else:
            self.numbers[at] = values

    def ints(self, table: str, column: str) -> Ints:
        return ints(self.numbers[table, column])

    def floats(self, table: str, column: str) -> Floats:
        return floats(self.numbers[table, column])

    def texts(self, table: str, column: str) -> list[str]:
        return self._texts[table, column]

    def put(self, table: str, column: str, values: Numbers) -> None:
        self.numbers[table, column] = values

    def shift(self, table: str, column: str, by: int) -> None:
        """Adds `by` to what is not -1 in a column. It stays int32, as in the file: there are millions of frames."""
        if by:
            values = np.asarray(self.numbers[table, column], np.int32)
            shifted = values + np.int32(by)
            self.numbers[table, column] = shifted if (values >= 0).all() else np.where(values < 0, -1, shifted)

    def count(self, table: str) -> int:
        return len(self.numbers[table, next(column for column, code in TABLES[table].columns.items() if code != "s")])

    def above(self, table: str, column: str) -> int:
        values = np.asarray(self.numbers[table, column], np.int32)
        return int(values.max(initial=-1)) + 1

    def faults(self) -> list[FaultRow]:
        columns = (
            self.texts("fault", "name"),
            self.texts("fault", "kind"),
            self.ints("fault", "event").tolist(),
            self.floats("fault", "time").tolist(),
            self.texts("fault", "evidence"),
        )
        return [FaultRow(*row) for row in zip(*columns, strict=True)]

    def last(self) -> float:
        """The last moment that the process recorded."""
        columns = [("frame", "time"), ("refetch", "done"), ("connection", "time"), ("lag", "time"), ("send", "done")]
        times = [self.floats(*column) for column in columns]
        return max((float(np.nanmax(time)) for time in times if not np.isnan(time).all()), default=_NEVER)

    def known_versions(self) -> int:
        """How many versions are complete. Drops the rows whose texts a cut file no longer contains."""
        versions, added = self.ints("version", "version"), np.cumsum(self.ints("version", "added"))
        texts = self.count("text")
        highest = int(versions.max(initial=-1))
        if not self.cut:
            if int(added[-1] if len(added) else 0) != texts:
                raise ValueError(f"the lists: expected {added[-1:].sum()} texts, got {texts}")
            return 1 + max(highest, int(self.ints("refetch", "version").max(initial=-1)))
        complete = int(np.searchsorted(added, texts, side="right"))
        known = int(versions[complete]) if complete < len(versions) else highest + 1
        # A version counts only if all its rows are complete.
        rows = int(np.searchsorted(versions, known))
        kept = {"version": rows, "text": int(added[rows - 1]) if rows else 0}
        for (table, column), values in self.numbers.items():
            if table in kept:
                self.numbers[table, column] = values[: kept[table]]
        return known
