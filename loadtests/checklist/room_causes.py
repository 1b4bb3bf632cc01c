"""Why a chat whose frames carry the text does not work: what was seen, likely causes and remedies, by step."""

from chatswarm.loadtests.protocols.push import KEY
from chatswarm.loadtests.system.units import human

from .causes import GIVE_ORIGIN, HANGS, PROCESS_LOG, Diagnosis, filled, http, network, not_the_chat
from .diagnosis import HERE, GuideProblem, unless_slow
from .symptoms import Failure, RoomStep, Symptoms

TITLES = {
    RoomStep.REACHABLE: "The Chat Cannot Be Reached",
    RoomStep.LOGGED_IN: "Users Cannot Log In",
    RoomStep.ROOM: "The Room Cannot Be Created",
    RoomStep.CONNECTED: "The WebSocket Does Not Connect",
    RoomStep.JOINED: "A Member Cannot Join Its Room",
    RoomStep.SENT: "A Message Cannot Be Sent",
    RoomStep.ACKNOWLEDGED: "A Message Is Not Acknowledged",
    RoomStep.SHOWN: "A Message Does Not Arrive",
    RoomStep.IN_TIME: "A Message Arrives Too Late",
    RoomStep.SERIES: "Messages in Quick Succession Go Wrong",
    RoomStep.STRANGER: "The Room Is Open to Strangers",
    RoomStep.REPLAYED: "What Happens During a Lost Connection Is Missed",
    RoomStep.HISTORY: "The History Is Not What Was Sent",
    RoomStep.HEARTBEAT: "The Heartbeat Gets No Answer",
}

_CHOOSE_PROTOCOL = "choose this chat's protocol with --protocol"
_KEY_CAUSES = [
    f"the service key in the variable {KEY} is missing, or not the chat's (with --protocol push)",
    "{origin_cause}",
]
_GIVE_KEY = [f"start the check with the chat's own key in {KEY}", GIVE_ORIGIN]

_REFUSED = {
    (RoomStep.LOGGED_IN, 401): (_KEY_CAUSES, _GIVE_KEY),
    (RoomStep.LOGGED_IN, 403): (_KEY_CAUSES, _GIVE_KEY),
    (RoomStep.ROOM, 401): (_KEY_CAUSES, _GIVE_KEY),
    (RoomStep.ROOM, 403): (_KEY_CAUSES, _GIVE_KEY),
    (RoomStep.CONNECTED, 401): (
        [
            "this chat does not accept the token that its own login gave: each worker signs with its own secret",
            "it does not look for the token where the protocol puts it, or a proxy removes it",
        ],
        ["give all workers the same secret", "connect past the proxy", _CHOOSE_PROTOCOL],
    ),
    (RoomStep.CONNECTED, 403): (
        ["{origin_cause}", "this chat does not accept the token that its own login gave"],
        [GIVE_ORIGIN, "compare where the protocol puts the token with where the chat looks for it"],
    ),
    (RoomStep.CONNECTED, 404): (
        ["the path is wrong, or the path in --target is missing or superfluous", "it is another chat"],
        ["compare the path with the backend's routes", _CHOOSE_PROTOCOL],
    ),
}

_SILENT = {
    RoomStep.CONNECTED: Diagnosis(
        "{what}: the handshake succeeded, but the user was not greeted within {waited}.",
        [
            "the backend accepts, then hangs before its greeting (waiting for its broker or database)",
            "it waits for the token in a frame, because it did not find the one in the handshake",
            "a proxy buffers frames and does not pass them on",
        ],
        [PROCESS_LOG, "compare where the protocol puts the token with where the chat looks for it"],
    ),
    RoomStep.JOINED: Diagnosis(
        "The join was sent, but no answer came within {waited}: the socket stayed silent.",
        ["the backend does not know this frame, and ignores it", *HANGS],
        ["compare the join frame with what the backend expects", PROCESS_LOG],
    ),
    RoomStep.STRANGER: Diagnosis(
        "A user who is no member of the room asked to join it, and got no answer within {waited}.",
        ["the backend does not look at who is a member", "it refuses, and does not say so: users wait forever"],
        ["answer every join, with a refusal where it is due", PROCESS_LOG],
    ),
    RoomStep.REPLAYED: Diagnosis(
        "The viewer that was cut connected again, and then got no answer within {waited}.",
        ["the backend still holds the lost connection, and waits for it", *HANGS],
        ["let a new connection of a user take nothing from the old one", PROCESS_LOG],
    ),
}

