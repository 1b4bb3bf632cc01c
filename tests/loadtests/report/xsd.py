"""Validates a document against an XML schema. Supports only the parts of XSD that `junit-10.xsd` uses."""

import re
from pathlib import Path
from xml.etree import ElementTree

JUNIT = Path(__file__).parent / "schema" / "junit-10.xsd"
_XS = "{http://www.w3.org/2001/XMLSchema}"
Element = ElementTree.Element


class Schema:
    def __init__(self, path: Path) -> None:
        root = ElementTree.parse(path).getroot()
        self._elements = {node.attrib["name"]: node for node in root.findall(f"{_XS}element")}
        self._types = {node.attrib["name"]: node for node in root if node.tag != f"{_XS}element"}

    def problems(self, document: bytes) -> list[str]:
        """What is invalid in the document; empty if it is valid."""
        found: list[str] = []
        self._check(ElementTree.fromstring(document), found)
        return found

    def _check(self, element: Element, found: list[str]) -> None:
        rule = self._elements.get(element.tag)
        if rule is None:
            found.append(f"{element.tag}: no such element")
            return
        kind = rule.find(f"{_XS}complexType")
        if "type" in rule.attrib:
            kind = self._types.get(rule.attrib["type"])
        if kind is None:
            assert rule.attrib["type"] == "xs:string"
            if len(element) or element.attrib:
                found.append(f"{element.tag}: expected text alone")
            return
        self._attributes(element, kind, found)
        content = "".join(self._pattern(node) for node in kind if node.tag != f"{_XS}attribute")
        children = "".join(f"<{child.tag}>" for child in element)
        if not re.fullmatch(content, children):
            found.append(f"{element.tag}: expected {content}, got {children}")
        text = [element.text or "", *(child.tail or "" for child in element)]
        if kind.get("mixed") != "true" and "".join(text).strip():
            found.append(f"{element.tag}: expected no text")
        for child in element:
            self._check(child, found)

    def _attributes(self, element: Element, kind: Element, found: list[str]) -> None:
        rules = {node.attrib["name"]: node for node in kind.findall(f"{_XS}attribute")}
        found += [f"{element.tag}: unknown attribute {name}" for name in element.attrib if name not in rules]
        for name, rule in rules.items():
            if name not in element.attrib:
                if rule.get("use") == "required":
                    found.append(f"{element.tag}: expected the attribute {name}")
            elif rule.attrib["type"] != "xs:string":
                restriction = self._types[rule.attrib["type"]].find(f"{_XS}restriction/{_XS}pattern")
                assert restriction is not None
                if not re.fullmatch(restriction.attrib["value"], element.attrib[name]):
                    found.append(f"{element.tag}: {name}: unexpected {element.attrib[name]!r}")

    def _pattern(self, node: Element) -> str:
        """The allowed children, as a regular expression."""
        parts = [self._pattern(child) for child in node]
        match node.tag.removeprefix(_XS):
            case "element":
                pattern = f"<{node.get('ref') or node.get('name')}>"
            case "sequence":
                pattern = "".join(parts)
            case "choice":
                pattern = "|".join(parts)
            case other:
                raise AssertionError(f"xs:{other} is not known here")
        most = node.get("maxOccurs", "1").replace("unbounded", "")
        return f"(?:{pattern}){{{node.get('minOccurs', '1')},{most}}}"
