"""Text to ids: the published vectors, equality with transformers, and a vocabulary that the text alone decides."""

import hashlib
import itertools
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from models.bert import Tokenizer
from models.text.tokenizer import SPECIAL

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared" / "data"
REAL = SHARED / "vocab" / "bert-base-uncased.txt"
WANTED = ["[UNK]", "[CLS]", "[SEP]", "want", "##want", "##ed", "wa", "un", "runn", "##ing", ","]
NASTY = [
    "UNwantéd,running", "", " ", "\t\n", "Hello, World!", "déjà vu — naïve façade", "ÀÉÎÕÜ ñ ß ẞ ﬁ",
    "I'm don't O'Neill's", "state-of-the-art", "3.14 1,000,000 50%", "中文字符 mixed with English", "日本語のテキスト",
    "한국어 텍스트", "Ελληνικά", "Русский текст Ё ё й", "עברית", "العربية", "हिन्दी", "ไทย", "🙂🙃 emoji 👩",
    "zero\u200bwidth\u200djoin", "nul\x00byte � here", "soft\xadhyphen", "nb\xa0space\u2003em",
    "line\u2028sep\x85nel", "bell\x07 esc\x1b", "[MASK] in [SEP] text [CLS]", "[mask] [Pad]", "a[MASK]b",
    "x" * 100, "x" * 101, "word" * 60, "$%^&*()_+{}|:<>?~`", "“quotes” ‘single’ …", "İstanbul ı", "é e\u0301",
    "Å Å", "½ ² ³", "http://a.b/c?d=e#f", "C:\\path\\file", "힣", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢", "a\u0300\u0301\u0302b",
    "\u3000全角\u3000スペース", "﷽", "##ing ##", "un ##want", "[UNK]", "\r\n mixed \r ends",
]  # fmt: skip


def vector_tokenizer():
    tokens = [*WANTED, *(token for token in SPECIAL if token not in WANTED)]
    return Tokenizer({token: i for i, token in enumerate(tokens)})


def test_google_s_vector():
    tokenizer = vector_tokenizer()
    assert tokenizer.tokenize("UNwantéd,running") == ["un", "##want", "##ed", ",", "runn", "##ing"]
    assert tokenizer.encode_lines(["UNwantéd,running"]) == [[7, 4, 5, 10, 8, 9]]
    assert tokenizer.tokenize("unwantedX running") == ["[UNK]", "runn", "##ing"]  # one piece fails: all of the word is unknown
    assert tokenizer.tokenize("un" + "want" * 25) == ["[UNK]"]  # 102 characters


@pytest.fixture(scope="module")
def real():
    if not REAL.is_file():
        pytest.skip(f"the vocabulary of bert-base-uncased is not at {REAL}")
    assert hashlib.sha256(REAL.read_bytes()).hexdigest() == "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"
    return Tokenizer.from_file(REAL)


def test_vectors_of_the_published_vocabulary(real):
    assert len(real) == 30522
    assert [real.pad_id, real.unk_id, real.cls_id, real.sep_id, real.mask_id] == [0, 100, 101, 102, 103]
    assert real.tokenize("unaffable") == ["una", "##ffa", "##ble"]
    assert real.encode_lines(["unaffable"]) == [[14477, 20961, 3468]]
    assert real.encode_lines(["Hello, my dog is cute"]) == [[7592, 1010, 2026, 3899, 2003, 10140]]
    batch = real("Hello, my dog is cute", "unaffable")
    assert batch["input_ids"].tolist() == [[101, 7592, 1010, 2026, 3899, 2003, 10140, 102, 14477, 20961, 3468, 102]]
    assert batch["token_type_ids"].tolist() == [[0] * 8 + [1] * 4]


