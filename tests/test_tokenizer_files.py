"""All that a folder says of its tokenizer: Hugging Face's ids, frozen and where transformers is installed, or a refusal."""

import json
from pathlib import Path

import pytest
import tokenizers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models import bert
from models.bert import BertTokenizer, Tokenizer
from models.text.tokenizer import SPECIAL
from tests.tokenizer_cases import RENAMED, TEXTS, VOCABULARY, added, folders, lone_files, tokenizer_json, vocabulary_file, write

FROZEN = Path(__file__).parent / "frozen" / "tokenizers.json"
FOLDERS, LONE = folders(), lone_files()


def results(tokenizer):
    """What a call returns for single texts and padded pairs, and what else the folder decides, as JSON would hold it."""
    single = tokenizer(TEXTS, return_special_tokens_mask=True)
    pairs = tokenizer(TEXTS, TEXTS[::-1], padding=True, truncation=True, max_length=9)
    ids = [i for row in single["input_ids"][:12] for i in row]
    facts = [tokenizer.decode(ids), tokenizer.decode(ids, skip_special_tokens=True), tokenizer.model_max_length]
    facts += [tokenizer.all_special_tokens, tokenizer.get_added_vocab(), tokenizer.vocab_size, tokenizer.mask_token_id]
    mask = [i for i, row in enumerate(single["special_tokens_mask"]) if sum(row) != 2]  # texts that hold special tokens
    return json.loads(json.dumps([single["input_ids"], [sorted(single), mask], dict(pairs), facts]))


@pytest.fixture(scope="module")
def frozen():
    return json.loads(FROZEN.read_text())


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_gives_hugging_face_s_ids_also_when_saved_again(name, frozen, tmp_path):
    tokenizer = BertTokenizer.from_pretrained(write(tmp_path / "there", FOLDERS[name]))
    assert results(tokenizer) == frozen["folders"][name]
    plain = Tokenizer.from_pretrained(tmp_path / "there")
    assert [[plain.cls_id, *ids, plain.sep_id] for ids in plain.encode_lines(TEXTS)] == frozen["folders"][name][0]
    tokenizer.save_pretrained(tmp_path / "here")
    assert results(BertTokenizer.from_pretrained(tmp_path / "here")) == frozen["folders"][name]
    (tmp_path / "here" / "tokenizer.json").unlink()  # vocab.txt and tokenizer_config.json say the same
    assert results(BertTokenizer.from_pretrained(tmp_path / "here")) == frozen["folders"][name]


@pytest.mark.parametrize("name", FOLDERS)
def test_hugging_face_reads_what_was_saved(name, frozen, tmp_path):
    transformers = pytest.importorskip("transformers")
    write(tmp_path / "there", FOLDERS[name])
    assert results(transformers.BertTokenizer.from_pretrained(tmp_path / "there")) == frozen["folders"][name]
    BertTokenizer.from_pretrained(tmp_path / "there").save_pretrained(tmp_path / "here")
    write(tmp_path / "here", {"config.json": {"model_type": "bert"}})
    for kind in (transformers.BertTokenizer, transformers.AutoTokenizer):
        assert results(kind.from_pretrained(tmp_path / "here")) == frozen["folders"][name]


@pytest.mark.parametrize("name", LONE)
def test_a_tokenizer_json_alone_gives_the_library_s_ids(name, frozen, tmp_path):
    tokenizer = BertTokenizer.from_pretrained(write(tmp_path, {"tokenizer.json": LONE[name]}))
    assert tokenizer(TEXTS)["input_ids"] == frozen["lone_files"][name]
    tokenizer.save_pretrained(tmp_path / "here")
    assert BertTokenizer.from_pretrained(tmp_path / "here")(TEXTS)["input_ids"] == frozen["lone_files"][name]
    library = tokenizers.Tokenizer.from_file(str(tmp_path / "here" / "tokenizer.json"))
    assert [encoding.ids for encoding in library.encode_batch(TEXTS)] == frozen["lone_files"][name]


@pytest.mark.parametrize("name", LONE)
def test_hugging_face_s_automatic_class_reads_it(name, frozen, tmp_path):
    transformers = pytest.importorskip("transformers")
    BertTokenizer.from_pretrained(write(tmp_path, {"tokenizer.json": LONE[name]})).save_pretrained(tmp_path / "here")
    write(tmp_path / "here", {"config.json": {"model_type": "bert"}})
    assert transformers.AutoTokenizer.from_pretrained(tmp_path / "here")(TEXTS)["input_ids"] == frozen["lone_files"][name]


