"""A small workspace for the tests of proofs: docstrings of the standard library, some of them twice, and menus."""

from __future__ import annotations

import importlib
import inspect
import json
import random
from pathlib import Path

from tamis import running
from tamis.recipe import load

MODULES = """
argparse ast asyncio.base_events collections concurrent.futures.process configparser csv ctypes.util datetime decimal
difflib doctest email.message enum fractions functools heapq http.client http.cookiejar inspect logging
multiprocessing.pool optparse pathlib pickletools random shutil socket statistics string subprocess tarfile tempfile
textwrap threading turtle unittest.case unittest.mock urllib.request uuid zipfile
"""

RECIPE = """
name: main
sources: [{name: docs, path: docs.jsonl}]
rules:
  set:
    short: text.words >= 30
    menu: text.stop_words >= 2
tokens: null
"""


def documents() -> list[str]:
    """About 300 texts of real prose; every seventh comes twice, and menus stand between."""
    found: dict[str, None] = {}
    for name in MODULES.split():
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        for owner in [module, *(one for _, one in sorted(vars(module).items()) if inspect.isclass(one))]:
            parts = [inspect.getdoc(owner) or ""]
            parts += [inspect.getdoc(one) or "" for _, one in sorted(vars(owner).items()) if inspect.isroutine(one)]
            text = "\n\n".join(dict.fromkeys(part for part in parts if part))
            if 400 < len(text) < 40_000:
                found[text] = None
    texts = sorted(found)[:300]
    rng = random.Random(3)
    menu = ["Home", "Products", "About", "Contact", "Login", "Search", "Cart", "Help", "Privacy", "Terms"]
    menus = ["\n".join(" | ".join(rng.sample(menu, 8)) for _ in range(60)) for _ in range(60)]
    whole = texts + texts[::7] + menus + ["Not found"] * 10
    rng.shuffle(whole)
    return whole


def make(folder: Path, recipe: str = RECIPE) -> Path:
    """Runs the recipe on the documents; the workspace."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"text": text}) for text in documents()]
    (folder / "docs.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    path = folder / "recipe.yaml"
    path.write_text(recipe, encoding="utf-8")
    work = folder / "work"
    running.run_recipe(load(path), work, running.make_engine("local", 1), label="recipe.yaml")
    return work