_SOCKET = {
    Failure.STATUS: Diagnosis("The handshake at {what} was refused with HTTP {status}{retry_after}{detail}.", [], []),
    Failure.NOT_WEBSOCKET: Diagnosis(
        "{what} responded with 101, but not with a valid WebSocket handshake{detail}.",
        ["a proxy answers or rewrites the handshake", "this path speaks another protocol than WebSocket"],
        ["connect past the proxy to see whether it is the backend or the proxy"],
    ),
    Failure.NO_ANSWER: Diagnosis(
        "{what}: HTTP works, but the WebSocket handshake got no response within {waited}.",
        [
            "a proxy in between does not pass the Upgrade and Connection headers on, and waits",
            "the backend does work (authentication, database) before it accepts the handshake, and that work hangs",
        ],
        ["connect past the proxy", PROCESS_LOG],
    ),
    Failure.ERROR_FRAME: Diagnosis(
        "The backend sent an error frame{detail}.",
        ["the backend does not know this frame, or expects other fields"],
        ["read the message in the error frame", "compare the protocol's frames with what the backend expects"],
    ),
    Failure.CLOSED: Diagnosis(
        "The backend closed the socket{detail}.",
        [
            "it does not accept the user's token (codes 1008, 3000, 4401, 4403)",
            "the handler crashed (code 1011, or no code at all)",
            "the backend is shutting down or full (codes 1001, 1012, 1013)",
        ],
        ["look up what the close code means", PROCESS_LOG],
    ),
    Failure.UNREADABLE: Diagnosis(
        "The backend sent a frame that cannot be read{detail}.",
        ["the backend speaks another version of the protocol", "it is another kind of chat"],
        [f"{_CHOOSE_PROTOCOL}, or write one"],
    ),
}


def explain(symptoms: Symptoms, *, on_socket: bool) -> GuideProblem:
    """What is wrong, most likely cause first. `on_socket`: it happened on a WebSocket, not to a request."""
    assert isinstance(symptoms.broken, RoomStep)
    if symptoms.failure is not None and (found := not_the_chat(symptoms)) is not None:
        return GuideProblem(HERE[symptoms.failure], *found, here=True)
    found = _found(symptoms, symptoms.broken, on_socket)
    return GuideProblem(TITLES[symptoms.broken], found.seen, unless_slow(symptoms, found.causes), found.remedies)


def _found(symptoms: Symptoms, broken: RoomStep, on_socket: bool) -> Diagnosis:
    if broken is RoomStep.REACHABLE or symptoms.failure is None:
        return network(symptoms)
    found = http(symptoms) or network(symptoms)
    if on_socket and symptoms.failure is Failure.NO_FRAME:
        found = filled(_SILENT.get(broken, _SILENT[RoomStep.JOINED]), symptoms)
    elif on_socket and symptoms.failure in _SOCKET:
        row = filled(_SOCKET[symptoms.failure], symptoms)
        found = row if row.causes else found._replace(seen=row.seen)
    if symptoms.failure is Failure.STATUS and (known := _REFUSED.get((broken, symptoms.status or 0))) is not None:
        found = filled(Diagnosis("", *known), symptoms)._replace(seen=found.seen)
    return found


# What a step finds wrong itself.


def join_refused(detail: str) -> Diagnosis:
    """A member's join was refused."""
    said = f": {detail}" if detail else ""
    return Diagnosis(
        f"The room was created with this user as a member, but its join was refused{said}.",
        [
            "the membership is not known where the join arrived: each process has its own store, or a cache lags",
            "the chat stores members under other names than those that log in",
        ],
        ["run one process, or give all of them the same store", "read the message in the refusal"],
    )


def rejected(status: int, detail: str) -> Diagnosis:
    """A member's send was rejected. `status`: as by HTTP; 0: none."""
    said = f"status {status}" if status else "no status"
    return Diagnosis(
        f"The message was sent by a member of the room, and rejected ({said}{f', {detail}' if detail else ''}).",
        [
            "the sender's membership is not known where the send arrived",
            "the message breaks a limit: messages have 100 characters here",
            "the store is not available",
        ],
        ["read the message in the rejection", PROCESS_LOG],
    )


def not_acknowledged(waited: float, shown: bool, stored: bool | None) -> Diagnosis:
    """A send was not acknowledged in `waited` seconds. `stored`: whether the history has it; None: unknown."""
    seen = f"The message was sent, but not acknowledged within {human(waited)}"
    if shown or stored:
        return Diagnosis(
            f"{seen}, although {'viewers were shown it' if shown else 'the history has it'}.",
            [
                "the acknowledgement is lost, or has another reference than the send",
                "the backend waits for every viewer in turn before it acknowledges",
            ],
            ["acknowledge once the message is stored, with the reference as it came"],
        )
    return Diagnosis(
        f"{seen}, and nothing shows that it was stored.",
        ["the backend does not know this frame, and ignores it", "the store hangs", *HANGS],
        ["compare the send with what the backend expects", PROCESS_LOG],
    )


