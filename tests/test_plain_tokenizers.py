"""Byte-level BPE and characters: what transformers' GPT-2 tokenizer does, files both ways, and one loader for every kind."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import BadInput
from models.text.bpe import END, BPETokenizer
from models.text.characters import CharacterTokenizer
from models.text.loading import load_tokenizer
from models.text.tokenizer import Tokenizer

ROOT = Path(__file__).parents[1]
LINES = ["The function returns a list of values.", "\n\n  It's sorted; don't sort it 10 times.", "\tÀ naïve café 🙂 — 的人"] * 3
TEXTS = [
    "", " ", "The list", "  The lists\n\n  returns 123 values", f"a{END}b", f"{END}{END}", "é🙂的", "don't we'll",
    "a\r\n\tb\x00c\xa0d", "<|endoftext|", "x" * 300, "\ud7ff\ue000",
]  # fmt: skip
PYTHON = f"import sys; sys.path.insert(0, {str(ROOT)!r}); "


@pytest.fixture(scope="module")
def bpe():
    return BPETokenizer.train(LINES, 320)


def test_training_finds_frequent_pairs_and_is_the_same_in_every_process(bpe):
    assert len(bpe) == 320
    assert bpe.tokens[:3] == [END, "!", '"']
    assert bpe.tokenize("sort it of") == ["sor", "t", "Ġit", "Ġof"]
    program = PYTHON + f"from models.text.bpe import BPETokenizer as B; print(B.train({LINES!r}, 320).tokens)"
    again = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, encoding="utf-8").stdout
    assert again == f"{bpe.tokens}\n"


def test_training_refuses_what_it_cannot_learn_from():
    with pytest.raises(ValueError, match=r"a vocabulary of 256 is too small: the 256 bytes and .* need 257"):
        BPETokenizer.train(LINES, 256)
    with pytest.raises(ValueError, match="there is no text to learn"):
        BPETokenizer.train([], 300)
    with pytest.raises(ValueError, match="there is no text to learn"):
        CharacterTokenizer.train([""])


@settings(max_examples=50, deadline=None)
@given(st.text())
def test_every_text_comes_back(text):
    bpe = bpe_of_all()
    if END not in text:
        assert bpe.decode(bpe.encode(text)) == text
    characters = CharacterTokenizer.train([text, "a"])
    assert characters.decode(characters.encode(text)) == text
    assert len(characters.encode(text)) == len(text)


def bpe_of_all(made=[]):  # noqa: B006
    made or made.append(BPETokenizer.train(LINES, 300))
    return made[0]


def test_the_end_of_a_text_is_a_token_or_letters(bpe):
    assert (bpe.eos_token_id, bpe.bos_token_id, bpe.unk_token_id, bpe.pad_token_id) == (0, 0, 0, None)
    assert bpe.encode(f"a{END}") == [bpe.vocabulary["a"], 0]
    [letters] = bpe.encode_lines([f"a{END}"], special=False)
    assert 0 not in letters
    assert bpe.decode(letters) == f"a{END}"
    assert bpe.decode([0, *bpe.encode("a list")]) == "a list"
    assert bpe.decode([0, *bpe.encode("a list")], skip_special_tokens=False) == f"{END}a list"


def test_rows_are_padded_at_either_side(bpe):
    for tokenizer in (bpe, CharacterTokenizer.train(LINES)):
        a, b = tokenizer.encode("The"), tokenizer.encode("The list of")
        batch = tokenizer(["The", "The list of"], padding_side="left")
        gap = len(b) - len(a)
        assert batch["input_ids"].tolist() == [[0] * gap + a, b]
        assert batch["attention_mask"].tolist() == [[0] * gap + [1] * len(a), [1] * len(b)]
        assert tokenizer(["The", "The list of"])["attention_mask"].tolist()[0] == [1] * len(a) + [0] * gap
        assert tokenizer("The list of", max_length=2)["input_ids"].tolist() == [b[:2]]
        with pytest.raises(ValueError, match="the list is empty"):
            tokenizer([])
        with pytest.raises(ValueError, match="padding_side is left or right, not 'up'"):
            tokenizer("The", padding_side="up")


def test_a_character_that_the_alphabet_lacks_is_named():
    with pytest.raises(ValueError, match="the text holds 'é', which is not among the 3 characters that this tokenizer knows"):
        CharacterTokenizer("abc").encode("abé")
    for alphabet, says in (("", "it is empty"), ("aa", "one is there twice"), (["ab"], "'ab' is none")):
        with pytest.raises(ValueError, match=f"an alphabet is a list of different characters: {says}"):
            CharacterTokenizer(alphabet)


# ------------------------------------------------------------------------------------------------------------ files


@pytest.mark.parametrize("kind", ["bpe", "characters", "wordpiece"])
def test_a_saved_tokenizer_is_loaded_whichever_kind_it_is(kind, bpe, tmp_path):
    tokenizer = {
        "bpe": lambda: bpe,
        "characters": lambda: CharacterTokenizer.train(LINES),
        "wordpiece": lambda: Tokenizer.train(LINES, 90),
    }[kind]()
    tokenizer.save_pretrained(tmp_path)
    again = load_tokenizer(tmp_path)
    assert type(again) is type(tokenizer)
    assert again.tokens == tokenizer.tokens
    assert again.encode_lines(LINES) == tokenizer.encode_lines(LINES)
    again.save_pretrained(tmp_path / "twice")
    for path in (tmp_path / "twice").iterdir() if kind != "wordpiece" else ():
        assert path.read_bytes() == (tmp_path / path.name).read_bytes(), path.name
    if kind == "bpe":  # GPT-2's older files alone
        (tmp_path / "tokenizer.json").unlink()
        assert load_tokenizer(tmp_path).encode_lines(TEXTS[:-1]) == bpe.encode_lines(TEXTS[:-1])
        assert load_tokenizer(tmp_path / "vocab.json").tokens == bpe.tokens


@pytest.mark.parametrize(
    "config",
    [
        {}, {"add_prefix_space": True}, {"pad_token": "<pad>"},
        {"bos_token": {"content": END, "lstrip": False, "__type": "AddedToken"}, "errors": "replace"},
        {"pad_token": END, "padding_side": "left", "model_max_length": 1024, "tokenizer_class": "GPT2Tokenizer"},
        {"bos_token": "<s>"}, {"additional_special_tokens": ["<e1>"]},
    ],
)  # fmt: skip
@pytest.mark.parametrize("files", ["tokenizer.json", "vocab.json"])
def test_it_is_transformers_tokenizer(files, config, bpe, tmp_path):
    transformers = pytest.importorskip("transformers")
    bpe.save_pretrained(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    for name in ("tokenizer.json",) if files == "vocab.json" else ("vocab.json", "merges.txt"):
        (tmp_path / name).unlink()
    theirs, ours = transformers.GPT2TokenizerFast.from_pretrained(tmp_path), load_tokenizer(tmp_path)
    for text in [*TEXTS, "a <pad> <s> <e1>b"]:
        assert ours.encode(text) == theirs(text).input_ids, text
        for skip in (True, False):
            assert ours.decode(ours.encode(text), skip) == theirs.decode(theirs(text).input_ids, skip_special_tokens=skip)
    for name in ("bos_token", "eos_token", "unk_token", "pad_token", "padding_side", "model_max_length"):
        assert getattr(ours, name) == getattr(theirs, name), name
    assert (ours.pad_token_id, ours.eos_token_id, len(ours)) == (theirs.pad_token_id, theirs.eos_token_id, len(theirs))
    ours.save_pretrained(tmp_path / "saved")
    again = transformers.GPT2TokenizerFast.from_pretrained(tmp_path / "saved")
    assert [again(text).input_ids for text in TEXTS] == [ours.encode(text) for text in TEXTS]
    assert again.pad_token == ours.pad_token


def test_transformers_reads_the_tokenizer_of_characters(tmp_path):
    transformers = pytest.importorskip("transformers")
    ours = CharacterTokenizer.train([*LINES, "\r\n"])
    ours.save_pretrained(tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    for text in ("The list\n\nof values", " ", "\r\n\t🙂的"):
        assert theirs(text).input_ids == ours.encode(text)
        assert theirs.decode(ours.encode(text)) == text


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("tokenizer.json", b"", "not a tokenizer"),
        ("tokenizer.json", b"\x00\x01", "tokenizer.json"),
        ("tokenizer.json", b"{}", "its model is None; known are WordPiece, BPE, WordLevel"),
        ("tokenizer.json", b'{"model": {"type": "Unigram"}}', "its model is 'Unigram'; known are"),
        ("tokenizer.json", b'{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": 3}}', "not BPE with merges"),
        ("tokenizer.json", b'{"model": {"type": "BPE", "vocab": {"a": -1}, "merges": []}}', "the id of 'a' is a whole number"),
        ("tokenizer.json", b'{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["a b"]}}', "the tokenizers library cannot"),
        ("tokenizer.json", b'{"model": {"type": "WordLevel", "vocab": {"a": 0}}}', "not a tokenizer of characters"),
        (
            "tokenizer.json",
            b'{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}, "pre_tokenizer": {"type": "Whitespace"}}',
            "is not ByteLevel",
        ),
        ("merges.txt", b"#version: 0.2\na b c\n", "merges.txt:2: a join is two tokens with a space between them, not 'a b c'"),
        ("merges.txt", None, "merges.txt: no such file"),
        ("vocab.json", b"[]", "vocab.json: not a tokenizer (it holds list)"),
        ("tokenizer_config.json", b'{"padding_side": "up"}', 'padding_side is "up"; supported: "left", "right"'),
        ("tokenizer_config.json", b'{"add_bos_token": true}', "add_bos_token is true; supported: false, null"),
        ("tokenizer_config.json", b'{"tokenizer_class": "RobertaTokenizer"}', "splits text in another way than GPT-2"),
    ],
)  # fmt: skip
def test_a_damaged_file_is_one_line_that_names_it(name, content, message, bpe, tmp_path):
    bpe.save_pretrained(tmp_path)
    if name != "tokenizer.json":
        (tmp_path / "tokenizer.json").unlink()
    (tmp_path / name).write_bytes(content) if content is not None else (tmp_path / name).unlink()
    with pytest.raises(BadInput) as caught:
        load_tokenizer(tmp_path)
    assert message in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_a_folder_without_a_tokenizer(tmp_path):
    with pytest.raises(BadInput, match=r"no tokenizer here, neither tokenizer.json, vocab.json nor vocab.txt"):
        load_tokenizer(tmp_path)
    with pytest.raises(BadInput, match="absent"):
        load_tokenizer(tmp_path / "absent")
