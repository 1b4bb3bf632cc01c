"""The users' file: what is wrong with it is said with its line, and nothing of it is ever shown."""

import traceback
from collections.abc import Mapping
from pathlib import Path

import pytest

from chatswarm.loadtests.protocols.protocol import User
from chatswarm.loadtests.protocols.push import Push
from chatswarm.loadtests.protocols.users_file import UsersFileError, read_users
from chatswarm.loadtests.swarm.directory import UserDirectory

SECRET = "hunter2-s3cret"


def written(folder: Path, data: str | bytes) -> Path:
    path = folder / "users.csv"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


@pytest.mark.parametrize("bom", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_row_per_user_by_column(tmp_path: Path, bom: str, end: str) -> None:
    lines = ["name, token ", 'Ada,"a,b"', "", '"Grace\nHopper",', "é,3", ""]
    rows = read_users(written(tmp_path, bom + end.join(lines)), 3)
    assert rows == [
        {"name": "Ada", "token": "a,b"}, {"name": "Grace\nHopper", "token": ""}, {"name": "é", "token": "3"},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("", "expected a header that names each column, one of them name"),
        (f"user,password\nAda,{SECRET}\n", "expected a header that names each column, one of them name"),
        (f"name,\nAda,{SECRET}\n", "expected a header that names each column"),
        (f"name,name\nAda,{SECRET}\n", "expected a header that names each column"),
        ("name,password\n", "expected at least 2 users, one per dashboard and widget, got 0"),
        (f"name,password\nAda,{SECRET}\n", "expected at least 2 users, one per dashboard and widget, got 1"),
        (f"name,password\nAda,{SECRET}\n\nBob,{SECRET},x\n", "line 4: expected 2 values, got 3"),
        (f"name,password\nAda,{SECRET}\nBob\n", "line 3: expected 2 values, got 1"),
        (f"name,password\n ,{SECRET}\n", "line 2: expected a name, got none"),
        (f'name,password\n"A\nda",{SECRET}\nBob,{SECRET}\nBob,x\n', "line 5: expected another name than in line 4"),
        (f'name,password\nAda,"{SECRET}\nBob,x\n', "it is no CSV in UTF-8"),
        (f"name,password\nAda,{SECRET}\n".encode("utf-16"), "it is no CSV in UTF-8"),
        (f"name,password\n\xe9,{SECRET}\n".encode("latin-1"), "it is no CSV in UTF-8"),
        (f"name,password\nAda,{SECRET * 20_000}\n", "it is no CSV in UTF-8"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_without_repeating_it(
    tmp_path: Path, data: str | bytes, said: str
) -> None:
    path = written(tmp_path, data)
    with pytest.raises(UsersFileError) as refused:
        read_users(path, 2)
    text = str(refused.value)
    assert text.startswith(f"{path}: ")
    assert said in text
    assert "\n" not in text
    assert SECRET not in "".join(traceback.format_exception(refused.value))


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsersFileError, match="expected a readable users' file, got: No such file or directory"):
        read_users(tmp_path / "none.csv", 1)
    with pytest.raises(UsersFileError, match="got: Is a directory"):
        read_users(tmp_path, 1)


def test_dashboards_come_first_and_those_beyond_the_file_get_names(tmp_path: Path) -> None:
    rows = read_users(written(tmp_path, "name\nd0\nd1\nw0\n"), 3)
    directory = UserDirectory(Push(), "run", 2, rows)
    users = [("dashboard", 0), ("dashboard", 1), ("widget", 0), ("widget", 1)]
    assert [directory.user(*user).name for user in users] == ["d0", "d1", "w0", "customer-1.run"]


def test_no_repr_shows_a_secret(tmp_path: Path) -> None:
    rows = read_users(written(tmp_path, f"name,token\nAda,{SECRET}\n"), 1)
    directory = UserDirectory(Push(SECRET), "run", 1, rows)
    user = directory.user("dashboard", 0)
    assert user.variables["token"] == SECRET
    assert SECRET not in repr((directory, user, user.variables, directory.protocol))
    assert user.variables.blanked(f"<{SECRET}>") == "<***>"


class Strict(Push):
    """Needs a password for everybody, and says what it got."""

    def user(self, role: str, index: int, run: str, given: Mapping[str, str]) -> User:
        if not given["password"].startswith("good"):
            raise ValueError(f"expected a good password, got {given['password']}")
        return super().user(role, index, run, given)


def test_a_row_that_the_protocol_cannot_use_is_refused_before_the_run(tmp_path: Path) -> None:
    rows = read_users(written(tmp_path, f"name,password\nAda,good-one\nBob,good-two\nEve,{SECRET}\n"), 3)
    directory = UserDirectory(Strict(), "run", 2, rows)
    directory.check(0)
    with pytest.raises(
        UsersFileError, match=r"^the user of widget 0: expected a good password, got \*\*\*$"
    ) as refused:
        directory.check(1)
    assert SECRET not in "".join(traceback.format_exception(refused.value))
    with pytest.raises(UsersFileError, match=r"^the user of dashboard 0: KeyError: 'password'$"):
        UserDirectory(Strict(), "run", 2).check(0)
