"""Scores on files of tasks: ours beside those of lm-evaluation-harness, of the same model on the same rows.

SmolLM2-135M-Instruct on rows of the test data in the layouts of Hugging Face's data sets, by the harness's own task
definitions with the files in place of the downloads: ARC, PIQA, LAMBADA and the perplexity of passages. Both sides
compute in float32 on the CPU. Printed are the metrics of both, which should be the same, and the CPU time.
"""

import json
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import base_model
import harness

FOLDER = "E-llmfoundry-evals"
REQUIREMENTS = [
    *("--constraint", str(harness.ROOT / "constraints.txt")),
    *("torch", "transformers", "accelerate", "lm-eval[hf]==0.4.13"),
]
DEFINITIONS = {
    "arc": (
        "multiple_choice",
        {
            "doc_to_text": "Question: {{question}}\nAnswer:",
            "doc_to_target": "{{choices.label.index(answerKey)}}",
            "doc_to_choice": "{{choices.text}}",
        },
        ("acc", "acc_norm", "acc_bytes"),
    ),
    "piqa": (
        "multiple_choice",
        {
            "doc_to_text": "Question: {{goal}}\nAnswer:",
            "doc_to_target": "label",
            "doc_to_choice": "{{[sol1, sol2]}}",
        },
        ("acc", "acc_norm", "acc_bytes"),
    ),
    "lambada": (
        "loglikelihood",
        {"doc_to_text": "{{text.split(' ')[:-1]|join(' ')}}", "doc_to_target": "{{' '+text.split(' ')[-1]}}"},
        ("perplexity", "acc"),
    ),
    "passages": (
        "loglikelihood_rolling",
        {"doc_to_text": "", "doc_to_target": "{{text}}"},
        ("word_perplexity", "byte_perplexity", "bits_per_byte"),
    ),
}
KINDS = {"lambada": "last_word:", "passages": "text:"}


def rows(folder: Path, count: int) -> Mapping[str, list[dict[str, Any]]]:
    """The first rows of each file, in the layout of Hugging Face's data set of that name."""

    def read(name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (folder / name).read_text(encoding="utf-8").split("\n")[:count]]

    letters = "ABCDE"
    return {
        "arc": [
            {
                "question": row["query"].removeprefix("Question: "),
                "choices": {"text": row["choices"], "label": list(letters[: len(row["choices"])])},
                "answerKey": letters[row["gold"]],
            }
            for row in read("world_knowledge/arc_easy.jsonl")
        ],
        "piqa": [
            {
                "goal": row["query"].removeprefix("Question: ").strip(),
                **{f"sol{i + 1}": choice for i, choice in enumerate(row["choices"])},
                "label": row["gold"],
            }
            for row in read("commonsense_reasoning/piqa.jsonl")
        ],
        "lambada": [
            {"text": f"{row['context']} {row['continuation']}"}
            for row in read("language_understanding/lambada_openai.jsonl")
        ],
        "passages": [{"text": row["query"]} for row in read("reading_comprehension/boolq.jsonl")],
    }


def main() -> None:
    options = harness.arguments(__doc__).parse_args()
    data = harness.test_data(FOLDER)
    if data is None:
        raise SystemExit("GRISTMILL_TEST_DATA is not set, or lacks the evaluation sets")
    model = base_model.folder()
    python = harness.interpreter("lm-eval", REQUIREMENTS)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = []
        for task, found in rows(data, 10 if options.quick else 40).items():
            file = folder / f"{task}.jsonl"
            file.write_text("".join(json.dumps(row) + "\n" for row in found), encoding="utf-8")
            files += ["--task", f"{KINDS.get(task, '')}{file}"]
            kind, texts, metrics = DEFINITIONS[task]
            definition = {
                "task": f"local_{task}",
                "dataset_path": "json",
                "test_split": "test",
                "output_type": kind,
                "dataset_kwargs": {"data_files": {"test": str(file)}},
                **texts,
                "metric_list": [{"metric": metric} for metric in metrics],
            }
            (folder / f"{task}.yaml").write_text(json.dumps(definition), encoding="utf-8")  # JSON is YAML
        command = "from pipeline.cli import main; main()"
        ours_file, theirs_file = folder / "ours.json", folder / "theirs"
        sides = {
            "gristmill": lambda: harness.run(
                [
                    "bash",
                    "-c",
                    f'"$0" "$@" > {ours_file}',
                    sys.executable,
                    "-c",
                    command,
                    "evaluate",
                    str(model),
                    *files,
                ]
                + ["--device", "cpu", "--json"],
                {"PYTHONPATH": str(harness.ROOT)},
            ),
            "lm-eval": lambda: harness.run(
                [str(python), "-m", "lm_eval", "--model", "hf", "--model_args", f"pretrained={model},dtype=float32"]
                + ["--tasks", ",".join(f"local_{task}" for task in DEFINITIONS), "--include_path", str(folder)]
                + ["--device", "cpu", "--batch_size", "4", "--output_path", str(theirs_file)],
                {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(folder / "hub"), **os.environ},
            ),
        }
        taken = harness.compare(sides, 1)
        theirs = json.loads(next(theirs_file.rglob("results*.json")).read_text(encoding="utf-8"))["results"]
        print(f"{'task':<10}{'metric':<18}{'gristmill':>14}{'lm-eval':>14}{'difference':>12}")
        for result in json.loads(ours_file.read_text(encoding="utf-8")):
            for metric in DEFINITIONS[result["task"]][2]:
                ours, other = result[metric]["value"], theirs[f"local_{result['task']}"][f"{metric},none"]
                print(f"{result['task']:<10}{metric:<18}{ours:>14.6f}{other:>14.6f}{ours - other:>+12.1e}")
    harness.report([harness.row("scoring", "s CPU", taken, lambda usage: usage.cpu, False)], options.json)


if __name__ == "__main__":
    main()
