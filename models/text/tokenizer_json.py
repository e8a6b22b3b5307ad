"""One tokenizer.json of all that a folder says, and the library's tokenizer of it; and back, for saving.

The rule: tokenizer.json is obeyed; tokenizer_config.json wins where it names a setting that tokenizer.json holds, too; and
what Hugging Face's BertTokenizer or the `tokenizers` library would silently do otherwise is refused.
Read before: tokenizer_files.py. Read next: tokenizer.py.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from typing import Any

import tokenizers

from . import tokenizer_files as files
from .labelled import refuse_halves
from .tokenizer_files import CONFIG, MORE, NAMES, NORMAL, PARTS, added_token, agree, special_tokens


def build(content: dict[str, Any], settings: dict[str, Any]) -> tokenizers.Tokenizer:
    """The library's tokenizer of a tokenizer.json and the settings next to it."""
    files.check_bert(settings)
    joined = complete(content, settings)
    backend = load(joined)
    ids = backend.get_vocab(with_added_tokens=True)
    names = names_of(settings, joined["model"]["unk_token"])
    missing = [names[name] for name in NAMES if names[name] not in ids]
    if missing or names["unk_token"] not in joined["model"]["vocab"]:
        lacks = ", ".join(missing) or names["unk_token"]
        raise ValueError(f'the vocabulary lacks {lacks}, which BERT needs; {CONFIG} may name others ("mask_token": "<mask>")')
    for token, claimed in claims(content, settings).items():
        if ids[token] != claimed:
            raise ValueError(
                f"the added token {token!r} has the id {claimed} in the file, but Hugging Face's library gives it {ids[token]}: "
                "tokens of the vocabulary keep their ids, and new ones follow without a gap"
            )
    if len(set(ids.values())) < len(ids):
        raise ValueError(f"two of its {len(ids)} tokens have one id")
    check_normalizer(backend, joined["normalizer"], settings)
    check_apart(backend, joined["added_tokens"])
    frame(backend, settings, *(ids[names[name]] for name in ("unk_token", "mask_token", "cls_token", "sep_token")))
    backend.encode_special_tokens = settings.get("split_special_tokens", False)
    return backend


def load(joined: dict[str, Any]) -> tokenizers.Tokenizer:
    """The library's tokenizer; a part that it does not know is named."""
    try:
        return tokenizers.Tokenizer.from_str(json.dumps(joined))
    except Exception as error:
        reason = f"the tokenizers library cannot read it ({error})"
        for name in PARTS:
            with contextlib.suppress(Exception):
                tokenizers.Tokenizer.from_str(json.dumps({**joined, name: None}))  # without this part it can
                reason = f"the tokenizers library does not know its {name} {json.dumps(joined[name])}"
        raise ValueError(reason) from error


def encode_lines(backend: tokenizers.Tokenizer, lines: Sequence[str]) -> list[list[int]]:
    """The ids of each text; half of a character pair (of a command line that is no UTF-8) is a BadInput."""
    try:
        return [encoding.ids for encoding in backend.encode_batch_fast(list(lines), add_special_tokens=False)]
    except TypeError:
        for line in lines:
            refuse_halves("the text", line)
        raise


