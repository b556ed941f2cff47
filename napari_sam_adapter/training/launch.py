"""How a launcher started this process, by what it leaves in the environment. No torch."""

from __future__ import annotations

import os

from napari_sam_adapter.errors import TrainingError

# What `accelerate launch` sets to "true" where its settings ask for more than a copy of the model
# in every process; an adapter and its optimizer are too small to be worth sharing out.
_SHARDED = {
    "ACCELERATE_USE_FSDP": "FSDP",
    "ACCELERATE_USE_DEEPSPEED": "DeepSpeed",
    "ACCELERATE_USE_MEGATRON_LM": "Megatron-LM",
    "ACCELERATE_USE_PARALLELISM_CONFIG": "a parallelism configuration",
}

# How launchers say how many processes there are, and which of them this is: torchrun, then MPIs.
_WORLD_SIZES = ("WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE")
_RANKS = ("RANK", "OMPI_COMM_WORLD_RANK", "PMI_RANK", "MV2_COMM_WORLD_RANK")


def n_started() -> int:
    """Return how many processes the launcher has started; 1 without one."""
    return max(int(os.environ.get(name) or 1) for name in _WORLD_SIZES)


def rank() -> int:
    """Return which of the processes this is; 0 without a launcher."""
    return next((int(found) for name in _RANKS if (found := os.environ.get(name))), 0)


def check_launch() -> None:
    """Refuse settings of accelerate that would be ignored.

    Raises
    ------
    TrainingError
        If parameters are to be spread over the processes.
    """
    for variable, name in _SHARDED.items():
        if os.environ.get(variable, "").lower() in ("1", "true", "yes"):
            raise TrainingError(
                f"accelerate is set to {name}, and adapters are trained by plain data parallelism: "
                "each process holds the whole model and has its share of the slices. Turn it off "
                "in 'accelerate config', or start with 'accelerate launch --multi_gpu' or torchrun."
            )
