"""A toxic of a proxy: its name, stream and attributes, and the evidence of what it did."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field

from .errors import bad_body, invalid_stream, invalid_type
from .evidence import ToxicEvidence
from .request_body import Body
from .toxics import TOXICS
from .toxics.toxic import Toxic, Values

STREAMS = ("upstream", "downstream")
"""From the client to the upstream, and back."""


@dataclass(slots=True, eq=False)
class ActiveToxic:
    """A toxic that a proxy applies to the connections of one stream."""

    name: str
    kind: str
    stream: str
    toxicity: float  # the probability that it applies to a connection
    values: Values
    evidence: ToxicEvidence = field(default_factory=ToxicEvidence)

    def attach(self, rng: random.Random, now: float, *, fresh: bool) -> Toxic:
        """Make the toxic for one direction of one connection."""
        return TOXICS[self.kind](self.values, rng, now, fresh=fresh)

    def as_json(self) -> dict[str, object]:
        """As in the API's responses."""
        return {
            "attributes": dict(self.values),
            "name": self.name,
            "type": self.kind,
            "stream": self.stream,
            "toxicity": self.toxicity,
        }

    @classmethod
    def read(cls, body: Body) -> "ActiveToxic":
        """Make a toxic from a request body. Raises ApiError with every problem."""
        kind = body.text("type", "")
        stream = body.text("stream", "downstream")
        name = body.text("name", "")
        toxicity = body.fraction("toxicity", 1.0)
        given = body.mapping("attributes")
        if body.problems:
            raise bad_body(body.problems)
        if stream.lower() not in STREAMS:
            raise invalid_stream(stream)
        if kind not in TOXICS:
            raise invalid_type(kind, TOXICS)
        values = _attributes(kind, {}, given)
        stream = stream.lower()
        return cls(name or f"{kind}_{stream}", kind, stream, toxicity, values)

    def change(self, body: Body) -> None:
        """Update it from a request body; missing fields stay. On a problem, raises ApiError and changes nothing."""
        toxicity = body.fraction("toxicity", self.toxicity)
        given = body.mapping("attributes")
        if body.problems:
            raise bad_body(body.problems)
        self.values = _attributes(self.kind, self.values, given)
        self.toxicity = toxicity


def _attributes(kind: str, present: Values, given: Mapping[str, object]) -> Values:
    toxic = TOXICS[kind]
    names = ", ".join(toxic.attributes)
    problems = [
        f"{kind}.{name}: expected one of {names}, got {name!r}" for name in given if name not in toxic.attributes
    ]
    values: dict[str, int] = {}
    for name, attribute in toxic.attributes.items():
        value = given.get(name)
        if value is None:
            value = present.get(name, 0)
        if type(value) is int and attribute.minimum <= value <= attribute.maximum:
            values[name] = value
        else:
            problems.append(f"{kind}.{name}: expected {attribute.expected}, got {value!r}")
    if not problems and (problem := toxic.problem(values)):
        problems.append(f"{kind}.{problem}")
    if problems:
        raise bad_body(problems)
    return values
