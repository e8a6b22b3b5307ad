"""Store the losses of 50 fine-tuning steps in PyTorch with Hugging Face's model in finetune.json.

    python -m tests.frozen.make_finetune

Run it again when tests/finetune_cases.py changes; needs PyTorch and transformers.
"""

import json
import tempfile

from tests.finetune_cases import FROZEN, WRITERS, ours_50_steps, theirs_50_steps


def main() -> None:
    """Write the file: task -> losses."""
    losses = {}
    for task in WRITERS:
        with tempfile.TemporaryDirectory() as folder:
            job, start, batches, _ = ours_50_steps(task, folder)
            losses[task] = theirs_50_steps(job, start, batches)
    FROZEN.write_text(json.dumps(losses, indent=0) + "\n")


if __name__ == "__main__":
    main()
