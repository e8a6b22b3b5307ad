"""Folders of tokenizers, as they are found in the wild, for test_tokenizer_files.py and frozen/make_tokenizers.py."""

import itertools
import json

VOCABULARY = [
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "##b", "u", "U", "##s", "##r", "<", ">", "schon", "schön", "Schön",
    "的", "人", "##人", "É", "é", "e", "hello", ",", "[", "]", "mask", "東", "##東", "ไ", "##ท", "##ย", "🙂", "x",
    "##x", "[unused1]",
]  # fmt: skip
RENAMED = {"[PAD]": "<pad>", "[UNK]": "<unk>", "[CLS]": "<s>", "[SEP]": "</s>", "[MASK]": "<mask>"}
TEXTS = [
    "", " ", "a", "Schön", "的人", "a <usr>", "A <USR> u", "a U", "[MASK] [mask] [CLS]a", "É é e\u0301", "東京的人", "ไทย",
    "🙂🙂 🙂", "x" * 99, "x" * 101, "a\u200db", "a\x00b", "a\x07b\u00adu", "[unused1] [UNUSED1]", "a<e1>b</e1> u",
    "  <usr>  a  <mask>",
    "<s> a </s>", "hello, hello", "a\tb\nu\u00a0b\u3000a", "<usr>a<usr>", "the [PAD] [UNK]", "🧑‍🚀 a", "<unk> <pad>",
]  # fmt: skip


def vocabulary_file(tokens=VOCABULARY):
    return "".join(token + "\n" for token in tokens)


def added(content, **flags):
    plain = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)
    return {"content": content, **plain, **flags}


def tokenizer_json(tokens=VOCABULARY, more=(), **parts):
    """What the tokenizers library writes for BERT, with changes. more: added tokens after the special ones."""
    names = [RENAMED.get(t, t) if RENAMED["[CLS]"] in tokens else t for t in VOCABULARY[:5]]
    tokens = {token: i for i, token in enumerate(tokens)}
    normal = {"clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True}
    content = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": tokens[t], **added(t, special=True)} for t in names]
        + [{"id": len(tokens) + i, **token} for i, token in enumerate(more)],
        "normalizer": {"type": "BertNormalizer", **normal, **parts.pop("normalizer", {})},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "sep": [names[3], 3], "cls": [names[2], 2]},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece", "unk_token": names[1], "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
            "vocab": tokens, **parts.pop("model", {}),
        },
    }  # fmt: skip
    return {**content, **parts}


