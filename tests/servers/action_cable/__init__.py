"""A chat on Ruby on Rails: Action Cable behind a login with a session cookie."""

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.servers.server import BUILT, Server, UnavailableError

_USR = BUILT / "action_cable" / "usr"
_USERS = 60
_APP = Path(__file__).with_name("config.ru")


class ActionCable(Server):
    """`/login` is a form with a token, `/cable` the WebSocket, `/rooms/ROOM/messages.json?page=N` what was said.

    A message is on the disk before it is broadcast, so it is still there after a kill. Rails works on several messages
    at a time, also of one connection, and promises no order in which they are stored or come.

    `drops-every-tenth`: every tenth message of a room is stored but not broadcast. `forgets-every-tenth`: it is
    broadcast but not stored.
    """

    name = "action_cable"
    defects = ("drops-every-tenth", "forgets-every-tenth")

    def version(self) -> str:
        gems = dict(path.stem.rpartition("-")[::2] for at in _gems() for path in at.glob("specifications/*.gemspec"))
        if "actioncable" not in gems:
            raise UnavailableError("there is no Rails: run make all-servers")
        return f"Rails {gems['actioncable']}, Puma {gems['puma']}"

    def command(self, folder: Path, port: int, defect: str) -> tuple[list[str], Mapping[str, str]]:
        self.version()
        _users(folder).write_text(_csv(), encoding="utf-8")
        options = ["--quiet", "--environment", "production", "--threads", "4:4", "--bind", f"tcp://127.0.0.1:{port}"]
        return [str(_USR / "bin/ruby"), str(_USR / "bin/puma"), *options, str(_APP)], {
            "RUBYLIB": _path(_libraries()),
            "GEM_PATH": _path(_gems()),
            "LD_LIBRARY_PATH": _path(_USR.glob("lib/*-linux-*")),
            "RAILS_ENV": "production",
            # So that a session outlives a restart.
            "SECRET_KEY_BASE": "chatswarm" * 8,
            "FOLDER": str(folder),
            "PORT": str(port),
            "USERS": str(_users(folder)),
            "DEFECT": defect,
        }

    def users_file(self, folder: Path) -> Path | None:
        return _users(folder)


def _libraries() -> list[Path]:
    """Where Ruby finds its libraries, which are not where it was built for; Debian's own RubyGems come first."""
    rubies = [_USR / "lib/ruby", *_USR.glob("lib/*-linux-*/ruby")]
    return [at for which in ("vendor_ruby", "vendor_ruby/3.*", "3.*") for ruby in rubies for at in ruby.glob(which)]


def _gems() -> list[Path]:
    return [*_USR.glob("share/rubygems-integration/*"), *_USR.glob("lib/*-linux-*/rubygems-integration/*")]


def _path(folders: Iterable[Path]) -> str:
    return ":".join(map(str, folders))


def _users(folder: Path) -> Path:
    return folder / "users.csv"


def _csv() -> str:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["name", "email", "password"])
    rows.writerows([f"user{n:02}", f"user{n:02}@chat.test", f"secret {n:02}"] for n in range(_USERS))
    return text.getvalue()
