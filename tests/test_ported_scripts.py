"""A script of PyTorch and transformers runs here with its import lines changed, and trains to the same logits."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import minitorch
from models.bert import BertConfig, BertForSequenceClassification, BertForTokenClassification, BertTokenizer
from models.text.tokenizer import SPECIAL

ROOT = Path(__file__).parents[1]
THEIRS = """
import torch
from torch.optim import AdamW
from torch.utils.data import DataLoader, Dataset
from transformers import BertForSequenceClassification, BertTokenizer, get_linear_schedule_with_warmup
"""
OURS = """
import minitorch as torch
from minitorch.utils.data import DataLoader, Dataset
from models.bert import AdamW, BertForSequenceClassification, BertTokenizer, get_linear_schedule_with_warmup
"""
SCRIPT = """
import sys

import numpy as np
from sklearn.metrics import classification_report

IMPORTS

folder, result = sys.argv[1:]
texts = ["the cat sat", "a dog ran , ran", "the cat ran", "a dog sat"] * 4
labels = [0, 1, 0, 1] * 4


class Texts(Dataset):
    def __init__(self, texts, labels, tokenizer, max_length):
        self.texts, self.labels, self.tokenizer, self.max_length = texts, labels, tokenizer, max_length

    def __len__(self):
        return len(self.texts)

    def __getitem__(self, i):
        encoding = self.tokenizer(
            self.texts[i], return_tensors="pt", max_length=self.max_length, padding="max_length", truncation=True
        )
        return {
            "input_ids": encoding["input_ids"].flatten(),
            "attention_mask": encoding["attention_mask"].flatten(),
            "labels": torch.tensor(self.labels[i]),
        }


tokenizer = BertTokenizer.from_pretrained(folder)
model = BertForSequenceClassification.from_pretrained(folder, num_labels=2)
loader = DataLoader(Texts(texts, labels, tokenizer, 8), batch_size=4, shuffle=False)
optimizer = AdamW(model.parameters(), lr=1e-2)
scheduler = get_linear_schedule_with_warmup(optimizer, num_warmup_steps=2, num_training_steps=5 * len(loader))
model.train()
for epoch in range(5):
    for batch in loader:
        optimizer.zero_grad()
        outputs = model(batch["input_ids"], attention_mask=batch["attention_mask"], labels=batch["labels"])
        outputs.loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)
        optimizer.step()
        scheduler.step()
model.eval()
logits, predictions = [], []
with torch.no_grad():
    for batch in loader:
        outputs = model(batch["input_ids"], attention_mask=batch["attention_mask"])
        logits.append(outputs.logits.numpy())
        predictions.extend(torch.argmax(outputs.logits, dim=1).tolist())
print(classification_report(labels, predictions, zero_division=0))
np.save(result, np.concatenate(logits))
"""

TAGGING = """
import sys

import numpy as np
from sklearn.metrics import classification_report

IMPORTS

folder, result = sys.argv[1:]
sentences = [["the", "cats", "sat"], ["a", "dog", "ran", ",", "ran"]] * 4
tags = [[0, 1, 2], [0, 1, 2, 0, 2]] * 4
tokenizer = BertTokenizer.from_pretrained(folder)
model = BertForTokenClassification.from_pretrained(folder, num_labels=3)
batch = tokenizer(sentences, is_split_into_words=True, padding=True, truncation=True, max_length=16, return_tensors="pt")
aligned = []
for i, row in enumerate(tags):
    words, before = batch.word_ids(i), None
    aligned.append([])
    for word in words:
        aligned[-1].append(-100 if word is None or word == before else row[word])
        before = word
labels = torch.tensor(aligned)
optimizer = AdamW(model.parameters(), lr=1e-2)
model.train()
for step in range(20):
    outputs = model(**batch, labels=labels)
    optimizer.zero_grad()
    outputs.loss.backward()
    optimizer.step()
model.eval()
with torch.no_grad():
    logits = model(**batch).logits
kept = np.array(aligned) != -100
print(classification_report(np.array(aligned)[kept], logits.argmax(dim=-1).numpy()[kept], zero_division=0))
np.save(result, logits.numpy()[kept])
"""


@pytest.fixture
def folder(tmp_path):
    """A tiny BERT without dropout, so that both libraries compute the same."""
    pieces = [*SPECIAL, "the", "a", "cat", "dog", "sat", "ran", ",", "##s"]
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    minitorch.manual_seed(0)
    dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    BertForSequenceClassification(BertConfig(vocab_size=len(pieces), **sizes, **dropout)).save_pretrained(tmp_path)
    BertTokenizer({piece: i for i, piece in enumerate(pieces)}).save_pretrained(tmp_path)
    return tmp_path


def run(imports: str, folder: Path, script: str = SCRIPT) -> np.ndarray:
    """The logits that the script saves, run as a process of its own."""
    (folder / "script.py").write_text(script.replace("IMPORTS", imports.strip()), encoding="utf-8")
    command = [sys.executable, folder / "script.py", folder, folder / "logits.npy"]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "accuracy" in done.stdout
    return np.load(folder / "logits.npy")


def test_sequence_classification(folder):
    pytest.importorskip("sklearn")
    ours = run(OURS, folder)
    assert (ours.argmax(1) == [0, 1] * 8).all()  # it has learnt that the cat is 0 and the dog is 1
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    np.testing.assert_allclose(ours, run(THEIRS, folder), atol=1e-3)


def test_token_classification(folder):
    pytest.importorskip("sklearn")
    path = folder / "tagger"
    config = BertConfig.from_json_file(folder / "config.json")
    config.num_labels = 3
    BertForTokenClassification(config).save_pretrained(path)
    BertTokenizer.from_pretrained(folder).save_pretrained(path)
    ours = run(OURS.replace("Sequence", "Token"), path, TAGGING)
    assert (ours.argmax(1) == [0, 1, 2, 0, 1, 2, 0, 2] * 4).all()
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    np.testing.assert_allclose(ours, run(THEIRS.replace("Sequence", "Token"), path, TAGGING), atol=1e-2)