def folders():
    """name -> {file: content} of folders for which Hugging Face's BertTokenizer is right."""
    n = len(VOCABULARY)
    plain = {"vocab.txt": vocabulary_file()}
    found = {"vocab.txt alone": plain}
    for lower, strip, chinese in itertools.product((True, False), (None, True, False), (True, False)):
        config = {"do_lower_case": lower, "strip_accents": strip, "tokenize_chinese_chars": chinese}
        found[f"{json.dumps(config)} vocab.txt"] = {**plain, "tokenizer_config.json": config}
        found[f"{json.dumps(config)} against tokenizer.json"] = {
            "tokenizer.json": tokenizer_json(normalizer={"lowercase": not lower, "strip_accents": not lower}),
            "tokenizer_config.json": config,
        }
    found["added_tokens.json"] = {**plain, "added_tokens.json": {"<usr>": n}}
    found["an added special token"] = {
        **plain,
        "tokenizer_config.json": {"added_tokens_decoder": {str(n): added("<USR>", special=True)}},
    }
    for flag in ("single_word", "lstrip", "rstrip", "normalized", "special"):
        token = added("<usr>", **{flag: True})
        found[f"added_tokens_decoder {flag}"] = {**plain, "tokenizer_config.json": {"added_tokens_decoder": {str(n): token}}}
        settings = {"do_lower_case": True}
        found[f"tokenizer.json {flag}"] = {"tokenizer.json": tokenizer_json(more=[token]), "tokenizer_config.json": settings}
    names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), RENAMED.values(), strict=True))
    renamed = [RENAMED.get(token, token) for token in VOCABULARY]
    flagged = {**names, "mask_token": {k: v for k, v in added("<mask>", lstrip=True).items() if k != "special"}}
    typed = {"mask_token": {"__type": "AddedToken", **added("<mask>", lstrip=True, special=True)}}
    found["other names in tokenizer_config"] = {
        "vocab.txt": vocabulary_file(renamed),
        "tokenizer_config.json": {**names, **typed, "do_lower_case": False},
    }
    found["other names in special_tokens_map"] = {"vocab.txt": vocabulary_file(renamed), "special_tokens_map.json": flagged}
    found["other names in tokenizer.json"] = {"tokenizer.json": tokenizer_json(renamed), "tokenizer_config.json": names}
    found["further special tokens"] = {
        **plain,
        "special_tokens_map.json": {"mask_token": "<mask>"},
        "tokenizer_config.json": {
            "eos_token": "</s>", "entity_token": "<usr>", "additional_special_tokens": ["[unused1]", "<e1>", "</e1>"],
        },
    }  # fmt: skip
    found["a blank line"] = {"vocab.txt": vocabulary_file([*VOCABULARY[:7], "", *VOCABULARY[7:]])}
    found["blank lines"] = {"vocab.txt": vocabulary_file(["", *VOCABULARY[:7], "  ", *VOCABULARY[7:], "", ""])}
    found["white space at line ends"] = {"vocab.txt": vocabulary_file(token + " \r" for token in VOCABULARY)}
    sides = {"padding_side": "left", "truncation_side": "left", "model_max_length": 6}
    inputs = {"model_input_names": ["input_ids", "attention_mask"], "clean_up_tokenization_spaces": True}
    found["settings of calls"] = {**plain, "tokenizer_config.json": {**sides, **inputs}}
    found["specials split"] = {**plain, "tokenizer_config.json": {"split_special_tokens": True}}
    left = {"direction": "Left", "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]", "pad_to_multiple_of": None}
    cut = {"max_length": 4, "strategy": "LongestFirst", "stride": 0, "direction": "Left"}
    found["baked-in padding and truncation"] = {
        "tokenizer.json": tokenizer_json(padding={"strategy": {"Fixed": 9}, **left}, truncation=cut),
        "tokenizer_config.json": {"do_lower_case": True, "model_max_length": 5},
    }
    return found


def lone_files():
    """name -> tokenizer.json without settings, for which the tokenizers library is right."""
    at = {token.replace("##", "@@"): i for i, token in enumerate(VOCABULARY)}
    steps = [{"type": "NFD"}, {"type": "Lowercase"}, {"type": "StripAccents"}]
    return {
        "as written": tokenizer_json(),
        "cased": tokenizer_json(normalizer={"lowercase": False}),
        "Chinese whole": tokenizer_json(normalizer={"handle_chinese_chars": False}),
        "accents kept": tokenizer_json(normalizer={"strip_accents": False}),
        "not cleaned": tokenizer_json(normalizer={"clean_text": False}),
        "no normalizer": {**tokenizer_json(), "normalizer": None},
        "steps": {**tokenizer_json(), "normalizer": {"type": "Sequence", "normalizers": steps}},
        "white space": tokenizer_json(pre_tokenizer={"type": "WhitespaceSplit"}),
        "no pre-tokenizer": tokenizer_json(pre_tokenizer=None),
        "prefix": tokenizer_json(model={"continuing_subword_prefix": "@@", "vocab": at}),
        "short words": tokenizer_json(model={"max_input_chars_per_word": 2}),
        "added": tokenizer_json(more=[added("<usr>", normalized=True), added("<e1>", special=True, rstrip=True)]),
        "decoder": tokenizer_json(decoder={"type": "WordPiece", "prefix": "##", "cleanup": False}),
    }


def write(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / name).write_text(text, encoding="utf-8", newline="")
    return folder
