"""Store Hugging Face's ids for the folders of tokenizer_cases.py in tokenizers.json (test_tokenizer_files.py).

    python -m tests.frozen.make_tokenizers

Needs transformers.
"""

import json
import tempfile
from pathlib import Path

import tokenizers
import transformers

from tests.test_tokenizer_files import FROZEN, results
from tests.tokenizer_cases import TEXTS, folders, lone_files, write


def main() -> None:
    """Write the file."""
    frozen = {"folders": {}, "lone_files": {}}
    with tempfile.TemporaryDirectory() as folder:
        for i, (name, files) in enumerate(folders().items()):
            where = write(Path(folder) / str(i), files)
            frozen["folders"][name] = results(transformers.BertTokenizer.from_pretrained(where))
    for name, content in lone_files().items():
        theirs = tokenizers.Tokenizer.from_str(json.dumps(content))
        frozen["lone_files"][name] = [encoding.ids for encoding in theirs.encode_batch(TEXTS)]
    FROZEN.write_text(json.dumps(frozen, ensure_ascii=True, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