@pytest.mark.slow
@pytest.mark.parametrize("lowercase", [True, False])
def test_equals_transformers(real, lowercase, tmp_path):
    transformers = pytest.importorskip("transformers")
    theirs = transformers.BertTokenizer(str(REAL), do_lower_case=lowercase)
    tokenizer = Tokenizer.from_file(REAL, lowercase=lowercase)
    rng = random.Random(0)
    alphabet = "".join(NASTY) + "abcdefghij     "
    texts = [*NASTY, *("".join(rng.choices(alphabet, k=rng.randint(1, 60))) for _ in range(2000))]
    assert tokenizer.encode_lines(texts) == theirs(texts, add_special_tokens=False)["input_ids"]
    pairs = [(rng.choice(texts), rng.choice(texts)) for _ in range(500)]
    for most in (8, 13, 40):
        expected = theirs([a for a, _ in pairs], [b for _, b in pairs], truncation=True, max_length=most, padding=True)
        got = tokenizer([a for a, _ in pairs], [b for _, b in pairs], max_length=most)
        assert {name: value.tolist() for name, value in got.items()} == {name: expected[name] for name in got}
    tokenizer.save_pretrained(tmp_path)  # and they read what we write
    back = transformers.BertTokenizer.from_pretrained(tmp_path)
    assert tokenizer.encode_lines(texts) == back(texts, add_special_tokens=False)["input_ids"]
    theirs.save_pretrained(tmp_path / "theirs")
    assert Tokenizer.from_pretrained(tmp_path / "theirs").encode_lines(texts) == tokenizer.encode_lines(texts)


# ------------------------------------------------------------------------------------------------------- training

CHOICES = [("cat", "cart", "card"), ("sat", "sits", "site"), ("play", "pray", "say")]
TEXT = [f"the {a} {b} of {c}ing" for a, b, c in itertools.product(*CHOICES)] * 3


def test_training_again_gives_the_same_ids_in_any_process():
    code = (
        "import hashlib, sys; sys.path.insert(0, sys.argv[1])\n"
        "from tests.test_bert_tokenizer import TEXT; from models.bert import Tokenizer\n"
        "for _ in range(3): print(hashlib.sha256('\\n'.join(Tokenizer.train(TEXT, 60).tokens).encode()).hexdigest())"
    )
    seen = set()
    for seed, threads in (("0", "1"), ("1", "2"), ("77", "4")):
        env = {**os.environ, "PYTHONHASHSEED": seed, "RAYON_NUM_THREADS": threads}
        command = [sys.executable, "-c", code, str(ROOT)]
        done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        seen.update(done.stdout.split())
    assert seen == {hashlib.sha256("\n".join(Tokenizer.train(iter(TEXT), 60).tokens).encode()).hexdigest()}


@pytest.mark.slow
def test_training_on_a_real_text_again_gives_the_same_ids():
    from models.text import python_docs

    lines = [line for _, sentences in python_docs.python_documentation(()) for line in sentences]
    assert len({tuple(Tokenizer.train(lines, 8000).tokens) for _ in range(4)}) == 1


def test_a_trained_vocabulary_writes_its_text_without_unknowns():
    tokenizer = Tokenizer.train(TEXT, 55)
    assert len(tokenizer) == 55
    assert tokenizer.tokens[:5] == list(SPECIAL)
    for line in TEXT:
        assert tokenizer.unk_id not in tokenizer.encode_lines([line])[0]
        assert tokenizer.decode(tokenizer(line)["input_ids"][0].tolist()) == line
    assert tokenizer.tokenize("the cat") == ["the", "cat"]  # frequent words are one piece


def test_vocabularies_that_are_too_small_too_large_or_of_nothing():
    with pytest.raises(ValueError, match=r"a vocabulary of 20 is too small: 5 special tokens and the text's \d+ characters"):
        Tokenizer.train(TEXT, 20)
    assert len(Tokenizer.train(TEXT, 100_000)) == 60  # as many as the text supports
    for nothing in ([], [""], ["  ", "\x00"]):
        with pytest.raises(ValueError, match="there is no text to learn a vocabulary from"):
            Tokenizer.train(nothing)


def test_rare_characters_do_not_fill_the_vocabulary():
    many = ["the cat sat"] * 5 + ["".join(chr(0x4E00 + i) for i in range(3000))]
    tokenizer = Tokenizer.train(many, 4000)
    assert len(tokenizer) < 2100
    assert tokenizer.unk_id not in tokenizer.encode_lines(["the cat"])[0]


def test_cased_training_keeps_the_case(tmp_path):
    tokenizer = Tokenizer.train(["The Cat", "the cat"] * 4, 60, lowercase=False)
    assert tokenizer.tokenize("The cat") == ["The", "cat"]
    tokenizer.save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    assert Tokenizer.from_pretrained(tmp_path).tokenize("The cat") == ["The", "cat"]  # tokenizer_config.json says so


# -------------------------------------------------------------------------------------------------------- files


