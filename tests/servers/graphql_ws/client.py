"""A raw subscriber to a room of the GraphQL chat."""

import itertools
import json
from collections.abc import Mapping

from tests.servers.client import Client, fetched

SUBSCRIBE = "subscription ($room: ID!) { messages(room: $room) { id room text } }"
SEND = "mutation ($room: ID!, $text: String!) { send(room: $room, text: $text) { id } }"
LIST = (
    "query ($room: ID!, $after: Int, $limit: Int) { messages(room: $room, after: $after, limit: $limit) { id text } }"
)


class GraphqlWsClient(Client):
    """One subscription, and mutations over the same socket.

    The protocol does not confirm a subscription, so a query that is answered after it is asked for.
    """

    def __init__(self, base_url: str, room: str) -> None:
        self._ids = map(str, itertools.count())
        super().__init__(base_url, room, "/graphql", subprotocol="graphql-transport-ws")

    def join(self) -> None:
        self.put(json.dumps({"type": "connection_init"}))

    def say(self, text: str) -> None:
        self._ask(SEND, {"room": self.room, "text": text})

    def _ask(self, query: str, variables: Mapping[str, str]) -> None:
        payload = {"query": query, "variables": variables}
        self.put(json.dumps({"id": next(self._ids), "type": "subscribe", "payload": payload}))

    def hear(self, frame: str) -> None:
        match json.loads(frame):
            case {"type": "connection_ack"}:
                self._ask(SUBSCRIBE, {"room": self.room})
                self._ask("{ __typename }", {})
            case {"type": "ping"}:
                self.put(json.dumps({"type": "pong"}))
            case {"type": "next", "payload": {"data": {"messages": message}}}:
                self.texts.put(message["text"])
            case {"type": "next", "payload": {"data": {"send": _}}}:
                self.acknowledged.put(None)
            case {"type": "next", "payload": {"data": {"__typename": _}}}:
                self.joined.put(None)


def stored(base_url: str, room: str) -> list[str]:
    """All messages of a room, page by page."""
    texts: list[str] = []
    after = 0
    while page := _page(base_url, room, after):
        texts += [text for _, text in page]
        after = page[-1][0]
    return texts


def _page(base_url: str, room: str, after: int) -> list[tuple[int, str]]:
    variables = {"room": room, "after": after, "limit": 7}
    answer = json.loads(fetched(f"{base_url}/graphql", {"query": LIST, "variables": variables}))
    return [(message["id"], message["text"]) for message in answer["data"]["messages"]]
