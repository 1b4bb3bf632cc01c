"""The causes that `chatswarm why` can name, with what proves and what excludes each, and what to look at next.

`chatswarm check` lists the same causes as likely ones, in the same words: it has seen one message only.
"""

from typing import NamedTuple


class Cause(NamedTuple):
    """One cause. `sentence` follows a count and a finding ("51 lost: …"); the rule fills in its fields in braces.

    `likely`: what is probably wrong in the target; empty where the sentence says it all.
    """

    id: str
    sentence: str
    proves: str
    excludes: str
    next: str
    likely: str = ""


_ROWS = (
    # What is not the target's doing, or was done to it on purpose.
    Cause(
        "rig",
        sentence="held up by the load generator itself",
        proves="on target without the load generator's own delays",
        excludes="still late without them",
        next="give the load generator more CPU or processes: see the rig's reasons",
    ),
    Cause(
        "fault",
        sentence="{relation} the fault {fault}{verb}",
        proves="on target without the time that it spent under the fault, and none outside it",
        excludes="others outside the fault, or more delay than it can add",
        next="see the fault's recovery; compare with a run without it",
    ),
    # The store.
    Cause(
        "unacknowledged",
        sentence="only written to a socket, never acknowledged, and nobody was shown them",
        proves="the protocol has no acknowledgement, and no dashboard or read shows the message",
        excludes="somebody was shown it",
        likely="the target drops what it reads, or reads it after the connection ended",
        next="let the target acknowledge each send, and describe that in the protocol",
    ),
    Cause(
        "never_stored",
        sentence="accepted, but never stored",
        proves="absent in the final read, and never shown to anybody",
        excludes="stored",
        likely="the response comes before the write, and the write failed or was lost",
        next="respond to a send only after the commit",
    ),
    Cause(
        "deleted",
        sentence="shown at first, and gone from the store at the end",
        proves="shown once, absent in the final read",
        excludes="stored",
        likely="something deletes messages: a limit on their number or age, or a rollback after the broadcast",
        next="look for deletes and expiry in the store, and for transactions that broadcast before they commit",
    ),
    Cause(
        "hidden_for_a_while",
        sentence="shown, then missing from a later read, although still stored",
        proves="two reads, of which only the first shows it, and the final read, which does",
        excludes="no read lacks it",
        likely="reads come from replicas or caches of different age",
        next="read from the primary, or from one cache",
    ),
    Cause(
        "stored_twice",
        sentence="stored twice",
        proves="two copies in the final read",
        excludes="one copy",
        likely="a retry inside the target is not recognised as the same message",
        next="make the write idempotent by the client's key",
    ),
    Cause(
        "stored_out_of_order",
        sentence="stored before an earlier message of the same sender, which had been accepted",
        proves="positions in the final read",
        excludes="the final read is in order",
        likely="messages of one chat are written side by side, or ordered by clocks that differ",
        next="order messages by the commit, one writer for each chat",
    ),
    Cause(
        "text_changed",
        sentence="{damage}",
        proves="the text that came differs from the one sent in this way",
        excludes="the text is intact",
        next="see where the text is decoded, escaped or cut on its way",
    ),
    Cause(
        "stored_in_another_chat",
        sentence="stored in another chat",
        proves="the final read of that chat has it",
        excludes="in its own chat",
        likely="a chat's identity is kept in shared state, and requests overlap",
        next="look for globals in the request's handler",
    ),
    Cause(
        "shown_in_another_chat",
        sentence="shown in another chat, but stored in the right one",
        proves="a list or frame has it under another chat",
        excludes="in its own chat",
        likely="the list or frame is put together from several chats",
        next="see how chats and texts are joined",
    ),
    Cause(
        "stored_though_rejected",
        sentence="shown although their sends were rejected",
        proves="the response said no",
        excludes="accepted",
        likely="the check that rejects comes after the write",
        next="validate before writing, or roll back",
    ),
    Cause(
        "never_sent",
        sentence="shown, but nobody sent them",
        proves="complete histories have no such send",
        excludes="a send",
        next="see who else writes",
    ),
    # The list.
    Cause(
        "list_fails",
        sentence="every refetch after them failed: {statuses}",
        proves="all refetches that began after it failed",
        excludes="a list that came",
        next="look at the target's log at these requests",
    ),
    Cause(
        "list_window",
        sentence="their chats are not among the {shown} that the list shows",
        proves="no list after it has its chat, and each holds the same number of chats",
        excludes="its chat is in the list",
        likely="the list is limited to {shown} chats, and is not sorted by newest activity",
        next="sort the list by last activity, newest first; if that is meant, declare list_window",
    ),
    Cause(
        "cached_list",
        sentence="the list did not change while messages were stored",
        proves="refetches got one version of the list, with messages accepted between them that it lacks",
        excludes="the list changes with each message",
        likely="the list comes from a cache or replica that lags",
        next="invalidate the list's cache on commit",
    ),
    Cause(
        "frame_before_list",
        sentence="announced before the list had them",
        proves="a refetch that began after its frame lacks it",
        excludes="the first refetch after the frame has it",
        likely="the message is announced before it is committed",
        next="commit first, then broadcast",
    ),
    Cause(
        "nobody_asked",
        sentence="no refetch began after them",
        proves="its dashboard did not refetch between its acceptance and the end",
        excludes="a refetch after it",
        likely="no frame told the dashboard to refetch, or a page that reconnects does not refetch",
        next="refetch after each (re)subscription, and announce each message",
    ),
    Cause(
        "growing_list",
        sentence="the list takes longer the longer it gets",
        proves="bytes and time of a refetch rise together, at a steady load",
        excludes="as many bytes as before",
        likely="the list returns every message of every chat",
        next="return only the newest chats and their last texts",
    ),
    Cause(
        "listed_twice",
        sentence="shown twice in one list",
        proves="two copies in one read",
        excludes="one copy",
        next="see the joins of the list's query",
    ),
    Cause(
        "listed_out_of_order",
        sentence="a list showed them in another order than the store",
        proves="a list and the final read differ",
        excludes="the same order",
        likely="the list sorts by something that is not unique, such as a time stamp",
        next="sort by the message's id",
    ),
    # The connections.
    Cause(
        "never_subscribed",
        sentence="{dashboards} never subscribed",
        proves="no connection was ever subscribed",
        excludes="a subscription",
        next="see the errors of its attempts to connect",
    ),
    Cause(
        "never_reconnected",
        sentence="{dashboards} lost the connection and did not get back",
        proves="its last connection ended before, and none was subscribed after",
        excludes="a later subscription",
        likely="handshakes are refused, or a limit of connections counts those that are gone",
        next="see the errors of its attempts to connect",
    ),
    Cause(
        "handshake_refused",
        sentence="{dashboards} could not connect: {answer}",
        proves="the last attempts failed",
        excludes="subscribed",
        next="see the target's log at these handshakes",
    ),
    Cause(
        "not_recovered",
        sentence="accepted while {dashboards} {was} away; on its return the target said that nothing was missing",
        proves="accepted between two connections, and the second one's subscription says that it is recovered",
        excludes="replayed, or a read shows it",
        likely="the target's replay begins later than the last message that was shown",
        next="let the client name the last message that it has, and replay from there",
    ),
    Cause(
        "no_replay",
        sentence="accepted while {dashboards} {was} away; no replay",
        proves="accepted between its last byte and its next subscription, and nothing later shows it",
        excludes="a replay or a read shows it",
        likely="the target sends only what comes after the subscription",
        next="replay what a dashboard missed when it is back, or let it read the history",
    ),
    Cause(
        "connection_lost",
        sentence="the connection of {dashboards} ended within 2 s of their acceptance; no replay",
        proves="open when it was accepted, ended before its frame was overdue, and nothing later shows it",
        excludes="open for longer, or shown later",
        likely="a frame was on its way when the connection broke, and nobody sent it again",
        next="replay what a dashboard missed when it is back, or let it read the history",
    ),
    Cause(
        "rejoin_not_sent",
        sentence="{dashboards} had reconnected, but not joined the room again",
        proves="its connection is subscribed, and has no join of the room, which the one before had",
        excludes="joined",
        likely="the client joins rooms only once",
        next="join all rooms on each connection: a [[socket.step]] of the protocol",
    ),
    Cause(
        "not_a_member",
        sentence="the target no longer counts {dashboards} among the room's members",
        proves="its join was refused, or the target ended the subscription",
        excludes="joined",
        next="see who removes members, and why the join was refused",
    ),
    Cause(
        "silent_socket",
        sentence="for 3 s or more, nothing came on the open connection of {dashboards}",
        proves="frames were due for 3 s or more, and none of any message came",
        excludes="another frame in the span",
        likely="the target has forgotten the subscriber, or waits for a write to another one",
        next="drop a connection whose write fails or hangs, and ping from both sides",
    ),
    Cause(
        "unreadable_frames",
        sentence="their frames came, but nobody could read them",
        proves="as many unreadable frames as lost messages, at the right moments",
        excludes="frames that could be read",
        likely="frames are compressed or encoded in another way than was agreed",
        next="see the notes: they quote the frames",
    ),
    Cause(
        "away",
        sentence="accepted while {dashboards} {was} disconnected",
        proves="visible after its next subscription, and on target without the time away",
        excludes="connected all the time",
        next="see why connections ended; reconnect sooner",
    ),
    # The frames.
    Cause(
        "one_worker",
        sentence="{relation}",
        proves="all of one server's messages or dashboards, or the same dashboards each time",
        excludes="spread over servers",
        likely=(
            "processes do not pass messages on: there is no broker, or one of them does not publish or not subscribe"
        ),
        next="run one process; if that works, connect the processes with a broker",
    ),
    Cause(
        "frame_never_sent",
        sentence="{dashboards} {was} subscribed, and no frame came",
        proves="a frame was due on an open connection, and others came",
        excludes="a frame",
        likely="frames are dropped: a full buffer, or a broadcast that fails",
        next="look at the target's log at one of them",
    ),
    Cause(
        "announced_twice",
        sentence="announced twice on one connection",
        proves="two frames with the same message",
        excludes="one frame",
        likely="a connection is subscribed twice, or the broker delivers again",
        next="subscribe each connection once; drop what was sent before",
    ),
    Cause(
        "replay_overlaps",
        sentence="replayed although the dashboard had them",
        proves="a replay of a message that had come before",
        excludes="only what was missed",
        likely="the replay begins earlier than the last message that was shown",
        next="replay from the client's last message on",
    ),
    Cause(
        "announced_out_of_order",
        sentence="their frames came after those of later messages of the same sender",
        proves="times of the frames on one connection, and the order of sends",
        excludes="frames in order",
        likely="each message is sent on by a separate task",
        next="one queue for each connection",
    ),
    # Which ones.
    Cause(
        "one_dashboard",
        sentence="all on dashboard {dashboard}",
        proves="none on any other dashboard",
        excludes="others on other dashboards",
        likely="something about this dashboard: its user, its connection, its position in a table",
        next="compare it with the others",
    ),
    Cause(
        "same_dashboards",
        sentence="the same {dashboards} each time",
        proves="each message is missing on exactly these, and on no other",
        excludes="another set of dashboards",
        likely="these dashboards share something: a process, a proxy, a user, a permission",
        next="compare them with the others: who served them, and when they connected",
    ),
    Cause(
        "one_chat",
        sentence="all in the chat {chat}",
        proves="none in any other chat",
        excludes="others in other chats",
        likely="a filter keeps this chat from the dashboards (user, website, status)",
        next="compare it with the others",
    ),
    Cause(
        "every_kth",
        sentence="every {nth} message, without exception",
        proves="the numbers of the messages have the same remainder, and no other has it",
        excludes="an exception",
        likely="something counts: a batch, a pool, a shard",
        next="look for what there are {k} of",
    ),
    Cause(
        "last_before_quiet",
        sentence="the last message before each quiet second",
        proves="the next message comes more than 1 s later, each time that there is a pause",
        excludes="the last before a pause that was shown",
        likely="a buffer is flushed by the next message",
        next="flush by time as well",
    ),
    # Time.
    Cause(
        "pauses",
        sentence="the target stood still: {pauses}",
        proves="nothing of any kind came from the target while requests were waiting, and then all at once",
        excludes="something came meanwhile",
        likely="its event loop is blocked (a long call, garbage collection), or its disk",
        next="see what runs at these moments",
    ),
    Cause(
        "backlog",
        sentence="more came than the target could pass on: {shown}/s of {accepted}/s",
        proves="latency rises with each second, and what is shown per second stays the same",
        excludes="latency returns while the load goes on",
        likely="one worker, lock or connection takes all messages in turn",
        next="find what is at 100 %: a thread, a lock, a query for each message",
    ),
    Cause(
        "dashboards_in_turn",
        sentence="frames go to one dashboard after another, {each} for each",
        proves=(
            "frames of a message arrive in the same order of dashboards each time, over a time that grows with "
            "their number"
        ),
        excludes="all at once",
        likely="the broadcast waits for each dashboard in turn",
        next="never await a write to a dashboard: queue it, and drop dashboards whose queue is full",
    ),
    Cause(
        "slow_accept",
        sentence="accepting them took {stage} (median)",
        proves="half of the delay or more passed before the response",
        excludes="accepted soon",
        likely="storing a message is slow (locks, a slow disk, a distant database)",
        next="see how long the handler waits for the store",
    ),
    Cause(
        "slow_notify",
        sentence="their frames came {stage} after they were accepted (median)",
        proves="half of the delay or more passed between the response and the frame",
        excludes="announced soon",
        likely="the broker between the processes lags, or is polled",
        next="see when the broadcast is logged",
    ),
    Cause(
        "asked_late",
        sentence="their dashboards asked for the list {stage} after the frame (median)",
        proves="half of the delay or more passed before the refetch, and no other refetch was under way meanwhile",
        excludes="waiting for a refetch that takes long",
        next="see the scenario's `refetch` interval and the load generator: this is not the target's time",
    ),
    Cause(
        "slow_list",
        sentence="the list with them took {stage} after the frame (median)",
        proves="half of the delay or more passed between the frame and the list",
        excludes="the list came soon",
        likely="the list is slow: it returns every message of every chat, or has no index",
        next="return only the newest chats and their last texts",
    ),
    # Refused sends.
    Cause(
        "rate_limited",
        sentence="turned away by a rate limit (429)",
        proves="status 429",
        excludes="another answer",
        next="raise the limit for the load generator's addresses, or send less",
    ),
    Cause(
        "server_error",
        sentence="the target failed: {answer}",
        proves="a status of 500 or more",
        excludes="another answer",
        next="look at the target's log",
    ),
    Cause(
        "turned_down",
        sentence="the target said no: {answer}",
        proves="a status of 400 to 499",
        excludes="another answer",
        next="read one answer",
    ),
    Cause(
        "no_answer",
        sentence="no answer came",
        proves="the connection ended, or time ran out",
        excludes="an answer",
        likely="the target died, or waits for something",
        next="look at the target's log at these moments",
    ),
    # Leaks.
    Cause(
        "never_a_member",
        sentence="shown to dashboards that are never members of the room",
        proves="not among the members, at any time",
        excludes="a member",
        likely="the broadcast does not look at members",
        next="check membership when sending, not only when joining",
    ),
    Cause(
        "former_member",
        sentence="shown to dashboards whose membership had ended",
        proves="intended 2 s or more after the end",
        excludes="a member",
        likely="removing a member leaves the subscription in place",
        next="end the subscription with the membership",
    ),
    Cause(
        "not_yet_a_member",
        sentence="shown to dashboards before their membership began",
        proves="2 s or more before the beginning",
        excludes="a member",
        next="check membership when sending",
    ),
    Cause(
        "stranger_let_in",
        sentence="strangers were let into rooms or shown texts",
        proves="the fault's evidence",
        excludes="refused",
        likely="no check on joining or reading",
        next="check membership on each join and read",
    ),
)

CAUSES = {cause.id: cause for cause in _ROWS}
"""Each cause by its id, which is part of the contract of `chatswarm why --json`."""
