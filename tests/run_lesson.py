"""Run one lesson as a script, then put answers to its checks; what they say goes to a JSON file. (Started by test_lessons.py.)"""

import json
import runpy
import sys
from pathlib import Path
from typing import Any


def main(source: str, answers_file: str, result_file: str) -> None:
    """``answers_file``: {exercise: [source, ...]}; the result: {exercise: [[unsolved, text], [verdict, text], ...]}."""
    sys.path.insert(0, str(Path(source).parent))
    names = runpy.run_path(source, run_name="__main__")
    exercises: dict[str, Any] = sys.modules["exercises"].EXERCISES
    result = {}
    answers = json.loads(Path(answers_file).read_text(encoding="utf-8"))
    for name, exercise in exercises.items():
        verdicts = [exercise.judge(names[name])]
        for text in answers.get(name, ()):
            own = dict(names)
            exec(text, own)
            verdicts.append(exercise.judge(own[name]))
        result[name] = verdicts
    Path(result_file).write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
