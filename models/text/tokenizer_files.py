"""What the files of a folder say of a WordPiece tokenizer: all of it is obeyed, or refused by name.

    tokenizer.json            everything, as the `tokenizers` library writes it
    vocab.txt                 the vocabulary alone, one token per line; the rest is BERT's
    tokenizer_config.json     settings; where it names one that tokenizer.json holds too, it wins, as at Hugging Face
    special_tokens_map.json, added_tokens.json    older files, read where tokenizer_config.json has no added_tokens_decoder

Read next: tokenizer_json.py, which joins them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ..errors import nearest, quoted, short
from ..reading import parse_json, read_bytes, read_text

LARGEST = 32 << 20  # bytes of a vocabulary's file: half a million tokens
PAD, UNK, CLS, SEP, MASK = SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
NAMES = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), SPECIAL, strict=True))
# The order in which Hugging Face numbers those special tokens that the vocabulary lacks.
ORDER = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
MORE = ("extra_special_tokens", "additional_special_tokens")  # two names of one list
CONFIG, MAP, ADDED = "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"
PARTS = ("normalizer", "pre_tokenizer", "post_processor", "decoder")
FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")
NO_LIMIT = int(1e30)  # the model_max_length of a tokenizer whose files name none, as at Hugging Face

BOOL, SIDE = (True, False), ("left", "right")
VALUES: dict[str, tuple[Any, ...]] = {  # a setting and the values it may have
    "do_lower_case": BOOL,
    "tokenize_chinese_chars": BOOL,
    "strip_accents": (None, *BOOL),
    "clean_up_tokenization_spaces": (None, *BOOL),
    "split_special_tokens": BOOL,
    "padding_side": SIDE,
    "truncation_side": SIDE,
    # What Hugging Face's BertTokenizer does not do, either.
    "do_basic_tokenize": (True, None),
    "never_split": (None, []),
    "word_tokenizer_type": ("basic", None),
    "subword_tokenizer_type": ("wordpiece", None),
    "add_bos_token": (False, None),
    "add_eos_token": (False, None),
    "init_inputs": ([],),
    "fast_tokenizer_files": (["tokenizer.json"], [], None),
}
OTHERS = ("model_max_length", "max_len", "model_input_names", "added_tokens_decoder", "clean_text", "wordpieces_prefix")
NORMAL = {"do_lower_case": "lowercase", "strip_accents": "strip_accents", "tokenize_chinese_chars": "handle_chinese_chars"}
PLACES = ("name_or_path", "tokenizer_file", "vocab_file", "special_tokens_map_file")  # where the files once were: not kept
CLASSES = ("Bert", "DistilBert", "Electra", "MobileBert", "ConvBert", "SqueezeBert", "LayoutLM", "Lxmert", "PreTrained")


# ------------------------------------------------------------------------------------------------------- reading


def read(path: Path, changes: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The content of tokenizer.json (of vocab.txt: what it would be) and the settings of its folder, changed by ``changes``."""
    vocab_only = path.suffix != ".json"
    content = bert(read_vocabulary(path)) if vocab_only else read_object(path, "a WordPiece tokenizer")
    model = content.get("model")
    kind = model.get("type", "WordPiece") if isinstance(model, dict) else "WordPiece"
    if kind != "WordPiece":  # before its settings, which are those of another tokenizer, too
        raise ValueError(f"{path}: not a WordPiece tokenizer (its model is {short(kind)}, not WordPiece)")
    settings = read_settings(path.parent)
    kind = str(settings.get("tokenizer_class"))
    if not vocab_only and kind.startswith(("PreTrained", "TokenizersBackend")):  # with these, tokenizer.json alone counts
        for name, there in NORMAL.items():
            agree(name, settings, (content.get("normalizer") or {}).get(there))
    return content, {**settings, **changes}


