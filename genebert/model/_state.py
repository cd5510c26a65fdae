"""The state of a training run between two steps, as tensors and plain values."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from genebert.model._plan import PretrainingPlan

__all__ = ["capture", "restore", "run_settings"]


def run_settings(plan: PretrainingPlan) -> dict[str, Any]:
    """What must be the same in a run that is resumed, as JSON holds it."""
    known = {**plan.settings.to_dict(), "network": plan.module.config.to_dict(), "n_steps": plan.n_steps}
    return json.loads(json.dumps(known, default=lambda value: value.item()))


def capture(plan: PretrainingPlan, *, data: str, is_finished: bool = False) -> dict[str, Any]:
    """What `restore` needs. Every process must call it, since what they measured is gathered; the first one writes it.

    There is no state of random numbers: all that is drawn follows from the seed, which is among the settings, and from the
    step, which is in `place`; so does the place of the loader.
    """
    plan.report()
    tables = plan.gathered("train").tables()
    return {
        "settings": run_settings(plan),
        "data": data,
        "place": asdict(plan.place),
        "network": {name: value.detach().cpu() for name, value in plan.module.state_dict().items()},
        "optimizer": None if is_finished else plan.optimizers(use_pl_optimizer=False).state_dict(),
        "average": None if plan.average is None or is_finished else plan.average.state(),
        "best": None if is_finished else plan.best,
        "rows": [{name: _plain(value) for name, value in row.items()} for row in plan.rows],
        "losses": list(plan.losses),
        "measured": tables,
        "is_finished": is_finished,
    }


def restore(plan: PretrainingPlan, state: dict[str, Any]) -> None:
    """Bring a plan whose training has not begun to where `capture` was called."""
    vars(plan.place).update(state["place"])  # in place: the loader reads it, too
    plan.module.load_state_dict(state["network"])
    plan.optimizer_state = state["optimizer"]
    if plan.average is not None and state["average"] is not None:
        plan.average.load(state["average"])
    plan.best = state["best"]
    plan.rows, plan.losses = state["rows"], state["losses"]
    plan.measured_before = state["measured"]


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value