def test_saved_and_loaded_both_ways(tmp_path):
    tokenizer = Tokenizer.train(TEXT, 60)
    tokenizer.save_pretrained(tmp_path)
    for name in ("tokenizer.json", "vocab.txt"):
        back = Tokenizer.from_file(tmp_path / name)
        assert back.tokens == tokenizer.tokens
        assert back.encode_lines(NASTY) == tokenizer.encode_lines(NASTY)
    (tmp_path / "vocab.txt").write_bytes((tmp_path / "vocab.txt").read_bytes().replace(b"\n", b"\r\n"))
    assert Tokenizer.from_file(tmp_path / "vocab.txt").tokens == tokenizer.tokens
    (tmp_path / "vocab.txt").write_bytes(b"\xef\xbb\xbf" + (tmp_path / "vocab.txt").read_bytes().rstrip())
    assert Tokenizer.from_file(tmp_path / "vocab.txt").tokens == tokenizer.tokens


def test_baked_in_padding_and_truncation_are_ignored_and_normalisation_is_not(tmp_path):
    tokenizer = Tokenizer.train([*TEXT, "é e é e"], 70, lowercase=False)
    tokenizer.backend.enable_padding(length=128)
    tokenizer.backend.enable_truncation(max_length=3)
    content = json.loads(tokenizer.backend.to_str())
    content["added_tokens"].append({**content["added_tokens"][0], "id": len(tokenizer), "content": "<e1>", "special": False})
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    back = Tokenizer.from_pretrained(tmp_path)
    assert len(back("the cat sat of playing")["input_ids"][0]) == 7
    assert back.tokenize("the<e1>é") == ["the", "<e1>", "é"]
    content["normalizer"]["strip_accents"] = True
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    assert Tokenizer.from_pretrained(tmp_path).tokenize("é") == ["e"]


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\na\n", r"vocab\.txt:8: 'a' stands already in line 6"),
        ("vocab.txt", "[PAD]\na\n", r"vocab\.txt: the vocabulary lacks \[UNK\], \[CLS\], \[SEP\], \[MASK\]"),
        ("vocab.txt", "", r"vocab\.txt: the vocabulary lacks \[PAD\]"),
        ("vocab.txt", b"\xff\xfe[", r"vocab\.txt: not a UTF-8 text"),
        ("tokenizer.json", "{", r"tokenizer\.json: not a WordPiece tokenizer"),
        ("tokenizer.json", "[]", r"tokenizer\.json: not a WordPiece tokenizer"),
        ("tokenizer.json", '{"model": {"type": "BPE", "vocab": {}}}', "its model is BPE, not WordPiece"),
        ("tokenizer.json", '{"model": {"vocab": {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 9}}}', "0 to 4"),
    ],
)
def test_damaged_files_are_named(name, content, text, tmp_path):
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=text):
        Tokenizer.from_pretrained(tmp_path)


def test_a_folder_without_a_tokenizer(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no tokenizer here, neither tokenizer\.json nor vocab\.txt"):
        Tokenizer.from_pretrained(tmp_path)


# ------------------------------------------------------------------------------------------------------ encoding


def test_batches_are_padded_and_the_longer_text_is_cut():
    tokenizer = vector_tokenizer()
    batch = tokenizer(["want", "running want ,"])
    assert batch["input_ids"].tolist() == [[1, 3, 2, tokenizer.pad_id, tokenizer.pad_id, tokenizer.pad_id], [1, 8, 9, 3, 10, 2]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 0, 0, 0], [1] * 6]
    assert tokenizer("want , want ,", "want", max_length=6)["input_ids"].tolist() == [[1, 3, 10, 2, 3, 2]]
    assert tokenizer("want , want", max_length=3)["input_ids"].tolist() == [[1, 3, 2]]
    with pytest.raises(ValueError, match="max_length 2 leaves no room"):
        tokenizer("want", "want", max_length=2)
    with pytest.raises(ValueError, match="2 texts and 1 second texts do not pair up"):
        tokenizer(["want", "want"], ["want"])
    with pytest.raises(ValueError, match="there is no text to encode"):
        tokenizer([])


def test_special_tokens_in_a_text_are_tokens_for_users_and_letters_in_a_corpus():
    tokenizer = Tokenizer.train([*TEXT, "[ mask ] [ mask ]"], 70)
    assert tokenizer.encode_lines(["a [MASK]"])[0][-1] == tokenizer.mask_id
    assert tokenizer.mask_id not in tokenizer.encode_lines(["a [MASK]"], special=False)[0]
