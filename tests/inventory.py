"""`make inventory`: every module of every room with the first line of what it says of itself."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]


def first_line(path: Path) -> str:
    """What a module says of itself: the first line of its docstring, or of the comment that a script begins with."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".js":
        return text.split("\n", 1)[0].removeprefix("//").strip()
    return (ast.get_docstring(ast.parse(text)) or "").split("\n", 1)[0]


def main() -> None:
    for top in ("backend", "loadtests", "dashboards", "grafana", "tests"):
        for folder in sorted({path.parent for suffix in ("py", "js") for path in (ROOT / top).rglob(f"*.{suffix}")}):
            about = folder / "__init__.py"
            print(f"\n{folder.relative_to(ROOT)}/  {first_line(about) if about.exists() else ''}".rstrip())
            for path in sorted(path for path in folder.iterdir() if path.suffix in (".py", ".js")):
                if path != about:
                    print(f"  {path.name:<24} {first_line(path)}")


if __name__ == "__main__":
    main()
