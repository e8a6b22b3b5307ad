"""Special and added tokens under Hugging Face's names: tokenizer.mask_token_id, add_tokens, add_special_tokens and their kin.

Read before: tokenizer.py. Read next: encoding.py.
"""

from __future__ import annotations

from typing import Any

from .tokenizer import Tokenizer
from .tokenizer_files import MORE, ORDER, added_token, as_list


class TokensByName(Tokenizer):
    """A tokenizer that can be asked for its special tokens and given new ones."""

    def __getattr__(self, name: str) -> Any:
        """pad_token, pad_token_id and so on: every special token that has a name; None for bos and eos, which BERT lacks."""
        short, names = name.removesuffix("_id"), self.__dict__.get("names", {})
        if short not in names and short not in ORDER:
            raise AttributeError(f"BertTokenizer has no {name!r}")
        token = names.get(short)
        return self.vocabulary[token] if name.endswith("_id") and token is not None else token

    def __setattr__(self, name: str, value: Any) -> None:
        if name.removesuffix("_id") in ORDER:
            raise AttributeError(f"{name} is set by from_pretrained(folder, {name}=...) or by add_special_tokens")
        super().__setattr__(name, value)

    @property
    def additional_special_tokens(self) -> list[str]:
        """The special tokens that have no name of their own."""
        return list(dict.fromkeys(added_token(t, True)["content"] for name in MORE for t in as_list(self.settings.get(name))))

    extra_special_tokens = additional_special_tokens  # the newer name

    @property
    def special_tokens_map(self) -> dict[str, str]:
        """Name -> special token."""
        return {name: self.names[name] for name in (*ORDER, *self.names) if name in self.names}

    @property
    def all_special_tokens(self) -> list[str]:
        """Every special token, once."""
        return list(dict.fromkeys([*self.special_tokens_map.values(), *self.additional_special_tokens]))

    @property
    def all_special_ids(self) -> list[int]:
        """Their ids."""
        return [self.vocabulary[token] for token in self.all_special_tokens]

    @property
    def vocab_size(self) -> int:
        """How many tokens there are without added ones; ``len(tokenizer)`` is how many rows an embedding needs."""
        return int(self.backend.get_vocab_size(with_added_tokens=False))

    def get_vocab(self) -> dict[str, int]:
        """Token -> id, added ones included."""
        return dict(self.vocabulary)

    def get_added_vocab(self) -> dict[str, int]:
        """Token -> id of the tokens that are never split."""
        added = self.backend.get_added_tokens_decoder()
        return {added[i].content: i for i in sorted(added)}

    def add_tokens(self, new_tokens: Any, special_tokens: bool = False) -> int:
        """Add tokens that are never split, with the next ids; how many were new.

        After it: model.resize_token_embeddings(len(tokenizer)).
        new_tokens: a text, a tokenizers.AddedToken, or a list of them. special_tokens: decoding may skip them.
        """
        tokens = new_tokens if isinstance(new_tokens, list | tuple) else [new_tokens] if new_tokens else []
        return self.add(tokens, special_tokens)

    def add_special_tokens(self, special_tokens_dict: dict[str, Any], replace_extra_special_tokens: bool = True) -> int:
        """Add special tokens by name: {"additional_special_tokens": ["<e1>", "</e1>"]}; how many were new."""
        tokens: list[Any] = []
        for name, value in special_tokens_dict.items():
            if name not in (*ORDER, *MORE) or name in ("unk_token", "cls_token", "sep_token"):
                cure = "name it to from_pretrained" if name in ORDER else f"there are {', '.join((*ORDER, *MORE))}"
                raise ValueError(f"add_special_tokens cannot set {name!r}; {cure}")
            texts = [getattr(token, "content", token) for token in (value if name in MORE else [value])]
            tokens += value if name in MORE else [value]
            old = [] if replace_extra_special_tokens else self.additional_special_tokens
            self.settings |= {**{key: [] for key in MORE}, MORE[0]: [*old, *texts]} if name in MORE else {name: texts[0]}
        count = self.add_tokens(tokens, special_tokens=True)
        self.names |= {name: self.settings[name] for name in special_tokens_dict if name in ORDER}
        self.number()
        return count

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        """2 around a text, 3 around two."""
        return int(self.backend.num_special_tokens_to_add(pair))
