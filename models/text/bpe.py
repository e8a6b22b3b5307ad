"""Byte-level BPE, GPT-2's tokenizer: text to ids and back, by Hugging Face's `tokenizers` library.

Training starts from the 256 bytes and again and again joins the most frequent pair of neighbours: t h -> th, th e -> the. Every
text can be written, for every byte is a token, and decoding gives the very text back. A word carries the space before it
("Ġthe"). Sennrich, Haddow and Birch (2016), "Neural machine translation of rare words with subword units", section 3.2;
Radford et al. (2019), "Language models are unsupervised multitask learners", section 2.2.
Read before: plain.py, tokenizer_files.py. Read next: loading.py, corpus.py.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self

import tokenizers
from tokenizers import models, pre_tokenizers, trainers

from minitorch.files import write_text

from ..errors import short
from ..reading import read_text
from . import tokenizer_files as files
from .plain import PlainTokenizer
from .tokenizer_files import CONFIG, MORE, PARTS
from .tokenizer_json import check_vocabulary, claims, encode_lines, load

END = "<|endoftext|>"  # GPT-2's only special token: between texts, at the beginning, at the end
NAMES = ("bos_token", "eos_token", "unk_token", "pad_token")
CLASSES = ("GPT2", "PreTrained", "TokenizersBackend")
LEAST = 257  # the bytes and END


class BPETokenizer(PlainTokenizer):
    """Text -> ids for GPT: split into words, numbers and signs, each with the space before it; then byte-level BPE."""

    def __init__(self, vocabulary: dict[str, int], merges: Sequence[Any], **settings: Any) -> None:
        """vocabulary: token -> id. merges: pairs of tokens, in the order in which they are joined. settings: as in from_file."""
        self.build({"model": {"type": "BPE", "vocab": vocabulary, "merges": list(merges)}}, settings)

    def build(self, content: dict[str, Any], settings: dict[str, Any]) -> None:
        """From what would be in tokenizer.json and the settings next to it."""
        check(settings)
        joined = complete(content, settings)
        self.backend, self.settings = load(joined), settings
        self.vocabulary = self.backend.get_vocab(with_added_tokens=True)
        for token, claimed in claims(content, settings).items():
            if self.vocabulary[token] != claimed:
                gives = f"the library gives it {self.vocabulary[token]}"
                raise ValueError(f"the added token {token!r} has the id {claimed} in the file, but {gives}: ids have no gap")
        self.tokens = [""] * (max(self.vocabulary.values()) + 1)
        for token, i in self.vocabulary.items():
            self.tokens[i] = token
        for name, token in special(settings, joined["model"]["vocab"]).items():
            setattr(self, name, token)
        self.padding_side, self.truncation_side = (settings.get(f"{x}_side", "right") for x in ("padding", "truncation"))
        self.model_max_length = files.longest(settings)

    @functools.cached_property
    def plain(self) -> tokenizers.Tokenizer:
        """The backend, to which "<|endoftext|>" in a text is letters."""
        plain = tokenizers.Tokenizer.from_str(self.backend.to_str())
        plain.encode_special_tokens = True
        return plain

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int = 4096, progress: bool = False) -> Self:
        """Learn the joins from texts; the same texts give the same ids. END is id 0."""
        if vocab_size < LEAST:
            raise ValueError(f"a vocabulary of {vocab_size} is too small: the 256 bytes and {END} need {LEAST}")
        backend = tokenizers.Tokenizer(models.BPE())
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size, special_tokens=[END], initial_alphabet=alphabet, min_frequency=2, show_progress=progress
        )
        backend.train_from_iterator(texts, trainer)
        model = json.loads(backend.to_str())["model"]
        if not model["merges"] and vocab_size > LEAST:
            raise ValueError("there is no text to learn a vocabulary from: no two letters stand next to each other twice")
        return cls(model["vocab"], model["merges"])

    # ------------------------------------------------------------------------------------------------ using it

    def encode_lines(self, lines: Sequence[str], special: bool = True) -> list[list[int]]:
        """The ids of each text. special: a "<|endoftext|>" in it is the token, not its letters."""
        backend = self.backend if special else self.plain
        return encode_lines(backend, lines)

    def decode(self, ids: Iterable[int], skip_special_tokens: bool = True) -> str:
        """Text again; bytes that are no character become �."""
        return str(self.backend.decode([int(i) for i in ids], skip_special_tokens=skip_special_tokens))

    # --------------------------------------------------------------------------------------------------- files

    @classmethod
    def from_pretrained(cls, folder: str | Path, **changes: Any) -> Self:
        """From a folder with tokenizer.json, or vocab.json and merges.txt. changes: settings other than the folder's."""
        folder = Path(folder)
        name = "tokenizer.json" if (folder / "tokenizer.json").is_file() else "vocab.json"
        return cls.from_file(folder / name, **changes)

    @classmethod
    def from_file(cls, path: str | Path, **changes: Any) -> Self:
        """From a tokenizer.json, or a vocab.json with merges.txt in the same folder, and the settings next to it."""
        path = Path(path)
        content = files.read_object(path, "a byte-level BPE tokenizer")
        if path.name != "tokenizer.json" and "model" not in content:
            content = {"model": {"type": "BPE", "vocab": content, "merges": read_merges(path.parent / "merges.txt")}}
        settings = {**files.read_settings(path.parent, check), **changes}
        self = cls.__new__(cls)
        try:
            self.build(content, settings)
        except ValueError as error:
            raise ValueError(f"{path}: not a byte-level BPE tokenizer ({short(error, 300)})") from error
        return self

    def save_pretrained(self, folder: str | Path) -> None:
        """Write tokenizer.json, vocab.json and merges.txt (without added tokens), and tokenizer_config.json."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        content = json.loads(self.backend.to_str())
        merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in content["model"]["merges"]]
        write_text(folder / "vocab.json", json.dumps(content["model"]["vocab"], ensure_ascii=False))
        write_text(folder / "merges.txt", "#version: 0.2\n" + "".join(f"{pair}\n" for pair in merges))
        write_text(folder / "tokenizer.json", json.dumps(content, ensure_ascii=False, separators=(",", ":")))
        kept = {name: value for name, value in self.settings.items() if name not in (*files.PLACES, *files.MORE)}
        tokens = {str(token["id"]): {k: v for k, v in token.items() if k != "id"} for token in content["added_tokens"]}
        kept |= {name: getattr(self, name) for name in (*NAMES, "padding_side", "truncation_side", "model_max_length")}
        kept |= {"tokenizer_class": "GPT2Tokenizer", "added_tokens_decoder": tokens}
        write_text(folder / CONFIG, json.dumps(kept, indent=2, ensure_ascii=False) + "\n")


def read_merges(path: Path) -> list[list[str]]:
    """The joins in a merges.txt: two tokens per line; a first line "#version" is none."""
    merges = []
    for number, line in enumerate(read_text(path, files.LARGEST).split("\n"), 1):
        if line.startswith("#version") or not line.strip():
            continue
        pair = line.split(" ")
        if len(pair) != 2 or not all(pair):
            raise ValueError(f"{path}:{number}: a join is two tokens with a space between them, not {short(line)!r}")
        merges.append(pair)
    return merges


def complete(content: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """The tokenizer.json that ``content`` and the settings mean together; ValueError if it is not byte-level BPE.

    Padding and truncation that some files bake in would spoil every text, so they are left out.
    """
    model = content.get("model")
    if not isinstance(model, dict) or model.get("type", "BPE") != "BPE" or not isinstance(model.get("merges"), list):
        raise ValueError(f"its model is {model.get('type') if isinstance(model, dict) else model}, not BPE with merges")
    check_vocabulary(model.get("vocab"))
    joined: dict[str, Any] = {"version": "1.0", "truncation": None, "padding": None}
    joined |= {name: content.get(name) for name in PARTS} | {"model": {"type": "BPE", **model}}
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    splitter = joined["pre_tokenizer"] = joined["pre_tokenizer"] or dict(level)
    joined["decoder"] = joined["decoder"] or dict(level)
    steps = splitter.get("pretokenizers", [splitter]) if isinstance(splitter, dict) else [splitter]
    byte_level = [step for step in steps if isinstance(step, dict) and step.get("type") == "ByteLevel"]
    if not byte_level or joined["decoder"].get("type") != "ByteLevel":
        raise ValueError("its pre_tokenizer or its decoder is not ByteLevel: it does not cut text into bytes as GPT-2's does")
    if "add_prefix_space" in settings:
        byte_level[0]["add_prefix_space"] = settings["add_prefix_space"]
    if (joined["post_processor"] or {}).get("type") not in (None, "ByteLevel") and adds_tokens(joined):
        raise ValueError("its post_processor puts tokens around each text; GPT-2's puts none")
    joined["added_tokens"] = added_tokens(content, settings, model["vocab"])
    return joined


def adds_tokens(joined: dict[str, Any]) -> bool:
    """Does the post-processor write anything around an empty text?"""
    return bool(load({**joined, "added_tokens": []}).encode("").ids)


def special(settings: dict[str, Any], vocabulary: dict[str, int]) -> dict[str, str | None]:
    """bos_token, eos_token, unk_token, pad_token: as the settings say, else END where the vocabulary has it."""
    usual = {name: END for name in NAMES[:3] if END in vocabulary}
    named = {name: token["content"] for name, token in files.special_tokens(settings, usual)}
    return {name: named.get(name) for name in NAMES}


def added_tokens(content: dict[str, Any], settings: dict[str, Any], vocabulary: dict[str, int]) -> list[dict[str, Any]]:
    """All tokens that are never split: those with an id in its order, then those that are only named."""
    ids = claims(content, settings)
    listed = [*(content.get("added_tokens") or ()), *(settings.get("added_tokens_decoder") or {}).values()]
    found = {token["content"]: token for token in (files.added_token(token, False) for token in listed)}
    found = {text: found[text] for text in sorted(found, key=lambda text: ids[text])}
    usual = {name: END for name in NAMES[:3] if END in vocabulary}
    for name, token in files.special_tokens(settings, usual):
        found.setdefault(token["content"], token)["special"] |= name not in MORE
    return [{"id": ids.get(text, 0), **token} for text, token in found.items()]


def check(settings: dict[str, Any]) -> None:
    """Refuse a setting that has no meaning, or one that would change ids and that GPT-2's tokenizer does not have."""
    values: dict[str, tuple[Any, ...]] = {
        **dict.fromkeys(("padding_side", "truncation_side"), files.SIDE),
        "add_prefix_space": files.BOOL,
        **dict.fromkeys(("add_bos_token", "add_eos_token", "split_special_tokens"), (False, None)),
        "errors": ("replace",),
    }
    for name, known in values.items():
        if name in settings and not any(settings[name] is value or settings[name] == value for value in known):
            raise ValueError(f"{name} is {json.dumps(settings[name], default=str)}; supported: {files.listing(known)}")
    kind = str(settings.get("tokenizer_class") or CLASSES[0])
    if not kind.startswith(CLASSES):
        raise ValueError(f"tokenizer_class is {kind}, which splits text in another way than GPT-2's tokenizer does")
    files.special_tokens(settings, {})  # each is a token
    listed = settings.get("added_tokens_decoder") or {}
    if not isinstance(listed, dict) or not all(str(i).isdecimal() and isinstance(token, dict) for i, token in listed.items()):
        raise ValueError("added_tokens_decoder is an object of ids and tokens")
    files.longest(settings)
