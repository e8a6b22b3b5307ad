"""GPT as its user meets it: a folder, texts that are continued, the command's output and its errors."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

import minitorch
from models import gpt
from models.cli import main
from models.errors import BadInput
from models.generation.streaming import TextStream

from .gpt_cases import make
from .processes import heed_ctrl_c

TEXT = "The function returns the number of items.\nThe class holds a list of names, é and ü.\n" * 3


@pytest.fixture(scope="module", params=["bpe", "characters"])
def folder(request, tmp_path_factory):
    """A GPT with random weights and a tokenizer of its own."""
    where = tmp_path_factory.mktemp(request.param)
    tokenizer = gpt.BPETokenizer.train([TEXT], 300) if request.param == "bpe" else gpt.CharacterTokenizer.train([TEXT])
    make(vocab_size=len(tokenizer) + 3, eos_token_id=None).save_pretrained(where)  # a vocabulary rounded up
    tokenizer.save_pretrained(where)
    return where


def test_write_gives_what_generate_gives(folder):
    tokenizer, model = gpt.load(folder)
    [text] = gpt.write(model, tokenizer, "The class", max_new_tokens=9)
    batch = tokenizer(["The class"])
    table = model.generate(batch["input_ids"], max_new_tokens=9, eos_token_id=None).numpy()[0]
    assert max(text.tokens) < len(tokenizer)
    if max(table) < len(tokenizer):
        assert table[batch["input_ids"].shape[1] :].tolist() == text.tokens
    assert (text.prompt, text.text, text.end) == ("The class", tokenizer.decode(text.tokens), "length")


@pytest.mark.parametrize("options", [{"do_sample": True, "seed": 3}, {"num_beams": 2}], ids=["sampled", "beams"])
def test_pieces_are_the_text(folder, options):
    tokenizer, model = gpt.load(folder)
    heard: list[list[str | None]] = [[], [], [], []]
    options = {**options, "max_new_tokens": 20, "num_return_sequences": 2}
    texts = gpt.write(model, tokenizer, ["The", "The list"], lambda i, piece: heard[i].append(piece), **options)
    assert [text.prompt for text in texts] == ["The", "The", "The list", "The list"]
    for i, text in enumerate(texts):
        assert heard[i].pop() is None
        assert "".join(heard[i]) == text.text == tokenizer.decode(text.tokens)
        assert gpt.write(model, tokenizer, text.prompt, **options)[i % 2].tokens == text.tokens


def test_a_piece_is_sure():
    letters = [b.to_bytes(1, "big") for b in "aé→ STOP it STOPSTART".encode()]

    def decode(tokens):
        return b"".join(letters[i] for i in tokens).decode(errors="replace")

    pieces = []
    stream = TextStream(decode, ["STOPS", "never"], pieces.append)
    for i in range(len(letters)):
        stream.put(i)
    assert stream.end() == "aé→ STOP it " == "".join(pieces)
    assert pieces[:4] == ["a", "é", "→", " "]
    assert stream.stopped
    long = TextStream(decode, ["ab"], pieces.append)
    for i in [0, 1, 2, *([0] * 200), 1, 2]:
        long.put(i)
    assert long.end() == "aé" + 200 * "a" + "é"
    assert len(long.tail) < 100
    stream = TextStream(decode, ["STOPS"], pieces.append)
    for i in range(8):
        stream.put(i)
    assert stream.text == "aé→ "
    stream.put(8)
    assert stream.end() == "aé→ ST"


def test_an_empty_prompt_begins_a_text_or_is_refused(folder):
    tokenizer, model = gpt.load(folder)
    if tokenizer.bos_token_id is None:
        with pytest.raises(BadInput, match="an empty prompt needs a token that begins a text; this tokenizer has none"):
            gpt.write(model, tokenizer, "")
    else:
        assert len(gpt.write(model, tokenizer, "", max_new_tokens=3)[0].tokens) == 3
    with pytest.raises(BadInput, match="there is no prompt"):
        gpt.write(model, tokenizer, [])


def test_a_folder_whose_parts_do_not_belong_together(folder, tmp_path):
    tokenizer, _ = gpt.load(folder)
    make(vocab_size=20, eos_token_id=None).save_pretrained(tmp_path)
    with pytest.raises(BadInput, match="no tokenizer here"):
        gpt.load(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(BadInput, match=rf"the tokenizer has {len(tokenizer)} tokens, the model 20; they do not belong together"):
        gpt.load(tmp_path)
    make(vocab_size=900).save_pretrained(tmp_path)
    with pytest.raises(BadInput, match=rf"the tokenizer has {len(tokenizer)} tokens, the model 900"):
        gpt.load(tmp_path)


# --------------------------------------------------------------------------------------------------- the command


def test_the_command_writes_prompt_and_text_and_the_seed_repeats_it(folder, capsys):
    command = ["generate", "The class", "--model", str(folder), "--max-new-tokens", "8"]
    assert main(command) == 0
    first = capsys.readouterr()
    assert first.out.startswith("The class")
    seed = first.err.split("--seed ")[1].split()[0]
    assert main([*command, "--seed", seed]) == 0
    assert capsys.readouterr() == (first.out, "")


def test_several_texts_one_after_the_other(folder, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("sys.stdin", io.StringIO("The\n\nThe list\n"))
    command = ["generate", "--model", str(folder), "--max-new-tokens", "6", "--num-return-sequences", "2", "--seed", "5"]
    assert main([*command, "-"]) == 0
    shown = capsys.readouterr().out
    assert [shown.count(f"--- {i} ---") for i in (1, 2, 3, 4, 5)] == [1, 1, 1, 1, 0]
    (tmp_path / "prompts.txt").write_text("The\nThe list\n")
    assert main([*command, "--file", str(tmp_path / "prompts.txt"), "--json"]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert shown == "".join(f"--- {i} ---\n{r['prompt']}{r['text']}\n" for i, r in enumerate(records, 1))
    assert all(r["end"] == "length" and len(r["tokens"]) == 6 for r in records)


def test_ctrl_c_leaves_what_was_written(folder):
    command = [sys.executable, "-m", "models.cli", "generate", "The class", "--model", str(folder), "--max-new-tokens", "9999999"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=heed_ctrl_c)
    seen = b""
    while len(seen) < 30:
        more = os.read(process.stdout.fileno(), 1000)
        assert more, process.stderr.read().decode()
        seen += more
    process.send_signal(signal.SIGINT)
    error = process.communicate()[1].decode()
    assert process.returncode == 130
    assert seen.startswith(b"The class")
    assert error.endswith("\nminitorch generate: stopped\n")
    assert "--seed" in error
    assert "Traceback" not in error


def test_a_stop_string_is_left_out(folder, capsys):
    tokenizer, model = gpt.load(folder)
    [text] = gpt.write(model, tokenizer, "The", max_new_tokens=12, do_sample=True, temperature=0.8, seed=1)
    stop = text.text[3:5]
    options = ["--stop", stop.replace("\n", "\\n"), "--stop", "nowhere", "--seed", "1", "--max-new-tokens", "12"]
    assert main(["generate", "The", "--model", str(folder), "--json", *options]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["text"] == text.text[: text.text.index(stop)]
    assert record["end"] == "stop"


def test_what_the_model_cannot_see_is_said(folder, capsys):
    tokenizer, _ = gpt.load(folder)
    prompt = TEXT[:100]
    n = len(tokenizer.encode(prompt))
    assert main(["generate", prompt, "--model", str(folder), "--max-new-tokens", "2", "--temperature", "0"]) == 0
    said = capsys.readouterr().err
    assert "--seed" not in said
    left_out = -((24 - n) // 12) * 12
    assert f"the prompt has {n} tokens, the model sees at most 24: the first {left_out} are left out" in said
    assert main(["generate", "The", "--model", str(folder), "--max-new-tokens", "40", "--temperature", "0"]) == 0
    assert "a longer text forgets how it began" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give a text to continue, or --file FILE"),
        (["x", "--file", "y"], "give a text to continue, or --file FILE, not both"),
        (["--file", "/nowhere/x"], "/nowhere/x: no such file"),
        (["The", "--top-p", "2"], "--top-p is a number from 0 to 1, not 2.0"),
        (["The", "--num-beams", "2", "--seed", "1"], "--num-beams looks for the most probable text, --seed is for one at random"),
        (["The", "--length-penalty", "2"], "--length-penalty is for --num-beams"),
        (["The", "--num-beams", "2", "--num-return-sequences", "3"], "3 sequences need as many beams; --num-beams is 2"),
        (["The", "--model", "/nowhere"], "/nowhere: no such folder"),
        (["The", "--model", "runs/gpt"], "`minitorch pretrain --model gpt` makes one"),
        (["The", "--max-new-tokens", "-1"], "--max-new-tokens is a whole number of at least 0, not -1"),
        (["The", "--stop", ""], "--stop is empty"),
        (["The", "--stop", "\udcff"], "a stop string holds half of a character pair"),
        (["The \udcff"], "\\udcff"),  # a byte of the command line that is no UTF-8
    ],
)
def test_wrong_options_are_one_line(folder, arguments, message, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    model = [] if "--model" in arguments else ["--model", str(folder)]
    try:
        status = main(["generate", *arguments, *model])
    except SystemExit as stopped:
        status = stopped.code
    assert status == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_other_folders_are_refused(folder, tmp_path, capsys):
    config = json.loads((folder / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "model_type": "bert"}))
    assert main(["generate", "The", "--model", str(tmp_path)]) == 2
    assert 'model_type is "bert", not "gpt2"' in capsys.readouterr().err
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert main(["generate", "The", "--model", str(tmp_path)]) == 2
    assert "no model.safetensors here" in capsys.readouterr().err


def test_weights_that_are_damaged_are_said(folder, tmp_path, capsys):
    tokenizer, model = gpt.load(folder)
    with minitorch.no_grad():
        model.transformer.h[0].mlp.c_proj.weight.array[:] = 9e17
        model.transformer.h[0].mlp.c_fc.weight.array[:] = 9e17
        model.transformer.h[0].ln_2.bias.array[:] = 9e17
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with np.errstate(all="ignore"):
        assert main(["generate", "The", "--model", str(tmp_path)]) == 2
    assert "the model's answers are NaN or infinite, so its weights are damaged" in capsys.readouterr().err