def complete(content: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """The tokenizer.json that ``content`` and the settings mean together.

    Padding and truncation that some files bake in would spoil every text; Hugging Face's call ignores them, too.
    """
    unknown = set(content) - {"version", "truncation", "padding", "added_tokens", "model", *PARTS}
    if unknown:
        raise ValueError(f"{min(unknown)!r} is no part of a tokenizer.json")
    for name in (*PARTS, "padding", "truncation"):
        part = content.get(name)
        if part is not None and not (isinstance(part, dict) and isinstance(part.get("type", ""), str)):
            raise ValueError(f"its {name} is {json.dumps(part)}, not an object")
        if str((part or {}).get("direction", "right")).lower() not in ("right", "left"):
            raise ValueError(f"the direction of its {name} is {json.dumps(part['direction'])}; there are Left and Right")
    if not isinstance(content.get("model"), dict):
        raise ValueError("it has no model")
    if not isinstance(content.get("added_tokens") or [], list):
        raise ValueError("its added_tokens are no list")
    usual = {"type": "WordPiece", "unk_token": files.UNK, "continuing_subword_prefix": "##", "max_input_chars_per_word": 100}
    model = {**usual, **content["model"]}
    if model["type"] != "WordPiece":
        raise ValueError(f"its model is {model['type']}, not WordPiece")
    if not isinstance(model["unk_token"], str):
        raise ValueError(f"its unk_token is {json.dumps(model['unk_token'])}, not a text")
    if not model["continuing_subword_prefix"]:
        raise ValueError("its continuing_subword_prefix is empty: pieces inside of words could not be told from words")
    check_vocabulary(model.get("vocab"))
    model["unk_token"] = names_of(settings, model["unk_token"])["unk_token"]
    joined: dict[str, Any] = {"version": "1.0", "truncation": None, "padding": None}
    joined |= {name: content.get(name) for name in PARTS} | {"model": model}
    joined["normalizer"] = normalizer(joined["normalizer"], settings)
    joined["decoder"] = joined["decoder"] or {"type": "WordPiece", "prefix": model["continuing_subword_prefix"], "cleanup": True}
    joined["added_tokens"] = added_tokens(content, settings, model)
    agree("wordpieces_prefix", settings, model["continuing_subword_prefix"])
    agree("clean_text", settings, (joined["normalizer"] or {}).get("clean_text", False))
    return joined


def names_of(settings: dict[str, Any], unknown: str) -> dict[str, str]:
    """pad_token: "[PAD]" and so on. The token of unknown words is the model's unless the settings name another."""
    tokens = special_tokens(settings, {**NAMES, "unk_token": unknown})
    return {name: token["content"] for name, token in tokens if name not in MORE}


def check_vocabulary(vocabulary: Any) -> None:
    """Tokens and their ids, whole numbers from 0, more of them in use than not."""
    if not isinstance(vocabulary, dict):
        raise ValueError("its model has no vocab, an object of tokens and ids")
    for token, i in vocabulary.items():
        if not isinstance(i, int) or isinstance(i, bool) or i < 0:
            raise ValueError(f"the id of {token!r} is a whole number from 0, not {json.dumps(i, default=str)}")
    n, top = len(vocabulary), max(vocabulary.values(), default=0)
    if top + 1 >= 2 * n > 2:
        raise ValueError(f"{n} tokens have ids up to {top}, where 0 to {n - 1} would do; is a part missing?")


def normalizer(found: Any, settings: dict[str, Any]) -> Any:
    """BERT's normaliser as the settings say; what they leave open stays. One of another kind is kept (tokenizer.py checks it)."""
    said = {there: settings[here] for here, there in NORMAL.items() if here in settings}
    if said and found is None:
        found = files.bert({})["normalizer"]
    return {**found, **said} if isinstance(found, dict) and found.get("type") == "BertNormalizer" else found


def claims(content: dict[str, Any], settings: dict[str, Any]) -> dict[str, int]:
    """Added token -> the id that the files give it."""
    objects = [token if isinstance(token, dict) else {} for token in content.get("added_tokens") or ()]
    tokens = [(added_token(token, False)["content"], token.get("id")) for token in objects]
    tokens += [(token["content"], int(i)) for i, token in (settings.get("added_tokens_decoder") or {}).items()]
    found: dict[str, int] = {}
    for text, i in tokens:
        if not isinstance(i, int):
            raise ValueError(f"the added token {text!r} has no id")
        if found.setdefault(text, i) != i:
            raise ValueError(f"the added token {text!r} has two ids, {found[text]} and {i}")
    return found


def added_tokens(content: dict[str, Any], settings: dict[str, Any], model: dict[str, Any]) -> list[dict[str, Any]]:
    """All tokens that are never split: those with an id in its order, then those that are only named.

    The library looks an id up in the vocabulary or numbers on; `build` compares. tokenizer_config.json wins where flags differ.
    """
    ids = claims(content, settings)
    listed = [*(content.get("added_tokens") or ()), *(settings.get("added_tokens_decoder") or {}).values()]
    found = {token["content"]: added_token(token, False) for token in listed}
    found = {text: found[text] for text in sorted(found, key=lambda text: ids[text])}
    for name, token in special_tokens(settings, {**NAMES, "unk_token": model["unk_token"]}):
        text = token["content"]
        if name in settings or name in MORE or text in found or text in model["vocab"]:  # BERT's own names are never made up
            found.setdefault(text, token)
            found[text]["special"] |= name not in MORE
    return [{"id": ids.get(text, 0), **token} for text, token in found.items()]


def check_normalizer(backend: tokenizers.Tokenizer, found: Any, settings: dict[str, Any]) -> None:
    """Refuse a normaliser of another kind than BERT's that does not do what the settings say."""
    if found is None or found.get("type") == "BertNormalizer":
        return
    does = backend.normalizer.normalize_str
    facts = {"do_lower_case": "a" in does("A"), "strip_accents": "é" not in does("é")}
    facts["tokenize_chinese_chars"] = len(does("的人").split()) == 2
    for name, fact in facts.items():
        if settings.get(name) not in (None, fact):
            raise ValueError(
                f"its normalizer {found['type']} and {CONFIG} disagree: {name} is {json.dumps(settings[name])} there; "
                "remove one of them"
            )


def check_apart(backend: tokenizers.Tokenizer, tokens: list[dict[str, Any]]) -> None:
    """Refuse two added tokens that the normaliser makes one: the library would take either, from run to run another."""
    seen: dict[str, str] = {}
    for text in (token["content"] for token in tokens if token["normalized"] and backend.normalizer is not None):
        same = seen.setdefault(backend.normalizer.normalize_str(text), text)
        if same != text:
            raise ValueError(
                f"the added tokens {same!r} and {text!r} are one after the normalizer; normalized: false keeps them apart"
            )


def frame(backend: tokenizers.Tokenizer, settings: dict[str, Any], unk: int, mask: int, cls: int, sep: int) -> None:
    """See to it that rows are [CLS] A [SEP] (B [SEP]), with the segments 0 and 1."""
    if backend.post_processor is not None:
        one = backend.encode(backend.id_to_token(unk))
        two = backend.encode(backend.id_to_token(unk), backend.id_to_token(mask))
        if (one.ids, two.ids) == ([cls, unk, sep], [cls, unk, sep, mask, sep]) and two.type_ids == [0, 0, 0, 1, 1]:
            return
        is_framed = [len(one.ids), *two.ids[1::2], *two.type_ids] == [3, unk, mask, 0, 0, 0, 1, 1]
        if not is_framed or not {"cls_token", "sep_token"} & set(settings):
            raise ValueError(
                f"its post_processor makes {' '.join(one.tokens)} and {' '.join(two.tokens)} with the segments {two.type_ids} "
                "of one text and two; BERT's rows are [CLS] A [SEP] and [CLS] A [SEP] B [SEP]"
            )
    words = ((backend.id_to_token(i), i) for i in (sep, cls))
    backend.post_processor = tokenizers.processors.BertProcessing(*words)


def settings_for(content: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """The tokenizer_config.json that belongs to this tokenizer.json: Hugging Face's BertTokenizer reads little else of it.

    What only tokenizer.json can say calls for their general class, which reads the whole of it.
    """
    normal, model = content["normalizer"] or {}, content["model"]
    is_bert = normal.get("type") == "BertNormalizer" and normal["clean_text"] and model["continuing_subword_prefix"] == "##"
    is_bert = is_bert and content["pre_tokenizer"] == {"type": "BertPreTokenizer"} and model["max_input_chars_per_word"] == 100
    kept = {name: value for name, value in settings.items() if name not in (*NORMAL, *files.OTHERS, *MORE, *files.PLACES)}
    if normal.get("type") == "BertNormalizer":
        kept |= {here: normal[there] for here, there in NORMAL.items()}
    more = {token["content"]: None for name, token in special_tokens(settings) if name in MORE}
    names = {name: token["content"] for name, token in special_tokens(settings, {}) if name not in MORE}
    tokens = {str(token["id"]): {k: v for k, v in token.items() if k != "id"} for token in content["added_tokens"]}
    kept |= {**names, "additional_special_tokens": list(more), "added_tokens_decoder": tokens}
    kept |= {"model_input_names": settings["model_input_names"]} if "model_input_names" in settings else {}
    return {**kept, "tokenizer_class": "BertTokenizer" if is_bert else "PreTrainedTokenizerFast"}