@pytest.mark.parametrize(
    ("files", "text", "pieces"),
    [
        ({"tokenizer_config.json": {"do_lower_case": True, "strip_accents": False}}, "Schön", ["schön"]),
        ({"tokenizer_config.json": {"tokenize_chinese_chars": False}}, "的人", ["的", "##人"]),
        ({"tokenizer.json": tokenizer_json(normalizer={"handle_chinese_chars": False})}, "的人", ["的", "##人"]),
        ({"added_tokens.json": {"<usr>": len(VOCABULARY)}}, "a <usr>", ["a", "<usr>"]),
        (
            {"tokenizer_config.json": {"added_tokens_decoder": {str(len(VOCABULARY)): added("<usr>", normalized=True)}}},
            "a <usr>",
            ["a", "<usr>"],
        ),
        ({"tokenizer.json": tokenizer_json(more=[added("<USR>", special=True)])}, "<usr>", ["<", "u", "##s", "##r", ">"]),
        ({"tokenizer.json": tokenizer_json(), "tokenizer_config.json": {"do_lower_case": False}}, "a U", ["a", "U"]),
    ],
)
def test_settings_that_were_read_in_part(files, text, pieces, tmp_path):
    for kind in (Tokenizer, BertTokenizer):
        assert kind.from_pretrained(write(tmp_path, {"vocab.txt": vocabulary_file(), **files})).tokenize(text) == pieces


CONFIGS = [
    ({"do_lower_case": "no"}, 'do_lower_case is "no"; supported: true, false'),
    ({"strip_accents": 1}, "strip_accents is 1; supported: null, true, false"),
    ({"do_basic_tokenize": False}, "do_basic_tokenize is false"),
    ({"never_split": ["a"]}, "never_split is"),
    ({"word_tokenizer_type": "mecab"}, 'word_tokenizer_type is "mecab"'),
    ({"tokenizer_class": "BertJapaneseTokenizer"}, "tokenizer_class is BertJapaneseTokenizer, which splits text in another way"),
    ({"tokenizer_class": "RobertaTokenizerFast"}, "tokenizer_class is RobertaTokenizer"),
    ({"padding_side": "up"}, 'padding_side is "up"; supported: "left", "right"'),
    ({"model_max_length": 0}, "model_max_length is a whole number from 1, not 0"),
    ({"model_max_length": "512"}, "model_max_length is a whole number from 1"),
    ({"model_input_names": ["attention_mask"]}, "model_input_names is a list with input_ids in it"),
    ({"mask_token": None}, "mask_token is null, but BERT needs one"),
    ({"mask_token": 5}, "mask_token: a token is a text or an object with its content, not 5"),
    ({"clean_text": False}, "says clean_text: false, where it is true"),
    ({"wordpieces_prefix": "@@"}, 'says wordpieces_prefix: "@@", where it is "##"'),
    ({"added_tokens_decoder": {"99": added("<usr>")}}, "'<usr>' has the id 99 in the file, but Hugging Face's library gives it"),
    ({"added_tokens_decoder": {"5": added("b")}}, "'b' has the id 5 in the file"),
    ({"added_tokens_decoder": {"x": added("b")}}, "added_tokens_decoder is an object of ids and tokens"),
    ({"added_tokens_decoder": {"37": added("<usr>", lstrip=3)}}, "the token '<usr>' has lstrip: 3"),
    ({"cls_token": "<nix>", "unk_token": "<what>"}, "the vocabulary lacks <what>"),
    ({"added_tokens_decoder": {"37": added("<u>", normalized=True), "38": added("<U>", normalized=True)}}, "are one after"),
]


@pytest.mark.parametrize(("config", "text"), CONFIGS)
def test_what_is_not_obeyed_is_refused_by_name(config, text, tmp_path):
    with pytest.raises(ValueError, match=str(tmp_path)) as caught:
        Tokenizer.from_pretrained(write(tmp_path, {"vocab.txt": vocabulary_file(), "tokenizer_config.json": config}))
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ({"post_processor": {"type": "RobertaProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2], "trim_offsets": True,
                             "add_prefix_space": False}}, "its post_processor makes [CLS] [UNK] [SEP] and"),
        ({"post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 5]}}, "its post_processor makes"),
        ({"normalizer": {"lowercase": "x"}}, 'does not know its normalizer {"type": "BertNormalizer"'),
        ({"pre_tokenizer": {"type": "Nix"}}, 'does not know its pre_tokenizer {"type": "Nix"}'),
        ({"extra": 1}, "'extra' is no part of a tokenizer.json"),
        ({"model": {"type": "BPE"}}, "its model is BPE, not WordPiece"),
        ({"model": {"continuing_subword_prefix": ""}}, "its continuing_subword_prefix is empty"),
        ({"model": {"vocab": {**{t: i for i, t in enumerate(VOCABULARY)}, "again": 9}}}, "have one id"),
        ({"model": {"vocab": {"[PAD]": 0, "[UNK]": -1}}}, "the id of '[UNK]' is a whole number from 0, not -1"),
        ({"padding": {"direction": "Up"}}, "the direction of its padding"),
    ],
)  # fmt: skip
def test_parts_of_tokenizer_json_that_are_refused(content, text, tmp_path):
    with pytest.raises(ValueError, match="not a WordPiece tokenizer") as caught:
        BertTokenizer.from_pretrained(write(tmp_path, {"tokenizer.json": {**tokenizer_json(**content)}}))
    assert text in str(caught.value)


