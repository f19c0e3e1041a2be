"""Texts, and alft's answers about them, for the scripts that compare alft with other programs."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TEST = "parity::a_model_answers_the_questions_of_a_parity_script"
TEXTS = [
    "The capital of France is Paris, and the capital of Italy is",
    "Q: What is 17 + 25?\nA: Let us add the tens first: 10 + 20 = 30. Then 7 + 5 = 12, so the answer is",
    "def fibonacci(n):\n    if n < 2:\n        return n\n    return fibonacci(n - 1) + fibonacci(n - 2)\n\n\nprint(",
    "Once upon a time, in a village by the sea, there lived an old fisherman who",
    "Die Donau entspringt im Schwarzwald und mündet in das Schwarze Meer. Sie fließt durch",
    "SELECT name, COUNT(*) FROM orders GROUP BY name ORDER BY COUNT(*) DESC LIMIT 10;\n-- The query",
    "1, 1, 2, 3, 5, 8, 13, 21, 34,",
    "Water boils at 100 degrees Celsius at sea level, because",
    "我想在工作之后学习中文。今天的天气",
    "To be, or not to be, that is the question: Whether 'tis nobler in the mind to suffer",
    "# Contents\n\n1. Introduction\n2. Methods\n3. Results\n\n## Introduction\n\nThis report",
    "The mitochondria are organelles that produce most of the cell's",
    "It's   spaced \t oddly ,  and\n\n\nhas  blank lines.\n\n   Then it goes",
    "{\"name\": \"Ada\", \"born\": 1815, \"field\": \"mathematics\", \"known_for\":",
    "Les élèves étudient l'histoire de la Révolution française, qui commença en",
    "A train leaves at 9:15 and arrives at 11:40. The journey takes",
    "Emoji 😀🚀 and symbols ½ ≤ ∑ € are encoded as several",
    "<p>HTML has <b>bold</b> and <i>italic</i> text. The tag",
    "Photosynthesis turns carbon dioxide and water into sugar and oxygen. In plants it",
    "Dear Sir or Madam, I am writing to complain about the delay of my order, which",
]


def ask(questions, out):
    """Runs alft on the questions and returns its results."""
    (out / "questions.json").write_text(json.dumps(questions))
    command = ["cargo", "test", "--package", "alft-policy", "--test", "policy", "--", "--ignored", "--exact", TEST]
    environment = {**os.environ, "ALFT_PARITY": str(out / "questions.json")}
    done = subprocess.run(command, cwd=ROOT, env=environment, text=True, capture_output=True)
    if done.returncode != 0:
        sys.exit(done.stdout + done.stderr)
    return json.loads((out / "results.json").read_text())