def read_object(path: Path, kind: str = "an object of names and values") -> dict[str, Any]:
    """The JSON object of a file."""
    text = read_text(path, LARGEST)
    try:
        content = parse_json(text)
        if "\\ud" in text.lower():
            json.dumps(content, ensure_ascii=False).encode()  # half of a character pair is no text
    except ValueError as error:
        raise ValueError(f"{path}: not {kind} (no JSON: {error})") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: not {kind} (it holds {type(content).__name__})")
    return content


def read_vocabulary(path: Path) -> dict[str, int]:
    """Token -> line number from 0. Lines end at newlines alone; white space at their ends and blank lines are no tokens.

    A blank line counts, so that the ids after it stay right; it is the token "", which no text holds.
    """
    vocabulary: dict[str, int] = {}
    try:
        text = read_bytes(path, LARGEST).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a UTF-8 text ({error.reason} at byte {error.start})") from error
    for i, line in enumerate(text.removesuffix("\n").split("\n")):
        token = line.rstrip()
        if token and token in vocabulary:
            raise ValueError(
                f"{path}:{i + 1}: {quoted(token)} stands already in line {vocabulary[token] + 1}; "
                "a token's line is its id, so each must be there once"
            )
        vocabulary[token] = i
    return vocabulary


def read_settings(folder: Path, check: Callable[[dict[str, Any]], None] | None = None) -> dict[str, Any]:
    """tokenizer_config.json and, where that has no added_tokens_decoder, the two older files. check: raises for a bad setting."""
    check = check or check_bert

    def checked(name: str) -> dict[str, Any]:
        found = read_object(folder / name) if (folder / name).exists() else {}
        try:
            check(found)
            return found
        except ValueError as error:
            raise ValueError(f"{folder / name}: {short(error, 300)}") from error

    settings = checked(CONFIG)
    if "added_tokens_decoder" in settings:
        return settings
    special = checked(MAP)
    more = {name: [*as_list(settings.get(name)), *as_list(special.get(name))] for name in MORE}
    settings = {**settings, **special, **more}
    named = {token["content"] for _, token in special_tokens(settings, {})}
    added = read_object(folder / ADDED) if (folder / ADDED).exists() else {}
    wrong = [token for token, i in added.items() if not isinstance(i, int) or isinstance(i, bool) or i < 0]
    if wrong:
        raise ValueError(
            f"{folder / ADDED}: the id of {quoted(wrong[0])} is a whole number from 0, not {quoted(added[wrong[0]])}"
        )
    settings["added_tokens_decoder"] = {i: added_token(token, token in named) for token, i in added.items()}
    if len(settings["added_tokens_decoder"]) < len(added):
        raise ValueError(f"{folder / ADDED}: two of its tokens have one id")
    return settings


def check_bert(settings: dict[str, Any]) -> None:
    """Refuse a setting that has no meaning, or one that no BERT tokenizer obeys."""
    for name, value in settings.items():
        known = VALUES.get(name)
        if known is not None and not any(value == k and type(value) is type(k) for k in known):
            raise ValueError(f"{name} is {json.dumps(value, default=str)}; supported: {listing(known)}")
    for name in NAMES:
        if settings.get(name, "") is None:
            raise ValueError(f"{name} is null, but BERT needs one")
    special_tokens(settings, {})  # each is a token
    listed = settings.get("added_tokens_decoder") or {}
    for i, token in listed.items() if isinstance(listed, dict) else [("?", listed)]:
        if not str(i).isdecimal() or not isinstance(token, dict):
            raise ValueError(f"added_tokens_decoder is an object of ids and tokens, this has {i!r}: {json.dumps(token)}")
        added_token(token, False)
    kind = str(settings.get("tokenizer_class") or "Bert").removesuffix("Fast")
    if kind != "TokenizersBackend" and kind.removesuffix("Tokenizer") not in CLASSES:
        raise ValueError(f"tokenizer_class is {kind}, which splits text in another way than BERT's tokenizer does")
    inputs = settings.get("model_input_names", ["input_ids"])
    if not isinstance(inputs, list | tuple) or "input_ids" not in inputs:
        raise ValueError(f"model_input_names is a list with input_ids in it, not {json.dumps(inputs, default=str)}")
    longest(settings)