def not_shown(missing: int, waited: float, stored: bool | None) -> Diagnosis:
    """An accepted message was not shown to `missing` of the two viewers."""
    who = "neither of the two viewers was" if missing == 2 else "only one of the two viewers was"
    history = {True: "; the history has it", False: "; the history does not have it either", None: ""}[stored]
    seen = f"The message was accepted, but {who} shown it within {human(waited)}{history}."
    if stored is False:
        return Diagnosis(
            seen,
            ["the message was not stored: the acknowledgement comes before the write, and the write failed"],
            ["acknowledge a message only after the commit"],
        )
    if missing == 2:
        return Diagnosis(
            seen,
            [
                "the backend stores the message without sending it on",
                "the viewers are in another process than the sender, and nothing connects the two",
                "the frame carries the text in another form than it was sent",
            ],
            ["run one process; if that works, connect the processes with a broker", PROCESS_LOG],
        )
    return Diagnosis(
        seen,
        [
            "the two viewers are in different processes, and nothing connects them",
            "the backend keeps one connection per room or address, and the second replaces the first",
            "it drops frames for connections that it takes to be slow",
        ],
        ["run one process; if that works, connect the processes with a broker", PROCESS_LOG],
    )


def late(seconds: float, accepted: float | None, update_target: float) -> Diagnosis:
    """A message was shown, but too late. All are seconds after the send."""
    seen = (
        f"Both viewers had the message {human(seconds)} after it was sent; the target is {update_target:g} s. "
        f"It was accepted after {human(accepted)}."
    )
    if accepted is not None and accepted > seconds / 2:
        return Diagnosis(
            seen, ["storing a message is slow (locks, a slow disk, a distant database)", *HANGS], [PROCESS_LOG]
        )
    return Diagnosis(
        seen,
        [
            "sending it on is slow: the backend waits for each viewer in turn, and one of them is slow",
            "the broker between the processes lags, or is polled",
            "messages wait to be sent in batches",
        ],
        ["close all other clients and try again"],
    )


def let_in(how: str) -> Diagnosis:
    """A stranger got what only members may have."""
    return Diagnosis(
        f"A user who logged in, but is no member of the room, {how}.",
        [
            "the backend checks who the user is, but not whether it is a member of the room",
            "members are checked at one door only: joins, reads and sends each need their own check",
        ],
        ["refuse every join, read and send of a room to whoever is no member of it"],
    )


def not_replayed(marked: bool) -> Diagnosis:
    """A viewer that came back did not get what it missed. `marked`: the chat said that something was missed."""
    if marked:
        return Diagnosis(
            "The viewer that was cut was told that it had missed something, but reading it did not show the message.",
            ["reading after a message's id leaves out too much", "the read goes to a replica that lags"],
            ["return everything after the id, oldest first", "read from the primary"],
        )
    return Diagnosis(
        "The viewer that was cut came back and said which message it had last, but a message that was sent meanwhile "
        "was neither replayed nor marked as missed: it is lost for this viewer.",
        [
            "the backend ignores where the viewer left off",
            "the message falls between the replay and the live frames",
        ],
        ["replay everything after that message, or say that there is a gap", "begin the live frames before the replay"],
    )


def shown_again(times: int) -> Diagnosis:
    """A viewer that came back was shown a message more than once."""
    return Diagnosis(
        f"The viewer that was cut was shown a message {times} times, though this protocol's replay does not overlap.",
        [
            "replay and live frames overlap",
            "the replay begins one message too early, with the one that the viewer had last",
        ],
        ["send a message either in the replay or live", "replay what comes after the id, without it"],
    )


def shown_live_again(times: int) -> Diagnosis:
    """A viewer was shown a message more than once, on one connection."""
    return Diagnosis(
        f"A viewer was shown one message {times} times on the same connection.",
        ["it has joined the room more than once", "the chat sends the message on once per process or subscription"],
        ["see in the transcript which frames carry it, and let a rule ignore those that are no message", PROCESS_LOG],
    )


def wrong_history(missing: int, again: int, sent: int = 2) -> Diagnosis:
    """The history is not what was sent: how many messages it lacks, and how many it has again."""
    if missing:
        return Diagnosis(
            f"The history lacks {missing} of the {sent} messages that were accepted.",
            ["messages are acknowledged before they are stored", "the history is read from a replica that lags"],
            ["acknowledge a message only after the commit", "read from the primary"],
        )
    if again:
        return Diagnosis(
            "The history has a message more than once.",
            ["a message is stored once per viewer or process", "pages overlap"],
            ["store a message once", "begin a page after the last message of the one before"],
        )
    return Diagnosis(
        "The history has the messages in another order than they were sent.",
        ["messages are sorted by a time with too little resolution, or of different clocks"],
        ["sort by an id that grows with each commit"],
    )
