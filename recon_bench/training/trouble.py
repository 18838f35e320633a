"""What a training says when it cannot go on: a loss that is not finite, a batch that does not fit into memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from recon_bench.scoring.answers import out_of_memory
from recon_bench.training.checkpoints import Run, State, TrainingError


def not_finite(run: Run, state: State) -> str:
    """The text of the error: what is kept, and which rate and clip to try, a third of those there were."""
    kept, how = "there is no checkpoint yet", "start again"
    if run.file.exists():
        kept, how = f"the checkpoint {run.file} from before is kept", "go on with --resume"
    rate, clip = (f"{value / 3:.1g}" for value in (run.recipe.rate, run.recipe.clip))
    return (
        f"the loss is NaN or infinite by step {state.step}; {kept}. Lower the rate (--recipe rate={rate}) "
        f"or the clip (--recipe clip={clip}) and {how}"
    )


@contextmanager
def memory(file: Path) -> Iterator[None]:
    """Out of memory becomes a :class:`TrainingError`; that of a forward and backward pass is one already."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        kept = f"; the checkpoint {file} is kept, go on with --resume" if file.exists() else ""
        raise TrainingError(
            "out of memory outside forward and backward: the problem, the examples of a batch, the optimiser or a "
            f"validation image do not fit. End what else uses memory or lower --recipe batch{kept}"
        ) from error


def largest(size: int, attempt: Callable[[int], object]) -> int:
    """``size`` or the first of its halves whose ``attempt`` fits into memory; 0 where none does.

    Raises what an attempt raises for another reason.
    """
    while size:
        try:
            attempt(size)
            return size
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
        size //= 2
    return 0


def too_large(batch: int, fits: int, crop: int) -> str:
    """The text of the error: which batch fits, of whole images or of crops, or what else to lower."""
    lower = "--recipe crop" if crop else "its depth or width (--set)"
    advice = f"a batch of {fits} fits: --recipe batch={fits}" if fits else f"a single image does not fit: lower {lower}"
    return f"out of memory with a batch of {batch}; {advice}"
