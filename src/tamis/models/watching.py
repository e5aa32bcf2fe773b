"""What a person sees of a run: a bar with loss, tokens a second and time left, warnings, and TensorBoard's files."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from tamis.console import QUIET_SECONDS, clock
from tamis.models.health import Health
from tamis.models.loop import Loop, Step


class Watching:
    """A context around a loop; `at` after every step. On no terminal: a line every 15 seconds."""

    def __init__(self, name: str, loop: Loop, progress: bool, logs: Path | None) -> None:
        self.loop, self.progress, self.told = loop, progress, 0
        self.began, self.first, self.drawn = time.monotonic(), loop.done, time.monotonic()
        self.writer: Any = None
        if logs is not None:
            from torch.utils.tensorboard import SummaryWriter

            # Rows of steps after the checkpoint, which a killed run left, are hidden.
            self.writer = SummaryWriter(str(logs), purge_step=loop.done + 1)
        if progress:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn

            self.console = Console(stderr=True)
            self.bar = Progress(
                TextColumn(f"train {name[:8]}"), BarColumn(24), TextColumn("{task.description}"),
                console=self.console, disable=not self.console.is_terminal, transient=True,
            )  # fmt: skip
            self.task = self.bar.add_task("", total=loop.steps, completed=loop.done)

    def at(self, step: Step, health: Health, watched: bool) -> None:
        if self.progress:
            self._tell(step, health)
        if self.writer is not None and watched:
            self._log(step, health)

    def _tell(self, step: Step, health: Health) -> None:
        seconds = max(time.monotonic() - self.began, 1e-9)
        done = step.step - self.first
        speed = done * self.loop.tokens_per_step / seconds
        left = clock(seconds / done * (step.steps - step.step))
        line = f"step {step.step:,}/{step.steps:,}  loss {step.loss:.3f} nats/token  {speed:,.0f} tokens/s  {left} left"
        self.bar.update(self.task, completed=step.step, description=line)
        if not self.console.is_terminal and time.monotonic() - self.drawn > QUIET_SECONDS:
            self.drawn = time.monotonic()
            self.console.print(line, highlight=False, soft_wrap=True)
        for warning in health.warnings[self.told :]:
            where = f"; documents {', '.join(warning.documents[:8])}" if warning.documents else ""
            self.bar.console.print(
                f"warning: step {warning.step}, {warning.kind}: {warning.message}{where}", style="yellow",
                highlight=False, soft_wrap=True, markup=False,
            )  # fmt: skip
        self.told = len(health.warnings)

    def _log(self, step: Step, health: Health) -> None:
        for name, value in (("loss", step.loss), ("learning rate", step.lr), ("gradient", step.grad_norm)):
            self.writer.add_scalar(name, value, step.step)
        for name, load in zip(health.layers, health.loads[-1] if health.loads else (), strict=False):
            for expert, tokens in enumerate(load.tolist()):
                self.writer.add_scalar(f"experts/{name}.{expert}", tokens, step.step)
        for row in health.last():
            self.writer.add_scalar(f"gradient/{row.name}", row.gradient, step.step)
            if row.update == row.update:  # not NaN
                self.writer.add_scalar(f"update/{row.name}", row.update, step.step)

    def __enter__(self) -> Watching:
        if self.progress:
            self.bar.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        if self.progress:
            self.bar.__exit__(*error)
        if self.writer is not None:
            self.writer.close()
