"""What every command shares: options, and expected errors made into one line and an exit code.

Exit codes: 0 done, 1 the data or a check says no, 2 wrong use.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from tamis.errors import SaidNo, WrongUse

Work = Annotated[Path, typer.Option("--work", "-w", help="The workspace: a folder that Tamis owns.")]
CorpusName = Annotated[str, typer.Option("--corpus", "-c", help="Which corpus of the workspace.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
Workers = Annotated[int | None, typer.Option("--workers", "-j", min=1, help="Processes; as many as cores if absent.")]
EngineName = Annotated[str, typer.Option("--engine", help="Where tasks run: `local`, or `ray`.")]

# Packages that only some commands need, and the extra that brings each.
EXTRAS = {
    **dict.fromkeys(("torch", "scipy", "matplotlib", "safetensors", "tensorboard"), "train"),
    **dict.fromkeys(("transformers", "accelerate"), "hf"),
    **dict.fromkeys(("mlxtend", "sklearn"), "claims"),
    **dict.fromkeys(("fastapi", "sqlalchemy", "argon2", "uvicorn", "jinja2", "itsdangerous", "httpx"), "people"),
    "lm_eval": "eval",
    "ray": "ray",
}


class Refused(SaidNo):
    """The data or a check says no: the message is printed and the exit code is 1."""


@contextmanager
def errors() -> Iterator[None]:
    """Expected errors become one `error:` on standard error and an exit code; anything else is a defect and shows."""
    from tamis.corpus.build import NothingKept
    from tamis.corpus.mixture import MixtureError
    from tamis.corpus.tokenizer import TokenizerError
    from tamis.dedup.clusters import AbsurdRemoval
    from tamis.documents import DamagedFile
    from tamis.engine import TaskFailed
    from tamis.sources import SourceError
    from tamis.verdicts.rules import RuleError
    from tamis.workspace import WorkspaceError, mending
    from tamis.yaml_models import RecipeError

    wrong_use = (RecipeError, RuleError, SourceError, WorkspaceError, WrongUse)
    said_no = (AbsurdRemoval, MixtureError, NothingKept, TokenizerError, SaidNo)
    try:
        yield
    except wrong_use as error:
        fail(str(error), 2)
    except DamagedFile as error:
        fail(f"{error}{_mending(str(error))}", 1)
    except said_no as error:
        fail(str(error), 1)
    except TaskFailed as error:
        if error.detail:
            typer.echo(error.detail, err=True)
        go_on = _mending(error.message) or (
            "\n  What was finished is kept: run the same command again to go on."
            if error.passing
            else "\n  What was finished is kept, but the same command stops here again until the cause is mended."
        )
        fail(f"{error}{go_on}", 1)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRAS:
            raise
        fail(f"this command needs the package {package}: pip install 'tamis[{EXTRAS[package]}]'", 2)
    except BrokenPipeError:  # of standard output: the reader has seen enough
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 (or the interpreter complains when it leaves)
        raise typer.Exit(0) from None
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        hint = f"\n  {mending('WORK')}" if "page integrity" in str(error) else ""
        fail(f"{where}{error.strerror or error}{hint}", 1)
    except KeyboardInterrupt:
        fail("stopped. What was finished is kept: run the same command again to go on.", 1)


def _mending(message: str) -> str:
    """What to do about a damaged file that a message begins with, where the file is of a workspace; or nothing."""
    from tamis.workspace import mending

    if not re.search("damaged|cannot be read|has (more|fewer) rows", message):
        return ""
    work = next((folder for folder in Path(message).parents if (folder / "_done").is_dir()), None)
    return f"\n  {mending(work)}" if work else ""


def fail(message: str, code: int) -> None:
    typer.echo(f"error: {message}", err=True)
    if "--json" in sys.argv[1:]:
        show({"error": message})
    raise typer.Exit(code)


def show(body: Any) -> None:
    typer.echo(json.dumps(body, indent=1, ensure_ascii=False, default=str))