def check_names(changes: dict[str, Any], hub: Iterable[str] = ()) -> None:
    """A keyword that no tokenizer has is a TypeError that names the nearest one."""
    known = [*VALUES, *OTHERS, *ORDER, *MORE, *hub]
    for name in changes:
        if name not in known:
            raise TypeError(f"a tokenizer has no setting {name!r}; the nearest is {nearest(name, known)!r}")


def listing(values: Iterable[Any]) -> str:
    """The values as JSON writes them."""
    return ", ".join(json.dumps(value) for value in values)


def longest(settings: dict[str, Any]) -> int:
    """model_max_length, the most tokens that a row may have."""
    value = settings.get("model_max_length", settings.get("max_len"))
    if value is None:
        return NO_LIMIT
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1 or value < 1:
        raise ValueError(f"model_max_length is a whole number from 1, not {json.dumps(value, default=str)}")
    return int(value)


# ------------------------------------------------------------------------------------------------- special tokens


def added_token(value: Any, special: bool) -> dict[str, Any]:
    """A token as tokenizer.json writes it, from its text or an object. Unless said, only ordinary ones are normalized."""
    token = {"content": value} if isinstance(value, str) else value
    if not isinstance(token, dict) or not isinstance(token.get("content"), str) or not token["content"]:
        raise ValueError(f"a token is a text or an object with its content, not {json.dumps(value, default=str)}")
    special = bool(token.get("special", special))
    flags = {name: token.get(name, False) for name in FLAGS} | {"special": special}
    flags["normalized"] = token.get("normalized", not special)
    for name, flag in {**flags, **{k: v for k, v in token.items() if k not in ("content", "id", "__type")}}.items():
        if name not in FLAGS or not isinstance(flag, bool):
            raise ValueError(f"the token {token['content']!r} has {name}: {json.dumps(flag)}; there are {', '.join(FLAGS)}")
    return {"content": token["content"], **flags}


def as_list(value: Any) -> list[Any]:
    """Further special tokens: a list, or an object of names and tokens."""
    if value is not None and not isinstance(value, list | tuple | dict):
        raise ValueError(f"further special tokens are a list, not {json.dumps(value, default=str)}")
    return list(value.values() if isinstance(value, dict) else value or ())


def special_tokens(settings: dict[str, Any], defaults: dict[str, str] = NAMES) -> list[tuple[str, dict[str, Any]]]:
    """(name, token) of every special token that the settings name: first the usual ones, then those that only this folder has."""
    named = {**defaults, **settings}
    own = [name for name in settings if name.endswith("_token") and name not in ORDER and isinstance(settings[name], str | dict)]
    found = []
    for name in (*ORDER, *own):
        if named.get(name) is not None:
            try:
                found.append((name, added_token(named[name], True) | {"special": True}))
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from error
    more = [token for name in MORE for token in as_list(settings.get(name))]
    return [*found, *(("extra_special_tokens", added_token(token, True)) for token in more)]


def bert(vocabulary: dict[str, int]) -> dict[str, Any]:
    """The tokenizer.json of BERT with this vocabulary."""
    cleaning = {"clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True}
    return {
        "normalizer": {"type": "BertNormalizer", **cleaning},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "model": {"type": "WordPiece", "vocab": vocabulary},
    }


def agree(name: str, settings: dict[str, Any], value: Any) -> None:
    """Refuse a setting that Hugging Face does not read and that says something else than is so."""
    if settings.get(name) not in (None, value):
        is_so, said = json.dumps(value), short(json.dumps(settings[name], default=str))
        raise ValueError(f"{CONFIG} says {name}: {said}, where it is {is_so}; Hugging Face does not read this setting")
