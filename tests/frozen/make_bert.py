"""Store what Hugging Face's BERT heads compute for the cases of tests/bert_cases.py in bert.npz: outputs and gradients.

    python -m tests.frozen.make_bert

Run it again when a case is changed; needs PyTorch and transformers.
"""

import tempfile

import numpy as np
import torch
import transformers

from tests.bert_cases import FROZEN, HEADS, SMALLER, inputs, make, scalar


def main() -> None:
    """Write the file: weights by name (the heads share them), inputs, outputs, gradients."""
    torch.set_num_threads(1)
    numbers: dict[str, np.ndarray] = {}
    for head in HEADS:
        with tempfile.TemporaryDirectory() as folder:
            make(head, **SMALLER).save_pretrained(folder)
            model = getattr(transformers, head).from_pretrained(folder, attn_implementation="eager")
        with torch.no_grad():
            for name, p in model.named_parameters():
                shared = f"weights/{name if hasattr(model, 'bert') else 'bert.' + name}"
                shared = shared if tuple(p.shape) == numbers.get(shared, p).shape else f"{head}/{shared}"
                p.copy_(torch.tensor(numbers.setdefault(shared, p.numpy().copy())))
        batch, labels = inputs(head, np.random.default_rng(1), vocabulary=SMALLER["vocab_size"])
        output = model(**{name: torch.tensor(value) for name, value in {**batch, **labels}.items()})
        scalar(output).backward()
        numbers.update({f"{head}/inputs/{name}": value.astype(np.int16) for name, value in batch.items()})
        numbers.update({f"{head}/labels/{name}": value.astype(np.int16) for name, value in labels.items()})
        numbers.update({f"{head}/outputs/{name}": value.detach().numpy() for name, value in output.items()})
        numbers.update({f"{head}/gradients/{name}": p.grad.numpy() for name, p in model.named_parameters()})
    np.savez_compressed(FROZEN, **numbers)
    print(f"{len(numbers)} arrays, {FROZEN.stat().st_size:,} bytes, from transformers {transformers.__version__}")


if __name__ == "__main__":
    main()