def test_files_that_contradict_each_other(tmp_path):
    lower = {"type": "Sequence", "normalizers": [{"type": "Lowercase"}]}
    files = {"tokenizer.json": {**tokenizer_json(), "normalizer": lower}, "tokenizer_config.json": {"do_lower_case": False}}
    with pytest.raises(ValueError, match=r"its normalizer Sequence and tokenizer_config\.json disagree: do_lower_case is false"):
        BertTokenizer.from_pretrained(write(tmp_path / "1", files))
    files = {"tokenizer.json": tokenizer_json(), "tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast"}}
    files["tokenizer_config.json"]["do_lower_case"] = False  # Hugging Face's general class does not read it
    with pytest.raises(ValueError, match=r"says do_lower_case: false, where it is true"):
        BertTokenizer.from_pretrained(write(tmp_path / "2", files))
    files = {"vocab.txt": vocabulary_file(), "added_tokens.json": {"<usr>": "x"}}
    with pytest.raises(ValueError, match=r"added_tokens\.json: the id of '<usr>' is a whole number from 0, not 'x'"):
        BertTokenizer.from_pretrained(write(tmp_path / "3", files))


def test_keywords(tmp_path):
    folder = write(tmp_path, {"vocab.txt": vocabulary_file()})
    assert BertTokenizer.from_pretrained(folder, do_lower_case=False, local_files_only=True).tokenize("a U") == ["a", "U"]
    assert BertTokenizer.from_pretrained(folder, mask_token="x").mask_token_id == VOCABULARY.index("x")
    assert BertTokenizer(str(folder / "vocab.txt"), do_lower_case=False).tokenize("a U") == ["a", "U"]
    for kind in (Tokenizer, BertTokenizer):
        with pytest.raises(TypeError, match="a tokenizer has no setting 'do_lowercase'; the nearest is 'do_lower_case'"):
            kind.from_pretrained(folder, do_lowercase=False)
    with pytest.raises(TypeError, match="the nearest is 'mask_token'"):
        BertTokenizer({token: i for i, token in enumerate(SPECIAL)}, mask_tokn="x")


def test_other_names_reach_the_masked_word(tmp_path):
    renamed = [RENAMED.get(token, token) for token in VOCABULARY]
    names = {"mask_token": "<mask>", "cls_token": "<s>", "sep_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    tokenizer = Tokenizer.from_pretrained(
        write(tmp_path, {"vocab.txt": vocabulary_file(renamed), "tokenizer_config.json": names})
    )
    model = bert.BertForMaskedLM(bert.BertConfig.preset("tiny", vocab_size=len(tokenizer), num_hidden_layers=1)).eval()
    assert len(bert.fill_mask(model, tokenizer, "a <mask> b", top_k=3)[0]) == 3
    with pytest.raises(ValueError, match="the text holds no <mask>"):
        bert.fill_mask(model, tokenizer, "a [MASK] b")
    assert tokenizer.encode_lines(["<mask>"], special=False)[0] != tokenizer.encode_lines(["<mask>"])[0] == [tokenizer.mask_id]


# ---------------------------------------------------------------------------------------------- texts of all kinds

ODD = ["\u200d", "\ufe0f", "\x00", "\u0301", "\u212a", "\ufb01", "\U000e0041", "\u0130"]
PART = st.one_of(st.sampled_from([*VOCABULARY, *TEXTS, *ODD]), st.characters(exclude_categories=["Cs"]))
ANY = st.lists(PART, max_size=12).map("".join)
COMPARED = [name for name in FOLDERS if "{" not in name][::2] + [name for name in FOLDERS if "{" in name][::5]


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    transformers = pytest.importorskip("transformers")
    where = [write(tmp_path_factory.mktemp("folder"), FOLDERS[name]) for name in COMPARED]
    return [(BertTokenizer.from_pretrained(w), transformers.BertTokenizer.from_pretrained(w)) for w in where]


@given(texts=st.lists(ANY, min_size=1, max_size=4), i=st.integers(0, len(COMPARED) - 1))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_has_hugging_face_s_ids(both, texts, i):
    ours, theirs = (tokenizer(texts, return_offsets_mapping=True) for tokenizer in both[i])
    assert dict(ours) == dict(theirs)
    for row in ours["input_ids"]:
        assert both[i][0].decode(row) == both[i][1].decode(row)
