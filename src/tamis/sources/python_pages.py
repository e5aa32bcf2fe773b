"""Documentation pages of Python modules and classes, made from docstrings.

Modules are parsed with `ast`; nothing is imported or executed. Everything taken from a file is escaped.
"""

from __future__ import annotations

import ast
import html
import inspect
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SOURCE_BYTES = 1 << 20
# A class or a function with less documentation gets no page of its own.
CLASS_CHARACTERS = 1
FUNCTION_CHARACTERS = 300

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Article:
    """The middle of a page: `path` is its place on its site, `links` the names of what it describes."""

    title: str
    path: str
    body: str
    links: tuple[str, ...]


def articles(file: Path, module: str) -> Iterator[Article]:
    """The page of a module, then those of its documented public classes and functions; none where nothing parses."""
    tree = _parsed(file)
    if tree is None:
        return
    functions = [n for n in tree.body if isinstance(n, Function) and _public(n.name)]
    classes = [n for n in tree.body if isinstance(n, ast.ClassDef) and _public(n.name)]
    docstring = ast.get_docstring(tree) or ""
    if not docstring and not functions and not classes:
        return
    place = module.replace(".", "/")
    parts = [f"<h1><code>{html.escape(module)}</code></h1>", prose(docstring)]
    if functions:
        parts.append("<h2>Functions</h2>")
        parts.extend(_function(node, f"{module}.") for node in functions)
    if classes:
        parts.append("<h2>Classes</h2>")
        parts.extend(_class(node, module) for node in classes)
    names = tuple(node.name for node in [*functions, *classes])
    yield Article(f"{module} — Python module", f"{place}.html", "\n".join(parts), names)
    for node in classes:
        if _documentation(node) >= CLASS_CHARACTERS:
            title = f"{module}.{node.name}"
            body = f"<h1>class <code>{html.escape(title)}</code></h1>\n{_class(node, module, heading=False)}"
            links = tuple(method.name for method in _methods(node))
            yield Article(f"{title} — Python class", f"{place}/{node.name}.html", body, links)
    for function in functions:
        if len(ast.get_docstring(function, clean=False) or "") >= FUNCTION_CHARACTERS:
            title = f"{module}.{function.name}"
            body = f"<h1>function <code>{html.escape(title)}</code></h1>\n{_function(function, f'{module}.')}"
            yield Article(f"{title} — Python function", f"{place}/{function.name}.html", body, ())


def prose(text: str) -> str:
    """Plain text, reStructuredText or Markdown as simple HTML: paragraphs, headings, lists, preformatted blocks."""
    blocks = []
    fenced: list[str] | None = None
    for block in re.split(r"\n[ \t]*\n", text.expandtabs(4).strip("\n")):
        if fenced is not None or block.lstrip().startswith("```"):
            fenced = [*(fenced or []), block]
            if sum(part.count("```") for part in fenced) % 2 == 0:
                blocks.append("<pre>" + _escaped("\n\n".join(fenced).replace("```", "")) + "</pre>")
                fenced = None
            continue
        blocks.append(_block(block))
    if fenced is not None:
        blocks.append("<pre>" + _escaped("\n\n".join(fenced)) + "</pre>")
    return "\n".join(part for part in blocks if part)


def _block(block: str) -> str:
    lines = block.split("\n")
    first = lines[0]
    if not block.strip():
        return ""
    if heading := re.match(r"(#{1,4})\s+(.+)", first):
        level = min(len(heading[1]) + 1, 4)
        rest = _block("\n".join(lines[1:])) if len(lines) > 1 else ""
        return f"<h{level}>{_inline(heading[2])}</h{level}>{rest}"
    if len(lines) > 1 and re.fullmatch(r"([=\-~^*\"#])\1{2,}\s*", lines[1]):
        rest = _block("\n".join(lines[2:])) if len(lines) > 2 else ""
        return f"<h3>{_inline(first)}</h3>{rest}"
    if re.match(r"\s*>>> ", first) or all(line.startswith(("    ", "\t")) or not line for line in lines):
        return f"<pre>{_escaped(block)}</pre>"
    if re.match(r"\s*[-*+] ", first):
        items = re.split(r"(?m)^\s*[-*+] ", block)[1:]
        return "<ul>" + "".join(f"<li>{_inline(item)}</li>" for item in items) + "</ul>"
    return f"<p>{_inline(block)}</p>"


def _inline(text: str) -> str:
    escaped = _escaped(re.sub(r"\s*\n\s*", "\n", text.strip()))
    return re.sub(r"``?([^`\n]{1,80})``?", r"<code>\1</code>", escaped)


def _escaped(text: str) -> str:
    return html.escape(text, quote=False).replace("\0", "\ufffd")


def _parsed(file: Path) -> ast.Module | None:
    try:
        if file.stat().st_size > SOURCE_BYTES:
            return None
        source = file.read_bytes()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes in other people's strings
            return ast.parse(source)
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _class(node: ast.ClassDef, module: str, heading: bool = True) -> str:
    parts = []
    if heading:
        parts.append(f"<h3>class <code>{html.escape(node.name)}</code></h3>")
    if node.bases:
        bases = ", ".join(f"<code>{_escaped(_unparsed(base))}</code>" for base in node.bases)
        parts.append(f"<p class='bases'>Bases: {bases}</p>")
    parts.append(prose(ast.get_docstring(node) or ""))
    parts.extend(_function(method, f"{node.name}.") for method in _methods(node))
    return "\n".join(parts)


def _documentation(node: ast.ClassDef) -> int:
    """Characters of the docstrings of a class and its public methods."""
    return sum(len(ast.get_docstring(n, clean=False) or "") for n in (node, *_methods(node)))


def _methods(node: ast.ClassDef) -> list[Function]:
    return [n for n in node.body if isinstance(n, Function) and (_public(n.name) or n.name == "__init__")]


def _function(node: Function, owner: str) -> str:
    prefix = "async " if isinstance(node, ast.AsyncFunctionDef) else ""
    returns = f" -> {_unparsed(node.returns)}" if node.returns is not None else ""
    signature = f"{prefix}{owner}{node.name}({_unparsed(node.args)}){returns}"
    text = prose(inspect.cleandoc(ast.get_docstring(node, clean=False) or ""))
    return f"<dl><dt><code>{_escaped(signature)}</code></dt><dd>{text}</dd></dl>"


def _unparsed(node: ast.AST) -> str:
    try:
        return ast.unparse(node)[:400]
    except (RecursionError, ValueError):
        return "..."


def _public(name: str) -> bool:
    return not name.startswith("_")
